"""The best plan found for the mean model, with a check that says how far it can be trusted.

SLSQP climbs from many starts, each after a local search over whole days, which leads to where no
gradient does. From changes of the best of them that lose a little, large plans are climbed again.
"""

import math
import threading
import warnings
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize
from threadpoolctl import threadpool_limits

from envs.campaign import model
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.program import Program, derivatives, full_days

STARTS, MORE_STARTS, MOST_STARTS = 10, 3, 13
FOUND_BY = 2
AGREEING = 0.4  # share of the starts that have to reach the best plan for no more to be drawn
ROUNDS = 10
ITERATIONS = 100
HOPS = 50
LOSSES = 16  # changes of the best plan to leap from, though they earn less at first
SIMPLE = 6  # of the simple starts, those that earn most
SMALL = 60  # coordinates: SLSQP learns how little more than these curve too slowly by itself
LARGE = 120  # coordinates: a climb of more takes so long that the number of climbs matters
PULSES = 0.3  # share of days on which a channel that tires keeps its spend in drawn starts
TOLERANCE = 1e-6
GAIN = 1e-7  # what a leap from the end of a climb has to gain, as a share of engagement
STALLED = 1e-9  # a round of leap and climb that gains no more is the last
COARSE_STEPS, FINE_STEPS = 1, 2  # in which spends that a leap tries grow tenfold
COARSE, FINE = 1e-8, 1e-13  # a climb ends where a step gains less, as a share of engagement

_ONE_SOLVE = threading.Lock()  # the number of BLAS threads belongs to the whole process


class _Effort(NamedTuple):
    """How much of a search is done.

    Attributes:
        gain: What a leap from a start has to gain, as a share of engagement [1].
        climbed: Share of the starts to climb from [1]: those that earn most after a leap.
        improved: How many of the ends are improved.
        hopeless: How far below the best an end is not improved, as a share of engagement [1].
        far_less: An unused channel that earns less than this share [1] of what another spend of
            the day earns is left out of a climb; 0 if none is.
        steepness: How many times the loss of a first climb is the share of engagement [1]. SLSQP
            starts from a curvature of 1: the steeper the loss, the longer its first steps are.
        tries: How many changes of the best end are climbed from in a row without gain; where there
            are any, no more starts are drawn.
    """

    gain: float
    climbed: float
    improved: int
    hopeless: float
    far_less: float = 0.0
    steepness: float = 1.0
    tries: int = 0


_PLAIN = _Effort(gain=1e-5, climbed=1.0, improved=3, hopeless=1.0)
_STEEP = _PLAIN._replace(climbed=0.5, far_less=0.5, steepness=100.0, tries=8)
_FRUGAL = _STEEP._replace(gain=1e-4, climbed=0.3, improved=2, hopeless=0.01)


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
        best = _search(Program(params, *limits_of(params)), np.random.default_rng(seed))
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
    return derivatives(params, spend)


