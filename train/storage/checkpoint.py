"""A run's checkpoints, ``checkpoint/<timesteps>.pt``: each whole or not there, two of them kept."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from train.errors import first_line
from train.storage.files import sync, write_file
from train.storage.safe_load import read_bytes
from train.storage.state import dump, load

KEPT = 2


class Checkpoint(NamedTuple):
    """A checkpoint that has been read."""

    path: Path
    timesteps: int  # environment steps before it
    parts: dict[str, dict[str, Any]]  # the state of the run, by its parts


class CheckpointWriter:
    """Writes the checkpoints of one run.

    A checkpoint is in its place before ``write`` returns. That it has reached the disk, which
    matters in a loss of power alone, is waited for before the next one is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._synced: Future[None] | None = None

    def write(self, timesteps: int, parts: dict[str, dict[str, Any]]) -> None:
        """Writes a checkpoint, and removes all but the last two.

        Raises:
            OSError: It cannot be written; those before it are as they were.
            NotPlainError: The state holds something that is not plain data.
        """
        content = dump({"timesteps": timesteps, "parts": parts})
        self._wait()
        path = _path(self._folder, timesteps)
        path.parent.mkdir(exist_ok=True)
        write_file(path, lambda temporary: temporary.write_bytes(content))
        self._synced = self._thread.submit(sync, path)
        for older in _timesteps(self._folder)[KEPT:]:
            _path(self._folder, older).unlink()

    def close(self) -> None:
        """Waits until the last checkpoint is on the disk; an OSError says if it cannot be."""
        self._thread.shutdown()
        self._wait()

    def _wait(self) -> None:
        if self._synced is not None:
            self._synced.result()


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


def quarantine(folder: Path, good: Checkpoint | None) -> None:
    """Renames the checkpoints after the newest good one, which are damaged, to ``damaged-...``."""
    for timesteps in _timesteps(folder):
        if good is None or timesteps > good.timesteps:
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
