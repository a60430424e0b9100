"""The optimal plan of the mean model, with a certificate that says how far it can be trusted.

Many starts climb by projected gradients in one batch and leap out of local optima; SLSQP finishes
what does not end stationary. Gradients are exact: the complex-step derivatives of each day alone,
and the chain rule through the days, so that the formulas stand in the model alone.
"""

import warnings
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from envs.campaign import model
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray

STARTS = 12
MOST_STARTS = 24
AGREEING = 2
LEAPS = 5
HOPS = 50
PULSES = 0.3  # share of days that keep all their ads in starts that are drawn
COARSE, FINE, FINEST = (
    1e-4,
    1e-8,
    1e-15,
)  # a climb ends where a round of steps gains less, as a share of engagement
ROUND = 8
ROUNDS = 25
POWERS = np.array([2.0, 3.0])[:, np.newaxis, np.newaxis]
STRETCH = np.array([0.25, 1.0, 4.0])
MOMENTUM = np.array([0.0, 0.5, 1.0])[:, np.newaxis, np.newaxis]
SHRINK = 1 / 16
FAR = 100.0  # no step before projection is longer, in daily budgets: sums with it would lose the small spends
TOLERANCE = 1e-6
GAIN = 1e-9  # a leap has to gain more, as a share of engagement
KINK = (
    2e-7  # how near to a full reward day counts as being there, as a share of the reference budget
)
TINY = 1e-30  # far below rounding: nothing is subtracted, so there is nothing to cancel


class Certificate(NamedTuple):
    """Why a plan may be trusted.

    Attributes:
        residual: KKT residual: the most that a first-order move within limits and budget still
            promises, as a share of the plan's engagement [1]. It is 0 where the conditions of
            optimality hold.
        spread: How far the worst start ended below the best, as a share of the best [1]. A large
            one tells of local optima, not of a fault.
        agreeing: How many starts ended within the tolerance of the best.
        starts: How many there were.
        tolerance: What residual and agreement are held to, as a share of engagement [1].
    """

    residual: float
    spread: float
    agreeing: int
    starts: int
    tolerance: float = TOLERANCE

    @property
    def supports(self) -> bool:
        """Whether the plan is stationary and was found more than once."""
        return self.residual <= self.tolerance and self.agreeing >= AGREEING


class _Ascent(NamedTuple):
    """Where climbs from several starts are.

    Attributes:
        spend: Plans, (starts, days, 3 channels) [bu/day].
        before: The plans one step earlier, of the same shape.
        reach: Lengths of the last steps, one for each metric, (starts, 2) [1].
        value: Engagement of the plans, (starts,) [1].
        gradient: Its gradient, (starts, days, 3 channels) [1/bu].
    """

    spend: FloatArray
    before: FloatArray
    reach: FloatArray
    value: FloatArray
    gradient: FloatArray


class Plan(NamedTuple):
    """A spend for each day and channel.

    Attributes:
        spend: (days, 3 channels) [bu/day].
        engagement: What the mean model earns with it [1].
        certificate: Why it may be trusted.
    """

    spend: FloatArray
    engagement: float
    certificate: Certificate


class PlanWarning(RuntimeWarning):
    """The planner's answer is not supported by its certificate."""


@cache
def plan(params: CampaignParams, seed: int = 0) -> Plan:
    """The plan with the most expected engagement, solved once per parameters and process; its arrays are read-only.

    Warns with a ``PlanWarning`` where the certificate does not support the answer: the plan is then
        the best known.

    Args:
        params: The campaign.
        seed: Random seed of the starts that are drawn.
    """
    rng = np.random.default_rng(seed)
    starts = [*_simple_starts(params), *_drawn_starts(params, rng, STARTS)][:STARTS]
    ends = _solve(params, np.stack(starts))
    while (found := _best(params, ends)).certificate.agreeing < AGREEING and len(
        ends
    ) < MOST_STARTS:
        ends = np.concatenate([ends, _solve(params, np.stack(_drawn_starts(params, rng, STARTS)))])
    if not found.certificate.supports:
        residual, spread, agreeing, count, tolerance = found.certificate
        warnings.warn(
            f"optimal plan: engagement {found.engagement:,.1f} is not certain to be the most: "
            f"KKT residual {residual:.1e} (at most {tolerance:.0e}), {agreeing} of {count} "
            f"starts agree (at least {AGREEING}), spread {spread:.1e}",
            PlanWarning,
            stacklevel=2,
        )
    return found