def limits_of(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Least and most of each day and channel, (days, channels) [bu/day]; 0 and all if unlimited."""
    shape = (params.days, len(params.channels))
    return params.limits or (np.zeros(shape), np.full(shape, params.daily_budget))


def _search(program: Program, rng: np.random.Generator) -> Plan:
    """The best plan that many starts lead to; more are drawn where few of them reached it."""
    params = program.params
    starts = first_starts(params, rng)
    effort = _effort(program)
    ends: list[FloatArray] = []
    leading: list[int] = []  # how many starts lead to each end
    drawn = 0
    while True:
        plans, counts = _distinct(
            params, [_leap(params, start, effort.gain, COARSE_STEPS) for start in starts]
        )
        order = np.arange(len(plans))
        if effort.climbed < 1.0:
            order = expected_engagement(params, plans).argsort()[::-1]
        for place in order[: math.ceil(effort.climbed * len(starts))]:
            ends.append(_climb(program, plans[place]))
            leading.append(counts[place])
        _improve(program, ends)
        if effort.tries:
            _hop(program, ends)
        best = _best(program, np.stack(ends), np.array(leading))
        drawn += len(starts)
        agreed = max(FOUND_BY, AGREEING * sum(leading))
        if best.check.found_by >= agreed or drawn >= MOST_STARTS or effort.tries:
            return best
        starts = _drawn_starts(params, rng, MORE_STARTS)


def first_starts(params: CampaignParams, rng: np.random.Generator) -> list[FloatArray]:
    """The plans (days, channels) [bu/day] that a search starts from: simple ones and drawn ones."""
    return [*_simple_starts(params), *_drawn_starts(params, rng, STARTS)][:STARTS]


def _effort(program: Program) -> _Effort:
    size = len(program.bounds)
    return _FRUGAL if size > LARGE else _STEEP if size > SMALL else _PLAIN


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


def _improve(program: Program, ends: list[FloatArray]) -> None:
    """Leaps and climbs on, in their place, from the best end and the most promising below it."""
    earned, effort = expected_engagement(program.params, np.stack(ends)), _effort(program)
    most = 0.0
    for place in np.argsort(-earned)[: effort.improved]:
        is_there = earned[place] >= most * (1.0 - TOLERANCE)
        is_hopeless = earned[place] < most * (1.0 - effort.hopeless)
        if most > 0.0 and (is_there or is_hopeless):
            continue
        for _ in range(ROUNDS):
            leapt = _leap(program.params, ends[place], GAIN, FINE_STEPS)
            ends[place] = _climb(program, leapt, is_first=False)
            before, earned[place] = earned[place], expected_engagement(program.params, ends[place])
            has_stalled = earned[place] <= before * (1.0 + STALLED)
            if has_stalled and _residual(program, ends[place]) <= TOLERANCE * earned[place]:
                break
        most = max(most, earned[place])


def _hop(program: Program, ends: list[FloatArray]) -> None:
    """Leaps and climbs on, in its place, from changes of the best end, though they lose at first.

    The changes that lose least come first, and of where they leap to what earns most.
    """
    params, effort = program.params, _effort(program)
    best = expected_engagement(params, np.stack(ends)).argmax()
    for _ in range(ROUNDS):
        earned = expected_engagement(params, ends[best])
        changed = _exchanged(params, ends[best])
        shares = (expected_engagement(params, changed) / max(float(earned), 1e-300)).round(9)
        places = np.unique(np.where(shares == 1.0, 0.0, shares), return_index=True)[1][-LOSSES:]
        leapt = [_leap(params, plan, effort.gain, COARSE_STEPS) for plan in changed[places]]
        plans, _ = _distinct(params, leapt)
        for place in expected_engagement(params, plans).argsort()[: -effort.tries - 1 : -1]:
            end = _climb(program, plans[place])
            if expected_engagement(params, end) > earned * (1.0 + TOLERANCE):
                ends[best] = end
                break
        else:
            break
    _improve(program, ends)


def _climb(program: Program, start: FloatArray, *, is_first: bool = True) -> FloatArray:
    """Where SLSQP ends, or the start if that earns more; plans (days, channels) [bu/day].

    A first climb has steeper losses and ends at coarser steps than those that improve an end.
    """
    effort = _effort(program)
    steepness = effort.steepness if is_first else 1.0
    params = program.params
    earned = float(expected_engagement(params, start))
    scale, at = max(earned, 1e-300) / steepness, program.point(start)
    moves, free = _moving(program, start, effort.far_less)
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
        options={"ftol": steepness * (COARSE if is_first else FINE), "maxiter": ITERATIONS},
    )
    end = _within(params, program.spend(whole(result.x)))
    return end if expected_engagement(params, end) >= earned else start


def _moving(
    program: Program, spend: FloatArray, far_less: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The efforts (days, channels) and levels (days, building) that a climb moves.

    Levels move where loyalty is worth gaining. Efforts that are at their least and earn less
    than the share ``far_less`` [1] of another on that day stay there, and the levels that follow
    from them: the time of a step grows with the cube of what moves.
    """
    moves, free = np.ones(spend.shape, dtype=bool), program.gains(spend)
    if far_less > 0.0:
        marginal = derivatives(program.params, spend)[1]
        spends = spend > program.low + 1e-9 * program.params.daily_budget
        least = np.where(spends, marginal, np.inf).min(axis=1, keepdims=True)
        moves = spends | (marginal >= far_less * least)
        free &= np.logical_or.accumulate(moves[:, program.building], axis=0)
    return moves, free


def _within(params: CampaignParams, spend: FloatArray) -> FloatArray:
    return nearest(spend, *limits_of(params), params.daily_budget)


def _best(program: Program, ends: FloatArray, leading: NDArray[np.intp]) -> Plan:
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


def _residual(program: Program, spend: FloatArray) -> float:
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


def _leap(params: CampaignParams, spend: FloatArray, gain: float, steps: int) -> FloatArray:
    """A better plan, reached by changes that no gradient leads to, or the plan itself.

    Each gains the share ``gain`` [1] at least, and tries so many ``steps`` to a spend ten times as
    large. A channel may be so worn out, say, that only far less of it would work again, or pay on
    another day than its own.
    """
    earned = expected_engagement(params, spend)
    for _ in range(HOPS):
        moves = (_respent(params, spend, steps), _moved(params, spend), _levelled(params, spend))
        plans = np.concatenate(moves)
        leapt = expected_engagement(params, plans)
        if leapt.max() <= earned * (1.0 + gain):
            break
        spend, earned = plans[leapt.argmax()], leapt.max()
    return spend


def _respent(params: CampaignParams, spend: FloatArray, steps: int) -> FloatArray:
    """Plans (days, days, channels) [bu/day] in which the one, two ... days that gain most change.

    On such a day one channel gets nothing, all, any order of magnitude (in so many ``steps`` each),
    or a full day for loyalty.
    """
    budget, days = params.daily_budget, np.arange(len(spend))
    some = np.append(budget * 10.0 ** -(np.arange(7 * steps) / steps), 0.0)
    full = full_days(params)  # day after day, and on a day of its own
    fulls = np.minimum([full, full / (1.0 - params.nominal.carry_over)], budget).T
    levels = np.concatenate([np.tile(some, (len(full), 1)), fulls], axis=1)
    differ = np.pad(fulls < budget, ((0, 0), (len(some), 0)), constant_values=True)
    leaping = differ.nonzero()[0]  # the channel of each leap
    level = levels[differ][:, np.newaxis, np.newaxis]
    channel = np.eye(len(full))[:, np.newaxis, :]
    others = (1.0 - channel) * spend  # (channels, days, channels)
    share = others / np.maximum(others.sum(axis=-1, keepdims=True), 1e-300)
    leaps = channel[leaping] * level + (budget - level) * share[leaping]  # (leaps, days, channels)
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
    return _rearranged(params, spend, order)


def _exchanged(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (..., days, channels) [bu/day] in which a day spends as another, or both change."""
    days = np.arange(len(spend))
    orders = [
        np.where(days == day, source, np.where(days == source, other, days))
        for day in days
        for source in days
        for other in (day, source)
        if source != day
    ]
    return _rearranged(params, spend, np.array(orders, dtype=int).reshape(-1, len(days)))


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
    return _rearranged(params, spend, np.array(orders, dtype=int).reshape(-1, len(days)))


def _rearranged(params: CampaignParams, spend: FloatArray, order: NDArray[np.intp]) -> FloatArray:
    """Plans whose days are those days of a plan, within limits that may differ from day to day."""
    low, high = limits_of(params)
    is_within = (low == low[0]).all() and (high == high[0]).all()
    return spend[order] if is_within else _within(params, spend[order])


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
            for first in params.building
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
