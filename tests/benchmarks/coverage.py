"""How often 95% intervals hold the truth: ``python -m tests.benchmarks.coverage [--repeats 400]``.

Draws scores of two equal agents and two baselines in layouts whose truth is known, and counts for
a percentile bootstrap of whole seeds and campaigns (before) and for the report's intervals (after).
Where the interval of the difference does not hold 0, the report would name a winner by mistake.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from evaluate import statistics
from evaluate.statistics import FloatArray, Interval, Scores

SEEDS = (2, 3, 5, 10, 20)
RESAMPLES = 1000
CLOSED = 0.5  # of the gap, by both agents

Effects = Callable[[np.random.Generator, int], FloatArray]


def normal(rng: np.random.Generator, count: int) -> FloatArray:
    """Effects of seeds without skew."""
    return rng.normal(size=count)


def skewed(rng: np.random.Generator, count: int) -> FloatArray:
    """Lognormal losses: most seeds end near the best one, some far below."""
    return np.asarray(np.exp(0.5) - rng.lognormal(size=count))


def one_bad_in_ten(rng: np.random.Generator, count: int) -> FloatArray:
    """Every tenth seed on average ends ten standard deviations below the others."""
    return rng.normal(size=count) + 1 - 10 * (rng.random(count) < 0.1)


class Layout(NamedTuple):
    """Where scores come from.

    Attributes:
        name: What it stands for.
        campaigns: How many each seed plays; one column where they draw nothing.
        campaign_sd: Of what a campaign does to every policy.
        policy_sd: Of what a campaign does to one policy alone.
        residual_sd: Of what a campaign does to one seed alone.
        gap: Mean of the gap between the baselines.
        gap_sd: Its standard deviation between campaigns.
        effects: Draws what seeds do to all their campaigns [sd of seeds].
    """

    name: str
    campaigns: int = 1
    campaign_sd: float = 0.0
    policy_sd: float = 0.0
    residual_sd: float = 0.0
    gap: float = 10.0
    gap_sd: float = 0.0
    effects: Effects = normal


LAYOUTS = (
    Layout("deterministic"),
    Layout("seed sd = campaign sd", 100, 1.0, 0.5, 0.5, gap_sd=1.0),
    Layout("campaigns dominate", 1000, 1800.0, 170.0, 20.0, gap=460.0, gap_sd=400.0),
    Layout("deterministic, lognormal seeds", effects=skewed),
    Layout("deterministic, one bad seed in ten", effects=one_bad_in_ten),
)


class Played(NamedTuple):
    """Scores of two equal agents, and of the baselines between which they stand."""

    first: Scores
    second: Scores
    floor: Scores
    ceiling: Scores


def play(layout: Layout, seeds: tuple[int, int], rng: np.random.Generator) -> Played:
    """Draws the scores of agents with so many training seeds."""
    floor = rng.normal(0, layout.campaign_sd, (1, layout.campaigns))
    gap = np.full_like(floor, layout.gap)
    if layout.gap_sd:
        shape, scale = (layout.gap / layout.gap_sd) ** 2, layout.gap_sd**2 / layout.gap
        gap = rng.gamma(shape, scale, floor.shape)

    def agent(count: int) -> FloatArray:
        own = rng.normal(0, layout.policy_sd, floor.shape)
        residual = rng.normal(0, layout.residual_sd, (count, layout.campaigns))
        return floor + CLOSED * gap + own + residual + layout.effects(rng, count)[:, np.newaxis]

    is_deterministic = layout.campaigns == 1
    agents = (Scores(agent(count), True, is_deterministic) for count in seeds)
    rules = (Scores(values, False, is_deterministic) for values in (floor, floor + gap))
    return Played(*agents, *rules)


def truths(layout: Layout) -> dict[str, float]:
    """What the intervals should hold."""
    return {"mean": CLOSED * layout.gap, "difference": 0.0, "gap closed": CLOSED}


def report_intervals(played: Played) -> dict[str, tuple[float, float]]:
    """The ends that the report prints."""
    return {
        "mean": _ends(statistics.mean(played.first)),
        "difference": _ends(statistics.difference(played.first, played.second)),
        "gap closed": _ends(statistics.gap_closed(played.first, played.floor, played.ceiling)),
    }


def bootstrap_intervals(played: Played) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap ends: seeds of each agent and campaigns are drawn with replacement."""
    rng = np.random.default_rng(0)
    first, second = (
        _weights(rng, len(scores.values)) @ scores.values
        for scores in (played.first, played.second)
    )  # (resamples, campaigns)
    campaigns = _weights(rng, first.shape[1])
    gap = campaigns @ (played.ceiling.values - played.floor.values)[0]
    means = (campaigns * first).sum(axis=1)
    return {
        "mean": _percentiles(means),
        "difference": _percentiles(means - (campaigns * second).sum(axis=1)),
        "gap closed": _percentiles((means - campaigns @ played.floor.values[0]) / gap),
    }


def coverage(
    layout: Layout,
    seeds: tuple[int, int],
    repeats: int,
    intervals: Callable[[Played], dict[str, tuple[float, float]]] = report_intervals,
) -> dict[str, float]:
    """Which part of the intervals of each statistic holds the truth."""
    rng = np.random.default_rng([*seeds, len(layout.name)])
    expected = truths(layout)
    held = dict.fromkeys(expected, 0)
    for _ in range(repeats):
        for name, (low, high) in intervals(play(layout, seeds, rng)).items():
            held[name] += low <= expected[name] <= high
    return {name: count / repeats for name, count in held.items()}


def table(
    repeats: int, layouts: tuple[Layout, ...] = LAYOUTS, seeds: tuple[int, ...] = SEEDS
) -> pd.DataFrame:
    """A row for each layout and statistic, and two columns for each number of seeds [%]."""
    methods = (("before", bootstrap_intervals), ("after", report_intervals))
    cells = {
        (layout.name, name, count, when): 100 * share
        for layout in layouts
        for count in seeds
        for when, method in methods
        for name, share in coverage(layout, (count, count), repeats, method).items()
    }
    frame: pd.DataFrame = pd.Series(cells).unstack([2, 3])  # noqa: PD010 - of a series
    return frame.reindex(list(dict.fromkeys(key[:2] for key in cells)))


def _ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def _weights(rng: np.random.Generator, count: int) -> FloatArray:
    """How often each of some units is in each resample, over how many there are, (resamples, n)."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _percentiles(values: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - statistics.LEVEL) / 2, (1 + statistics.LEVEL) / 2])
    return float(low), float(high)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400, help="intervals in each cell")
    print(table(parser.parse_args().repeats).round(1).to_string())
