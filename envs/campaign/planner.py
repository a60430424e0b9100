"""The optimal plan of the mean model, with a certificate that says how far it can be trusted.

SLSQP from many starts. Gradients are exact: the complex-step derivative through one batched rollout of the model, a row
for each number of the plan, so that the formulas stand in the model alone.
"""

import warnings
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from envs.campaign import model
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray

STARTS = 12
MOST_STARTS = 48
AGREEING = 2
TOLERANCE = 1e-6
COMPLEX_STEP = 1e-30  # far below rounding: nothing is subtracted, so there is nothing to cancel


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
    ends = [_climb(params, start) for start in starts]
    while (found := _best(params, ends)).certificate.agreeing < AGREEING and len(ends) < MOST_STARTS:
        ends += [_climb(params, start) for start in _drawn_starts(params, rng, STARTS)]
    if not found.certificate.supports:
        residual, spread, agreeing, count, tolerance = found.certificate
        warnings.warn(
            f"optimal plan: engagement {found.engagement:,.1f} is not certain to be the most: KKT residual {residual:.1e} "
            f"(at most {tolerance:.0e}), {agreeing} of {count} starts agree (at least {AGREEING}), spread {spread:.1e}",
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


def _value_and_gradient(params: CampaignParams, spend: FloatArray) -> tuple[float, FloatArray]:
    """Engagement [1] and its exact gradient (days, 3) [1/bu], for a plan (days, 3) [bu/day]."""
    size = spend.size
    nudged = spend + (-1j * COMPLEX_STEP) * np.eye(size).reshape(size, *spend.shape)  # (days x 3, days, 3)
    total: Any = expected_engagement(params, nudged)  # complex here: the model takes any number
    return float(total[0].real), (total.imag / -COMPLEX_STEP).reshape(spend.shape)


def _limits(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Least and most of each day and channel, (days, 3) [bu/day]: those of the campaign, or none to speak of."""
    shape = (params.days, len(CHANNELS))
    return params.limits or (np.zeros(shape), np.full(shape, params.daily_budget))


def _within(params: CampaignParams, spend: FloatArray) -> FloatArray:
    return nearest(spend, *_limits(params), params.daily_budget)


def _climb(params: CampaignParams, start: FloatArray) -> FloatArray:
    """Where SLSQP ends from a start; plans (days, 3) [bu/day]. Inside, shares of the daily budget are solved for."""
    budget = params.daily_budget
    low, high = (limit.ravel() / budget for limit in _limits(params))
    days = np.kron(np.eye(params.days), np.ones(len(CHANNELS)))  # (days, days x 3): sums over the channels
    scale = max(float(np.abs(expected_engagement(params, start))), 1e-300)

    def loss(shares: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _value_and_gradient(params, budget * shares.reshape(start.shape))
        return -value / scale, -(budget / scale) * gradient.ravel()

    result = minimize(
        loss,
        start.ravel() / budget,
        jac=True,
        method="SLSQP",
        bounds=np.stack([low, high], axis=1),
        constraints={"type": "ineq", "fun": lambda x: 1.0 - days @ x, "jac": lambda _: -days},
        options={"ftol": 1e-13, "maxiter": 500},
    )
    end = _within(params, budget * result.x.reshape(start.shape))
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

    It is the gap of Frank and Wolfe 1956: the most of gradient times move, which is a fractional knapsack a day.
    """
    low, high = _limits(params)
    gradient = marginal_engagement(params, spend)
    target = np.empty_like(spend)
    for day, worth in enumerate(gradient):
        target[day] = low[day]
        left = params.daily_budget - low[day].sum()
        for channel in np.argsort(-worth):
            if worth[channel] > 0:
                more = min(left, high[day, channel] - low[day, channel])
                target[day, channel] += more
                left -= more
    return float((gradient * (target - spend)).sum())


def _simple_starts(params: CampaignParams) -> list[FloatArray]:
    """Plans that anyone would try: an even split, each channel alone, and rewards first and another channel last."""
    limits = (*_limits(params), params.daily_budget)
    corners = 1e-9 + np.eye(len(CHANNELS))
    early = np.linspace(1.0, 0.0, params.days)[:, np.newaxis]
    shares = [np.ones(3), *corners, *(early * corners[2] + (1 - early) * corner for corner in corners[:2])]
    return [fill(np.broadcast_to(share, (params.days, len(CHANNELS))), *limits) for share in shares]


def _drawn_starts(params: CampaignParams, rng: np.random.Generator, count: int) -> list[FloatArray]:
    """Random splits of each day's budget: some days on one channel, some on a mixture."""
    shares = rng.dirichlet(np.full(len(CHANNELS), 0.7), (count, params.days)) + 1e-9
    return [fill(share, *_limits(params), params.daily_budget) for share in shares]
