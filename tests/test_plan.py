"""Tomorrow's split as its user asks for it: every kind of campaign, every spelling of a history, every refusal."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.campaign.params import PRESETS
from envs.campaign.past import History
from evaluate.campaign.past_days import read_history
from evaluate.campaign.plan import main, rounded
from evaluate.policies import load_candidates
from tests.tools.programs import run
from train.__main__ import main as train
from train.config import InputError
from train.environment import make_env
from train.play import play
from train.storage.run_folder import load_run

HEADER = "day,posts,ads,rewards,likes,comments,shares"
CHANNELS = ("posts", "ads", "rewards")
DAYS: list[list[Any]] = [[20, 30, 50, 240, 70, 121], [45.5, 14.5, 40, 402, 97.5, 118]]
CAMPAIGNS = {
    "linear": "{id: 'envs:LinearCampaign-v0', kwargs: {daily_budget: 250}}",
    "dynamic": "{id: 'envs:DynamicCampaign-v0', kwargs: {days: 4}}",
    "article": "{id: 'envs:LinearCampaign-v0', kwargs: {action: channel, observation: totals}}",
    "uncertain": "{id: 'envs:UncertainCampaign-v0', kwargs: {observation: belief, privileged: true}}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run of each campaign, two agents on the article's, and one of another problem."""
    folder = tmp_path_factory.mktemp("plan")
    for name, env in {**CAMPAIGNS, "cartpole": "{id: CartPole-v1}"}.items():
        config = folder / f"{name}.yaml"
        also = "reference: {n_envs: 4}\n" if name == "article" else ""
        config.write_text(
            f"env: {env}\ntotal_timesteps: 28\na2c: {{n_envs: 4, n_steps: 7}}\n{also}"
        )
        assert train([str(config), "--runs-dir", str(folder / "runs")]) == 0
    (folder / "so_far.csv").write_text(as_csv(DAYS))
    return folder


def as_csv(days: list[list[Any]]) -> str:
    return (
        "\n".join(
            [HEADER, *(",".join(map(str, [day, *row])) for day, row in enumerate(days, start=1))]
        )
        + "\n"
    )


