"""A hundred changed configs, command lines and runs end well or with one message."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.tools.mutated import CASES, Case, make_runs, survives

QUIETLY = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.filterwarnings("ignore")
@settings(QUIETLY, max_examples=80)
@given(case=CASES)
def test_changed_input_ends_well_or_with_a_message(runs: Path, case: Case) -> None:
    survives(case, runs)


@settings(QUIETLY, max_examples=20, phases=[Phase.generate])
@given(case=CASES)
def test_changed_input_given_to_a_process_too(runs: Path, case: Case) -> None:
    survives(case._replace(program="train"), runs, as_process=True)
