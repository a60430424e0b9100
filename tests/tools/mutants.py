"""``make mutants``: how the tests meet each mutant, and how many of the mutants they kill.

A mutant is the code with one small fault. Mutmut plants them, runs the tests that reach them (with
this module as a plugin), and tells what came of each; ``python -m tests.tools.mutants`` sums that
up. A kill is a test that fails: what ran out of time, died or was reached by no test is none.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from envs.campaign import baselines, batch, planner

LEAST = 85.0
"""Kills that are asked for, in percent of all mutants."""

settings.register_profile(
    "mutants",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    phases=[
        Phase.explicit,
        Phase.generate,
    ],  # what fails has failed: no smaller example is looked for
    suppress_health_check=list(HealthCheck),
)

CACHED: list[Any] = [
    value
    for module in (planner, batch, baselines)
    for value in vars(module).values()
    if hasattr(value, "cache_clear")
]


@pytest.fixture(autouse=True)
def _solved_afresh() -> None:
    """What was solved before was solved without the fault."""
    for cached in CACHED:
        cached.cache_clear()


def results(lines: Iterable[str]) -> dict[str, str]:
    """What came of each mutant, from the lines of ``mutmut results --all true``."""
    pairs = (line.strip().rpartition(": ") for line in lines if ": " in line)
    return {name: status for name, _, status in pairs}


def summary(found: dict[str, str]) -> str:
    """Every mutant that was not killed, and the score of each module."""
    total = Counter(name.rpartition(".")[0] for name in found)
    killed = Counter(
        name.rpartition(".")[0] for name, status in found.items() if status == "killed"
    )
    rows = [f"{status:<10} {name}" for name, status in sorted(found.items()) if status != "killed"]
    rows += [f"{module:<26} {_share(killed[module], count)}" for module, count in total.items()]
    others = Counter(status for status in found.values() if status != "killed")
    told = ", ".join(f"{count} {status}" for status, count in others.most_common())
    return "\n".join(
        [*rows, f"{'all':<26} {_share(killed.total(), len(found))} ({told or 'none left'})"]
    )


def score(found: dict[str, str]) -> float:
    """Kills in percent of all mutants."""
    return 100 * sum(status == "killed" for status in found.values()) / max(len(found), 1)


def _share(killed: int, count: int) -> str:
    return f"{killed:>5} of {count:>5} killed, {100 * killed / count:5.1f} %"


def main() -> int:
    """Prints the summary of what stands on standard input; 1 where the score is too low."""
    found = results(sys.stdin)
    if not found:
        print("there are no mutants: did mutmut run?", file=sys.stderr)
        return 1
    print(summary(found))
    print("`.venv/bin/mutmut show NAME` shows one of them")
    if score(found) < LEAST:
        print(f"the score has to be at least {LEAST:g} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
