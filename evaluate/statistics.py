"""Estimates from scores, with 95% intervals that count training seeds and episodes as two layers.

Every seed of an agent plays the same episodes, and so does every other policy. Each layer adds its
own squared standard error, times the squared Student quantile of its own degrees of freedom:

    half width^2 = t(seeds)^2 se(seeds)^2 + t(episodes)^2 se(episodes)^2        Banerjee 1960

S. K. Banerjee, "Approximate confidence interval for linear functions of means of k populations when
the population variances are not equal", Sankhya 22. It covers normal layers at least as often as
stated, from two seeds on, where a percentile bootstrap of few seeds covers far less; measured by
``python -m tests.benchmarks.coverage``. The measures are those of Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice".
"""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
EpisodesKind = Literal["exact", "episodes", "one episode"]
SeedsKind = Literal["one seed", "one seed on one episode", "seeds", "seeds on one episode"]
Kind = EpisodesKind | SeedsKind

LEVEL = 0.95
LEAST_BAND = 3  # seeds; with two the band of a learning curve is 18 standard errors wide
_QUARTER = 0.25  # of the scores is left out at each end of the interquartile mean
_NO_SPREAD = 1e-9  # relative; rounding differs by as much between batches


class Interval(NamedTuple):
    """An estimate and the interval around it; its ``kind`` says what it covers.

    ``exact``: nothing varies. ``episodes``: other episodes, for policies without training. ``one
    episode``: nothing, as only one was played. ``one seed``: other episodes, where they vary, but
    not other training seeds. ``one seed on one episode``: nothing. ``seeds``: other training seeds,
    and other episodes where they vary. ``seeds on one episode``: other training seeds alone.
    """

    value: float  # the estimate from all scores
    low: float | None  # none where the scores say nothing about the spread
    high: float | None
    kind: Kind

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on that side of 0, otherwise 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def __neg__(self) -> "Interval":
        """The same interval with the other sign."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Interval(-self.value, low, high, self.kind)


class Scores(NamedTuple):
    """What one policy scored."""

    values: FloatArray  # (seeds, episodes)
    is_trained: bool = True  # else it has no seeds, and one row
    is_deterministic: bool = False  # several episodes gave the same: one column stands for all

    @property
    def by_seed(self) -> FloatArray:
        """Mean over episodes, (seeds,)."""
        return np.asarray(self.values.mean(axis=1), dtype=np.float64)


class FailureRate(NamedTuple):
    """How many training seeds failed, with the Clopper-Pearson interval of the chance to fail."""

    failed: int  # scored too little or did not finish
    seeds: int  # those that did not finish included
    low: float
    high: float
    unfinished: dict[int, str]  # what became of those: {3: "diverged"}


class _Layer(NamedTuple):
    """What one layer of chance adds: its squared standard error, and the degrees of freedom."""

    variance: float
    freedom: float


def scores_of(episodes: pd.DataFrame, policy: str, metric: str) -> Scores:
    """The scores of one policy from a frame with a row per policy, training seed and episode.

    Raises:
        ValueError: The policy is not there, or a seed did not play every episode once.
    """
    rows = episodes[episodes["policy"] == policy]
    if rows.empty:
        names = ", ".join(episodes["policy"].unique())
        raise ValueError(f"no scores of {policy!r}; there are {names}")
    is_trained = bool(rows["seed"].notna().all())
    table = rows.assign(seed=rows["seed"].fillna(0)).pivot_table(
        index="seed", columns="episode", values=metric, aggfunc=["mean", "size"], dropna=False
    )
    if not (table["size"] == 1).to_numpy().all():
        raise ValueError(f"{policy}: every training seed must play every episode once")
    values: FloatArray = table["mean"].to_numpy(dtype=np.float64)
    same = np.ptp(values, axis=1) <= _NO_SPREAD * np.abs(values).max(axis=1)
    if values.shape[1] > 1 and same.all():
        return Scores(values[:, :1], is_trained, is_deterministic=True)
    return Scores(values, is_trained)


def mean(scores: Scores, most: float | None = None) -> Interval:
    """Mean over seeds and episodes; its interval ends at ``most``, which no score can exceed."""
    estimate = _interval([scores])
    if most is None or estimate.high is None:
        return estimate
    return estimate._replace(high=min(estimate.high, max(most, estimate.value)))


def interquartile_mean(scores: Scores) -> Interval:
    """Mean of the middle half of all scores; Agarwal et al. 2021, section 4.3.

    Its standard error is that of the winsorized scores, with fewer degrees of freedom; Yuen 1974.
    """
    values = scores.values
    ordered = np.sort(values, axis=None)
    out = int(_QUARTER * values.size)
    winsorized = values.clip(ordered[out], ordered[-1 - out])
    influence = winsorized * values.size / (values.size - 2 * out)
    centre = stats.trim_mean(values, _QUARTER, axis=None)
    return _interval([scores._replace(values=influence - influence.mean() + centre)], _QUARTER)


def optimality_gap(scores: Scores, target: float = 1.0) -> Interval:
    """How far scores stay below the target on average; what is beyond it counts as the target."""
    return _interval([scores._replace(values=target - np.minimum(scores.values, target))])


def performance_profile(values: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Share of the scores above each threshold, (seeds, episodes) to (thresholds,)."""
    return np.asarray((values[..., np.newaxis] > thresholds).mean(axis=(0, 1)), dtype=np.float64)


