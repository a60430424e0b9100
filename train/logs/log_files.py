"""The files of a log: how long they are, and how to truncate them to what they were.

TensorBoard reads the event files of a folder in the order of their names, which begin with the time
of day. A run that is resumed gives the files from before names that sort first, so that no clock
can change the order.
"""

import os
from pathlib import Path, PurePosixPath

from train.errors import InputError
from train.logs.tables import TABLES

EVENTS = "events.out.tfevents."
EARLIER = f"{EVENTS}0-"


def log_sizes(folder: Path) -> dict[str, int]:
    """Returns the sizes of tables and event files [bytes], by name, in TensorBoard's order."""
    paths = [folder / name for name in TABLES] + _event_files(folder)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def truncate_logs(folder: Path, sizes: dict[str, int]) -> None:
    """Makes the log what it was at ``log_sizes``; may be stopped half-way and be called again.

    Raises:
        InputError: A file is missing, shorter than it was, or not a file of a log.
    """
    for name in TABLES:
        if (folder / name).is_symlink():
            what = "is a link; a run writes to files of its own alone"
            raise InputError(f"run {folder}: {name} {what}")
    places = {name: _place(folder, name, index) for index, name in enumerate(sizes)}
    for name, (path, _) in places.items():
        if path.is_symlink() or not path.is_file() or path.stat().st_size < sizes[name]:
            what = "is not what it was at the checkpoint: its first rows are gone"
            raise InputError(f"run {folder}: {name} {what}")
    for path in set(_event_files(folder)) - {path for path, _ in places.values()}:
        path.unlink()
    for name, (path, target) in places.items():
        os.truncate(path, sizes[name])
        path.replace(target)


def _event_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob(f"{EVENTS}*") if path.is_file())


def _place(folder: Path, name: str, index: int) -> tuple[Path, Path]:
    """Returns where a file is and where it belongs: an event file gets a name that sorts first."""
    path = folder / name
    if name in TABLES:
        return path, path
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.name.startswith(EVENTS):
        raise InputError(f"run {folder}: {name!r} in its checkpoint is not a file of a log")
    if pure.name.startswith(EARLIER):
        return path, path
    target = path.with_name(f"{EARLIER}{index:06d}.{pure.name.removeprefix(EVENTS)}")
    return (target if target.exists() else path), target
