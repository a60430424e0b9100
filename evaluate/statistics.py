"""What scores say beyond the runs at hand, with the training seed as the unit that is repeated.

The measures are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice". Their bootstrap draws the runs of each task apart, because there every task
has runs of its own. Here one network plays all campaigns of its seed, so a seed is drawn with all
of its campaigns, and campaigns are drawn as a second layer that all seeds and policies share. To
take every campaign of every seed for a repetition would make intervals far too narrow.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 2000
_BATCH = 2_000_000  # numbers drawn at once, so that many campaigns do not fill the memory
_NO_SPREAD = 1e-9  # relative; identical campaigns differ by as much where a batch is split


class Interval(NamedTuple):
    """An estimate and the interval around it.

    Attributes:
        value: The estimate from all scores.
        low: Lower end; none where a single training seed tells nothing of others.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def exact(self) -> bool:
        """Whether nothing varied: neither seeds nor campaigns."""
        return self.low is not None and self.low == self.high

    def show(self, form: Callable[[float], str]) -> str:
        """In words, ``form`` writing each number: with its ends, ``exact``, or that one seed has no spread to tell."""
        ends = self.ends(form)
        return f"{form(self.value)} ({f'{LEVEL:.0%} interval ' if ' to ' in ends else ''}{ends})"

    def ends(self, form: Callable[[float], str]) -> str:
        """The two ends alone, or why there are none to show."""
        if self.low is None or self.high is None:
            return "one training seed, spread unknown"
        if self.exact:
            return "exact"
        low, high = form(self.low), form(self.high)
        return f"{low} to {high}" if low != high else "spread smaller than the last digit"

    def __str__(self) -> str:
        return self.show(lambda value: f"{value:,.4g}")


class Scores(NamedTuple):
    """What one policy scored.

    Attributes:
        values: A row for each training seed, a column for each campaign, (seeds, campaigns).
        trained: Whether its rows are training seeds; a rule has no training that could be repeated,
            and one row.
    """

    values: FloatArray
    trained: bool = True

    @property
    def by_seed(self) -> FloatArray:
        """Mean over campaigns, (seeds,)."""
        return np.asarray(self.values.mean(axis=1), dtype=np.float64)


class Rate(NamedTuple):
    """How many of the training seeds failed, with the exact (Clopper-Pearson) interval of the chance to fail."""

    failed: int
    seeds: int
    low: float
    high: float

    def __str__(self) -> str:
        chance = f"chance to fail {self.low:.0%} to {self.high:.0%} at {LEVEL:.0%}"
        return f"{self.failed} of {self.seeds} ({chance})"


Statistic = Callable[[FloatArray], FloatArray]


def scores_of(campaigns: pd.DataFrame, policy: str, metric: str) -> Scores:
    """The scores of one policy from a frame with a row per policy, training seed and campaign.

    Where every seed scores the same on all campaigns, as in one that draws nothing, they are one
    campaign.

    Raises:
        ValueError: The policy is not there, or a seed did not play every campaign once.
    """
    rows = campaigns[campaigns["policy"] == policy]
    if rows.empty:
        raise ValueError(
            f"no scores of {policy!r}; there are {', '.join(campaigns['policy'].unique())}"
        )
    trained = bool(rows["seed"].notna().all())
    table = rows.assign(seed=rows["seed"].fillna(0)).pivot_table(
        index="seed", columns="campaign", values=metric, aggfunc=["mean", "count"], dropna=False
    )
    if not (table["count"] == 1).to_numpy().all():
        raise ValueError(f"{policy}: every training seed must play every campaign once")
    values = table["mean"].to_numpy(dtype=np.float64)
    same = np.ptp(values, axis=1) <= _NO_SPREAD * np.abs(values).max(axis=1)
    return Scores(values[:, :1] if same.all() else values, trained)


def mean(values: FloatArray) -> FloatArray:
    """Mean over seeds and campaigns, (..., seeds, campaigns) to (...)."""
    return np.asarray(values.mean(axis=(-2, -1)), dtype=np.float64)


