"""A run that was stopped, killed or damaged ends as if nothing had happened, bit for bit."""

import random
from pathlib import Path

import pytest

from tests.tools.programs import ROOT
from tests.tools.resuming import Crash, Job, crash_after, kill_at_random, outcome
from train.__main__ import main
from train.config import load_config

CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
JOBS = [
    Job(name, agent, steps=11 * size, every=3 * size - size // 2)
    for name in CONFIGS
    for agent in load_config(ROOT / f"configs/{name}.yaml").agents
    for part in [load_config(ROOT / f"configs/{name}.yaml").agent(agent)]
    for size in [part.n_envs * part.n_steps]
]


def resume(folder: Path, *words: str) -> int:
    return main(["--resume", str(folder), *words])


@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job.config}-{job.agent}")
def test_a_run_that_was_cut_off_twice_ends_as_if_nothing_had_happened(
    job: Job, tmp_path: Path
) -> None:
    part = load_config(ROOT / f"configs/{job.config}.yaml").agent(job.agent)
    assert main(job.argv(tmp_path / "whole")) == 0
    folder = job.folder(tmp_path / "cut")
    with crash_after(9 * part.n_steps - 1), pytest.raises(Crash):
        main(job.argv(tmp_path / "cut"))
    assert (folder / f"checkpoint/{job.steps * 6 // 11}.pt").is_file()
    with crash_after(4 * part.n_steps), pytest.raises(Crash):
        resume(folder)
    assert resume(folder) == 0
    assert outcome(folder) == outcome(job.folder(tmp_path / "whole"))


def test_killed_runs_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    rng, killed = random.Random(0), 0
    for agent in ("a2c", "reference"):
        job = Job("cartpole", agent, steps=6400, every=128)
        assert main(job.argv(tmp_path / "whole")) == 0
        folder = job.folder(tmp_path / "killed")
        killed += kill_at_random(job.argv(tmp_path / "killed"), folder, rng, longest=0.5)
        killed += kill_at_random(["--resume", str(folder)], folder, rng, longest=0.5)
        assert resume(folder) == 0
        assert outcome(folder) == outcome(job.folder(tmp_path / "whole"))
    assert killed > 0
