"""A run's checkpoints, ``checkpoint/<timesteps>.pt``: each whole or not there, two of them kept."""

from pathlib import Path
from typing import Any, NamedTuple

from train.errors import first_line
from train.storage.files import write_file
from train.storage.safe_load import read_bytes
from train.storage.state import dump, load

KEPT = 2


class Checkpoint(NamedTuple):
    """A checkpoint that has been read.

    Attributes:
        path: Its file.
        timesteps: Environment steps before it.
        parts: The state of the run, a dict for each part of it.
    """

    path: Path
    timesteps: int
    parts: dict[str, dict[str, Any]]


def write_checkpoint(folder: Path, timesteps: int, parts: dict[str, dict[str, Any]]) -> None:
    """Writes a checkpoint of the run in ``folder``, and removes all but the last two.

    It is on the disk when an older one goes.

    Raises:
        OSError: It cannot be written; those before it are as they were.
        NotPlainError: The state holds something that is not plain data.
    """
    content = dump({"timesteps": timesteps, "parts": parts})
    path = _path(folder, timesteps)
    path.parent.mkdir(exist_ok=True)
    write_file(path, lambda temporary: temporary.write_bytes(content), sync=True)
    for older in _timesteps(folder)[KEPT:]:
        _path(folder, older).unlink()


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Returns the newest good checkpoint of a run, and a line on each newer one that is damaged."""
    damaged: list[str] = []
    for timesteps in _timesteps(folder):
        path = _path(folder, timesteps)
        try:
            return read_checkpoint(path, timesteps), damaged
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            damaged.append(f"checkpoint {path} is damaged: {reason or first_line(error)}")
    return None, damaged


def read_checkpoint(path: Path, timesteps: int) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        ValueError: It is damaged, or not that of ``timesteps``; the message says what is wrong.
        OSError: It cannot be read.
    """
    content = load(read_bytes(path))
    match content:
        case {"timesteps": int(found), "parts": dict(parts)} if found == timesteps:
            return Checkpoint(path, timesteps, parts)
    raise ValueError(f"it does not hold the state after step {timesteps:,}")


def has_older_format(folder: Path) -> bool:
    """Whether the run has checkpoints that an earlier version wrote: a folder for each."""
    return any(path.name.isdigit() and path.is_dir() for path in (folder / "checkpoint").glob("*"))


def quarantine(folder: Path, newer_than: int) -> None:
    """Renames the checkpoints after ``newer_than`` steps, which are damaged, to ``damaged-...``."""
    for timesteps in _timesteps(folder):
        if timesteps > newer_than:
            path = _path(folder, timesteps)
            path.replace(path.with_name(f"damaged-{path.name}"))


def remove_partial(folder: Path) -> None:
    """Removes what a killed process has left of a checkpoint that it was writing."""
    for path in (folder / "checkpoint").glob(".*.pt"):
        path.unlink()


def _path(folder: Path, timesteps: int) -> Path:
    return folder / "checkpoint" / f"{timesteps}.pt"


def _timesteps(folder: Path) -> list[int]:
    """The steps of the checkpoints there, the newest first."""
    names = [path.stem for path in (folder / "checkpoint").glob("*.pt")]
    digits = [name for name in names if name.isascii() and name.isdigit() and len(name) < 20]
    return sorted((int(name) for name in digits if str(int(name)) == name), reverse=True)
