"""Whether past days fit a campaign: what is expected of the days left rests on that.

How often a range is not given after days of the uncertain campaign, in percent of the campaigns: as
its prior draws them (800), and with all channels stronger or weaker than nominal (160 each):

| past days | prior | 3 times | 5 times | 0.3 times | 0.1 times |
| --- | --- | --- | --- | --- | --- |
| 1 | 0.3 | 8 | 46 | 10 | 86 |
| 3 | 0.5 | 30 | 96 | 33 | 100 |
| 6 | 0.5 | 68 | 100 | 39 | 100 |
"""

from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign.latent import sample_latent
from envs.campaign.params import CHANNELS, METRICS, CampaignParams
from envs.campaign.robust_planner import POSTERIOR_PARTICLES, importance_weights
from train.config import EnvConfig
from train.environment import make_env

CAMPAIGNS = 4_000  # to see what is usual, and as many to rank by
RARE = 0.0025  # share of campaigns that stray as far, by their counts and by their totals
ROUNDING = 0.1  # standard deviation of the logarithm of a count [1]
TOLERANCE = 0.01  # of a count, where chance has no part; never less than one count
FEWEST = 20  # simulated campaigns that must count for a range
SHARE = 0.8  # of the campaigns that lie in a range

FloatArray = NDArray[np.float64]


class Fit(NamedTuple):
    """How past days compare with what a campaign brings for their spends.

    Attributes:
        is_usual: Whether such days are to be expected.
        as_far: Share of simulated campaigns that stray as far [1]; 0 or 1 where chance has no part.
        day: Day of the count that is furthest off, from 1.
        metric: Its name.
        counted: The count itself [1/day].
        low: What a tenth of the simulated campaigns stay below, or the one count expected [1/day].
        high: What nine tenths stay below, or the same [1/day].
        has_chance: Whether simulated campaigns differ.
        alike: How many of the campaigns drawn explain the past days (effective sample size); None
            where campaigns do not differ.
    """

    is_usual: bool
    as_far: float
    day: int
    metric: str
    counted: float
    low: float
    high: float
    has_chance: bool
    alike: float | None = None

    @property
    def holds_range(self) -> bool:
        """Whether a range of simulated campaigns may be trusted after these days."""
        return self.is_usual and (self.alike is None or self.alike >= FEWEST)

    @property
    def figures_from(self) -> str:
        """What the figures of a plan after these days come from."""
        if self.has_chance:
            return "the simulated campaigns that come closest"
        return "the campaign as it is configured"