def interquartile_mean(values: FloatArray) -> FloatArray:
    """Mean of the middle half of all scores, (..., seeds, campaigns) to (...); Agarwal et al. 2021, section 4.3."""
    flat = values.reshape(*values.shape[:-2], -1)
    return np.asarray(stats.trim_mean(flat, proportiontocut=0.25, axis=-1), dtype=np.float64)


def optimality_gap(values: FloatArray, target: float = 1.0) -> FloatArray:
    """How far scores stay below the target on average; what is beyond it is worth no more, (..., s, c) to (...)."""
    return target - mean(np.minimum(values, target))


def performance_profile(values: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Share of the scores above each threshold, (..., seeds, campaigns) to (..., thresholds)."""
    return np.asarray((values[..., np.newaxis] > thresholds).mean(axis=(-3, -2)), dtype=np.float64)


def interval(scores: Scores, rng: np.random.Generator, statistic: Statistic = mean) -> Interval:
    """A statistic of one policy's scores with its bootstrap interval.

    Args:
        scores: What it scored.
        rng: Draws the resamples.
        statistic: (..., seeds, campaigns) to (...).
    """

    def of(seeds: NDArray[np.intp], campaigns: NDArray[np.intp]) -> FloatArray:
        return statistic(_chosen(scores.values, seeds, campaigns))

    return _interval(of, [scores], rng)


def difference(
    one: Scores, other: Scores, rng: np.random.Generator, statistic: Statistic = mean
) -> Interval:
    """By how much one policy scores more than another on the same campaigns, with its interval.

    CampaignBatch are paired: each is drawn for both policies at once, so what it does to both cancels.
        Seeds are not: those
    of two agents have nothing in common but their number.

    Raises:
        ValueError: They did not play the same number of campaigns.
    """
    one, other = _same_campaigns(one, other)

    def of(
        seeds: NDArray[np.intp], others: NDArray[np.intp], campaigns: NDArray[np.intp]
    ) -> FloatArray:
        first = statistic(_chosen(one.values, seeds, campaigns))
        return first - statistic(_chosen(other.values, others, campaigns))

    return _interval(of, [one, other], rng)


def probability_of_improvement(one: Scores, other: Scores, rng: np.random.Generator) -> Interval:
    """The chance that a seed of one policy beats a seed of another on a campaign; a tie counts half.

    The Mann-Whitney statistic of each campaign over the number of pairs of seeds, averaged over
    campaigns.

    Raises:
        ValueError: They did not play the same number of campaigns.
    """
    one, other = _same_campaigns(one, other)
    pairs = one.values[:, np.newaxis] - other.values  # (seeds, other seeds, campaigns)
    ties = np.abs(pairs) <= _NO_SPREAD * np.abs(one.values[:, np.newaxis])
    won = np.where(ties, 0.5, pairs > 0)

    def of(
        seeds: NDArray[np.intp], others: NDArray[np.intp], campaigns: NDArray[np.intp]
    ) -> FloatArray:
        chosen = won[
            seeds[..., :, None, None], others[..., None, :, None], campaigns[..., None, None, :]
        ]
        return np.asarray(chosen.mean(axis=(-3, -2, -1)))

    return _interval(of, [one, other], rng)


def gap_closed(one: Scores, floor: Scores, ceiling: Scores, rng: np.random.Generator) -> Interval:
    """Which part of the way from one rule to another a policy goes on the same campaigns, with its interval.

    (policy - floor) / (ceiling - floor), each a mean over campaigns. A resample takes the same
    campaigns for all three, so above and below the line stands the same luck.

    Args:
        one: The policy.
        floor: What it should beat, a rule.
        ceiling: The most that is possible, a rule.
        rng: Draws the resamples.

    Raises:
        ValueError: They did not play the same number of campaigns, or the ceiling is not above the
            floor.
    """
    ceiling, floor = _same_campaigns(ceiling, floor)
    one, floor = _same_campaigns(one, floor)
    one, ceiling = _same_campaigns(one, ceiling)
    if not ceiling.values.mean() - floor.values.mean() > _NO_SPREAD * np.abs(floor.values).mean():
        means = f"{ceiling.values.mean():g} and {floor.values.mean():g}"
        raise ValueError(
            f"no gap to close: the ceiling's mean must be above the floor's; they are {means}"
        )

    gain, gap = (
        one.values - floor.values,
        ceiling.values - floor.values,
    )  # (seeds, campaigns), (1, campaigns)

    def of(seeds: NDArray[np.intp], campaigns: NDArray[np.intp]) -> FloatArray:
        whole = np.asarray(gap[0][campaigns].mean(axis=-1))
        earned = mean(_chosen(gain, seeds, campaigns))
        return np.asarray(np.divide(earned, whole, out=np.zeros_like(whole), where=whole != 0))

    return _interval(of, [one], rng)


def band(curves: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean over training seeds at each point, and the ends of its interval; NaN ends where there is one seed.

    Args:
        curves: A row for each seed, (seeds, points).
        rng: Draws the resamples, the same seeds for all points.
    """
    center = curves.mean(axis=0)
    if len(curves) < 2:
        nothing = np.full_like(center, np.nan)
        return center, nothing, nothing
    drawn = rng.integers(len(curves), size=(RESAMPLES, len(curves)))
    weights = np.stack(
        [(drawn == seed).mean(axis=1) for seed in range(len(curves))], axis=1
    )  # (resamples, seeds)
    low, high = np.quantile(weights @ curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return center, low, high


def failure_rate(scores: Scores, least: float) -> Rate:
    """How many training seeds stay below ``least`` on average."""
    failed = int((scores.by_seed < least).sum())
    chance = stats.binomtest(failed, len(scores.values)).proportion_ci(LEVEL, method="exact")
    return Rate(failed, len(scores.values), float(chance.low), float(chance.high))


def _interval(
    of: Callable[..., FloatArray], samples: list[Scores], rng: np.random.Generator
) -> Interval:
    """Percentile bootstrap of a function of indices: the seeds of each sample, then the campaigns that they share."""
    sizes = [len(sample.values) for sample in samples] + [samples[0].values.shape[1]]
    fixed = [np.arange(size) for size in sizes]
    value = float(of(*fixed))
    drawn = [position for position, size in enumerate(sizes) if size > 1]
    if any(sample.trained and size == 1 for sample, size in zip(samples, sizes, strict=False)):
        return Interval(value, None, None)
    if not drawn:
        return Interval(value, value, value)

    def statistic(*indices: NDArray[np.intp], axis: int) -> FloatArray:
        every = list(fixed)
        for position, index in zip(drawn, indices, strict=True):
            every[position] = index
        lead = indices[0].shape[:-1]
        return of(*(np.broadcast_to(index, (*lead, index.shape[-1])) for index in every))

    found = stats.bootstrap(
        [fixed[position] for position in drawn],
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // int(np.prod(sizes))),
        vectorized=True,
        axis=-1,
        confidence_level=LEVEL,
        method="percentile",  # the bias-corrected one is NaN where nothing varies
        rng=rng,
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    if high - low <= _NO_SPREAD * abs(value):
        return Interval(value, value, value)
    return Interval(value, low, high)


def _chosen(values: FloatArray, seeds: NDArray[np.intp], campaigns: NDArray[np.intp]) -> FloatArray:
    """Rows and columns by their indices (..., n) and (..., m): (..., n, m)."""
    return values[seeds[..., :, np.newaxis], campaigns[..., np.newaxis, :]]


def _same_campaigns(one: Scores, other: Scores) -> tuple[Scores, Scores]:
    """Both with the same campaigns; what scores the same on all of them fits any number."""
    counts = [sample.values.shape[1] for sample in (one, other)]
    if counts[0] != counts[1] and 1 not in counts:
        raise ValueError(
            f"policies that played {counts[0]} and {counts[1]} campaigns cannot be paired"
        )
    first, second = (
        sample._replace(values=np.broadcast_to(sample.values, (len(sample.values), max(counts))))
        for sample in (one, other)
    )
    return first, second
