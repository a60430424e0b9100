"""What to try next: days of varied splits that teach what the next plans hang on, and their worth.

Varied days cost engagement and narrow the posterior. By how much is computed for several lengths
and strengths of variation, beside days that just follow the plan: the Fisher information of the
days' counts is added to the precision of the posterior (a normal approximation), and the regret of
the plan that would be made then is simulated under truths drawn from the posterior.
"""

import csv
import io
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import qmc

from envs.campaign.calibration import Calibration, Values, expected_metrics
from envs.campaign.limits import fill, nearest
from envs.campaign.params import FloatArray
from envs.campaign.robust_planner import NUDGE, ascend, value_and_gradient
from evaluate.campaign.calibrate.fitted import Fitted, Range, range_of
from evaluate.campaign.past_days import DATE, DAY
from evaluate.campaign.rounding import rounded, written

WEEK = 7  # days
WEEKS = (2, 3, 4)
STRENGTHS = (0.25, 0.5, 1.0)
HORIZON = 26  # weeks over which a trial has to pay
CANDIDATES = 64  # trials to choose from, of each length and strength
LONGEST_HOLD = 3  # days with the same split
BLOCKS = 5  # 2 ** BLOCKS splits of a Sobol sequence: more than there are days
CONCENTRATION = 0.5  # of the Dirichlet distribution of splits; the less, the more on one channel
TRUTHS = 96
ITERATIONS = 40
AT_A_TIME = 40_000  # numbers of a day of the plans tried: fits the cache
STEP = 1e-3  # of points, in derivatives


@dataclass(frozen=True, eq=False)
class Ahead:
    """The campaigns to come.

    Attributes:
        days: Length of each [days].
        budget: Most that can be spent in a day [bu/day].
        weekday: Of the first day, 0 = Monday.
        low: Least spend, (channels,) [bu/day].
        high: Most spend, (channels,) [bu/day].
    """

    days: int
    budget: float
    weekday: int
    low: FloatArray
    high: FloatArray

    def weekdays(self, days: int) -> NDArray[np.int64]:
        """Those of so many days ahead, 0 = Monday, (days,)."""
        return (self.weekday + np.arange(days)) % WEEK

    def starts(self, days: int) -> NDArray[np.bool_]:
        """Which of so many days ahead are the first of a campaign, (days,)."""
        return np.arange(days) % self.days == 0


@dataclass(frozen=True, eq=False)
class Trial:
    """Days to come, what they cost, and what is lost after them.

    Attributes:
        weeks: Their length.
        strength: Share of the budget that follows the varied splits, the rest the plan [1].
        spend: (days, channels) [bu/day].
        cost: What they earn less than the plan, as a share of what it earns [1].
        regret: What the plan made after them is expected to earn less than the best, as a share
            of the best [1].
        loss: What is lost against the best over all of ``HORIZON``, as a share of it [1].
    """

    weeks: int
    strength: float
    spend: FloatArray
    cost: Range
    regret: float
    loss: float


@dataclass(frozen=True, eq=False)
class Trials:
    """What could be tried next.

    Attributes:
        ahead: The campaigns to come.
        regret: What the plan of today is expected to earn less than the best, as a share of the
            best [1].
        trials: Of each length and strength, a strength of 0 being the plan itself.
    """

    ahead: Ahead
    regret: float
    trials: tuple[Trial, ...]

    @cached_property
    def best(self) -> Trial:
        """Of those that vary, the one with the least loss."""
        return min((each for each in self.trials if each.strength), key=lambda each: each.loss)

    @cached_property
    def plan(self) -> Trial:
        """Of those that follow the plan, the one with the least loss."""
        return min((each for each in self.trials if not each.strength), key=lambda each: each.loss)

    @property
    def pays(self) -> bool:
        """Whether the best that varies loses less than following the plan."""
        return self.best.loss < self.plan.loss


