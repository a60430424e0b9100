"""The best plan found for the mean model, with a check that says how far it can be trusted.

SLSQP climbs from many starts, each after a local search over whole days, which leads to where no
gradient does. Gradients are exact: the complex-step derivatives of each day alone, and the chain
rule through the days, so that the formulas stand in the model alone.
"""

import math
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
from envs.campaign.params import CampaignParams, FloatArray

STARTS, MORE_STARTS, MOST_STARTS = 10, 3, 13
FOUND_BY = 2
AGREEING = 0.4  # share of the starts that have to reach the best plan for no more to be drawn
ROUNDS = 5
ITERATIONS = 100
HOPS = 50
SIMPLE = 6  # of the simple starts, those that earn most
LARGE = 120  # coordinates
FAR_LESS = 0.5  # share of what another spend of the day earns at least
PULSES = 0.3  # share of days on which a channel that tires keeps its spend in drawn starts
TOLERANCE = 1e-6
GAIN = 1e-7  # what a leap from the end of a climb has to gain, as a share of engagement
STALLED = 1e-9  # a round of leap and climb that gains no more is the last
COARSE, FINE = 1e-8, 1e-13  # a climb ends where a step gains less, as a share of engagement
TINY = 1e-30  # far below rounding: nothing is subtracted, so there is nothing to cancel

_ONE_SOLVE = threading.Lock()  # the number of BLAS threads belongs to the whole process


class _Effort(NamedTuple):
    """How much of a search is done: shares of engagement or of the starts [1], and numbers.

    Attributes:
        gain: What a leap from a start has to gain.
        climbed: Share of the starts to climb from: those that earn most after a leap.
        improved: How many of the ends are improved.
        hopeless: How far below the best an end is not improved.
    """

    gain: float
    climbed: float
    improved: int
    hopeless: float


_THOROUGH = _Effort(gain=1e-5, climbed=1.0, improved=3, hopeless=1.0)
_FRUGAL = _Effort(gain=1e-4, climbed=0.3, improved=2, hopeless=0.01)


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
        spend: (days, channels) [bu/day].
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
    """What the mean model earns with plans (..., days, channels) [bu/day], (...,) [1]."""
    metrics, _ = model.rollout(params, spend)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    return total


