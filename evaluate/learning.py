"""How the agents learned: what their runs logged, as curves with bands over training seeds."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from evaluate import statistics
from evaluate.policies import label
from evaluate.statistics import FloatArray
from train.storage.records import read_table
from train.storage.run_folder import Run

POINTS = 100


class Curve(NamedTuple):
    """One policy's learning: the mean over training seeds, its interval, each (points,).

    Ends are NaN below 3 seeds.
    """

    x: FloatArray
    center: FloatArray
    low: FloatArray
    high: FloatArray


def read_progress(runs: list[Run], main: str) -> pd.DataFrame:
    """Every run's ``progress.csv`` with ``seconds`` of its ``timing.csv``, its policy and seed.

    A run in which no episode ended has an empty ``progress.csv``, and only the seconds here.

    Raises:
        InputError: A file is missing, empty or damaged.
    """
    frames = []
    for run in runs:
        rows = read_table(run, "timing.csv", ("timesteps", "seconds"))[["timesteps", "seconds"]]
        path = run.folder / "progress.csv"
        if not path.is_file() or path.stat().st_size:
            rows = read_table(run, path.name, ("timesteps",)).merge(rows, on="timesteps")
        frames.append(rows.assign(policy=label(run, main), seed=run.state.seed))
    return pd.concat(frames, ignore_index=True)


def curves(progress: pd.DataFrame, x: str, column: str) -> dict[str, Curve]:
    """A curve for each policy over ``timesteps`` or ``seconds``.

    It starts where all of its seeds have; a seed that ends before the others keeps its last value.
    """
    by_policy = {}
    for policy, rows in progress.dropna(subset=[column]).groupby("policy", sort=False):
        seeds = [group.sort_values(x) for _, group in rows.groupby("seed")]
        first, last = (max(1e-3, *(group[x].iloc[at] for group in seeds)) for at in (0, -1))
        shared = np.geomspace(first, last, POINTS)
        if x == "timesteps":  # the same for all seeds
            shared = seeds[0][x].to_numpy(dtype=np.float64)
        values = [np.interp(shared, group[x], group[column]) for group in seeds]
        by_policy[str(policy)] = Curve(shared, *statistics.band(np.stack(values)))
    return by_policy


def seconds(progress: pd.DataFrame) -> "pd.Series[float]":
    """How long a run of each policy took, the median over training seeds [s]."""
    return progress.groupby(["policy", "seed"])["seconds"].max().groupby("policy").median()