def ahead_of(fitted: Fitted, days: int, budget: float) -> Ahead:
    """The campaigns that start after the past days, without limits but the budget."""
    channels = len(fitted.channels)
    weekday = 0 if fitted.dates is None else first_date(fitted.dates).weekday()
    return Ahead(days, budget, weekday, np.zeros(channels), np.full(channels, budget))


def first_date(dates: tuple[date, ...]) -> date:
    """The day after the last of some."""
    return max(dates) + timedelta(1)


def trial_csv(fitted: Fitted, trials: Trials) -> str:
    """The days of the best trial as a file: date where dates are known, day, and the channels."""
    spend, ahead = trials.best.spend, trials.ahead
    rows: list[list[str]] = [[DAY, *fitted.channels]]
    for day, cells in enumerate(written(spend, ahead.low, ahead.high), start=1):
        rows.append([str(day), *cells])
    if fitted.dates is not None:
        first = first_date(fitted.dates)
        dates = [(first + timedelta(day)).isoformat() for day in range(len(spend))]
        rows = [[head, *row] for head, row in zip([DATE, *dates], rows, strict=True)]
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def propose(fitted: Fitted, ahead: Ahead, rng: np.random.Generator) -> Trials:
    """The most telling trial of each length and strength, with its cost and its worth."""
    draws, calibration = fitted.posterior.draws, fitted.calibration
    mean, precision = draws.mean(axis=0), np.linalg.inv(np.cov(draws.T))
    plan = best_plan(fitted, ahead, mean)
    relevance = _relevance(fitted, ahead, mean, plan)
    longest = max(WEEKS) * WEEK
    followed = np.resize(plan, (longest, plan.shape[1]))
    cells, found, spends = [], [], []
    for strength in (0.0, *STRENGTHS):
        candidates = candidates_of(ahead, followed, strength, rng)
        for weeks in WEEKS:
            some = candidates[:, : weeks * WEEK]
            told = information(calibration, mean, some, ahead)
            variance = np.trace(relevance @ np.linalg.inv(precision + told), axis1=1, axis2=2)
            best = int(variance.argmin())
            cells.append((weeks, strength))
            found.append(told[best])
            spends.append(some[best])
    truths = draws[rng.choice(len(draws), min(TRUTHS, len(draws)), replace=False)]
    now, after = _regrets(fitted, ahead, plan, truths, precision, np.stack(found), rng)
    trials = []
    for (weeks, strength), spend, regret in zip(cells, spends, after.tolist(), strict=True):
        cost = _cost(fitted, ahead, followed[: len(spend)], spend)
        lost = weeks * (now + (1.0 - now) * float(cost.middle)) + (HORIZON - weeks) * regret
        trials.append(Trial(weeks, strength, spend, cost, regret, lost / HORIZON))
    return Trials(ahead, now, tuple(trials))


def candidates_of(
    ahead: Ahead, followed: FloatArray, strength: float, rng: np.random.Generator
) -> FloatArray:
    """Trials of the longest length to choose from, (candidates, days, channels) [bu/day].

    Splits that fill the space of all splits evenly, each held for a few days, so that what is
    carried over, loyalty and fatigue can be told apart; mixed with the plan that is followed
    otherwise, (days, channels), and rounded so that they can be spent as they stand.
    """
    days, channels = followed.shape
    varied = [_varied(ahead, days, channels, rng) for _ in range(CANDIDATES if strength else 1)]
    mixed = (1.0 - strength) * followed + strength * np.stack(varied)
    within = nearest(mixed, ahead.low, ahead.high, ahead.budget)
    flat = rounded(within.reshape(-1, channels), ahead.low, ahead.high)
    return flat.reshape(within.shape)


def _varied(ahead: Ahead, days: int, channels: int, rng: np.random.Generator) -> FloatArray:
    """Varied splits of the whole budget, (days, channels); of one channel, varied spends."""
    sequence = qmc.Sobol(channels, rng=rng).random_base2(BLOCKS)
    if channels == 1:
        splits = ahead.low + sequence * (ahead.high - ahead.low)
    else:
        shares = special.gammaincinv(CONCENTRATION, np.clip(sequence, 1e-6, 1.0 - 1e-6))
        splits = fill(shares, ahead.low, ahead.high, ahead.budget)
    held = rng.integers(1, LONGEST_HOLD + 1, len(splits))
    return np.repeat(splits, held, axis=0)[:days]