def engagement_and_gradient(
    params: CampaignParams, spend: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What plans earn in the mean model, and the derivative by each spend.

    Where a channel just reaches the day from which loyalty gains nothing more, the derivative is
    that of one unit less.

    Args:
        params: The campaign.
        spend: Plans, (..., days, channels) [bu/day].

    Returns:
        Engagement, (...,) [1], and its exact gradient, (..., days, channels) [1/bu].
    """
    return _derivatives(params, spend, None)


def limits_of(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Least and most of each day and channel, (days, channels) [bu/day]; 0 and all if unlimited."""
    shape = (params.days, len(params.channels))
    return params.limits or (np.zeros(shape), np.full(shape, params.daily_budget))


def _derivatives(
    params: CampaignParams, spend: FloatArray, levels: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Engagement (...,) [1] and its gradient by the spends, and by any loyalty levels after them.

    Each number that a day starts from is nudged alone, all days at once; the chain rule goes back
    through the days.

    Args:
        params: The campaign.
        spend: Plans, (..., days, channels) [bu/day].
        levels: Loyalty levels, (..., days, channels that build loyalty) [1], where they are chosen.

    Returns:
        Engagement and gradient, (..., days, channels, and the levels if any).
    """
    built = None if levels is None else _every_channel(params, levels)
    metrics, states = model.rollout(params, spend, loyalty_levels=built)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    day, adstock, effectiveness, loyalty = map(np.stack, zip(*states[:-1], strict=True))
    chosen = spend if levels is None else np.concatenate([spend, levels], axis=-1)
    given = [np.moveaxis(chosen, -2, 0), adstock, effectiveness, loyalty[..., np.newaxis]]
    numbers = np.concatenate(given, axis=-1)  # (days, ..., numbers)
    size, channels, choices = numbers.shape[-1], len(params.channels), chosen.shape[-1]
    matters = np.concatenate([np.ones(choices, dtype=bool), _lasting(params)])
    nudge = (-1j * TINY) * np.eye(size)[matters].reshape(-1, *(1,) * (spend.ndim - 1), size)
    nudged: Any = numbers + nudge  # complex: the model takes any number
    ends = np.cumsum([choices, channels, channels])
    choice, worked, left, fans = np.split(nudged, ends, axis=-1)
    if levels is not None:
        built = _every_channel(params, choice[..., channels:])
    state = model.State(day, worked, left, fans[..., 0])
    earned, after = model.transition(params, state, choice[..., :channels], loyalty_levels=built)
    now = model.engagement(params, earned).imag / -TINY  # (numbers, days, ...)
    later = [*np.moveaxis(after.adstock, -1, 0), *np.moveaxis(after.effectiveness, -1, 0)]
    after_it = np.stack([*later, after.loyalty])[matters[choices:]]
    slopes = after_it.imag / -TINY  # (leading to, numbers, days, ...)
    worth = np.zeros((len(now), *total.shape))
    gradient = np.empty((len(day), *total.shape, choices))
    for past in range(len(day) - 1, -1, -1):
        carried = slopes[:, :, past] * worth[choices:, np.newaxis]
        worth = now[:, past] + carried.sum(axis=0)
        gradient[past] = np.moveaxis(worth[:choices], 0, -1)
    return total, np.moveaxis(gradient, 0, -2)


def _lasting(params: CampaignParams) -> NDArray[np.bool_]:
    """Which adstocks, effectivenesses and loyalty a day can change for the next, (numbers,)."""
    latent = params.nominal
    can_build = bool(any(params.loyalty_gain))
    return np.concatenate([latent.carry_over > 0, latent.fatigue_rate > 0, [can_build]])


def _building(params: CampaignParams) -> NDArray[np.intp]:
    """The channels that build loyalty."""
    return np.flatnonzero(params.gain_array)


def _every_channel(params: CampaignParams, levels: NDArray[Any]) -> NDArray[Any]:
    """Loyalty levels of all channels, (..., channels) [1], from those that build loyalty."""
    every = np.zeros((*levels.shape[:-1], len(params.channels)), dtype=levels.dtype)
    every[..., _building(params)] = levels
    return every


@dataclass(frozen=True)
class _Program:
    """The campaign as a smooth nonlinear program, in coordinates in which solvers do well.

    A spend is solved for as effort, its logarithm beyond where the channel bends. Where a full day
    of a channel that builds loyalty is within reach, loyalty has a kink there: the levels m of
    these channels on each day are then coordinates of their own, m <= 1 and m <= effect / B0. That
    is smooth, and exact on days on which loyalty is worth gaining; on others, where more of it
    today leaves less tomorrow, m is what the spend makes it. A point is the efforts (days x
    channels) and then the levels (days x building channels), if any.
    """

    params: CampaignParams

    @cached_property
    def building(self) -> NDArray[np.intp]:
        """The channels whose loyalty levels are coordinates, (building,)."""
        matters = bool(any(self.params.loyalty_lift))
        is_near = bool((_full_days(self.params) <= self.params.daily_budget).any())
        return _building(self.params) if matters and is_near else np.zeros(0, dtype=np.intp)

    @cached_property
    def has_kink(self) -> bool:
        """Whether some day can have a full day of a channel that builds loyalty, or more."""
        return self.building.size > 0

    @cached_property
    def is_large(self) -> bool:
        """Whether a climb takes so long that it matters how many there are, and of what."""
        return len(self.bounds) > LARGE

    @property
    def effort(self) -> _Effort:
        """How thoroughly the program is searched."""
        return _FRUGAL if self.is_large else _THOROUGH

    @cached_property
    def curve(self) -> FloatArray:
        """1 / the spend where each channel bends, (channels,) [1/bu]; nearly 0 for a line."""
        nominal, kinks = self.params.nominal, np.zeros(len(self.params.channels))
        kinks[self.building] = 1.0 / self.params.reference_budget
        bends = np.maximum(np.maximum(nominal.fatigue_rate, kinks), nominal.inv_half_saturation)
        return np.maximum(bends, 1e-6 / self.params.daily_budget)

    @cached_property
    def length(self) -> FloatArray:
        """Logarithm of the whole budget, by which efforts are divided, (channels,) [1]."""
        return np.log1p(self.curve * self.params.daily_budget)

    @cached_property
    def bounds(self) -> FloatArray:
        """Least and most of each coordinate, (coordinates, 2) [1]."""
        efforts = [self._effort(limit).ravel() for limit in limits_of(self.params)]
        levels = np.tile([0.0, 1.0], (self.params.days * self.building.size, 1))
        return np.concatenate([np.stack(efforts, axis=1), levels])

    @cached_property
    def kept(self) -> FloatArray:
        """How much of each day's spend works on each day, (building, on day, of day) [1]."""
        pulses = np.eye(self.params.days)[..., np.newaxis] * self._unit[:, np.newaxis, np.newaxis]
        _, states = model.rollout(self.params, pulses)  # (building, of day, on day)
        adstocks = np.stack([state.adstock for state in states[1:]], axis=1)
        kept: FloatArray = np.einsum("bijc,bc->bij", adstocks, self._unit)
        return kept

    @cached_property
    def _unit(self) -> FloatArray:
        """A unit on each channel that builds loyalty, (building, channels)."""
        unit: FloatArray = np.eye(len(self.params.channels))[self.building]
        return unit

    def point(self, spend: FloatArray) -> FloatArray:
        """The coordinates of a plan (days, channels) [bu/day]."""
        effort = self._effort(spend).ravel()
        if not self.has_kink:
            return effort
        return np.concatenate([effort, np.minimum(self._levels(spend)[0], 1.0).ravel()])

    def spend(self, point: FloatArray) -> FloatArray:
        """The plan (days, channels) [bu/day] at a point."""
        channels = len(self.params.channels)
        effort = point[: channels * self.params.days].reshape(-1, channels)
        spend: FloatArray = np.expm1(self.length * effort) / self.curve
        return spend

    def gains(self, spend: FloatArray) -> NDArray[np.bool_]:
        """Where in a plan (days, channels) [bu/day] loyalty is worth gaining, (days, building)."""
        if not self.has_kink:
            return np.zeros((self.params.days, 0), dtype=bool)
        levels = np.minimum(self._levels(spend)[0], 1.0)
        by_level = _derivatives(self.params, spend, levels)[1][:, len(self.params.channels) :]
        gains: NDArray[np.bool_] = by_level >= 0.0
        return gains

    def moving(self, spend: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The efforts (days, channels) and levels (days, building) that a climb moves.

        Levels move where loyalty is worth gaining. Of a large program those efforts that are at
        their least and earn far less than another on that day stay there, and the levels that
        follow from them: the time of a step grows with the cube of what moves.
        """
        moves, free = np.ones(spend.shape, dtype=bool), self.gains(spend)
        if self.is_large:
            low = limits_of(self.params)[0]
            marginal = _derivatives(self.params, spend, None)[1]
            spends = spend > low + 1e-9 * self.params.daily_budget
            least = np.where(spends, marginal, np.inf).min(axis=1, keepdims=True)
            moves = spends | (marginal >= FAR_LESS * least)
            free &= np.logical_or.accumulate(moves[:, self.building], axis=0)
        return moves, free

    def engagement(self, point: FloatArray, free: NDArray[np.bool_]) -> tuple[float, FloatArray]:
        """What the plan at a point earns [1], and its gradient (coordinates,) [1].

        Args:
            point: Efforts and levels, (coordinates,) [1].
            free: Where the level is a coordinate of its own, (days, building).
        """
        spend, channels = self.spend(point), len(self.params.channels)
        if not self.has_kink:
            total, gradient = _derivatives(self.params, spend, None)
            return float(total), (gradient * self._slope(spend)).ravel()
        reached, slopes = self._levels(spend)
        chosen = point[spend.size :].reshape(free.shape)
        levels = np.where(free, chosen, np.minimum(reached, 1.0))
        total, gradient = _derivatives(self.params, spend, levels)
        by_level = gradient[:, channels:]
        follows = np.where(free | (reached >= 1.0), 0.0, by_level)
        for place, channel in enumerate(self.building):
            gradient[:, channel] += follows[:, place] @ slopes[place]
        by_effort = (gradient[:, :channels] * self._slope(spend)).ravel()
        return float(total), np.concatenate([by_effort, np.where(free, by_level, 0.0).ravel()])

    def slack(self, point: FloatArray) -> FloatArray:
        """What each day leaves of its budget, and effect above its level, (constraints,) [1]."""
        spend = self.spend(point)
        money: FloatArray = 1.0 - spend.sum(axis=1) / self.params.daily_budget
        if not self.has_kink:
            return money
        return np.concatenate([money, self._levels(spend)[0].ravel() - point[spend.size :]])

    def slack_slopes(self, point: FloatArray) -> FloatArray:
        """Derivatives of the slack, (constraints, coordinates) [1]."""
        spend, days = self.spend(point), self.params.days
        slope = self._slope(spend)
        share = np.ones(spend.shape[1])
        spent: FloatArray = np.kron(np.eye(days), share) * slope.ravel()
        money = -spent / self.params.daily_budget
        if not self.has_kink:
            return money
        levels = days * self.building.size
        by_spend = np.einsum("bij,bc->ibjc", self._levels(spend)[1], self._unit)
        by_effort = (by_spend * slope).reshape(levels, spend.size)
        return np.block([[money, np.zeros((days, levels))], [by_effort, -np.eye(levels)]])

    def _effort(self, spend: FloatArray) -> FloatArray:
        effort: FloatArray = np.log1p(self.curve * spend) / self.length
        return effort

    def _slope(self, spend: FloatArray) -> FloatArray:
        return self.length * (1.0 / self.curve + spend)

    def _levels(self, spend: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects as shares of a full day, (days, building), and (building, days, days) slopes.

        The slopes are by the channel's spend on each day [1/bu].
        """
        carried: Any = np.zeros(spend.shape, dtype=complex)
        working = np.einsum("bij,jb->ib", self.kept, spend[:, self.building])
        carried[:, self.building] = working + 1j * TINY
        effect = model.saturate(self.params.nominal, carried)[:, self.building]
        level = effect / self.params.reference_budget
        slopes: FloatArray = (level.imag / TINY).T[..., np.newaxis] * self.kept
        return level.real, slopes


def _search(program: _Program, rng: np.random.Generator) -> Plan:
    """The best plan that many starts lead to; more are drawn where few of them reached it."""
    params = program.params
    starts = [*_simple_starts(params), *_drawn_starts(params, rng, STARTS)][:STARTS]
    effort = program.effort
    ends: list[FloatArray] = []
    leading: list[int] = []  # how many starts lead to each end
    drawn = 0
    while True:
        plans, counts = _distinct(params, [_leap(params, start, effort.gain) for start in starts])
        order = np.arange(len(plans))
        if effort.climbed < 1.0:
            order = expected_engagement(params, plans).argsort()[::-1]
        for place in order[: math.ceil(effort.climbed * len(starts))]:
            ends.append(_climb(program, plans[place], COARSE))
            leading.append(counts[place])
        _improve(program, ends)
        best = _best(program, np.stack(ends), np.array(leading))
        drawn += len(starts)
        agreed = max(FOUND_BY, AGREEING * sum(leading))
        if best.check.found_by >= agreed or drawn >= MOST_STARTS:
            return best
        starts = _drawn_starts(params, rng, MORE_STARTS)


def _distinct(
    params: CampaignParams, plans: list[FloatArray]
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Those of the plans that differ, (distinct, days, channels) [bu/day], and how often each is.

    Leaps take many starts to the same plan, from which one climb is enough.
    """
    stacked = np.stack(plans)
    shares = (stacked / params.daily_budget).round(6).reshape(len(plans), -1)
    _, first, counts = np.unique(shares, axis=0, return_index=True, return_counts=True)
    order = first.argsort()
    return stacked[first[order]], counts[order]


def _improve(program: _Program, ends: list[FloatArray]) -> None:
    """Leaps and climbs on, in their place, from the best end and the most promising below it."""
    earned = expected_engagement(program.params, np.stack(ends))
    most = 0.0
    for place in np.argsort(-earned)[: program.effort.improved]:
        is_there = earned[place] >= most * (1.0 - TOLERANCE)
        is_hopeless = earned[place] < most * (1.0 - program.effort.hopeless)
        if most > 0.0 and (is_there or is_hopeless):
            continue
        for _ in range(ROUNDS):
            ends[place] = _climb(program, _leap(program.params, ends[place], GAIN), FINE)
            before, earned[place] = earned[place], expected_engagement(program.params, ends[place])
            if earned[place] <= before * (1.0 + STALLED):
                break
        most = max(most, earned[place])


def _climb(program: _Program, start: FloatArray, precision: float) -> FloatArray:
    """Where SLSQP ends, or the start if that earns more; plans (days, channels) [bu/day].

    It ends where a step gains less than the share ``precision`` of engagement [1].
    """
    params = program.params
    earned = float(expected_engagement(params, start))
    scale, at = max(earned, 1e-300), program.point(start)
    moves, free = program.moving(start)
    moving = np.concatenate([moves.ravel(), free.ravel()])
    held = np.concatenate([np.ones(params.days, dtype=bool), free.ravel()])

    def whole(moved: FloatArray) -> FloatArray:
        point = at.copy()
        point[moving] = moved
        return point

    def loss(moved: FloatArray) -> tuple[float, FloatArray]:
        total, gradient = program.engagement(whole(moved), free)
        return -total / scale, -gradient[moving] / scale

    result = minimize(
        loss,
        at[moving],
        jac=True,
        method="SLSQP",
        bounds=program.bounds[moving],
        constraints={
            "type": "ineq",
            "fun": lambda moved: program.slack(whole(moved))[held],
            "jac": lambda moved: program.slack_slopes(whole(moved))[np.ix_(held, moving)],
        },
        options={"ftol": precision, "maxiter": ITERATIONS},
    )
    end = _within(params, program.spend(whole(result.x)))
    return end if expected_engagement(params, end) >= earned else start


def _within(params: CampaignParams, spend: FloatArray) -> FloatArray:
    return nearest(spend, *limits_of(params), params.daily_budget)


def _best(program: _Program, ends: FloatArray, leading: NDArray[np.intp]) -> Plan:
    """The best of some plans (ends, days, channels) [bu/day], with its check.

    Each counts as often as starts lead to it.
    """
    earned = expected_engagement(program.params, ends)
    spend, most = ends[earned.argmax()].copy(), float(earned.max())
    spend.flags.writeable = False
    scale = max(most, 1e-300)
    check = OptimalityCheck(
        residual=_residual(program, spend) / scale,
        spread=(most - float(earned.min())) / scale,
        found_by=int(leading[earned >= most - TOLERANCE * scale].sum()),
        starts=int(leading.sum()),
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

    A channel may be so worn out, say, that only far less of it would work again, or pay on another
    day than its own.
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
    """Plans (days, days, channels) [bu/day] in which the one, two ... days that gain most change.

    On such a day one channel gets nothing, all, any order of magnitude, or a full day for loyalty.
    """
    budget, days = params.daily_budget, np.arange(len(spend))
    some = np.append(budget * 10.0 ** -np.arange(7), 0.0)
    full = np.minimum(_full_days(params), budget)
    levels = np.concatenate([np.tile(some, (len(full), 1)), full[:, np.newaxis]], axis=1)
    level = levels[..., np.newaxis, np.newaxis]  # (leaping, levels, 1, 1)
    channel = np.eye(len(full))[:, np.newaxis, np.newaxis, :]  # (leaping, 1, 1, channels)
    others = (1.0 - channel) * spend  # (leaping, 1, days, channels)
    share = others / np.maximum(others.sum(axis=-1, keepdims=True), 1e-300)
    rest = (budget - level) * share  # (leaping, levels, days, channels)
    leaps = (channel * level + rest).reshape(-1, *spend.shape)
    leaps = leaps if params.limits is None else _within(params, leaps)
    plans = np.broadcast_to(spend, (len(spend), *leaps.shape)).copy()  # (days, leaps, ...)
    plans[days, :, days] = leaps.swapaxes(0, 1)
    earned = expected_engagement(params, plans)  # (days, leaps)
    rank = np.argsort(np.argsort(-earned.max(axis=1)))
    changes = (rank <= days[:, np.newaxis])[..., np.newaxis]
    return np.where(changes, leaps[earned.argmax(axis=1), days], spend)


def _moved(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (days x days, days, channels) [bu/day] in which one day comes earlier or later."""
    days = np.arange(len(spend))
    day, to = (number.reshape(-1, 1) for number in np.meshgrid(days, days))
    order = np.where(days == day, to + 0.5 * np.sign(to - day), days).argsort(axis=1)
    return spend[order] if params.limits is None else _within(params, spend[order])


def _levelled(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (..., days, channels) [bu/day] in which up to three days spend as the day beside them.

    It takes away a day of much that tires together with the days that spare it for that.
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


def _full_days(params: CampaignParams) -> FloatArray:
    """Spend of a full day of each channel, if none is carried over, (channels,) [bu/day].

    Infinite for channels that build no loyalty, or can never have a full day.
    """
    left = 1.0 / params.reference_budget - params.nominal.inv_half_saturation
    reaches = (left > 0) & (params.gain_array > 0)
    return np.where(reaches, 1.0 / np.where(reaches, left, 1.0), np.inf)


def _simple_starts(params: CampaignParams) -> list[FloatArray]:
    """An even split, each channel alone, and what builds loyalty first and another channel last.

    Of many, those that earn most.
    """
    limits = (*limits_of(params), params.daily_budget)
    corners = 1e-9 + np.eye(len(params.channels))
    early = np.linspace(1.0, 0.0, params.days)[:, np.newaxis]
    shares = [
        np.ones(len(corners)),
        *corners,
        *(
            early * corners[first] + (1 - early) * corner
            for first in _building(params)
            for last, corner in enumerate(corners)
            if last != first
        ),
    ]
    starts = np.stack([fill(np.broadcast_to(share, limits[0].shape), *limits) for share in shares])
    best = np.argsort(-expected_engagement(params, starts), kind="stable")[:SIMPLE]
    return list(starts[np.sort(best)])


def _drawn_starts(params: CampaignParams, rng: np.random.Generator, count: int) -> list[FloatArray]:
    """Random splits of each day's budget, with so little on what tires that it is no waste.

    Beyond that point a channel is as good as dead and less of it makes no difference: no climb
    comes back from there. Some days keep all of it: it can pay to wear a channel out at once and to
    wait until it has recovered.
    """
    limits = (*limits_of(params), params.daily_budget)
    shares = rng.dirichlet(np.full(len(params.channels), 0.7), (count, params.days)) + 1e-9
    starts = np.stack([fill(share, *limits) for share in shares])
    for channel in np.flatnonzero(params.nominal.fatigue_rate):
        wear = max(params.nominal.fatigue_rate[channel] * params.daily_budget, 1.0)
        spared = rng.random((count, params.days)) < PULSES
        less = wear ** -rng.uniform(0.5, 1.5, (count, 1))
        starts[..., channel] *= np.where(spared, 1.0, less)
    return [nearest(start, *limits) for start in starts]
