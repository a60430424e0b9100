"""Files and folders on disk: written whole or not at all, and held by one process at a time."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from train.errors import InputError

MAX_TEXT_BYTES = 65_536  # of a small text file that a program writes and reads back


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, then puts it in its place in one step.

    Raises:
        OSError: It cannot be written; what was there before is as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextmanager
def lock(folder: Path, busy: str = "") -> Iterator[None]:
    """Holds a folder; the system releases it in whatever way the process ends.

    Raises:
        InputError: Another process holds it, and ``busy`` says so; without it that is waited for.
        OSError: The folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise InputError(busy) from None
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Waits until a file and its name are on the disk, where they survive a loss of power."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
