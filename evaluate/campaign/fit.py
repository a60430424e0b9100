"""Whether past days fit a campaign: what is expected of the days left rests on that.

How often a range is not given after days of the uncertain campaign, in percent of the campaigns: as
its prior draws them (800), and with all channels stronger or weaker than nominal (160 each):

| past days | prior | 3 times | 5 times | 0.3 times | 0.1 times |
| --- | --- | --- | --- | --- | --- |
| 1 | 0.3 | 8 | 46 | 10 | 86 |
| 3 | 0.5 | 30 | 96 | 33 | 100 |
| 6 | 0.5 | 68 | 100 | 39 | 100 |
"""

from contextlib import closing
from typing import NamedTuple

import numpy as np

from envs.campaign.latent import sample_latent
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.robust_planner import POSTERIOR_PARTICLES, importance_weights
from evaluate.report.wording import in_text
from train.config import EnvConfig
from train.environment import make_env

CAMPAIGNS = 4_000  # to see what is usual, and as many to rank by
RARE = 0.0025  # share of campaigns that stray as far, by their counts and by their totals
ROUNDING = 0.1  # standard deviation of the logarithm of a count [1]
TOLERANCE = 0.01  # of a count, where chance has no part; never less than one count
FEWEST = 20  # simulated campaigns that must count for a range
SHARE = 0.8  # of the campaigns that lie in a range
RANGE = (1 - SHARE) / 2, (1 + SHARE) / 2  # its ends as quantiles


class Fit(NamedTuple):
    """How past days compare with what a campaign brings for their spends.

    ``alike`` is how many of the campaigns drawn explain the past days (effective sample size); None
    where campaigns do not differ.
    """

    is_usual: bool  # such days are to be expected
    as_far: float  # share of simulated campaigns that stray as far [1]; 0 or 1 without chance
    day: int  # of the count that is furthest off, from 1
    metric: str  # of that count
    counted: float  # that count [1/day]
    low: float  # a tenth of the simulated campaigns stay below, or the count expected [1/day]
    high: float  # what nine tenths stay below, or the same [1/day]
    has_chance: bool  # simulated campaigns differ
    alike: float | None = None

    @property
    def holds_range(self) -> bool:
        """Whether a range of simulated campaigns may be trusted after these days."""
        return self.is_usual and not self.has_few_alike

    @property
    def has_few_alike(self) -> bool:
        """Whether only few of the campaigns drawn explain the past days."""
        return self.alike is not None and self.alike < FEWEST


def fit_of(env: EnvConfig, params: CampaignParams, past: FloatArray, seed: int) -> Fit | None:
    """How past days (past days, channels + metrics) fit the campaign; None where there are none."""
    if not len(past):
        return None
    spend, counts = np.split(past, [len(params.channels)], axis=1)
    if not (params.is_noisy or params.is_drawn):
        return _compare_exactly(counts, _simulate(env, params, spend, 1, seed)[0], params.metrics)
    usual, ranked = np.split(_simulate(env, params, spend, 2 * CAMPAIGNS, seed), 2)
    days = usual, ranked, counts[np.newaxis]
    totals = (metrics.sum(axis=1, keepdims=True) for metrics in days)
    as_far = min(_share_as_far(*days), _share_as_far(*totals))
    logs = np.log1p(usual)
    off = (np.log1p(counts) - logs.mean(axis=0)) / np.hypot(logs.std(axis=0), ROUNDING)
    furthest = _furthest(np.abs(off), params.metrics, counts, *np.quantile(usual, RANGE, axis=0))
    alike = None
    if params.is_drawn:  # the effective sample size is 1 / sum of squares
        rng = np.random.default_rng(seed)
        particles = sample_latent(params, rng, POSTERIOR_PARTICLES)
        weights, _ = importance_weights(params, particles, past[np.newaxis])
        alike = float(1.0 / (weights**2).sum())
    return Fit(as_far > RARE, as_far, *furthest, has_chance=True, alike=alike)


