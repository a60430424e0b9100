"""The best plan found for the mean model, with a check that says how far it can be trusted.

SLSQP climbs from many starts, each after a local search over whole days, which leads to where no
gradient does. Gradients are exact: the complex-step derivatives of each day alone, and the chain
rule through the days, so that the formulas stand in the model alone.
"""

import threading
import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize
from threadpoolctl import threadpool_limits

from envs.campaign import model
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray

STARTS, MORE_STARTS, MOST_STARTS = 10, 3, 13
FOUND_BY = 2
AGREEING = 0.4  # share of the starts that have to reach the best plan for no more to be drawn
PROMISING = 3
ROUNDS = 5
ITERATIONS = 100
HOPS = 50
PULSES = 0.3  # share of days that keep all their ads in starts that are drawn
TOLERANCE = 1e-6
ROUGH, GAIN = 1e-5, 1e-7  # what a leap has to gain at first and later, as a share of engagement
STALLED = 1e-9  # a round of leap and climb that gains no more is the last
COARSE, FINE = 1e-8, 1e-13  # a climb ends where a step gains less, as a share of engagement
TINY = 1e-30  # far below rounding: nothing is subtracted, so there is nothing to cancel

_ONE_SOLVE = threading.Lock()  # the number of BLAS threads belongs to the whole process


class OptimalityCheck(NamedTuple):
    """How far a plan can be trusted: what was checked of it, and how often it was reached.

    A stationary plan that several starts reach is a local optimum, and likely the best one. That
    there is none better, this does not prove.

    Attributes:
        residual: KKT residual: the most that a first-order move within limits and budget still
            promises, as a share of the plan's engagement [1]. It is 0 where the first-order
            conditions of optimality hold.
        spread: How far the worst start ended below the best, as a share of the best [1]. Where it
            is large, there are other local optima.
        found_by: How many starts ended within the tolerance of the best.
        starts: How many there were.
        tolerance: What residual and agreement are held to, as a share of engagement [1].
    """

    residual: float
    spread: float
    found_by: int
    starts: int
    tolerance: float = TOLERANCE

    @property
    def is_supported(self) -> bool:
        """Whether the plan is stationary and was reached more than once."""
        return self.residual <= self.tolerance and self.found_by >= FOUND_BY


class Plan(NamedTuple):
    """A spend for each day and channel.

    Attributes:
        spend: (days, 3 channels) [bu/day].
        engagement: What the mean model earns with it [1].
        check: How far it can be trusted.
    """

    spend: FloatArray
    engagement: float
    check: OptimalityCheck


class PlanWarning(RuntimeWarning):
    """The best plan found is not stationary, or only one start reached it."""


@cache
def plan(params: CampaignParams, seed: int = 0) -> Plan:
    """The best plan found, solved once per parameters and process; its arrays are read-only.

    Warns with a ``PlanWarning`` where its check does not support it.

    Args:
        params: The campaign.
        seed: Random seed of the starts that are drawn.
    """
    with _ONE_SOLVE, threadpool_limits(1, user_api="blas"):
        best = _search(_Program(params), np.random.default_rng(seed))
    if not best.check.is_supported:
        residual, _, found_by, starts, tolerance = best.check
        warnings.warn(
            f"best plan found: engagement {best.engagement:,.1f}, stationary to {residual:.1e} (at "
            f"most {tolerance:.0e}), reached from {found_by} of {starts} starts (at least "
            f"{FOUND_BY}): there may be a better one",
            PlanWarning,
            stacklevel=2,
        )
    return best


