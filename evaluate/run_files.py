"""What a report reads of a run beside its model: how it learned, and with which packages; nothing of it is trusted."""

import json

import pandas as pd

from train.archive import read_bytes
from train.config import InputError
from train.run_dir import Run

MAX_VERSIONS_BYTES = 65_536


def read_progress(run: Run) -> pd.DataFrame:
    """The run's progress.csv.

    Raises:
        InputError: It is missing, is no table of numbers, or lacks a column.
    """
    path = run.folder / "progress.csv"
    if not path.is_file():
        raise InputError(f"{path}: no such file: how the run learned cannot be shown")
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: is no table: {str(error).splitlines()[0]}") from error
    if "timesteps" not in table or not {"engagement", "ep_rew_mean"} & set(table.columns):
        raise InputError(f"{path}: has the columns {list(table.columns)[:9]}; needs timesteps and what episodes earned")
    for name in ("timesteps", "engagement", "ep_rew_mean"):
        if name in table and not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(f"{path}: the column {name!r} does not hold numbers alone")
    return table


def read_versions(run: Run) -> dict[str, str]:
    """The run's versions.json: commit, Python, platform and packages as text.

    Raises:
        InputError: It is missing or something else.
    """
    path = run.folder / "versions.json"
    try:
        versions = json.loads(read_bytes(path, MAX_VERSIONS_BYTES))
        return {
            "packages": ", ".join(f"{package} {version}" for package, version in versions["packages"].items()),
            "python": str(versions["python"]),
            "platform": str(versions["platform"]),
            "commit": str(versions["commit"] or "unknown"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: is not what training writes: {str(error).splitlines()[0]}") from error