def expected_engagement(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """What the mean model earns in a whole campaign, (...,) [1], for plans (..., days, 3 channels) [bu/day]."""
    metrics, _ = model.rollout(params, spend)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    return total


def marginal_engagement(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """What one more unit on a channel and day is worth over the rest of the campaign, (days, 3 channels) [1/bu].

    It is the derivative of the expected engagement. Where a day of rewards just reaches the
    reference budget it is that of one unit less: beyond it, loyalty gains nothing more.

    Args:
        params: The campaign.
        spend: A plan, (days, 3 channels) [bu/day].
    """
    return _value_and_gradient(params, spend)[1]


class Trajectory(NamedTuple):
    """What a plan does to the audience.

    Attributes:
        loyalty: G at the start of each day, (days,) [1].
        freshness: q, the strength of ads at the start of each day, (days,) [1].
    """

    loyalty: FloatArray
    freshness: FloatArray


def trajectory(params: CampaignParams, spend: FloatArray) -> Trajectory:
    """Loyalty and freshness behind a plan (days, 3 channels) [bu/day]."""
    _, states = model.rollout(params, spend)
    before = states[:-1]
    return Trajectory(
        np.array([state.loyalty for state in before]),
        np.array([state.effectiveness for state in before]),
    )


def binding(
    params: CampaignParams, spend: FloatArray, tolerance: float = 0.005
) -> NDArray[np.str_]:
    """The limit that each spend of a plan (days, 3) [bu/day] stands at, or nothing.

    It is "at 0", "at min", "at max", or "all" where the whole daily budget is on one channel.

    Args:
        params: The campaign.
        spend: A plan, (days, 3 channels) [bu/day].
        tolerance: How near counts as standing there, as a share of the daily budget [1].
    """
    low, high = limits_of(params)
    near = tolerance * params.daily_budget
    least = np.where(low > 0, "at min", "at 0")
    most = np.where(high < params.daily_budget, "at max", "all")
    return np.where(spend <= low + near, least, np.where(spend >= high - near, most, ""))


def limits_of(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Least and most of each day and channel, (days, 3) [bu/day]: those of the campaign, or none to speak of."""
    shape = (params.days, len(CHANNELS))
    return params.limits or (np.zeros(shape), np.full(shape, params.daily_budget))


def _value_and_gradient(params: CampaignParams, spend: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Engagement (...,) [1] and its exact gradient (..., days, 3) [1/bu], for plans (..., days, 3) [bu/day].

    Each number that a day starts from is nudged alone, all days at once; the chain rule goes back
    through the days.
    """
    metrics, states = model.rollout(params, spend)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    day, carry_over, freshness, loyalty = map(
        np.stack, zip(*states[:-1], strict=True)
    )  # each (days, ...)
    today = np.moveaxis(spend, -2, 0)
    given = np.concatenate(
        [today, carry_over, freshness[..., np.newaxis], loyalty[..., np.newaxis]], axis=-1
    )
    size = given.shape[-1]  # 8
    nudged: Any = given + (-1j * TINY) * np.eye(size).reshape(size, *(1,) * spend.ndim, size)[:, 0]
    state = model.State(
        day, nudged[..., 3:6], nudged[..., 6], nudged[..., 7]
    )  # complex: the model takes any number
    earned, after = model.transition(params, state, nudged[..., :3])
    now = model.engagement(params, earned).imag / -TINY  # (8, days, ...)
    later = [*np.moveaxis(after.adstock, -1, 0), after.effectiveness, after.loyalty]
    slopes = np.stack(later).imag / -TINY  # (5 leading to, 8 from, days, ...)
    worth = np.zeros((size, *total.shape))
    gradient = np.empty(today.shape)
    for past in range(len(today) - 1, -1, -1):
        worth = now[:, past] + (slopes[:, :, past] * worth[3:, np.newaxis]).sum(axis=0)
        gradient[past] = np.moveaxis(worth[:3], 0, -1)
    return total, np.moveaxis(gradient, 0, -2)


def _within(params: CampaignParams, spend: FloatArray) -> FloatArray:
    return nearest(spend, *limits_of(params), params.daily_budget)


def _solve(params: CampaignParams, starts: FloatArray) -> FloatArray:
    """Where starts lead, plans (starts, days, 3) [bu/day]: each climbs, and climbs on while leaps are a gain."""
    ends = _climb(params, starts, COARSE)
    going = np.arange(len(ends))
    for _ in range(LEAPS):
        leapt = np.stack([_leap(params, end) for end in ends[going]])
        gained = (leapt != ends[going]).any(axis=(1, 2))
        going = going[gained]
        if not going.size:
            break
        ends[going] = _climb(params, leapt[gained], COARSE)
    return _climb(params, ends, FINE)


def _leap(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """A better plan, reached by changes that no gradient leads to, or the plan itself if there is none.

    Ads may be so worn out, say, that only far fewer of them would work again, or pay on another day
    than theirs.
    """
    earned = expected_engagement(params, spend)
    for _ in range(HOPS):
        plans = np.concatenate([_respent(params, spend), _moved(params, spend)])
        leapt = expected_engagement(params, plans)
        if leapt.max() <= earned * (1.0 + GAIN):
            break
        spend, earned = plans[leapt.argmax()], leapt.max()
    return spend


def _respent(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (days, days, 3) [bu/day] that change the day that gains most by another spend, the two that do, and so on.

    On such a day one channel gets nothing, all, any order of magnitude or a full day of rewards.
    """
    budget, days = params.daily_budget, np.arange(len(spend))
    levels = np.append(budget * 10.0 ** -np.arange(7), [0.0, min(_full_reward(params), budget)])
    channel = np.eye(len(CHANNELS))[:, np.newaxis, np.newaxis, :]  # (3 leaping, 1, 1, 3 channels)
    level = levels[:, np.newaxis, np.newaxis]  # (levels, 1, 1)
    others = (1.0 - channel) * spend  # (3, 1, days, 3)
    rest = (
        (budget - level) * others / np.maximum(others.sum(axis=-1, keepdims=True), 1e-300)
    )  # (3, levels, days, 3)
    leaps = nearest(channel * level + rest, *limits_of(params), budget).reshape(-1, *spend.shape)
    plans = np.broadcast_to(spend, (len(spend), *leaps.shape)).copy()  # (days, leaps, days, 3)
    plans[days, :, days] = leaps.swapaxes(0, 1)
    earned = expected_engagement(params, plans)  # (days, leaps)
    rank = np.argsort(np.argsort(-earned.max(axis=1)))
    return np.where(
        (rank <= days[:, np.newaxis])[..., np.newaxis], leaps[earned.argmax(axis=1), days], spend
    )


def _moved(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """Plans (days x days, days, 3) [bu/day] in which one day comes earlier or later, and those between make room."""
    days = np.arange(len(spend))
    day, to = (number.reshape(-1, 1) for number in np.meshgrid(days, days))
    order = np.where(days == day, to + 0.5 * np.sign(to - day), days).argsort(axis=1)
    return spend[order] if params.limits is None else _within(params, spend[order])


def _climb(params: CampaignParams, starts: FloatArray, stalled: float) -> FloatArray:
    """Where steps uphill lead from starts, plans (starts, days, 3) [bu/day].

    A climb ends when a round of steps gains less than the share ``stalled`` of engagement [1].
    """
    ends = starts.copy()
    going = np.arange(len(ends))
    at = _Ascent(
        starts, starts, np.ones((len(starts), len(POWERS))), *_value_and_gradient(params, starts)
    )
    for _ in range(ROUNDS):
        value = at.value
        for _ in range(ROUND):
            at = _step(params, at)
        ends[going] = at.spend
        gained = at.value > value * (1.0 + stalled)
        if not gained.any():
            break
        going, at = going[gained], _Ascent(*(part[gained] for part in at))
    return _within(params, ends)


def _step(params: CampaignParams, at: _Ascent) -> _Ascent:
    """One step of each climb: the best of several lengths, two metrics, and how much of the last step is added.

    The first metric is that of effort, the logarithm of spend; in the second all spends of a
    channel curve alike.
    """
    budget, each = params.daily_budget, np.arange(len(at.spend))
    curve = np.maximum(
        params.nominal.inv_half_saturation, 1e-6 / budget
    )  # a straight line where all but 0
    spend, last = (plan[:, np.newaxis] for plan in (at.spend, at.spend - at.before))
    metric = (1.0 / curve + spend) ** POWERS * curve ** (POWERS - 2.0)  # (starts, metrics, days, 3)
    uphill = (
        metric
        * (at.gradient / np.maximum(at.value, 1e-200)[:, np.newaxis, np.newaxis])[:, np.newaxis]
    )
    reach = np.minimum(
        at.reach, FAR * budget / np.maximum(np.abs(uphill).max(axis=(-2, -1)), 1e-200)
    )
    lengths = reach[..., np.newaxis] * STRETCH  # (starts, metrics, lengths)
    moves = (
        lengths[..., np.newaxis, np.newaxis] * uphill[:, :, np.newaxis]
    )  # (starts, metrics, lengths, days, 3)
    moves = moves[:, :, :, np.newaxis] + MOMENTUM * last[:, np.newaxis, np.newaxis]
    tried = _onto(
        params, spend[:, np.newaxis, np.newaxis] + moves, metric[:, :, np.newaxis, np.newaxis]
    )
    earned = expected_engagement(params, tried)  # (starts, metrics, lengths, momentums)
    kind, length, momentum = np.unravel_index(
        earned.reshape(len(each), -1).argmax(axis=1), earned.shape[1:]
    )
    better = earned[each, kind, length, momentum] > at.value
    reach[each, kind] = np.where(better, lengths[each, kind, length], reach[each, kind])
    reach[~better] *= SHRINK
    best = np.where(
        better[:, np.newaxis, np.newaxis], tried[each, kind, length, momentum], at.spend
    )
    return _Ascent(best, at.spend, reach, *_value_and_gradient(params, best))


def _onto(params: CampaignParams, spend: FloatArray, metric: FloatArray) -> FloatArray:
    """The point within limits and budget that is nearest to a spend (..., days, 3) [bu/day] in a diagonal metric.

    As ``nearest`` does, it finds the multiplier tau of the budget among the points where a channel
    meets a limit.
    """
    low, high = limits_of(params)
    down, up = (spend - high) / metric, (spend - low) / metric
    meets = np.sort(np.concatenate([down, up], axis=-1), axis=-1)  # (..., 6)
    shifted = spend[..., np.newaxis, :] - meets[..., np.newaxis] * metric[..., np.newaxis, :]
    spent = np.clip(shifted, low[:, np.newaxis], high[:, np.newaxis]).sum(
        axis=-1
    )  # (..., 6), falling
    last = np.maximum((spent >= params.daily_budget).sum(axis=-1, keepdims=True) - 1, 0)
    tau = np.take_along_axis(meets, last, axis=-1)
    moving = np.where((down <= tau) & (tau < up), metric, 0.0).sum(axis=-1, keepdims=True)
    tau = tau + (np.take_along_axis(spent, last, axis=-1) - params.daily_budget) / np.maximum(
        moving, 1e-200
    )
    inside: FloatArray = np.clip(spend, low, high)
    over = inside.sum(axis=-1, keepdims=True) > params.daily_budget
    return np.where(over, np.clip(spend - tau * metric, low, high), inside)


def _polish(params: CampaignParams, start: FloatArray) -> FloatArray:
    """Where SLSQP ends, or the start if that is no worse; plans (days, 3) [bu/day]. Effort is solved for."""
    budget = params.daily_budget
    curve = np.maximum(
        params.nominal.inv_half_saturation, 1e-6 / budget
    )  # a straight line where all but 0
    length = np.log1p(curve * budget)
    days = np.kron(
        np.eye(params.days), np.ones(len(CHANNELS))
    )  # (days, days x 3): sums over the channels
    scale = max(float(expected_engagement(params, start)), 1e-300)

    def effort(spend: FloatArray) -> FloatArray:
        return (np.log1p(curve * spend) / length).ravel()

    def spend_of(effort: FloatArray) -> FloatArray:
        return np.expm1(length * effort.reshape(start.shape)) / curve

    def slope(spend: FloatArray) -> FloatArray:
        return length * (1.0 / curve + spend)

    def loss(effort: FloatArray) -> tuple[float, FloatArray]:
        spend = spend_of(effort)
        value, gradient = _value_and_gradient(params, spend)
        return -float(value) / scale, (-gradient * slope(spend)).ravel() / scale

    result = minimize(
        loss,
        effort(start),
        jac=True,
        method="SLSQP",
        bounds=np.stack([effort(limit) for limit in limits_of(params)], axis=1),
        constraints={
            "type": "ineq",
            "fun": lambda x: 1.0 - days @ spend_of(x).ravel() / budget,
            "jac": lambda x: -days * slope(spend_of(x)).ravel() / budget,
        },
        options={"ftol": 1e-13, "maxiter": 200},
    )
    end = _within(params, spend_of(result.x))
    as_good = expected_engagement(params, end) >= expected_engagement(params, start) * (1.0 - GAIN)
    return end if as_good and _residual(params, end) < _residual(params, start) else start


def _best(params: CampaignParams, ends: FloatArray) -> Plan:
    """The best of some plans, made stationary, with its certificate."""
    earned = expected_engagement(params, ends)
    spend = _climb(params, ends[[earned.argmax()]], FINEST)[0]
    scale = max(float(expected_engagement(params, spend)), 1e-300)
    for start in (
        spend,
        ends[earned.argmax()],
    ):  # SLSQP may go nowhere from the one and all the way from the other
        if _residual(params, spend) > TOLERANCE * scale:
            spend = min(spend, _polish(params, start), key=partial(_residual, params))
    most = float(expected_engagement(params, spend))
    scale = max(most, 1e-300)
    spend.flags.writeable = False
    certificate = Certificate(
        residual=_residual(params, spend) / scale,
        spread=max(most - float(earned.min()), 0.0) / scale,
        agreeing=int((earned >= most - TOLERANCE * scale).sum()),
        starts=len(ends),
    )
    return Plan(spend, most, certificate)


def _residual(params: CampaignParams, spend: FloatArray) -> float:
    """How much a first-order move within limits and budget still promises [1]; 0 where the KKT conditions hold.

    It is the gap of Frank and Wolfe 1956: the most of gradient times move, which is a fractional
        knapsack a day. At a
    full reward day, where loyalty stops to gain, the units up to it and those beyond it are worth
    different amounts.
    """
    low, high = limits_of(params)
    kink = KINK * params.reference_budget if _full_reward(params) <= params.daily_budget else 0.0
    nudge = kink * np.eye(len(CHANNELS))[2]
    below, above = (
        marginal_engagement(params, spend - nudge),
        marginal_engagement(params, spend + nudge),
    )
    if (
        params.carry_over[2] > 0
    ):  # a move over several days could pass by the kink: count each unit at its best
        below, above = np.minimum(below, above), np.maximum(below, above)
    worth = np.concatenate([below, above], axis=1)  # (days, 6)
    room = np.concatenate([spend - low, high - spend], axis=1)
    gap = -float((below * (spend - low)).sum())
    for day, order in enumerate(np.argsort(-worth, axis=1, kind="stable")):
        left = params.daily_budget - low[day].sum()
        for unit in order[worth[day, order] > 0]:
            taken = min(left, room[day, unit])
            gap += worth[day, unit] * taken
            left -= taken
    return max(gap, 0.0)


def _full_reward(params: CampaignParams) -> float:
    """Rewards with which loyalty gains in full, if none are carried over [bu/day]; infinite where none are enough."""
    left = 1.0 / params.reference_budget - params.inv_half_saturation[2]
    return 1.0 / left if left > 0 else np.inf


def _simple_starts(params: CampaignParams) -> list[FloatArray]:
    """Plans that anyone would try: an even split, each channel alone, and rewards first and another channel last."""
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
    """Random splits of each day's budget; where that would wear ads out, with as few ads as the audience stands.

    Beyond that point ads are as good as dead and less of them makes no difference: no climb comes
        back from there. Some
    days keep all their ads: it can pay to wear them out at once and to wait until they have
        recovered.
    """
    limits = (*limits_of(params), params.daily_budget)
    shares = (
        rng.dirichlet(np.full(len(CHANNELS), 0.7), (count, params.days)) + 1e-9
    )  # (count, days, 3 channels)
    wear = max(params.fatigue * params.daily_budget / params.reference_budget, 1.0)
    starts = np.stack([fill(share, *limits) for share in shares])
    spared = rng.random((count, params.days)) < PULSES
    starts[..., 1] *= np.where(spared, 1.0, wear ** -rng.uniform(0.5, 1.5, (count, 1)))
    return [nearest(start, *limits) for start in starts]
