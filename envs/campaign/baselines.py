"""What an agent is measured against: simple plans, the best of each kind, and a random split.

A plan is a function of the parameters to a spend for each day, (days, channels) [bu/day]; it is
solved once, when it is first asked for.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray
from envs.campaign.robust_planner import best_fixed_plan


@cache
def best_fixed(params: CampaignParams) -> FloatArray:
    """The best plan for the mean over the prior, (days, 3) [bu/day]; it knows the prior alone."""
    return best_fixed_plan(params, np.random.default_rng(0))


@cache
def even_split(params: CampaignParams) -> FloatArray:
    """The same for every channel, as far as limits allow, (days, 3) [bu/day]."""
    return fill(
        np.ones((params.days, len(CHANNELS))), *planner.limits_of(params), params.daily_budget
    )


@cache
def best_constant_split(params: CampaignParams) -> FloatArray:
    """The best plan with the same spend every day, or the nearest that limits allow, (days, 3)."""

    def plans(spend: FloatArray) -> FloatArray:
        every_day = np.broadcast_to(spend[:, np.newaxis], (len(spend), params.days, len(CHANNELS)))
        return nearest(every_day, *planner.limits_of(params), params.daily_budget)

    best = _best_spend(params, lambda spend: planner.expected_engagement(params, plans(spend)))
    chosen: FloatArray = plans(best[np.newaxis])[0]
    return chosen


@cache
def myopic(params: CampaignParams) -> FloatArray:
    """Each day what earns most on that day, whatever comes after, (days, 3) [bu/day]."""
    state = model.initial_state()
    plan = []
    for low, high in zip(*planner.limits_of(params), strict=True):
        within = partial(nearest, low=low, high=high, budget=params.daily_budget)
        best = _best_spend(params, partial(_earned_today, params, state, within))
        plan.append(within(best))
        _, state = model.transition(params, state, plan[-1])
    return np.stack(plan)


@cache
def alone(params: CampaignParams, channel: int) -> FloatArray:
    """All on one channel and only the minimums on the others, (days, 3) [bu/day]."""
    low, high = planner.limits_of(params)
    spend = low.copy()
    left = params.daily_budget - low.sum(axis=-1) + low[:, channel]
    spend[:, channel] = np.minimum(high[:, channel], left)
    return spend


def best_found(params: CampaignParams) -> FloatArray:
    """The plan of the planner for the nominal parameters, (days, 3) [bu/day]."""
    return planner.plan(params).spend


def random_split(
    params: CampaignParams, days: NDArray[np.int64], rng: np.random.Generator
) -> FloatArray:
    """Uniform among the splits of what can be spent on ``days`` (batch,), (batch, 3) [bu/day]."""
    low, high = (limit[days] for limit in planner.limits_of(params))
    return fill(rng.dirichlet(np.ones(len(CHANNELS)), days.shape), low, high, params.daily_budget)


def _earned_today(
    params: CampaignParams,
    state: model.State,
    within: Callable[[FloatArray], FloatArray],
    spend: FloatArray,
) -> FloatArray:
    """What spends (count, 3) [bu/day], brought within limits, earn on the day, (count,) [1]."""
    return model.engagement(params, model.transition(params, state, within(spend))[0])


def _best_spend(params: CampaignParams, earned: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The spend (3,) [bu/day] that earns most: the best on a grid, then on finer ones around it.

    Args:
        params: The campaign.
        earned: Spends (count, 3) [bu/day] to what they earn, (count,) [1].
    """
    budget = params.daily_budget
    step = budget / 20
    whole = np.indices((21,) * len(CHANNELS)).reshape(len(CHANNELS), -1).T  # (21^3, 3)
    grid = step * whole[whole.sum(axis=-1) <= 20]
    around = np.indices((5,) * len(CHANNELS)).reshape(len(CHANNELS), -1).T - 2.0  # (5^3, 3)
    best: FloatArray = grid[earned(grid).argmax()]
    while step > 1e-7 * budget:
        near = np.maximum(best + step * around, 0.0)
        near *= budget / np.maximum(near.sum(axis=-1, keepdims=True), budget)
        found = earned(np.concatenate([best[np.newaxis], near]))
        if found.argmax() == 0:
            step /= 2
        best = np.concatenate([best[np.newaxis], near])[found.argmax()]
    return best
