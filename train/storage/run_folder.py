"""The folder of one run: which run it is, how far it came, and what can be loaded of it."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from train.agents.registry import REGISTRY
from train.config import AGENTS, AgentName, Seed, TrainConfig, load_config
from train.errors import InputError, first_line, nearest
from train.storage import files
from train.storage.files import MAX_TEXT_BYTES, write_text
from train.storage.safe_load import find_package, read_bytes

WRITE_FAULTS = {EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS}


class RunState(BaseModel, frozen=True, extra="forbid", strict=True):
    """``run.json``: which run this is and how far it came."""

    agent: AgentName
    seed: Seed
    state: Literal["running", "interrupted", "diverged", "finished"]
    timesteps: int
    order: int = 0  # of its config's runs by their start, from 1; 0 in files of earlier versions


class Run(NamedTuple):
    """A run that can be loaded."""

    folder: Path
    config: TrainConfig
    state: RunState

    @property
    def config_name(self) -> str:
        """Name of the config that it was trained with: the folder above, links not followed."""
        return Path(os.path.abspath(self.folder)).parent.name

    @property
    def model(self) -> Path:
        """The file with the weights."""
        return self.folder / REGISTRY[self.state.agent].model_file

    @property
    def is_finished(self) -> bool:
        """Whether it was trained to its end and has a model."""
        return self.state.state == "finished" and self.model.is_file()


def create_run(
    runs_dir: Path, config_name: str, config: TrainConfig, agent: AgentName, seed: int
) -> Run:
    """Makes a folder that no other run has, ``<config>/<agent>-seed<seed>-<n>``, with its run.json.

    Raises:
        InputError: The folder cannot be written.
    """
    parent = runs_dir / config_name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with files.lock(parent):  # or two runs could take the same place in the order
            others = _run_folders(parent)
            folder = parent / f"{agent}-seed{seed}-1"
            while folder.exists():
                folder = folder.with_name(f"{agent}-seed{seed}-{_number(folder) + 1}")
            folder.mkdir()
            order = 1 + max(map(_order, others), default=0)
            state = RunState(agent=agent, seed=seed, state="running", timesteps=0, order=order)
            write_state(folder, state)
    except OSError as error:
        raise InputError(f"runs folder {runs_dir}: cannot be written: {error.strerror}") from error
    return Run(folder, config, state)


def write_state(folder: Path, state: RunState) -> None:
    """Writes run.json."""
    write_text(folder / "run.json", state.model_dump_json(indent=2) + "\n")


def lock(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Holds the folder of a run.

    Raises:
        InputError: Another process is writing the run.
    """
    busy = f"run {folder}: another process is writing it; wait for its end, or end it"
    return files.lock(folder, busy)


def is_alive(folder: Path) -> bool:
    """Whether a process is writing the run."""
    try:
        with lock(folder):
            return False
    except InputError:
        return True


@contextlib.contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turns a full disk, a lost right to write or a deleted folder into a message.

    Raises:
        InputError: What is wrong, and how to resume.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_FAULTS:
            raise
        where = f" ({error.filename})" if error.filename else ""
        what = (
            f"cannot be written: {error.strerror}{where}; the checkpoints so far are whole: "
            f"once it can be written again, resume with\n  python -m train --resume {folder}"
        )
        if not folder.is_dir():
            what = "the folder was deleted while training; nothing can be saved"
        raise InputError(f"run {folder}: {what}") from error


def load_run(folder: Path) -> Run:
    """Reads the folder of a run that has a model.

    Raises:
        InputError: As ``find_run``, or it has no model.
    """
    run = find_run(folder)
    if run.model.is_file():
        return run
    state: str = run.state.state
    if state == "running" and not is_alive(folder):
        advice = f"resume it with python -m train --resume {folder}"
        state = f"it died at or after step {run.state.timesteps:,}; {advice}"
    raise InputError(f"run {folder}: is incomplete, {run.model.name} missing (state: {state})")


def find_run(folder: Path) -> Run:
    """Reads a run's folder, whether it has a model yet or not.

    Raises:
        InputError: It does not exist, is not a run, or is incomplete; the message says which.
    """
    if not folder.is_dir():
        hint = nearest(str(folder), sorted(folder.parent.glob("*-seed*-*")))
        what = "is a file, not the folder of a run" if folder.exists() else "no such folder"
        raise InputError(f"run {folder}: {what}{hint}; a config ends in .yaml")
    needed = ["config.yaml", "run.json"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        what = f"is not a complete run, {' and '.join(missing)} missing"
        raise InputError(f"run {folder}: {what}; needs {', '.join(needed)}, a model")
    state = _read_state(folder)
    run = Run(folder, load_config(folder / "config.yaml"), state)
    run.config.agent(state.agent)
    _refuse_own_code(run)
    return run


def finished_runs(runs_dir: Path, config_name: str) -> list[Run]:
    """Returns the newest finished run of each agent and seed, in the order of agents and seeds."""
    newest = _newest(run for run in _readable_runs(runs_dir / config_name) if run.is_finished)
    return [newest[key] for key in sorted(newest, key=lambda key: (AGENTS.index(key[0]), key[1]))]


def unfinished_runs(runs_dir: Path, config_name: str) -> list[Run]:
    """Returns the newest run of each agent and seed without a finished one.

    They diverged, were interrupted or died; those that a process is writing are left out.
    """
    finished = _newest(finished_runs(runs_dir, config_name))
    newest = _newest(_readable_runs(runs_dir / config_name))
    missing = [newest[key] for key in sorted(newest) if key not in finished]
    return [run for run in missing if run.state.state != "running" or not is_alive(run.folder)]


def _readable_runs(parent: Path) -> Iterator[Run]:
    for folder in _run_folders(parent):
        with contextlib.suppress(InputError):
            yield find_run(folder)


def _run_folders(parent: Path) -> list[Path]:
    folders = sorted(parent.glob("*-seed*-*"))
    return [folder for folder in folders if re.fullmatch(r".+-seed\d+-\d+", folder.name)]


def _newest(runs: Iterable[Run]) -> dict[tuple[AgentName, int], Run]:
    """Returns the run of each agent and seed that was started last."""
    by_age = sorted(runs, key=lambda run: (run.state.order, _number(run.folder)))
    return {(run.state.agent, run.state.seed): run for run in by_age}


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _order(folder: Path) -> int:
    try:
        return _read_state(folder).order
    except InputError:
        return 0


def _refuse_own_code(run: Run) -> None:
    """Refuses a run whose environment would be imported from a folder that came with it."""
    package = find_package(run.config.env.id.rpartition(":")[0])
    folder = run.folder.resolve()
    places = package and (package.submodule_search_locations or [package.origin or ""])
    for place in places or []:
        there = Path(place).resolve()
        if there.is_relative_to(folder) or folder.is_relative_to(there):
            what = f"its environment {run.config.env.id!r} would be read from {there}"
            why = "which lies with the run; a run never brings code"
            raise InputError(f"run {run.folder}: {what}, {why}")


def _read_state(folder: Path) -> RunState:
    try:
        return RunState.model_validate_json(read_bytes(folder / "run.json", MAX_TEXT_BYTES))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
    except (ValueError, OSError) as error:
        reason = first_line(error)
    raise InputError(f"run {folder}: run.json cannot be read: {reason}")