def _simulate(
    env: EnvConfig, params: CampaignParams, spend: FloatArray, campaigns: int, seed: int
) -> FloatArray:
    """Counts of campaigns with these spends (days, channels), (campaigns, days, metrics)."""
    form = {"action": "spend", "observation": "totals", "privileged": False, "reward": "observed"}
    limits = {"min_spend": None, "max_spend": None}  # what was spent was spent
    kwargs = env.kwargs | form | limits
    with closing(make_env(EnvConfig(id=env.id, kwargs=kwargs), campaigns)) as envs:
        envs.reset(seed=seed)
        infos = [envs.step(np.tile(row, (campaigns, 1)))[4] for row in spend]
    days = [np.stack([info[name] for name in params.metrics], axis=-1) for info in infos]
    return np.stack(days, axis=1)


def _compare_exactly(counts: FloatArray, expected: FloatArray, metrics: tuple[str, ...]) -> Fit:
    """Compares counts (past days, metrics) with those that the campaign brings without chance."""
    off = np.abs(counts - expected)
    is_usual = bool((off <= np.maximum(1.0, TOLERANCE * expected)).all())
    furthest = _furthest(off / np.maximum(expected, 1.0), metrics, counts, expected, expected)
    return Fit(is_usual, float(is_usual), *furthest, has_chance=False)


def _furthest(
    off: FloatArray,
    metrics: tuple[str, ...],
    counts: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> tuple[int, str, float, float, float]:
    """Day, metric, count, low and high of the count that is furthest off; (past days, metrics)."""
    day, metric = np.unravel_index(off.argmax(), off.shape)
    count, least, most = (float(values[day, metric]) for values in (counts, low, high))
    return int(day) + 1, metrics[metric], count, least, most


def _share_as_far(usual: FloatArray, ranked: FloatArray, counts: FloatArray) -> float:
    """Share of the ranked campaigns that stray as far from the usual ones as the counts do [1].

    By the Mahalanobis distance of the logarithms; all are (campaigns, days, metrics).
    """
    usual, ranked, counts = (
        np.log1p(part).reshape(len(part), -1) for part in (usual, ranked, counts)
    )
    covariance = np.cov(usual, rowvar=False) + ROUNDING**2 * np.eye(usual.shape[1])

    def distance(logs: FloatArray) -> FloatArray:
        away = logs - usual.mean(axis=0)
        squares: FloatArray = np.einsum("ij,ij->i", away, np.linalg.solve(covariance, away.T).T)
        return squares

    return float(np.mean(distance(ranked) >= distance(counts)))


def warning_of(fit: Fit | None) -> str:
    """What has to be said before a plan's figures; nothing where they may be trusted."""
    if fit is None or fit.holds_range:
        return ""
    few = f" (about {fit.alike:,.0f} of {POSTERIOR_PARTICLES:,})" if fit.has_few_alike else ""
    if fit.is_usual:
        return (
            f"Few simulated campaigns come close to the past days{few}.\n"
            "The figures below rest on these few and are rough."
        )
    source = (
        "simulated campaigns that come closest"
        if fit.has_chance
        else "campaign as it is configured"
    )
    return (
        f"The past days do not fit this campaign. Furthest off: day {fit.day}, {_off(fit)}.\n"
        f"The figures below are those of the {source}{few}: expect other results."
    )


def _off(fit: Fit) -> str:
    """The count that is furthest off, and what is usual."""
    counted, low, high = map(in_text, (fit.counted, fit.low, fit.high))
    if fit.has_chance:
        usual = f"where {SHARE:.0%} of simulated campaigns have {low} to {high}"
    elif fit.low > 0:
        usual = f"{in_text(fit.counted / fit.low, 3)} times the {low} that these spends earn"
    else:
        usual = "where these spends earn nothing"
    return f"{fit.metric}: {counted}, {usual}"