def information(
    calibration: Calibration, point: FloatArray, spends: FloatArray, ahead: Ahead
) -> FloatArray:
    """What the counts of trials tell of a point: Fisher information, (trials, size, size).

    That of the mean counts, whose covariance within a day is that of equation (5): what counts
    tell through their variance is left out.

    Args:
        calibration: What points mean.
        point: Where, (size,).
        spends: (trials, days, channels) [bu/day].
        ahead: When campaigns start.
    """
    step, days = STEP * np.eye(calibration.size), spends.shape[1]
    points = np.concatenate([point[np.newaxis], point + step, point - step])
    values = calibration.values(points[:, np.newaxis])
    mean = expected_metrics(values, spends, ahead.weekdays(days), ahead.starts(days))
    up, down = np.split(mean[1:], 2)
    slope = (up - down) / (2.0 * STEP)  # (size, trials, days, metrics)
    at_point = calibration.values(point)
    root = np.linalg.cholesky(np.linalg.inv(covariance(mean[0], at_point)))
    scaled = np.einsum("itdk,tdkl->tidl", slope, root).reshape(len(spends), len(point), -1)
    told: FloatArray = scaled @ scaled.swapaxes(1, 2)
    return told


def covariance(mean: FloatArray, values: Values) -> FloatArray:
    """Covariance of the counts of days with these means, (..., metrics, metrics): equation (5)."""
    shared = np.expm1(values.shock_sd**2)  # variance of z
    own = mean + mean**2 * (1.0 + shared) / values.dispersion
    together: FloatArray = shared * mean[..., np.newaxis] * mean[..., np.newaxis, :]
    return together + own[..., np.newaxis] * np.eye(mean.shape[-1])


def best_plan(fitted: Fitted, ahead: Ahead, point: FloatArray) -> FloatArray:
    """The best plan found for a point, (days, channels) [bu/day].

    From an even split, and from most on each channel.
    """
    channels = len(fitted.channels)
    shares = np.vstack([np.ones(channels), 1.0 + 4.0 * channels * np.eye(channels)])
    splits = fill(shares, ahead.low, ahead.high, ahead.budget)
    starts = np.repeat(splits[:, np.newaxis], ahead.days, axis=1)
    points = np.repeat(point[np.newaxis], len(starts), axis=0)
    plans = best_plans(fitted, ahead, points, starts, 2 * ITERATIONS)
    best: FloatArray = plans[earned(fitted, ahead, point, plans).argmax()]
    return best