def difference(first: Scores, second: Scores) -> Interval:
    """By how much one policy scores more than another on the same episodes.

    Episodes are paired, so what an episode does to both cancels. Seeds are not: those of two
    agents share nothing but their number.

    Raises:
        ValueError: They did not play the same number of episodes.
    """
    first, second = _on_same_episodes(first, second)
    return _interval([first, second._replace(values=-second.values)])


def probability_of_improvement(first: Scores, second: Scores) -> Interval:
    """The chance that a seed of an agent beats a seed of another on an episode; ties count half.

    The Mann-Whitney statistic of each episode over the number of pairs of seeds, averaged over
    episodes. Its interval is that of a proportion of as many trials as would spread as much (Korn
    and Graubard 1998, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data"); where all agree, of a trial for each seed or episode.

    Raises:
        ValueError: They did not play the same number of episodes.
    """
    first, second = _on_same_episodes(first, second)
    pairs = first.values[:, np.newaxis] - second.values  # (seeds, other seeds, episodes)
    ties = np.abs(pairs) <= _NO_SPREAD * np.abs(first.values[:, np.newaxis])
    wins = np.where(ties, 0.5, pairs > 0)
    rows = wins.mean(axis=0) - wins.mean(axis=(0, 1))
    estimate = _interval([first._replace(values=wins.mean(axis=1)), second._replace(values=rows)])
    if estimate.low is None or estimate.kind == "exact":
        return estimate
    seeds = min(len(scores.values) for scores in (first, second) if scores.is_trained)
    trials = float(seeds if seeds > 1 else wins.shape[-1])
    half, chance = estimate.value - estimate.low, estimate.value
    if half > 0 and 0 < chance < 1:
        trials = chance * (1 - chance) * (_quantile(seeds * wins.shape[-1] - 1) / half) ** 2
    low, high = _proportion_interval(chance * trials, trials)
    return estimate._replace(low=low, high=high)


def gap_closed(scores: Scores, floor: Scores, ceiling: Scores) -> Interval:
    """Which part of the way from one baseline to another a policy earns on the same episodes.

    (policy - floor) / (ceiling - floor), each a mean over episodes; floor and ceiling are not
    trained. The interval is that of a ratio estimator, from numerator - ratio * denominator
    (Cochran 1977, chapter 6).

    Raises:
        ValueError: They did not play the same number of episodes, or the ceiling is not above the
            floor.
    """
    scores, ceiling, floor = _on_same_episodes(scores, ceiling, floor)
    gap = ceiling.values - floor.values  # (1, episodes)
    if not gap.mean() > _NO_SPREAD * np.abs(floor.values).mean():
        means = f"{ceiling.values.mean():g} and {floor.values.mean():g}"
        raise ValueError(
            f"no gap to close: the ceiling's mean must be above the floor's; they are {means}"
        )
    gain = scores.values - floor.values  # (seeds, episodes)
    ratio = gain.mean() / gap.mean()
    return _interval([scores._replace(values=ratio + (gain - ratio * gap) / gap.mean())])


