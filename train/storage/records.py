"""What a run's folder says of its making: the config, the commands, the versions and the tables."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from train.config import dump_config
from train.errors import InputError, first_line
from train.storage.files import MAX_TEXT_BYTES, write_text
from train.storage.run_folder import Run
from train.storage.safe_load import read_bytes

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("gymnasium", "numpy", "pandas", "stable-baselines3", "tensorboard", "torch")


class Versions(BaseModel, frozen=True, strict=True):
    """``versions.json``: what a run was trained with."""

    python: str
    platform: str
    commit: str | None
    packages: dict[str, str]

    @property
    def packages_text(self) -> str:
        """Each package with its version, in one line."""
        return ", ".join(f"{package} {version}" for package, version in self.packages.items())


def write_records(run: Run, command: str) -> None:
    """Writes what re-creates the run: config.yaml, command.txt and versions.json."""
    write_config(run)
    write_text(run.folder / "command.txt", command + "\n")
    versions = _current_versions(_commit()).model_dump_json(indent=2)
    write_text(run.folder / "versions.json", versions + "\n")


def write_config(run: Run) -> None:
    """Writes config.yaml."""
    write_text(run.folder / "config.yaml", dump_config(run.config))


def append_command(run: Run, command: str) -> None:
    """Adds a command to command.txt: one that has resumed the run."""
    path = run.folder / "command.txt"
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    write_text(path, f"{before}{command}\n")


def read_command(run: Run) -> str:
    """Returns the commands that trained the run, as typed; an empty string where none is known."""
    try:
        content = read_bytes(run.folder / "command.txt", MAX_TEXT_BYTES)
    except (OSError, ValueError):
        return ""
    return content.decode("utf-8", errors="replace").strip()


def read_versions(run: Run) -> Versions:
    """Reads versions.json.

    Raises:
        InputError: It is missing or something else.
    """
    path = run.folder / "versions.json"
    try:
        return Versions.model_validate_json(read_bytes(path, MAX_TEXT_BYTES))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not what training writes: {first_line(error)}") from error


def version_differences(run: Run) -> list[str]:
    """Returns what differs from the start of the run and may change its bits, a line for each."""
    try:
        before = _flat(read_versions(run))
    except InputError:
        return ["versions.json cannot be read"]
    now = _flat(_current_versions(None))
    changed = [name for name, value in now.items() if before.get(name) != value]
    return [f"{name} {before.get(name)}, now {now[name]}" for name in changed]


def read_table(run: Run, name: str, needs: tuple[str, ...]) -> "pd.DataFrame":
    """Reads a table that training wrote, with columns of numbers.

    Raises:
        InputError: It is missing, is not a table, holds no rows, or lacks a column.
    """
    import pandas as pd

    where, state = f"run {run.folder}", f"(state: {run.state.state})"
    try:
        frame = pd.read_csv(run.folder / name)
    except FileNotFoundError:
        raise InputError(f"{where}: is incomplete, {name} missing {state}") from None
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: {name} cannot be read: {first_line(error)}") from None
    if frame.empty or not set(needs) <= set(frame.columns):
        raise InputError(f"{where}: is incomplete, {name} holds no rows of training {state}")
    for column in {*needs, "engagement", "ep_rew_mean"} & set(frame.columns):
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise InputError(f"{where}: {name}: the column {column!r} does not hold numbers alone")
    return frame


def _flat(versions: Versions) -> dict[str, str]:
    return versions.packages | {"python": versions.python, "platform": versions.platform}


def _current_versions(commit: str | None) -> Versions:
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    python, system = platform.python_version(), platform.platform()
    return Versions(python=python, platform=system, commit=commit, packages=packages)


def _commit() -> str | None:
    """Returns the checkout's commit, marked where files differ from it; None without git."""
    here = Path(__file__).parent
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    pipes: dict[str, Any] = {"capture_output": True, "text": True}
    try:
        result = subprocess.run(describe, cwd=here, timeout=10, check=True, **pipes)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return str(result.stdout).strip()
