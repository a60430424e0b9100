"""What to try next: days of varied splits that teach what the next plans hang on, and their worth.

Varied days cost engagement and narrow the posterior. By how much is computed for several lengths
and strengths of variation, beside days that just follow the plan: the Fisher information of the
days' counts is added to the precision of the posterior (a normal approximation), and the regret of
the plan that would be made then is simulated under truths drawn from the posterior.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from envs.campaign.calibration import Calibration, Values, expected_metrics
from envs.campaign.limits import fill, nearest
from envs.campaign.params import FloatArray
from envs.campaign.robust_planner import NUDGE, ascend
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
LEAST_TRUTHS, MOST_TRUTHS = 16, 96  # under which plans are made after a trial
MORE_TRUTHS = 5  # times as many for the regret today
EFFORT = 150_000  # numbers of all days of plans tried under as many truths as that allows
LEAST_REGRET = 1e-12
FEW = 100  # draws with which candidates are compared
ITERATIONS = 40
AT_A_TIME = 15_000  # numbers of a day of the plans tried: fits the cache
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
        first: NDArray[np.bool_] = np.arange(days) % self.days == 0
        return first


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


class Today(NamedTuple):
    """What is known today, and what is lost with it.

    Attributes:
        mean: Posterior mean, (size,).
        precision: Inverse of the posterior covariance, (size, size).
        plan: The best for the mean, (days, channels) [bu/day].
        truths: Draws from the posterior, (truths, size).
        most: What the best plan of each truth earns, (truths,) [1].
    """

    mean: FloatArray
    precision: FloatArray
    plan: FloatArray
    truths: FloatArray
    most: FloatArray


def propose(fitted: Fitted, ahead: Ahead, rng: np.random.Generator) -> Trials:
    """The best trial found of each length and strength, with its cost and its worth."""
    today = today_of(fitted, ahead, rng)
    regret = float(regret_of(fitted, ahead, today, today.plan[np.newaxis, np.newaxis])[0])
    days = max(WEEKS) * WEEK
    followed = np.resize(today.plan, (days, today.plan.shape[1]))
    relevance = relevance_of(fitted, ahead, today)
    few = fitted.points[:: -(-len(fitted.points) // FEW)]

    def told_by(spends: FloatArray) -> FloatArray:
        return information(fitted.calibration, today.mean, spends, ahead)

    cells, spends = [], []
    for strength in (0.0, *STRENGTHS):
        candidates = candidates_of(ahead, followed, strength, rng)
        for weeks in WEEKS:
            some = candidates[:, : weeks * WEEK]
            cost = np.median(costs_of(fitted, ahead, few, followed, some), axis=0)
            guess = regret * share_left(today, relevance, told_by(some))
            cells.append((weeks, strength))
            spends.append(some[loss_of(weeks, cost, regret, guess).argmin()])
    told = np.concatenate([told_by(spend[np.newaxis]) for spend in spends])
    after = regret * regret_left(fitted, ahead, today, relevance, told, rng)
    trials = []
    for (weeks, strength), spend, later in zip(cells, spends, after.tolist(), strict=True):
        draws = costs_of(fitted, ahead, fitted.points, followed, spend[np.newaxis])[:, 0]
        band = range_of(draws)
        loss = float(loss_of(weeks, band.middle, regret, later))
        trials.append(Trial(weeks, strength, spend, band, later, loss))
    return Trials(ahead, regret, tuple(trials))


def today_of(fitted: Fitted, ahead: Ahead, rng: np.random.Generator) -> Today:
    """What the posterior says, and some truths that it leaves possible."""
    draws = fitted.posterior.draws
    mean: FloatArray = draws.mean(axis=0)
    precision = np.linalg.inv(np.cov(draws, rowvar=False).astype(np.float64))
    plan = best_plan(fitted, ahead, mean)
    count = min(MORE_TRUTHS * later_truths(plan), len(draws))
    truths = draws[rng.choice(len(draws), count, replace=False)]
    best = best_plans(fitted, ahead, truths, np.repeat(plan[np.newaxis], len(truths), axis=0))
    most = worth(fitted, ahead, truths)(best[:, np.newaxis])[:, 0]
    return Today(mean, precision, plan, truths, most)


def later_truths(plan: FloatArray) -> int:
    """Under how many truths plans like one (days, channels) are made after a trial."""
    effort = (1 + plan.size) * plan.size
    return int(np.clip(EFFORT // effort, LEAST_TRUTHS, MOST_TRUTHS))


def loss_of(weeks: int, cost: FloatArray, before: float, after: FloatArray) -> FloatArray:
    """What is lost against the best over the horizon, as a share of it, (...,) [1].

    Args:
        weeks: Length of the trial.
        cost: What it earns less than the plan of today, as a share of that, (...,) [1].
        before: What that plan earns less than the best, as a share of that [1].
        after: What the plan made after the trial does, (...,) [1].
    """
    of_trial = before + (1.0 - before) * cost
    loss: FloatArray = (weeks * of_trial + (HORIZON - weeks) * after) / HORIZON
    return loss


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
        shares = -np.log1p(-sequence)  # exponential numbers: uniform among splits
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
    best: FloatArray = plans[worth(fitted, ahead, points)(plans[:, np.newaxis]).argmax()]
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
    low, high = (np.broadcast_to(limit, start.shape[1:]) for limit in (ahead.low, ahead.high))
    chunks = zip(np.array_split(points, parts), np.array_split(start, parts), strict=True)
    plans = [
        ascend(
            partial(value_and_gradient, worth(fitted, ahead, some), ahead.budget),
            *(first, low, high, ahead.budget, iterations),
        )
        for some, first in chunks
    ]
    return np.concatenate(plans)


def value_and_gradient(
    earned: Callable[[FloatArray], FloatArray], budget: float, plans: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What plans (campaigns, days, channels) earn, (campaigns,) [1], and its gradient [1/bu].

    Forward differences, as in the robust planner.

    Args:
        earned: What plans (campaigns, tried, days, channels) earn, (campaigns, tried) [1].
        budget: Most that can be spent in a day [bu/day].
        plans: [bu/day].
    """
    size, step = plans[0].size, NUDGE * budget
    nudges = step * np.eye(1 + size, size, -1)  # the first row is the plan itself
    value = earned(plans[:, np.newaxis] + nudges.reshape(-1, *plans.shape[1:]))
    return value[:, 0], ((value[:, 1:] - value[:, :1]) / step).reshape(plans.shape)


