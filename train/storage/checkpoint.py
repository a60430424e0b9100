"""A run's checkpoints: ``checkpoint/<timesteps>/``, each whole or not there, the last two of them kept.

``manifest.json`` holds a checksum of each other file, so that a damaged checkpoint is told from a
good one. Nothing is
pickled: ``state.json`` and ``arrays.npz`` are what ``train.storage.state`` makes of the run.
"""

import hashlib
import io
import os
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from train.storage.safe_load import open_archive, read_bytes
from train.storage.state import Packed, pack, unpack

KEPT = 2
MAX_MANIFEST_BYTES = 65_536
FileName = Literal["state.json", "arrays.npz"]
FILES: tuple[FileName, ...] = get_args(FileName)


class FileSum(BaseModel):
    """What a file has to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class Manifest(BaseModel):
    """``manifest.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    timesteps: Annotated[int, Field(ge=0)]
    files: dict[FileName, FileSum]


class Checkpoint(NamedTuple):
    """A checkpoint that has been read: environment steps before it, and the state."""

    timesteps: int
    state: Any


class CheckpointWriter:
    """Writes the checkpoints of one run.

    A checkpoint is in its place before ``write`` returns; that it has reached the disk, which only
    a loss of power can tell, is waited for before the next one is written, and so before an older
    one goes.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkpoint"
        self._syncing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._synced: Future[None] | None = None

    def write(self, timesteps: int, state: Any) -> Path:
        """Writes a checkpoint, and removes all but the last two.

        Raises:
            OSError: It cannot be written; those before it are as they were.
            NotPlainError: The state holds what is no plain data.
        """
        contents = _contents(timesteps, state)
        self.wait()
        _check_parent(self._folder)
        self._folder.mkdir(exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            temporary.chmod(0o755)
            for name, content in contents.items():
                (temporary / name).write_bytes(content)
            place = self._folder / str(timesteps)
            _remove(place)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._synced = self._syncing.submit(_sync, place)
        for older in _timesteps(self._folder)[KEPT:]:
            _remove(self._folder / str(older))
        return place

    def wait(self) -> None:
        """Waits until the last checkpoint is on the disk.

        Raises:
            OSError: It could not be put there.
        """
        if self._synced is not None:
            self._synced.result()

    def close(self) -> None:
        """Ends the thread that waits for the disk."""
        self._syncing.shutdown()


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest good checkpoint of a run's folder, and a line on each newer one that is damaged."""
    damaged: list[str] = []
    for timesteps in _timesteps(folder / "checkpoint"):
        place = folder / "checkpoint" / str(timesteps)
        try:
            return read_checkpoint(place), damaged
        except (ValueError, OSError) as error:
            damaged.append(f"checkpoint {place} is damaged: {_first_line(error)}")
    return None, damaged


def read_checkpoint(place: Path) -> Checkpoint:
    """Reads one checkpoint after checking it against its manifest.

    Raises:
        ValueError: It is damaged; the message says what is.
        OSError: A file cannot be read.
    """
    try:
        manifest = Manifest.model_validate_json(
            read_bytes(place / "manifest.json", MAX_MANIFEST_BYTES)
        )
    except ValidationError as error:
        raise ValueError(f"manifest.json: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise ValueError(f"manifest.json {error}") from None
    if str(manifest.timesteps) != place.name or set(manifest.files) != set(FILES):
        raise ValueError("manifest.json is that of another checkpoint")
    contents = {}
    for name in FILES:
        contents[name] = _checked(place / name, manifest.files[name])
    try:
        return Checkpoint(
            manifest.timesteps,
            unpack(Packed(contents["state.json"].decode(), _arrays(contents["arrays.npz"]))),
        )
    except Exception as error:  # whatever a hostile file, checksum and all, makes the readers raise
        raise ValueError(f"it holds no state: {_first_line(error)}") from error


def quarantine(folder: Path, newer_than: int) -> None:
    """Renames the checkpoints after ``newer_than`` steps, which are damaged, so that none of them counts again."""
    for timesteps in _timesteps(folder / "checkpoint"):
        if timesteps > newer_than:
            place = folder / "checkpoint" / str(timesteps)
            target = place.with_name(f"damaged-{timesteps}")
            _remove(target)
            place.rename(target)


def remove_partial(folder: Path) -> None:
    """Removes what a killed process has left of a checkpoint that it was writing or removing."""
    for path in (folder / "checkpoint").glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def _contents(timesteps: int, state: Any) -> dict[str, bytes]:
    packed = pack(state)
    archive = io.BytesIO()
    np.savez(archive, *packed.arrays)
    contents = {"state.json": packed.text.encode(), "arrays.npz": archive.getvalue()}
    sums = {
        name: FileSum(bytes=len(content), sha256=_sha256(content))
        for name, content in contents.items()
    }
    manifest = Manifest.model_validate({"format": 1, "timesteps": timesteps, "files": sums})
    return contents | {"manifest.json": manifest.model_dump_json(indent=2).encode()}


def _arrays(content: bytes) -> list[Any]:
    count = len(open_archive(content).namelist())
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return [archive[f"arr_{i}"] for i in range(count)]


def _checked(path: Path, expected: FileSum) -> bytes:
    try:
        content = read_bytes(path)
    except ValueError as error:
        raise ValueError(f"{path.name} {error}") from None
    if len(content) != expected.bytes:
        raise ValueError(f"{path.name} has {len(content):,} bytes, not {expected.bytes:,}")
    if _sha256(content) != expected.sha256:
        raise ValueError(f"{path.name} does not match its checksum")
    return content


def _timesteps(parent: Path) -> list[int]:
    """The steps of the checkpoints there, the newest first."""
    if not parent.is_dir():
        return []
    names = [path.name for path in parent.iterdir() if path.name.isascii() and path.name.isdigit()]
    return sorted(
        (int(name) for name in names if len(name) < 20 and str(int(name)) == name), reverse=True
    )


def _check_parent(folder: Path) -> None:
    """Refuses to make a run's folder anew that has been deleted meanwhile."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(2, "the folder is gone", str(folder.parent))


def _remove(place: Path) -> None:
    """Removes a checkpoint: out of sight in one step, then file by file."""
    if place.exists():
        gone = Path(tempfile.mkdtemp(prefix=".old-", dir=place.parent))
        place.rename(gone / place.name)
        shutil.rmtree(gone, ignore_errors=True)


def _sync(place: Path) -> None:
    for path in (*place.iterdir(), place, place.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return next(iter((text or "").splitlines()), "") or type(error).__name__