def asked(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """What the program answers with ``--json``."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def refused(path: Path) -> str:
    """The message about a file."""
    with pytest.raises(InputError) as caught:
        read_history(path, History(PRESETS["dynamic"]))
    return str(caught.value)


@pytest.mark.parametrize("name", CAMPAIGNS)
@pytest.mark.parametrize("played", [0, 2])
def test_the_plan_is_what_the_policy_does_after_the_days_so_far(
    runs: Path, name: str, played: int, capsys: pytest.CaptureFixture[str]
) -> None:
    history: list[str | Path] = ["--history", runs / "so_far.csv"] if played else []
    plan = asked(capsys, runs / "runs" / name / "a2c-seed0-1", *history)
    last_day = 4 if name == "dynamic" else 7
    assert (plan["day"], plan["last_day"], plan["agent"]) == (played + 1, last_day, "a2c")
    assert [row["day"] for row in plan["days"]] == list(range(played + 1, last_day + 1))
    assert {channel: plan["days"][0][channel] for channel in CHANNELS} == plan["split"]
    budget = 250 if name == "linear" else 100
    for row in plan["days"]:
        assert sum(row[channel] for channel in CHANNELS) == pytest.approx(budget)
    left = plan["days_left"]
    assert left["expected_engagement"] == pytest.approx(
        sum(row["expected_engagement"] for row in plan["days"])
    )
    assert left["exact"] == (name != "uncertain")
    assert left["campaigns"] == (1000 if name == "uncertain" else 1)
    (entry,) = load_candidates([load_run(runs / "runs" / name / "a2c-seed0-1")], main=name)[:1]
    envs = make_env(entry.env, 3)
    observations, _ = envs.reset(seed=5, options={"past": DAYS[:played]})
    infos = envs.step(entry.policy.predict(observations, deterministic=True)[0])[4]
    np.testing.assert_allclose(infos["spend"], [list(plan["split"].values())] * 3, atol=1e-4)


@pytest.mark.parametrize("name", ["linear", "dynamic", "article"])
def test_without_chance_the_expectation_is_what_a_campaign_of_these_splits_earns(
    runs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = asked(capsys, runs / "runs" / name / "a2c-seed0-1", "--history", runs / "so_far.csv")
    entry = load_candidates([load_run(runs / "runs" / name / "a2c-seed0-1")], main=name)[0]
    kwargs = {"action": "spend", "observation": "history"}
    envs = make_env(entry.env.model_copy(update={"kwargs": entry.env.kwargs | kwargs}), 1)
    envs.reset(seed=0)
    earned = []
    for split in [row[:3] for row in DAYS] + [
        [row[channel] for channel in CHANNELS] for row in plan["days"]
    ]:
        infos = envs.step(np.array([split]))[4]
        earned.append(infos.get("final_info", infos)["engagement"][0])
    left = plan["days_left"]
    assert sum(earned[2:]) == pytest.approx(left["expected_engagement"])
    assert left["low"] == left["high"] == pytest.approx(left["expected_engagement"])


def test_the_range_holds_four_fifths_of_the_campaigns_and_weak_days_lower_it(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs / "runs/uncertain/a2c-seed0-1"
    (entry,) = load_candidates([load_run(folder)], main="uncertain")
    found = {}
    for name, factor in (("weak", 0.4), ("strong", 2.0)):
        days = [[*row[:3], *(factor * count for count in row[3:])] for row in DAYS]
        (tmp_path / "days.csv").write_text(as_csv(days))
        plan = asked(capsys, folder, "--history", tmp_path / "days.csv")
        found[name] = plan["days_left"]
        steps = play(entry.policy, make_env(entry.env, 1000), seed=99, options={"past": days})
        again = np.sum([step.infos["engagement"] for step in steps], axis=0)
        inside = (plan["days_left"]["low"] <= again) & (again <= plan["days_left"]["high"])
        assert inside.mean() == pytest.approx(0.8, abs=0.06)
    assert found["weak"]["high"] < found["strong"]["low"]
    assert found["weak"]["low"] < found["weak"]["expected_engagement"] < found["weak"]["high"]


def test_a_program_asked_twice_says_the_same_and_a_header_alone_is_day_1(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.csv").write_text(HEADER + "\n")
    folder = runs / "runs/uncertain/a2c-seed0-1"
    assert (
        asked(capsys, folder)
        == asked(capsys, folder, "--history", tmp_path / "none.csv")
        == asked(capsys, folder)
    )


def test_the_printed_split_is_a_history_that_is_taken(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--runs-dir", runs / "runs", "--history", runs / "so_far.csv"]
    capsys.readouterr()
    assert main([str(word) for word in (runs / "uncertain.yaml", *words)]) == 0
    out = capsys.readouterr().out
    assert "Tomorrow is day 3 of 7. Spend: posts " in out
    assert re.search(
        r"80% of 1,000 simulated campaigns that fit the days so far earn [\d,]+ to [\d,]+\.", out
    )
    split = [
        float(value) for value in re.findall(r"(?:posts|ads|rewards) ([\d.]+)", out.splitlines()[0])
    ]
    assert sum(split) == pytest.approx(100)
    (tmp_path / "next.csv").write_text(as_csv([*DAYS, [*split, 300, 80, 90]]))
    assert len(read_history(tmp_path / "next.csv", History(PRESETS["uncertain"]))) == 3


def test_the_program_run_as_its_user_runs_it(runs: Path) -> None:
    done = run(
        "evaluate.campaign.plan",
        runs / "runs/article/a2c-seed0-1",
        "--history",
        runs / "so_far.csv",
    )
    assert done.returncode == 0, done.stderr
    assert "Tomorrow is day 3 of 7. Spend: posts " in done.stdout
    assert "Expected engagement of days 3 to 7: " in done.stdout


def test_the_table_says_what_is_exact_and_who_decided(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                str(runs / "article.yaml"),
                "--runs-dir",
                str(runs / "runs"),
                "--agent",
                "reference (mix)",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "Tomorrow is day 1 of 7." in out
    assert "(exact: chance has no part in this campaign)" in out
    assert "Decided by reference (mix), " in out
    assert len(re.findall(r"^ +[1-7] ", out, re.MULTILINE)) == 7


@given(
    splits=st.lists(st.tuples(*[st.floats(0, 1e6)] * 3), min_size=1, max_size=7).filter(
        lambda rows: all(sum(row) > 1e-3 for row in rows)
    )
)
def test_rounded_splits_never_spend_more_and_stay_close(splits: list[tuple[float, ...]]) -> None:
    exact = np.array(splits)
    near = rounded(exact)
    unit = 10.0 ** -max(1, 2 - np.floor(np.log10(exact.sum(axis=1).max())))
    assert (near.sum(axis=1) <= exact.sum(axis=1) * (1 + 1e-9) + 1e-5 * unit).all()
    assert (exact.sum(axis=1) - near.sum(axis=1) < 1.001 * unit).all()
    assert (np.abs(near - exact) < 1.001 * unit).all()


@given(data=st.data())
def test_harmless_spellings_of_a_history_are_read_as_the_same_numbers(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    counts = st.integers(0, 10**6) | st.floats(0, 1e9)
    days = data.draw(st.lists(st.tuples(*[st.floats(0, 33.3)] * 3, *[counts] * 3), max_size=6))
    names = HEADER.split(",")
    order = data.draw(st.permutations(names))
    rows = [dict(zip(names, [day, *row], strict=True)) for day, row in enumerate(days, start=1)]
    path = tmp_path_factory.getbasetemp() / "spelled.csv"
    path.write_bytes(
        spelled([[row[name] for name in order] for row in rows], order, data.draw).encode()
    )
    np.testing.assert_array_equal(
        read_history(path, History(PRESETS["dynamic"])), np.array(days).reshape(-1, 6)
    )


def spelled(rows: list[list[float]], names: list[str], draw: Callable[[Any], Any]) -> str:
    """The table as a CSV file, with spaces, quotes, line ends and blank lines as they come."""
    file = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(file, lineterminator=draw(st.sampled_from(["\n", "\r\n"])), quoting=quoting)
    blank, trailing = draw(st.booleans()), draw(st.integers(0, 2))
    spaces = st.sampled_from(["", " ", "  "])
    for row in [names, *([number(value, draw) for value in row] for row in rows)]:
        writer.writerow([f"{draw(spaces)}{cell}{draw(spaces)}" for cell in row] + [""] * trailing)
        if blank:
            writer.writerow([""] * trailing)
    return file.getvalue().removesuffix("\n" if draw(st.booleans()) else "")


def number(value: float, draw: Callable[[Any], Any]) -> str:
    """A number as a person or a program may write it."""
    ways = [
        repr(value),
        repr(float(value)),
        f"+{value!r}",
        f"{float(value):.17e}",
        *([f"{value:.0f}"] * (value % 1 == 0)),
    ]
    return str(draw(st.sampled_from(ways)))


FAULTY: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["row 1: the file is empty, expected at least the header"]),
    "blank": (b"\n \r\n\n", ["row 1: the file is empty, expected at least the header"]),
    "mark": (
        f"\ufeff{as_csv(DAYS)}".encode(),
        ["row 1: the file starts with a byte-order mark, expected none: save"],
    ),
    "semicolons": (
        as_csv(DAYS).replace(",", ";").replace("14.5", "14,5").encode(),
        [
            "row 1: columns are separated by semicolons, expected commas",
            "row 3, column ads: '14,5', must be a number such as 33.3, with a decimal point",
        ],
    ),
    "tabs": (
        as_csv(DAYS).replace(",", "\t").encode(),
        ["row 1: columns are separated by tabs, expected commas"],
    ),
    "bytes": (
        as_csv(DAYS).replace("402", "4\u00a002").encode("latin-1"),
        [
            "row 3: the byte 0xa0 is no text in UTF-8",
            r"row 3, column likes: '4\\xa002', must be a number such as 33.3",
        ],
    ),
    "utf-16": (as_csv(DAYS).encode("utf-16"), ["row 1: is UTF-16, expected UTF-8: save it as"]),
    "no header": (
        b"1,20,30,50,240,70,121\n",
        ["row 1: '1,20,30,50,240,70,121' is not the header, expected day,posts"],
    ),
    "columns": (
        b"day,posts,ads,reward,likes,comments,shares,ads\n1,90,1,1,1,1,1,20\n",
        [
            "row 1, column rewards: is missing",
            "row 1, column 'reward': is unknown (did you mean 'rewards'?), expected no such column",
            "row 1, column ads: stands twice, expected once",
            "row 2, column posts + ads + rewards: 110 spent, must be 100 or less, the day's budget",
        ],
    ),
    "values": (
        f"{HEADER}\n1,60,60,3,4,5,6\n2,-1,inf,nan,x,,1e13\n3,1,2,3,4,5\n4,1,2,3,4,5,6,7\n".encode(),
        [
            "row 2, column posts + ads + rewards: 123 spent, must be 100 or less, the day's budget",
            "row 3, column posts: -1, must be a finite number from 0 to 1e+12",
            "row 3, column ads: inf, must be a finite number",
            "row 3, column rewards: nan, must be a finite number",
            "row 3, column likes: 'x', must be a number such as 33.3",
            "row 3, column comments: is empty, must be a number such as 33.3",
            "row 3, column shares: 1e+13, must be a finite number from 0 to 1e+12",
            "row 4: 6 values, expected 7, one for each column",
            "row 5: 8 values, expected 7, one for each column",
        ],
    ),
    "days": (
        "\n".join(
            [HEADER, *(f"{day},1,2,3,4,5,6" for day in (1, 1, 3, 2, "x", 1.5, -1, 7, 9, "nan"))]
        ).encode(),
        [
            "row 3, column day: 1 is repeated, must be 2: each day stands once",
            "row 4, column day: 3, must be 2: days start with 1 and none is left out",
            "row 5, column day: 2 comes after 3, must come before: days stand in order",
            "row 6, column day: 'x', must be a number",
            "row 7, column day: 1.5, must be a whole number of 1 or more",
            "row 8, column day: -1, must be a whole number of 1 or more",
            "row 9, column day: 7, must be before 7, the last day: after it nothing is left to decide",
            "row 10, column day: 9, must be before 7",
            "row 11, column day: nan, must be a whole number of 1 or more",
        ],
    ),
    "all played": (
        as_csv([DAYS[0]] * 7).encode(),
        ["row 8, column day: 7, must be before 7, the last day"],
    ),
    "quotes": (f'{HEADER}\n1,"20,30,50,240,70,121\n'.encode(), ["row 2: is no row of a CSV file"]),
}


@pytest.mark.parametrize(("data", "expected"), FAULTY.values(), ids=FAULTY)
def test_every_fault_of_a_history_is_named_at_once(
    data: bytes, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "days.csv"
    path.write_bytes(data)
    first, *faults = refused(path).splitlines()
    counted = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    assert (
        first
        == f"history {path}: {counted}; expected the header {HEADER} and a row for each past day"
    )
    assert len(faults) == len(expected)
    for fault, start in zip(faults, expected, strict=True):
        assert fault.strip().startswith(start)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "so_far.csv").write_text(HEADER)
    missing = refused(tmp_path / "sofar.csv")
    assert missing.endswith(
        f"no such file (did you mean '{tmp_path / 'so_far.csv'}'?); expected a CSV file"
    )
    assert refused(tmp_path).endswith("is a folder, expected a CSV file")
    assert "cannot be read: Not a directory" in refused(tmp_path / "so_far.csv/x")


def test_a_file_of_something_else_does_not_flood_the_screen(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(as_csv([DAYS[0]] * 3000))
    lines = refused(tmp_path / "long.csv").splitlines()
    assert len(lines) == 202
    assert lines[-1] == "  and 2794 more"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["cartpole.yaml"],
            "env CartPole-v1: cannot start after days already played, so there is nothing to plan",
        ),
        (
            ["article.yaml", "--agent", "refrence"],
            r"there is no run of it \(did you mean 'reference'\?\); known: a2c, ",
        ),
        (["runs/none"], "no such folder"),
        (["dynamic.yaml", "--history", "nothing.csv"], "history .*nothing.csv: no such file"),
        (
            ["dynamic.yaml", "--history", "wrong.csv"],
            "2 faults(.|\n)*row 2, column ads: 'x'(.|\n)*row 2, column shares",
        ),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    runs: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(runs)
    Path("wrong.csv").write_text(f"{HEADER}\n1,2,x,3,4,5,-6\n")
    capsys.readouterr()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("error:") == 1
    assert re.search(message, captured.err), captured.err


def test_the_environment_refuses_what_the_file_would_be_refused_for(runs: Path) -> None:
    envs = make_env(load_run(runs / "runs/dynamic/a2c-seed0-1").config.env, 1)
    with pytest.raises(
        ValueError,
        match=r"past: day 1, ads: -1, must be .*; day 2, posts \+ ads \+ rewards: 120 spent",
    ):
        envs.reset(options={"past": [[0, -1, 0, 0, 0, 0], [40, 40, 40, 0, 0, 0]]})