def worth(fitted: Fitted, ahead: Ahead, points: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Plans (count, tried, days, channels) to what they earn at points (count, size).

    That is expected engagement, (count, tried) [1].
    """
    values = engagement_alone(fitted, points[:, np.newaxis])

    def earned(plans: FloatArray) -> FloatArray:
        days = plans.shape[-2]
        metrics = expected_metrics(values, plans, ahead.weekdays(days), ahead.starts(days))
        total: FloatArray = metrics[..., 0].sum(axis=-1)
        return total

    return earned


def engagement_alone(fitted: Fitted, points: FloatArray) -> Values:
    """The parameters at points (..., size) with engagement as the only metric."""
    values, weights = fitted.calibration.values(points), np.array(fitted.weights)[:, np.newaxis]
    nominal = values.nominal._replace(counts=values.nominal.counts @ weights)
    return values._replace(nominal=nominal, base=values.base @ weights)


def relevance_of(fitted: Fitted, ahead: Ahead, today: Today) -> FloatArray:
    """How much the plan hangs on each direction of a point, (size, size).

    Its product with a covariance of points has as trace the variance of what the next unit on a
    channel earns more than on the others, summed over the days of the plan.
    """
    step = STEP * np.eye(len(today.mean))
    points = np.concatenate([today.mean + step, today.mean - step])
    plans = np.repeat(today.plan[np.newaxis], len(points), axis=0)
    _, margin = value_and_gradient(worth(fitted, ahead, points), ahead.budget, plans)
    if margin.shape[-1] > 1:
        margin = margin - margin.mean(axis=-1, keepdims=True)
    up, down = np.split(margin.reshape(len(points), -1), 2)
    slope = (up - down) / (2.0 * STEP)
    relevance: FloatArray = slope @ slope.T
    return relevance


def share_left(today: Today, relevance: FloatArray, told: FloatArray) -> FloatArray:
    """Which share of the variance that matters is left after trials, (trials,) [1].

    Regret shrinks about as much.
    """
    before = np.trace(relevance @ np.linalg.inv(today.precision))
    after = np.trace(relevance @ np.linalg.inv(today.precision + told), axis1=1, axis2=2)
    left: FloatArray = after / before
    return left


def regret_left(
    fitted: Fitted,
    ahead: Ahead,
    today: Today,
    relevance: FloatArray,
    told: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Which share of today's regret is left after trials, (trials,) [1].

    All trials meet the same truths, fewer than those of today's regret, and the same chance, each
    time with its opposite. Where by the variance that matters these truths tell more or less of
    the trials than all would, so much is made up for (a control variate).

    Args:
        fitted: The campaign.
        ahead: The campaigns to come.
        today: What is known before.
        relevance: As ``relevance_of`` gives it.
        told: Information of each trial, (trials, size, size).
        rng: Draws the chance.
    """
    count = later_truths(today.plan)
    today = today._replace(truths=today.truths[:count], most=today.most[:count])
    chance = rng.standard_normal(today.truths.shape)
    learned = [learned_means(today, each, n) for each in told for n in (chance, -chance)]
    means = np.stack([np.broadcast_to(today.mean, chance.shape), *learned], axis=1)
    points = means.reshape(-1, means.shape[-1])
    start = np.repeat(today.plan[np.newaxis], len(points), axis=0)
    plans = best_plans(fitted, ahead, points, start).reshape(*means.shape[:2], *today.plan.shape)
    regret = regret_of(fitted, ahead, today, plans)
    gap = today.truths[:, np.newaxis] - means
    variance = np.einsum("tki,ij,tkj->k", gap, relevance, gap)
    simulated, approximate = (
        every[1:].reshape(-1, 2).mean(axis=1) / max(every[0], LEAST_REGRET)
        for every in (regret, variance)
    )
    left: FloatArray = simulated * share_left(today, relevance, told) / approximate
    return left


def learned_means(today: Today, told: FloatArray, chance: FloatArray) -> FloatArray:
    """The posterior means (truths, size) after a trial, if what is known then is normal.

    That is today's posterior, and an observation of each truth that tells so much (size, size),
    with the chance of a standard normal (truths, size).
    """
    values, vectors = np.linalg.eigh(told)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    seen = (today.truths - today.mean) @ told + chance @ root
    learned: FloatArray = today.mean + np.linalg.solve(today.precision + told, seen.T).T
    return learned


def regret_of(fitted: Fitted, ahead: Ahead, today: Today, plans: FloatArray) -> FloatArray:
    """Mean regret of plans (truths or 1, plans, days, channels) under the truths, (plans,) [1].

    What they earn less than the best, as a share of the best.
    """
    value = worth(fitted, ahead, today.truths)(plans) / today.most[:, np.newaxis]
    regret: FloatArray = np.maximum(1.0 - value, 0.0).mean(axis=0)
    return regret


def costs_of(
    fitted: Fitted, ahead: Ahead, points: FloatArray, followed: FloatArray, spends: FloatArray
) -> FloatArray:
    """What trials earn less than the plan, as a share of what that earns, (points, trials) [1].

    Args:
        fitted: The campaign.
        ahead: The campaigns to come.
        points: (points, size).
        followed: The plan, for as many days or more, (days, channels) [bu/day].
        spends: (trials, days, channels) [bu/day].
    """
    both = np.concatenate([followed[np.newaxis, : spends.shape[1]], spends])
    earned = worth(fitted, ahead, points)(both[np.newaxis])
    costs: FloatArray = 1.0 - earned[:, 1:] / earned[:, :1]
    return costs