def fit_of(env: EnvConfig, params: CampaignParams, past: FloatArray, seed: int) -> Fit | None:
    """How past days (past days, channels + metrics) fit the campaign; None where there are none."""
    if not len(past):
        return None
    spend, counts = np.split(past, [len(CHANNELS)], axis=1)
    if not (params.is_noisy or params.is_drawn):
        return _compare_exactly(counts, _simulate(env, spend, 1, seed)[0])
    usual, ranked = np.split(_simulate(env, spend, 2 * CAMPAIGNS, seed), 2)
    as_far = [
        float(np.mean(_distance(usual, ranked, by) >= _distance(usual, counts[np.newaxis], by)))
        for by in (_counts, _totals)
    ]
    logs = np.log1p(usual)
    off = (np.log1p(counts) - logs.mean(axis=0)) / np.hypot(logs.std(axis=0), ROUNDING)
    day, metric = np.unravel_index(np.abs(off).argmax(), off.shape)
    low, high = np.quantile(usual[:, day, metric], [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return Fit(
        is_usual=min(as_far) > RARE,
        as_far=min(as_far),
        day=int(day) + 1,
        metric=METRICS[metric],
        counted=float(counts[day, metric]),
        low=float(low),
        high=float(high),
        has_chance=True,
        alike=_alike(params, past, seed) if params.is_drawn else None,
    )


def _simulate(env: EnvConfig, spend: FloatArray, campaigns: int, seed: int) -> FloatArray:
    """Counts of campaigns with these spends (days, channels), (campaigns, days, metrics)."""
    form = {"action": "spend", "observation": "totals", "privileged": False, "reward": "observed"}
    limits = {"min_spend": None, "max_spend": None}  # what was spent was spent
    kwargs = env.kwargs | form | limits
    with closing(make_env(EnvConfig(id=env.id, kwargs=kwargs), campaigns)) as envs:
        envs.reset(seed=seed)
        infos = [envs.step(np.tile(row, (campaigns, 1)))[4] for row in spend]
    return np.stack([np.stack([info[name] for name in METRICS], axis=-1) for info in infos], axis=1)


def _compare_exactly(counts: FloatArray, expected: FloatArray) -> Fit:
    """Compares counts (past days, metrics) with those that the campaign brings without chance."""
    off = np.abs(counts - expected)
    day, metric = np.unravel_index((off / np.maximum(expected, 1.0)).argmax(), off.shape)
    is_usual = bool((off <= np.maximum(1.0, TOLERANCE * expected)).all())
    count, mean = float(counts[day, metric]), float(expected[day, metric])
    place = int(day) + 1, METRICS[metric]
    return Fit(is_usual, float(is_usual), *place, count, mean, mean, has_chance=False)


def _counts(metrics: FloatArray) -> FloatArray:
    """Logarithms of all counts (campaigns, days, metrics), (campaigns, days x metrics)."""
    return np.log1p(metrics).reshape(len(metrics), -1)


def _totals(metrics: FloatArray) -> FloatArray:
    """Logarithms of the totals of counts (campaigns, days, metrics), (campaigns, metrics)."""
    totals: FloatArray = np.log1p(metrics.sum(axis=1))
    return totals


def _distance(
    usual: FloatArray, metrics: FloatArray, features: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Squared Mahalanobis distance (campaigns,) from the usual metrics, by their features."""
    logs = features(usual)
    covariance = np.cov(logs, rowvar=False) + ROUNDING**2 * np.eye(logs.shape[1])
    away = features(metrics) - logs.mean(axis=0)
    squares: FloatArray = np.einsum("ij,ij->i", away, np.linalg.solve(covariance, away.T).T)
    return squares


def _alike(params: CampaignParams, past: FloatArray, seed: int) -> float:
    """Effective sample size of the prior's draws, weighed by the past days: 1 / sum of squares."""
    particles = sample_latent(params, np.random.default_rng(seed), POSTERIOR_PARTICLES)
    weights, _ = importance_weights(params, particles, past[np.newaxis])
    return float(1.0 / (weights**2).sum())


def warning_of(fit: Fit | None) -> str:
    """What has to be said before a plan's figures; nothing where they may be trusted."""
    if fit is None or fit.holds_range:
        return ""
    few = ""
    if fit.alike is not None and fit.alike < FEWEST:
        few = f" (about {fit.alike:,.0f} of {POSTERIOR_PARTICLES:,})"
    if fit.is_usual:
        return (
            f"Few simulated campaigns come close to the past days{few}.\n"
            "The figures below rest on these few and are rough."
        )
    return (
        f"The past days do not fit this campaign. Furthest off: day {fit.day}, {_furthest(fit)}.\n"
        f"The figures below are those of {fit.figures_from}{few}: expect other results."
    )


def _furthest(fit: Fit) -> str:
    counted, low, high = (
        f"{number:,.1f}".removesuffix(".0") for number in (fit.counted, fit.low, fit.high)
    )
    if fit.has_chance:
        usual = f"where {SHARE:.0%} of simulated campaigns have {low} to {high}"
    elif fit.low > 0:
        usual = f"{fit.counted / fit.low:,.2f} times the {low} that these spends earn"
    else:
        usual = "where these spends earn nothing"
    return f"{fit.metric}: {counted}, {usual}"
