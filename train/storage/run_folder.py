"""The folder of one run: what is in it, written whole or not at all, and read back without trusting it."""

import contextlib
import errno
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from train.agents.registry import REGISTRY
from train.config import (
    AGENTS,
    AgentName,
    InputError,
    Seed,
    TrainConfig,
    dump_config,
    load_config,
    nearest,
)
from train.storage.safe_load import read_bytes

MAX_STATE_BYTES = 65_536
WRITE_FAULTS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
PACKAGES = ("gymnasium", "numpy", "pandas", "stable-baselines3", "tensorboard", "torch")


class RunState(BaseModel):
    """``run.json``: which run this is and how far it came."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    agent: AgentName
    seed: Seed
    state: Literal["running", "interrupted", "diverged", "finished"]
    timesteps: int


class Run(NamedTuple):
    """A run that can be loaded."""

    folder: Path
    config: TrainConfig
    state: RunState

    @property
    def name(self) -> str:
        """Name of the config that it was trained with: the folder above."""
        return self.folder.resolve().parent.name

    @property
    def model(self) -> Path:
        """The file with the weights."""
        return self.folder / REGISTRY[self.state.agent].model_file


def create_run(runs_dir: Path, config_name: str, agent: str, seed: int) -> Path:
    """Makes a folder that no other run has: ``<config>/<agent>-seed<seed>-<n>``.

    Raises:
        InputError: The folder cannot be written.
    """
    parent = runs_dir / config_name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = parent / f"{agent}-seed{seed}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise InputError(f"runs folder {runs_dir}: cannot be written: {error.strerror}") from error


def write_description(folder: Path, config: TrainConfig, command: str) -> None:
    """Writes what re-creates the run: config.yaml, command.txt and versions.json."""
    write_text(folder / "config.yaml", dump_config(config))
    write_text(folder / "command.txt", command + "\n")
    write_text(folder / "versions.json", json.dumps(_versions(), indent=2) + "\n")


def append_command(folder: Path, command: str) -> None:
    """Adds a command to command.txt: one that has gone on with the run."""
    path = folder / "command.txt"
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    write_text(path, f"{before}{command}\n")


def version_differences(folder: Path) -> list[str]:
    """What is not as it was when the run was started, and may change its bits: 'torch 2.13.0, now 2.14.0'."""
    try:
        before = json.loads(read_bytes(folder / "versions.json", MAX_STATE_BYTES))
        packages = {**before["packages"], **{name: before[name] for name in ("python", "platform")}}
    except (OSError, ValueError, KeyError, TypeError):
        return ["versions.json cannot be read"]
    versions = _versions()
    now = {**versions["packages"], **{name: versions[name] for name in ("python", "platform")}}
    return [
        f"{name} {packages.get(name)}, now {value}"
        for name, value in now.items()
        if packages.get(name) != value
    ]


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Holds the folder of a run; the system lets go of it whatever way the process ends.

    Raises:
        InputError: Another process is writing the run.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"run {folder}: another process is writing it; wait for its end, or end it"
            ) from None
        yield
    finally:
        os.close(descriptor)


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
        InputError: What is wrong, and how to go on.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_FAULTS:
            raise
        if not folder.is_dir():
            raise InputError(
                f"run {folder}: the folder was deleted while training; nothing can be saved"
            ) from error
        where = f" ({error.filename})" if error.filename else ""
        raise InputError(
            f"run {folder}: cannot be written: {error.strerror}{where}; the checkpoints so far are whole: once it can "
            f"be written again, go on with\n  python -m train --resume {folder}"
        ) from error


def write_state(folder: Path, state: RunState) -> None:
    """Writes run.json."""
    write_text(folder / "run.json", state.model_dump_json(indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, then puts it in its place in one step."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_run(folder: Path) -> Run:
    """Reads the folder of a run that has a model.

    Raises:
        InputError: It does not exist, is no run, or is incomplete; the message says what is
            missing.
    """
    run = find_run(folder)
    if not run.model.is_file():
        state: str = run.state.state
        if state == "running" and not is_alive(folder):
            state = f"it died at or after step {run.state.timesteps:,}; go on with python -m train --resume {folder}"
        raise InputError(f"run {folder}: is incomplete, {run.model.name} missing (state: {state})")
    return run


def find_run(folder: Path) -> Run:
    """Reads a run's folder, whether it has a model yet or not.

    Raises:
        InputError: It does not exist, is no run, or is incomplete; the message says what is
            missing.
    """
    if not folder.is_dir():
        known = [str(other) for other in sorted(folder.parent.glob("*-seed*-*"))]
        raise InputError(
            f"run {folder}: no such folder{nearest(str(folder), known)}; a config ends in .yaml"
        )
    needed = ["config.yaml", "run.json"]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"run {folder}: is no complete run, {' and '.join(missing)} missing; needs {', '.join(needed)}, a model"
        )
    state = _read_state(folder)
    run = Run(folder, load_config(folder / "config.yaml"), state)
    run.config.agent(state.agent)
    _check_module(run)
    return run


def finished_runs(runs_dir: Path, config_name: str) -> list[Run]:
    """The finished runs of a config, for each agent and seed the newest one, in the order of agents and seeds."""
    newest: dict[tuple[str, int], tuple[int, Run]] = {}
    for folder, number in _run_folders(runs_dir / config_name):
        with contextlib.suppress(InputError):
            run = load_run(folder)
            key = (run.state.agent, run.state.seed)
            if run.state.state == "finished" and number > newest.get(key, (0, run))[0]:
                newest[key] = (number, run)
    return [
        run
        for _, (_, run) in sorted(
            newest.items(), key=lambda item: (AGENTS.index(item[0][0]), item[0][1])
        )
    ]


def unfinished_runs(runs_dir: Path, config_name: str) -> list[Run]:
    """Runs of a config's seeds that have no finished run, the newest of each agent and seed.

    They diverged, were interrupted or died; those that a process is writing are left out.
    """
    finished = {(run.state.agent, run.state.seed) for run in finished_runs(runs_dir, config_name)}
    newest: dict[tuple[str, int], tuple[int, Run]] = {}
    for folder, number in _run_folders(runs_dir / config_name):
        with contextlib.suppress(InputError):
            run = find_run(folder)
            key = (run.state.agent, run.state.seed)
            if key not in finished and number > newest.get(key, (0, run))[0]:
                newest[key] = (number, run)
    runs = [run for _, (_, run) in sorted(newest.items())]
    return [run for run in runs if run.state.state != "running" or not is_alive(run.folder)]


def modified(run: Run) -> float:
    """When the run's model was written."""
    return run.model.stat().st_mtime


