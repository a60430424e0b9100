"""What a report reads of a run beside its model: how it learned, and with which packages; nothing of it is trusted."""

import json

import pandas as pd

from train.config import InputError
from train.storage.run_folder import Run
from train.storage.safe_load import read_bytes

MAX_VERSIONS_BYTES = 65_536


def read_table(run: Run, name: str, needs: tuple[str, ...]) -> pd.DataFrame:
    """A table that training wrote, with columns of numbers.

    Raises:
        InputError: It is missing, holds no rows, is no table, or lacks a column.
    """
    try:
        frame = pd.read_csv(run.folder / name)
    except FileNotFoundError:
        raise InputError(
            f"run {run.folder}: is incomplete, {name} missing (state: {run.state.state})"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"run {run.folder}: {name} cannot be read: {str(error).splitlines()[0]}"
        ) from None
    if frame.empty or not set(needs) <= set(frame.columns):
        raise InputError(
            f"run {run.folder}: is incomplete, {name} holds no rows of training (state: {run.state.state})"
        )
    for column in {*needs, "engagement", "ep_rew_mean"} & set(frame.columns):
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise InputError(
                f"run {run.folder}: {name}: the column {column!r} does not hold numbers alone"
            )
    return frame


def read_command(run: Run) -> str:
    """The command that trained the run, as the person typed it; empty where it is not known."""
    try:
        return (
            read_bytes(run.folder / "command.txt", MAX_VERSIONS_BYTES)
            .decode("utf-8", errors="replace")
            .strip()
        )
    except (OSError, ValueError):
        return ""


def read_versions(run: Run) -> dict[str, str]:
    """The run's versions.json: commit, Python, platform and packages as text.

    Raises:
        InputError: It is missing or something else.
    """
    path = run.folder / "versions.json"
    try:
        versions = json.loads(read_bytes(path, MAX_VERSIONS_BYTES))
        return {
            "packages": ", ".join(
                f"{package} {version}" for package, version in versions["packages"].items()
            ),
            "python": str(versions["python"]),
            "platform": str(versions["platform"]),
            "commit": str(versions["commit"] or "unknown"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is not what training writes: {str(error).splitlines()[0]}"
        ) from error
