"""The optimal plan of the mean model, with a certificate that says how far it can be trusted.

SLSQP from many starts. Gradients are exact: the complex-step derivative through one batched rollout of the model, a row
for each number of the plan, so that the formulas stand in the model alone.
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
TOLERANCE = 1e-6
GAIN = 1e-9  # a leap has to gain more, as a share of engagement
KINK = 2e-7  # how near to a full reward day counts as being there, as a share of the reference budget
TINY = 1e-30  # far below rounding: nothing is subtracted, so there is nothing to cancel


class Certificate(NamedTuple):
    """Why a plan may be trusted.

    Attributes:
        residual: KKT residual: the most that a first-order move within limits and budget still promises, as a share of
            the plan's engagement [1]. It is 0 where the conditions of optimality hold.
        spread: How far the worst start ended below the best, as a share of the best [1]. A large one tells of local
            optima, not of a fault.
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

    Warns with a ``PlanWarning`` where the certificate does not support the answer: the plan is then the best known.

    Args:
        params: The campaign.
        seed: Random seed of the starts that are drawn.
    """
    rng = np.random.default_rng(seed)
    starts = [*_simple_starts(params), *_drawn_starts(params, rng, STARTS)][:STARTS]
    ends = [_solve(params, start) for start in starts]
    while (found := _best(params, ends)).certificate.agreeing < AGREEING and len(ends) < MOST_STARTS:
        ends += [_solve(params, start) for start in _drawn_starts(params, rng, STARTS)]
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

    It is the derivative of the expected engagement. Where a day of rewards just reaches the reference budget it is that
    of one unit less: beyond it, loyalty gains nothing more.

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
    return Trajectory(np.array([state.loyalty for state in before]), np.array([state.freshness for state in before]))


def binding(params: CampaignParams, spend: FloatArray, tolerance: float = 0.005) -> NDArray[np.str_]:
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


def _value_and_gradient(params: CampaignParams, spend: FloatArray) -> tuple[float, FloatArray]:
    """Engagement [1] and its exact gradient (days, 3) [1/bu], for a plan (days, 3) [bu/day]."""
    size = spend.size
    nudged = spend + (-1j * TINY) * np.eye(size).reshape(size, *spend.shape)  # (days x 3, days, 3)
    total: Any = expected_engagement(params, nudged)  # complex here: the model takes any number
    return float(total[0].real), (total.imag / -TINY).reshape(spend.shape)


def _within(params: CampaignParams, spend: FloatArray) -> FloatArray:
    return nearest(spend, *limits_of(params), params.daily_budget)


def _solve(params: CampaignParams, start: FloatArray) -> FloatArray:
    """Where a start leads, plans (days, 3) [bu/day]: climbs, and climbs on while leaps are a gain."""
    best = _climb(params, start)
    for _ in range(LEAPS):
        leapt = best
        while (further := _leap(params, leapt)) is not leapt:
            leapt = further
        if leapt is best:
            break
        best = _climb(params, leapt)
    return best


def _leap(params: CampaignParams, spend: FloatArray) -> FloatArray:
    """The best of the plans that differ on one day, or the plan itself if none earns more.

    On that day one channel gets nothing, all, any order of magnitude or a full day of rewards. It leaves what no
    gradient leads out of: ads so worn out, say, that only far fewer of them would work again.
    """
    budget, limits = params.daily_budget, limits_of(params)
    earned_before = expected_engagement(params, spend)
    levels = np.append(budget * 10.0 ** -np.linspace(0.0, 6.0, 25), [0.0, min(_full_reward(params), budget)])
    channel = np.eye(len(CHANNELS))[:, np.newaxis, np.newaxis, :]  # (3 leaping, 1, 1, 3 channels)
    level = levels[:, np.newaxis, np.newaxis]  # (levels, 1, 1)
    others = (1.0 - channel) * spend  # (3, 1, days, 3)
    rest = (budget - level) * others / np.maximum(others.sum(axis=-1, keepdims=True), 1e-300)  # (3, levels, days, 3)
    leaps = nearest(channel * level + rest, *limits, budget).reshape(-1, *spend.shape)  # each row a day's other spend
    plans = np.broadcast_to(spend, (len(spend), *leaps.shape)).copy()  # (days, leaps, days, 3)
    days = np.arange(len(spend))
    plans[days, :, days] = leaps.swapaxes(0, 1)
    plans = plans.reshape(-1, *spend.shape)
    earned = expected_engagement(params, plans)
    return plans[earned.argmax()] if earned.max() > earned_before * (1.0 + GAIN) else spend


def _climb(params: CampaignParams, start: FloatArray) -> FloatArray:
    """Where SLSQP ends from a start; plans (days, 3) [bu/day]. Inside, shares of the daily budget are solved for."""
    budget = params.daily_budget
    curve = np.maximum(params.coefficients.inv_half_saturation, 1e-6 / budget)  # a straight line where all but 0
    length = np.log1p(curve * budget)
    days = np.kron(np.eye(params.days), np.ones(len(CHANNELS)))  # (days, days x 3): sums over the channels
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
        return -value / scale, (-gradient * slope(spend)).ravel() / scale

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
        options={"ftol": 1e-13, "maxiter": 500},
    )
    end = _within(params, spend_of(result.x))
    return max(end, start, key=partial(expected_engagement, params))


def _best(params: CampaignParams, ends: list[FloatArray]) -> Plan:
    """The best of some plans, with its certificate."""
    earned = expected_engagement(params, np.stack(ends))
    best = int(earned.argmax())
    spend, most = ends[best], float(earned[best])
    spend.flags.writeable = False
    scale = max(most, 1e-300)
    certificate = Certificate(
        residual=_residual(params, spend) / scale,
        spread=(most - float(earned.min())) / scale,
        agreeing=int((earned >= most - TOLERANCE * scale).sum()),
        starts=len(ends),
    )
    return Plan(spend, most, certificate)


def _residual(params: CampaignParams, spend: FloatArray) -> float:
    """How much a first-order move within limits and budget still promises [1]; 0 where the KKT conditions hold.

    It is the gap of Frank and Wolfe 1956: the most of gradient times move, which is a fractional knapsack a day. At a
    full reward day, where loyalty stops to gain, the units up to it and those beyond it are worth different amounts.
    """
    low, high = limits_of(params)
    kink = KINK * params.reference_budget if _full_reward(params) <= params.daily_budget else 0.0
    nudge = kink * np.eye(len(CHANNELS))[2]
    below, above = marginal_engagement(params, spend - nudge), marginal_engagement(params, spend + nudge)
    if params.carry_over[2] > 0:  # a move over several days could pass by the kink: count each unit at its best
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
    shares = [np.ones(3), *corners, *(early * corners[2] + (1 - early) * corner for corner in corners[:2])]
    return [fill(np.broadcast_to(share, (params.days, len(CHANNELS))), *limits) for share in shares]


def _drawn_starts(params: CampaignParams, rng: np.random.Generator, count: int) -> list[FloatArray]:
    """Random splits of each day's budget; where that would wear ads out, with as few ads as the audience stands.

    Beyond that point ads are as good as dead and less of them makes no difference: no climb comes back from there.
    """
    limits = (*limits_of(params), params.daily_budget)
    shares = rng.dirichlet(np.full(len(CHANNELS), 0.7), (count, params.days)) + 1e-9  # (count, days, 3 channels)
    wear = max(params.ad_wear * params.daily_budget / params.reference_budget, 1.0)
    starts = np.stack([fill(share, *limits) for share in shares])
    starts[..., 1] *= wear ** -rng.uniform(0.5, 1.5, (count, 1))
    return [nearest(start, *limits) for start in starts]