def best_plans(
    fitted: Fitted,
    ahead: Ahead,
    points: FloatArray,
    start: FloatArray,
    iterations: int = ITERATIONS,
) -> FloatArray:
    """The best plan of each point (count, size), from a start (count, days, channels)."""
    each = start[0].size * start.shape[2]
    parts = -(-len(points) * each // AT_A_TIME)
    limits = (np.broadcast_to(limit, start.shape[1:]) for limit in (ahead.low, ahead.high))
    low, high = limits
    plans = []
    for some, first in zip(
        np.array_split(points, parts), np.array_split(start, parts), strict=True
    ):
        of_plans = _Worth(fitted, ahead, some)
        plans.append(ascend(of_plans, first, low, high, ahead.budget, iterations))
    return np.concatenate(plans)


def earned(fitted: Fitted, ahead: Ahead, point: FloatArray, plans: FloatArray) -> FloatArray:
    """Expected engagement of plans (count, days, channels) at a point (size,), (count,) [1]."""
    return _Worth(fitted, ahead, point[np.newaxis])(plans[np.newaxis])[0]


class _Worth:
    """Expected engagement of plans (count, tried, days, channels) at points (count, size)."""

    def __init__(self, fitted: Fitted, ahead: Ahead, points: FloatArray) -> None:
        """As above."""
        self.values = engagement_alone(fitted, points[:, np.newaxis])
        self.ahead = ahead

    def __call__(self, plans: FloatArray) -> FloatArray:
        """(count, tried) [1]."""
        days = plans.shape[-2]
        when = self.ahead.weekdays(days), self.ahead.starts(days)
        total: FloatArray = expected_metrics(self.values, plans, *when)[..., 0].sum(axis=-1)
        return total


def engagement_alone(fitted: Fitted, points: FloatArray) -> Values:
    """The parameters at points (..., size) with engagement as the only metric."""
    values, weights = fitted.calibration.values(points), np.array(fitted.weights)[:, np.newaxis]
    nominal = values.nominal._replace(counts=values.nominal.counts @ weights)
    return values._replace(nominal=nominal, base=values.base @ weights)


def _relevance(
    fitted: Fitted, ahead: Ahead, point: FloatArray, plan: FloatArray
) -> FloatArray:
    """How much the plan hangs on each direction of a point, (size, size).

    Its product with a covariance of points has as trace the variance of what the next unit on a
    channel earns more than on the others, summed over the days of the plan.
    """
    step = STEP * np.eye(len(point))
    points = np.concatenate([point + step, point - step])
    plans = np.repeat(plan[np.newaxis], len(points), axis=0)
    worth = _Worth(fitted, ahead, points)
    _, margin = value_and_gradient(worth, plans, NUDGE * ahead.budget)
    if plan.shape[1] > 1:
        margin = margin - margin.mean(axis=-1, keepdims=True)
    up, down = np.split(margin.reshape(len(points), -1), 2)
    slope = (up - down) / (2.0 * STEP)
    relevance: FloatArray = slope @ slope.T
    return relevance


def _regrets(
    fitted: Fitted,
    ahead: Ahead,
    plan: FloatArray,
    truths: FloatArray,
    precision: FloatArray,
    told: FloatArray,
    rng: np.random.Generator,
) -> tuple[float, FloatArray]:
    """Mean regret of today's plan and of those made after each trial, (trials,) [1].

    All meet the same truths and the same chance. After a trial under a truth, the posterior mean
    is that of a normal prior and an observation of the truth that tells so much.

    Args:
        fitted: The campaign.
        ahead: The campaigns to come.
        plan: Today's, (days, channels) [bu/day].
        truths: (truths, size).
        precision: Of points, before the trial, (size, size).
        told: Information of each trial, (trials, size, size).
        rng: Draws the chance.
    """
    mean, chance = fitted.posterior.draws.mean(axis=0), rng.standard_normal(truths.shape)
    size, values = truths.shape[1], np.linalg.eigh(told)
    root = (values.eigenvectors * np.sqrt(np.maximum(values.eigenvalues, 0.0))[:, np.newaxis]) @ (
        values.eigenvectors.swapaxes(1, 2)
    )
    seen = (truths - mean) @ told + chance @ root  # (trials, truths, size)
    learned = mean + seen @ np.linalg.inv(precision + told)
    points = np.concatenate([truths[np.newaxis], learned]).reshape(-1, size)
    start = np.repeat(plan[np.newaxis], len(points), axis=0)
    found = best_plans(fitted, ahead, points, start).reshape(-1, len(truths), *plan.shape)
    plans = np.concatenate([np.repeat(plan[np.newaxis, np.newaxis], len(truths), axis=1), found])
    value = _Worth(fitted, ahead, truths)(plans.swapaxes(0, 1))  # (truths, today's, best, trials)
    most = value.max(axis=1, keepdims=True)
    regret = ((most - value) / most).mean(axis=0)
    return float(regret[0]), regret[2:]


def _cost(fitted: Fitted, ahead: Ahead, followed: FloatArray, spend: FloatArray) -> Range:
    """What days of spend earn less than the plan that is followed otherwise, as a share of it."""
    values = _Worth(fitted, ahead, fitted.points)(np.stack([followed, spend])[np.newaxis])
    return range_of(1.0 - values[:, 1] / values[:, 0])
