"""Reads files that strangers may have made: within limits, and without running what is in them."""

import io
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from train.errors import InputError, first_line

if TYPE_CHECKING:
    from torch import nn

MAX_BYTES = 256 * 2**20
MAX_ENTRIES = 10_000
MAX_LISTING_BYTES = 4 * 2**20
END_OF_LISTING = b"PK\x05\x06"
LARGE_LOCATOR = b"PK\x06\x07"
ALLOWED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "_codecs encode",  # bytes
    "__builtin__ set",
}


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        ValueError: It is not a regular file, or larger than ``limit`` bytes.
        OSError: It cannot be read.
    """
    if not path.is_file():
        raise ValueError("is not a regular file")
    size = path.stat().st_size
    if size > limit:
        raise ValueError(f"takes {size:,} bytes, at most {limit:,} are read")
    return path.read_bytes()


def open_archive(content: bytes) -> zipfile.ZipFile:
    """Opens a zip archive whose entries, once unpacked, stay within the limits and the archive.

    Raises:
        ValueError: It is not one, is too large, or an entry points out of it.
    """
    _check_listing(content)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise ValueError(f"is not a zip archive: {error}") from error
    for name in archive.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise ValueError(f"the entry {name!r} points out of the archive")
    size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        allowed = f"at most {MAX_BYTES:,} are read"
        raise ValueError(f"its entries take {size:,} bytes unpacked, {allowed}")
    return archive


def read_entry(content: bytes, name: str) -> bytes:
    """One entry of an archive that ``open_archive`` accepts.

    Raises:
        ValueError: The archive is refused, or has no such entry, or the entry is damaged.
    """
    archive = open_archive(content)
    if name not in archive.namelist():
        raise ValueError(f"has no entry {name!r}")
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise ValueError(f"the entry {name!r} cannot be read: {error}") from error


def restore_network(network: "nn.Module", path: Path, entry: str = "") -> None:
    """Reads the weights of a model file, or of its ``entry``, into a network; none of it is run.

    Raises:
        InputError: The file is damaged or does not fit the network.
    """
    try:
        content = read_bytes(path)
        network.load_state_dict(load_weights(read_entry(content, entry) if entry else content))
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise InputError(f"{path}: is not a model of its config: {first_line(error)}") from error


def load_weights(content: bytes, functions: Sequence[Callable[..., Any]] = ()) -> Any:
    """Returns what ``torch.save`` wrote, if it is tensors and plain data alone; none of it is run.

    The archive may ask for ``functions`` of ours to be called: they check what they are given.

    Raises:
        ValueError: The archive is refused, or it holds something else; the message names it.
    """
    import torch

    archive = open_archive(content)
    _check_sums(archive)
    _check_globals(archive, {f"{known.__module__} {known.__name__}" for known in functions})
    try:
        with torch.serialization.safe_globals(list(functions)):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise ValueError(_refused(str(error))) from error


def _check_sums(archive: zipfile.ZipFile) -> None:
    """Compares every entry with its checksum: torch would take flipped bits for data."""
    try:
        damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise ValueError(f"is damaged: {first_line(error)}") from error
    if damaged is not None:
        raise ValueError(f"the entry {damaged!r} does not match its checksum")


def _check_globals(archive: zipfile.ZipFile, names: set[str]) -> None:
    """Refuses what asks for anything but tensors and ``names``; torch itself would allow more."""
    entries = [name.lower() for name in archive.namelist()]
    if len(set(entries)) < len(entries):
        raise ValueError("has two entries of the same name")
    pickles = [name for name in archive.namelist() if name.lower().endswith(".pkl")]
    for asked in chain.from_iterable(_globals(archive.read(name)) for name in pickles):
        if asked not in names | ALLOWED and not re.fullmatch(r"torch \w+Storage", asked):
            what = f"it asks for {asked.replace(' ', '.')}, which is not a tensor"
            raise ValueError(f"refused: {what}; nothing of it was run")


def _globals(pickled: bytes) -> list[str]:
    try:
        return [str(name) for code, name, _ in pickletools.genops(pickled) if code.name == "GLOBAL"]
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise ValueError(f"cannot be read: {first_line(error)}") from error


def find_package(module: str) -> ModuleSpec | None:
    """Returns where Python would import a module's outermost package from, without importing it."""
    return PathFinder.find_spec(module.partition(".")[0]) if module else None


def _check_listing(content: bytes) -> None:
    """Refuses a table of contents so long that to read it would fill the memory."""
    end = content.rfind(END_OF_LISTING, max(0, len(content) - 2**16 - 22))
    if end < 0 or end + 22 > len(content):
        raise ValueError("is not a zip archive")
    entries, size = struct.unpack_from("<HI", content, end + 10)
    if end >= 76 and content[end - 20 : end - 16] == LARGE_LOCATOR:  # zip64 has its own numbers
        entries, size = struct.unpack_from("<QQ", content, end - 76 + 32)
    if entries > MAX_ENTRIES or size > MAX_LISTING_BYTES:
        allowed = f"at most {MAX_ENTRIES:,} entries are read"
        raise ValueError(f"lists {entries:,} entries in {size:,} bytes, {allowed}")


def _refused(message: str) -> str:
    """What torch refused, without its advice to trust the file."""
    if fault := re.search(r"WeightsUnpickler error: *(.+)", message):
        return f"refused: {fault[1]}; nothing of it was run"
    return next(iter(message.splitlines()), "") or "cannot be read"