def band(curves: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean over seeds of curves (seeds, points), and its ends, NaN below 3 seeds; all (points,)."""
    centre = curves.mean(axis=0)
    half = np.full_like(centre, np.nan)
    if len(curves) >= LEAST_BAND:
        half = _quantile(len(curves) - 1) * stats.sem(curves, axis=0)
    return centre, centre - half, centre + half


def failure_rate(
    scores: Scores, threshold: float, unfinished: dict[int, str] | None = None
) -> FailureRate:
    """How many training seeds scored less than ``threshold`` on average or did not finish."""
    missing = unfinished or {}
    failed = int((scores.by_seed < threshold).sum()) + len(missing)
    seeds = len(scores.values) + len(missing)
    return FailureRate(failed, seeds, *_proportion_interval(failed, seeds), missing)


def _interval(samples: list[Scores], trimmed: float = 0.0) -> Interval:
    """The interval of a sum of means, one for each sample of seeds, all on the same episodes."""
    value = float(sum(sample.values.mean() for sample in samples))
    kind = _kind(samples)
    repeated = [sample for sample in samples if sample.is_trained and kind.startswith("seeds")]
    layers = [_seed_layer(repeated, trimmed)] if repeated else []
    if samples[0].values.shape[1] > 1:
        layers.append(_episode_layer(samples, repeated, trimmed))
    if not layers and kind != "exact":
        return Interval(value, None, None, kind)
    half = sum(_quantile(layer.freedom) ** 2 * layer.variance for layer in layers) ** 0.5
    if half <= _NO_SPREAD * max(np.abs(sample.values).max() for sample in samples):
        half, kind = 0.0, "exact" if kind == "episodes" else kind
    return Interval(value, value - half, value + half, kind)


def _kind(samples: list[Scores]) -> Kind:
    """What an interval of these samples covers."""
    trained = [sample for sample in samples if sample.is_trained]
    varies = samples[0].values.shape[1] > 1
    is_fixed = all(sample.is_deterministic for sample in samples)
    if any(len(sample.values) == 1 for sample in trained):
        return "one seed" if varies or is_fixed else "one seed on one episode"
    if trained:
        return "seeds" if varies or is_fixed else "seeds on one episode"
    return "episodes" if varies else "exact" if is_fixed else "one episode"


def _seed_layer(samples: list[Scores], trimmed: float) -> _Layer:
    """The seeds of all agents together, with the degrees of freedom of their sum; Welch 1947."""
    parts = [_layer(sample.by_seed, trimmed) for sample in samples]
    variance = sum(part.variance for part in parts)
    if variance == 0:
        return _Layer(0.0, 1.0)
    shares = sum((part.variance / variance) ** 2 / part.freedom for part in parts)
    return _Layer(variance, 1 / shares)


def _episode_layer(samples: list[Scores], repeated: list[Scores], trimmed: float) -> _Layer:
    """The episodes, without what their means owe to the seeds' layer, which has counted that."""
    layer = _layer(np.asarray(sum(sample.values.mean(axis=0) for sample in samples)), trimmed)
    counted = sum(_residual_variance(sample.values) / sample.values.size for sample in repeated)
    return layer._replace(variance=max(layer.variance - counted, 0.0))


def _layer(means: FloatArray, trimmed: float) -> _Layer:
    """Squared standard error of the mean of ``means``, (n,), and its degrees of freedom.

    Of winsorized ``means`` only those that were not ``trimmed`` count as observations; Yuen 1974.
    """
    count = len(means)
    left = count - 2 * int(trimmed * count)
    lost = (count - 1) * left / (count * (left - 1))
    return _Layer(float(means.var(ddof=1)) / count * lost, left - 1)


def _residual_variance(values: FloatArray) -> float:
    """Variance of what neither seed nor episode explains, (seeds, episodes) to a number."""
    by_seed, by_episode = values.mean(axis=1, keepdims=True), values.mean(axis=0)
    residual = values - by_seed - by_episode + values.mean()
    seeds, episodes = values.shape
    return float(np.square(residual).sum() / ((seeds - 1) * (episodes - 1)))


def _quantile(freedom: float) -> float:
    """Student's two-sided quantile."""
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _proportion_interval(count: float, trials: float) -> tuple[float, float]:
    """Clopper-Pearson ends of a proportion; count and trials need not be whole numbers."""
    tail = (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, count, trials - count + 1) if count > 0 else 0.0
    high = stats.beta.ppf(1 - tail, count + 1, trials - count) if count < trials else 1.0
    return float(low), float(high)


def _on_same_episodes(*samples: Scores) -> list[Scores]:
    """All with the same episodes, or a ValueError; one column, of a deterministic policy, fits."""
    counts = dict.fromkeys(scores.values.shape[1] for scores in samples)
    several = [str(count) for count in counts if count > 1]
    if len(several) > 1:
        played = " and ".join(several)
        raise ValueError(f"policies that played {played} episodes cannot be paired")
    return [
        scores._replace(values=np.broadcast_to(scores.values, (len(scores.values), max(counts))))
        for scores in samples
    ]