def _check_module(run: Run) -> None:
    """Refuses a run whose environment would be imported from a folder that came with it."""
    module, _, _ = run.config.env.id.rpartition(":")
    found = PathFinder.find_spec(module.partition(".")[0]) if module else None
    if found is None:
        return
    folder = run.folder.resolve()
    for place in found.submodule_search_locations or [found.origin or ""]:
        there = Path(place).resolve()
        if there.is_relative_to(folder) or folder.is_relative_to(there):
            raise InputError(
                f"run {run.folder}: its environment {run.config.env.id!r} would be read from {there}, which lies with "
                "the run; a run never brings code"
            )


def _run_folders(parent: Path) -> Iterator[tuple[Path, int]]:
    for folder in sorted(parent.glob("*-seed*-*")):
        match = re.fullmatch(r".+-seed\d+-(\d+)", folder.name)
        if match:
            yield folder, int(match[1])


def _read_state(folder: Path) -> RunState:
    try:
        return RunState.model_validate_json(read_bytes(folder / "run.json", MAX_STATE_BYTES))
    except (ValueError, OSError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"run {folder}: run.json cannot be read: {reason}") from None


def _versions() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "commit": _commit(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    """The commit of the checkout, marked where files have changed since; None where git does not know."""
    here = Path(__file__).parent
    try:
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        result = subprocess.run(
            describe, cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
