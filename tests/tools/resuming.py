"""What an interrupted run is compared by, and ways to interrupt one."""

import contextlib
import io
import multiprocessing
import random
import time
import zipfile
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tools.programs import ROOT
from train.__main__ import main
from train.logs.training_log import TrainingLog
from train.storage.run_folder import find_run

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.tools.resuming", "train.run"])


class Crash(BaseException):
    """Ends a run in the middle, past everything that handles errors."""


class Outcome(NamedTuple):
    """What has to be the same, bit for bit."""

    weights: dict[str, bytes]
    progress: bytes
    scalars: dict[str, list[tuple[int, str]]]


class Job(NamedTuple):
    """A short run: what to train, with checkpoints often enough to be met."""

    config: str
    agent: str
    steps: int
    every: int

    def argv(self, runs_dir: Path) -> list[str]:
        """The command line that starts it."""
        lengths = ["--total-timesteps", str(self.steps), "--checkpoint-every", str(self.every)]
        words = [
            str(ROOT / f"configs/{self.config}.yaml"),
            "--agents",
            self.agent,
            "--runs-dir",
            str(runs_dir),
        ]
        return [
            *words,
            *lengths,
            f"--{self.agent}.log-interval",
            "2",
            "--evaluation.n_eval_episodes",
            "1",
        ]

    def folder(self, runs_dir: Path) -> Path:
        """Where it is."""
        return runs_dir / self.config / f"{self.agent}-seed0-1"


def outcome(folder: Path) -> Outcome:
    """Weights, progress and TensorBoard's values of a finished run; those on speed are left out."""
    assert find_run(folder).state.state == "finished"
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("time/")]
    scalars = {
        tag: [(event.step, event.value.hex()) for event in events.Scalars(tag)] for tag in tags
    }
    return Outcome(weights(folder), (folder / "progress.csv").read_bytes(), scalars)


def weights(folder: Path) -> dict[str, bytes]:
    """Names to the bytes of each array of weights."""
    model = find_run(folder).model
    content = (
        zipfile.ZipFile(model).read("policy.pth") if model.suffix == ".zip" else model.read_bytes()
    )
    return dict(_arrays("", torch.load(io.BytesIO(content), weights_only=True)))


def _arrays(prefix: str, state: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _arrays(f"{prefix}{name}.", value)
        else:
            yield prefix + name, value.numpy().tobytes()


@contextlib.contextmanager
def crash_after(steps: int) -> Iterator[None]:
    """Ends training within its ``steps``-th vector step."""
    whole, left = TrainingLog.step, [steps]

    def step(log: TrainingLog, infos: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash
        whole(log, infos)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLog, "step", step)
        yield


def start(argv: list[str]) -> BaseProcess:
    """The program as a process of its own; what it needs is loaded beforehand."""
    process = PROCESSES.Process(target=_quietly, args=(argv,))
    process.start()
    return process


def kill_at_random(argv: list[str], folder: Path, rng: random.Random, longest: float) -> bool:
    """Starts the program and kills it at a random moment or while a checkpoint is being written.

    Returns:
        Whether it was still at work.
    """
    process = start(argv)
    while process.is_alive() and not (folder / "progress.csv").exists():
        time.sleep(0.001)
    if rng.random() < 0.4:
        until = time.monotonic() + longest
        time.sleep(rng.uniform(0, longest / 2))
        while process.is_alive() and time.monotonic() < until and not _is_writing(folder):
            pass
    else:
        process.join(rng.uniform(0, longest))
    working = process.is_alive()
    process.kill()
    process.join()
    return working


def _is_writing(folder: Path) -> bool:
    try:
        return any(path.name.startswith(".") for path in (folder / "checkpoint").iterdir())
    except FileNotFoundError:
        return False


def _quietly(argv: list[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        code = main(argv)
    raise SystemExit(code)
