"""The summary of ``make mutants``: only a test that failed counts as a kill."""

import io

import pytest

from tests.tools import mutants

SHOWN = """    envs.campaign.model.x_engagement__mutmut_1: killed
    envs.campaign.model.x_engagement__mutmut_2: timeout
    evaluate.statistics.xǁIntervalǁshow__mutmut_1: killed
    evaluate.statistics.xǁIntervalǁshow__mutmut_2: no tests
"""


def told(shown: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(shown))
    return mutants.main()


def test_what_is_no_kill_is_listed_and_too_many_of_it_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(SHOWN, monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:5] == [
        "timeout    envs.campaign.model.x_engagement__mutmut_2",
        "no tests   evaluate.statistics.xǁIntervalǁshow__mutmut_2",
        "envs.campaign.model            1 of     2 killed,  50.0 %",
        "evaluate.statistics            1 of     2 killed,  50.0 %",
        "all                            2 of     4 killed,  50.0 % (1 timeout, 1 no tests)",
    ]
    assert "at least 85 %" in err


@pytest.mark.parametrize(("killed", "code"), [(85, 0), (84, 1)])
def test_85_kills_of_a_hundred_are_enough(
    killed: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"    m.f__mutmut_{i}: {'killed' if i < killed else 'survived'}\n" for i in range(100)]
    assert told("".join(lines), monkeypatch) == code


def test_no_mutants_at_all_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told("", monkeypatch) == 1