def expected_engagement(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """What the mean model earns with plans (..., days, 3 channels) [bu/day], (...,) [1]."""
    metrics, _ = model.rollout(params, spend)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    return total


def engagement_and_gradient(
    params: CampaignParams, spend: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What plans earn in the mean model, and the derivative by each spend.

    Where a day of rewards just reaches the reference budget, the derivative is that of one unit
    less: beyond it, loyalty gains nothing more.

    Args:
        params: The campaign.
        spend: Plans, (..., days, 3 channels) [bu/day].

    Returns:
        Engagement, (...,) [1], and its exact gradient, (..., days, 3 channels) [1/bu].
    """
    total, gradient = _derivatives(params, spend, None)
    return total, gradient[..., :3]


def limits_of(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Least and most of each day and channel, (days, 3) [bu/day]; 0 and all without limits."""
    shape = (params.days, len(CHANNELS))
    return params.limits or (np.zeros(shape), np.full(shape, params.daily_budget))


def _derivatives(
    params: CampaignParams, spend: FloatArray, reward_levels: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Engagement (...,) [1] and its gradient by spend and any reward levels (..., days, 3 or 4).

    Each number that a day starts from is nudged alone, all days at once; the chain rule goes back
    through the days.
    """
    metrics, states = model.rollout(params, spend, reward_levels=reward_levels)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    day, *before = map(np.stack, zip(*states[:-1], strict=True))  # each (days, ...)
    chosen = [np.moveaxis(spend, -2, 0)]
    if reward_levels is not None:
        chosen.append(np.moveaxis(reward_levels, -1, 0)[..., np.newaxis])
    adstock, effectiveness, loyalty = before
    given = [*chosen, adstock, effectiveness[..., np.newaxis], loyalty[..., np.newaxis]]
    numbers = np.concatenate(given, axis=-1)  # (days, ..., 8 or 9)
    size = numbers.shape[-1]
    nudge = (-1j * TINY) * np.eye(size).reshape(size, *(1,) * spend.ndim, size)[:, 0]
    nudged: Any = numbers + nudge  # complex: the model takes any number
    state = model.State(day, nudged[..., -5:-2], nudged[..., -2], nudged[..., -1])
    level = None if reward_levels is None else nudged[..., 3]
    earned, after = model.transition(params, state, nudged[..., :3], reward_level=level)
    now = model.engagement(params, earned).imag / -TINY  # (8 or 9, days, ...)
    later = [*np.moveaxis(after.adstock, -1, 0), after.effectiveness, after.loyalty]
    slopes = np.stack(later).imag / -TINY  # (5 leading to, 8 or 9 from, days, ...)
    worth = np.zeros((size, *total.shape))
    gradient = np.empty((len(day), *total.shape, size - 5))
    for past in range(len(day) - 1, -1, -1):
        worth = now[:, past] + (slopes[:, :, past] * worth[-5:, np.newaxis]).sum(axis=0)
        gradient[past] = np.moveaxis(worth[:-5], 0, -1)
    return total, np.moveaxis(gradient, 0, -2)


@dataclass(frozen=True)
class _Program:
    """The campaign as a smooth nonlinear program, in coordinates in which solvers do well.

    A spend is solved for as effort, its logarithm beyond where the channel bends. Where a full
    reward day is within reach, loyalty has a kink there: the reward level m of each day is then a
    coordinate of its own, m <= 1 and m <= rewards' effect / B0. That is smooth, and exact on days
    on which loyalty is worth gaining; on others, where more of it today leaves less tomorrow, m is
    what rewards make it. A point is the efforts (days x 3) and then the levels (days,), if any.
    """

    params: CampaignParams

    @cached_property
    def has_kink(self) -> bool:
        """Whether some day can have a full day of rewards, or more."""
        matters = self.params.loyalty_gain > 0 and self.params.loyalty_lift > 0
        return matters and _full_reward(self.params) <= self.params.daily_budget

    @cached_property
    def curve(self) -> FloatArray:
        """1 / the spend where each channel bends, (3 channels,) [1/bu]; nearly 0 for a line."""
        bends = [0.0, self.params.fatigue, float(self.has_kink)]
        curve = np.array(bends) / self.params.reference_budget
        least = 1e-6 / self.params.daily_budget
        return np.maximum(np.maximum(self.params.nominal.inv_half_saturation, curve), least)

    @cached_property
    def length(self) -> FloatArray:
        """Logarithm of the whole budget, by which efforts are divided, (3 channels,) [1]."""
        return np.log1p(self.curve * self.params.daily_budget)

    @cached_property
    def bounds(self) -> FloatArray:
        """Least and most of each coordinate, (coordinates, 2) [1]."""
        efforts = [self._effort(limit).ravel() for limit in limits_of(self.params)]
        levels = np.tile([0.0, 1.0], (self.params.days if self.has_kink else 0, 1))
        return np.concatenate([np.stack(efforts, axis=1), levels])

    @cached_property
    def kept(self) -> FloatArray:
        """How much of each day's rewards (columns) works on each day (rows), (days, days) [1]."""
        days = self.params.days
        pulses = np.eye(days)[..., np.newaxis] * np.eye(len(CHANNELS))[2]
        _, states = model.rollout(self.params, pulses)
        return np.stack([state.adstock[:, 2] for state in states[1:]])

    def point(self, spend: FloatArray) -> FloatArray:
        """The coordinates of a plan (days, 3) [bu/day]."""
        effort = self._effort(spend).ravel()
        if not self.has_kink:
            return effort
        return np.concatenate([effort, np.minimum(self._levels(spend)[0], 1.0)])

    def spend(self, point: FloatArray) -> FloatArray:
        """The plan (days, 3) [bu/day] at a point."""
        effort = point[: 3 * self.params.days].reshape(-1, 3)
        spend: FloatArray = np.expm1(self.length * effort) / self.curve
        return spend

    def gains(self, spend: FloatArray) -> NDArray[np.bool_]:
        """On which days of a plan (days, 3) [bu/day] loyalty is worth gaining, (days,)."""
        if not self.has_kink:
            return np.zeros(self.params.days, dtype=bool)
        levels = np.minimum(self._levels(spend)[0], 1.0)
        gains: NDArray[np.bool_] = _derivatives(self.params, spend, levels)[1][:, 3] >= 0.0
        return gains

    def engagement(self, point: FloatArray, free: NDArray[np.bool_]) -> tuple[float, FloatArray]:
        """What the plan at a point earns [1], and its gradient (coordinates,) [1].

        Args:
            point: Efforts and levels, (coordinates,) [1].
            free: Days on which the level is a coordinate of its own, (days,).
        """
        spend = self.spend(point)
        if not self.has_kink:
            total, gradient = _derivatives(self.params, spend, None)
            return float(total), (gradient * self._slope(spend)).ravel()
        reached, slopes = self._levels(spend)
        levels = np.where(free, point[spend.size :], np.minimum(reached, 1.0))
        total, gradient = _derivatives(self.params, spend, levels)
        by_level = gradient[:, 3]
        gradient[:, 2] += np.where(free | (reached >= 1.0), 0.0, by_level) @ slopes
        by_effort = (gradient[:, :3] * self._slope(spend)).ravel()
        return float(total), np.concatenate([by_effort, np.where(free, by_level, 0.0)])

    def slack(self, point: FloatArray) -> FloatArray:
        """What each day leaves of its budget, and rewards above its level, (constraints,) [1]."""
        spend = self.spend(point)
        money = 1.0 - spend.sum(axis=1) / self.params.daily_budget
        levels = self._levels(spend)[0] - point[spend.size :] if self.has_kink else money[:0]
        return np.concatenate([money, levels])

    def slack_slopes(self, point: FloatArray) -> FloatArray:
        """Derivatives of the slack, (constraints, coordinates) [1]."""
        spend, days = self.spend(point), self.params.days
        slope, each_day = self._slope(spend), np.eye(days)
        money = -np.kron(each_day, np.ones(3)) * slope.ravel() / self.params.daily_budget
        if not self.has_kink:
            return money
        by_effort = np.kron(self._levels(spend)[1] * slope[:, 2], [0.0, 0.0, 1.0])
        return np.block([[money, np.zeros((days, days))], [by_effort, -each_day]])

    def _effort(self, spend: FloatArray) -> FloatArray:
        effort: FloatArray = np.log1p(self.curve * spend) / self.length
        return effort

    def _slope(self, spend: FloatArray) -> FloatArray:
        return self.length * (1.0 / self.curve + spend)

    def _levels(self, spend: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rewards' effect as a share of a full day, (days,), and its slopes (days, days) [1/bu]."""
        carried: Any = np.zeros(spend.shape, dtype=complex)
        carried[:, 2] = self.kept @ spend[:, 2] + 1j * TINY
        effect = model.saturate(self.params.nominal, carried)[:, 2]
        level = effect / self.params.reference_budget
        return level.real, (level.imag / TINY)[:, np.newaxis] * self.kept


def _search(program: _Program, rng: np.random.Generator) -> Plan:
    """The best plan that many starts lead to; more are drawn where few of them reached it."""
    params = program.params
    starts = [*_simple_starts(params), *_drawn_starts(params, rng, STARTS)][:STARTS]
    ends: list[FloatArray] = []
    while True:
        ends += [_climb(program, _leap(params, start, ROUGH), COARSE) for start in starts]
        _improve(program, ends)
        best = _best(program, np.stack(ends))
        agreed = max(FOUND_BY, AGREEING * len(ends))
        if best.check.found_by >= agreed or len(ends) >= MOST_STARTS:
            return best
        starts = _drawn_starts(params, rng, MORE_STARTS)


def _improve(program: _Program, ends: list[FloatArray]) -> None:
    """Leaps and climbs on, in their place, from the best end and the most promising below it."""
    earned = expected_engagement(program.params, np.stack(ends))
    most = 0.0
    for place in np.argsort(-earned)[:PROMISING]:
        if earned[place] >= most * (1.0 - TOLERANCE) and most > 0.0:
            continue
        for _ in range(ROUNDS):
            ends[place] = _climb(program, _leap(program.params, ends[place], GAIN), FINE)
            before, earned[place] = earned[place], expected_engagement(program.params, ends[place])
            if earned[place] <= before * (1.0 + STALLED):
                break
        most = max(most, earned[place])


def _climb(program: _Program, start: FloatArray, precision: float) -> FloatArray:
    """Where SLSQP ends, or the start if that earns more; plans (days, 3) [bu/day].

    It ends where a step gains less than the share ``precision`` of engagement [1].
    """
    params = program.params
    earned = float(expected_engagement(params, start))
    scale, free = max(earned, 1e-300), program.gains(start)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        total, gradient = program.engagement(point, free)
        return -total / scale, -gradient / scale

    result = minimize(
        loss,
        program.point(start),
        jac=True,
        method="SLSQP",
        bounds=program.bounds,
        constraints={"type": "ineq", "fun": program.slack, "jac": program.slack_slopes},
        options={"ftol": precision, "maxiter": ITERATIONS},
    )
    end = _within(params, program.spend(result.x))
    return end if expected_engagement(params, end) >= earned else start


def _within(params: CampaignParams, spend: FloatArray) -> FloatArray:
    return nearest(spend, *limits_of(params), params.daily_budget)


def _best(program: _Program, ends: FloatArray) -> Plan:
    """The best of some plans (ends, days, 3) [bu/day], with its check."""
    earned = expected_engagement(program.params, ends)
    spend, most = ends[earned.argmax()].copy(), float(earned.max())
    spend.flags.writeable = False
    scale = max(most, 1e-300)
    check = OptimalityCheck(
        residual=_residual(program, spend) / scale,
        spread=(most - float(earned.min())) / scale,
        found_by=int((earned >= most - TOLERANCE * scale).sum()),
        starts=len(ends),
    )
    return Plan(spend, most, check)


def _residual(program: _Program, spend: FloatArray) -> float:
    """The most that a first-order move still promises [1]; 0 where the KKT conditions hold.

    It is the gap of Frank and Wolfe 1956, a linear program over the linearised constraints.
    """
    point = program.point(spend)
    total, gradient = program.engagement(point, program.gains(spend))
    scale = max(total, 1e-300)
    move = linprog(
        -gradient / scale,
        A_ub=-program.slack_slopes(point),
        b_ub=np.maximum(program.slack(point), 0.0),
        bounds=program.bounds - point[:, np.newaxis],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return max(-move.fun, 0.0) * scale if move.success else np.inf


def _leap(params: CampaignParams, spend: FloatArray, gain: float) -> FloatArray:
    """A better plan, reached by changes that no gradient leads to, or the plan itself.

    Ads may be so worn out, say, that only far fewer of them would work again, or pay on another day
    than theirs.
    """
    earned = expected_engagement(params, spend)
    for _ in range(HOPS):
        moves = (_respent(params, spend), _moved(params, spend), _levelled(params, spend))
        plans = np.concatenate(moves)
        leapt = expected_engagement(params, plans)
        if leapt.max() <= earned * (1.0 + gain):
            break
        spend, earned = plans[leapt.argmax()], leapt.max()
    return spend


def _respent(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (days, days, 3) [bu/day] in which the one, two, three ... days that gain most change.

    On such a day one channel gets nothing, all, any order of magnitude or a full day of rewards.
    """
    budget, days = params.daily_budget, np.arange(len(spend))
    levels = np.append(budget * 10.0 ** -np.arange(7), [0.0, min(_full_reward(params), budget)])
    channel = np.eye(len(CHANNELS))[:, np.newaxis, np.newaxis, :]  # (3 leaping, 1, 1, 3 channels)
    level = levels[:, np.newaxis, np.newaxis]  # (levels, 1, 1)
    others = (1.0 - channel) * spend  # (3, 1, days, 3)
    share = others / np.maximum(others.sum(axis=-1, keepdims=True), 1e-300)
    rest = (budget - level) * share  # (3, levels, days, 3)
    leaps = nearest(channel * level + rest, *limits_of(params), budget).reshape(-1, *spend.shape)
    plans = np.broadcast_to(spend, (len(spend), *leaps.shape)).copy()  # (days, leaps, days, 3)
    plans[days, :, days] = leaps.swapaxes(0, 1)
    earned = expected_engagement(params, plans)  # (days, leaps)
    rank = np.argsort(np.argsort(-earned.max(axis=1)))
    changes = (rank <= days[:, np.newaxis])[..., np.newaxis]
    return np.where(changes, leaps[earned.argmax(axis=1), days], spend)


def _moved(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (days x days, days, 3) [bu/day] in which one day comes earlier or later."""
    days = np.arange(len(spend))
    day, to = (number.reshape(-1, 1) for number in np.meshgrid(days, days))
    order = np.where(days == day, to + 0.5 * np.sign(to - day), days).argsort(axis=1)
    return spend[order] if params.limits is None else _within(params, spend[order])


def _levelled(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (..., days, 3) [bu/day] in which up to three days spend as the day beside them does.

    It takes away a day of many ads together with the days that spare them for it.
    """
    days = np.arange(len(spend))
    orders = [
        np.where((days >= start) & (days < start + length), source, days)
        for length in (1, 2, 3)
        for start in days
        for source in (start - 1, start + length)
        if 0 <= source < len(days)
    ]
    plans = spend[np.array(orders, dtype=int).reshape(-1, len(days))]
    return plans if params.limits is None else _within(params, plans)


def _full_reward(params: CampaignParams) -> float:
    """Rewards of a full reward day, if none are carried over [bu/day]; infinite where none are."""
    left = 1.0 / params.reference_budget - params.inv_half_saturation[2]
    return 1.0 / left if left > 0 else np.inf


def _simple_starts(params: CampaignParams) -> list[FloatArray]:
    """An even split, each channel alone, and rewards first and another channel last."""
    limits = (*limits_of(params), params.daily_budget)
    corners = 1e-9 + np.eye(len(CHANNELS))
    early = np.linspace(1.0, 0.0, params.days)[:, np.newaxis]
    shares = [
        np.ones(3),
        *corners,
        *(early * corners[2] + (1 - early) * corner for corner in corners[:2]),
    ]
    return [fill(np.broadcast_to(share, (params.days, len(CHANNELS))), *limits) for share in shares]


def _drawn_starts(params: CampaignParams, rng: np.random.Generator, count: int) -> list[FloatArray]:
    """Random splits of each day's budget, with so few ads that the audience stands them.

    Beyond that point ads are as good as dead and less of them makes no difference: no climb comes
    back from there. Some days keep all their ads: it can pay to wear them out at once and to wait
    until they have recovered.
    """
    limits = (*limits_of(params), params.daily_budget)
    shares = rng.dirichlet(np.full(len(CHANNELS), 0.7), (count, params.days)) + 1e-9
    wear = max(params.fatigue * params.daily_budget / params.reference_budget, 1.0)
    starts = np.stack([fill(share, *limits) for share in shares])
    spared = rng.random((count, params.days)) < PULSES
    starts[..., 1] *= np.where(spared, 1.0, wear ** -rng.uniform(0.5, 1.5, (count, 1)))
    return [nearest(start, *limits) for start in starts]
