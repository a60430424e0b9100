"""What an agent is measured against: simple plans, the best of each kind, and a random split.

A plan is a function of the parameters to a spend for each day, (days, channels) [bu/day]; it is
solved once, when it is first asked for.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.robust_planner import best_fixed_plan

MOST_SPLITS = 2_000  # of a budget over the channels, on the first grid of a search
FINE_GRID = 10  # parts of the budget from which on a grid alone is start enough
DRAWN = 3


@cache
def best_fixed(params: CampaignParams) -> FloatArray:
    """The best plan for the mean over the prior, (days, channels) [bu/day]; it knows no more."""
    return best_fixed_plan(params, np.random.default_rng(0))


@cache
def even_split(params: CampaignParams) -> FloatArray:
    """The same for every channel, as far as limits allow, (days, channels) [bu/day]."""
    low, high = planner.limits_of(params)
    return fill(np.ones(low.shape), low, high, params.daily_budget)


@cache
def best_constant_split(params: CampaignParams) -> FloatArray:
    """The best plan with the same spend every day, as far as limits allow, (days, channels)."""

    def plans(spend: FloatArray) -> FloatArray:
        low, high = planner.limits_of(params)
        every_day = np.broadcast_to(spend[:, np.newaxis], (len(spend), *low.shape))
        return nearest(every_day, low, high, params.daily_budget)

    best = _best_spend(params, lambda spend: planner.expected_engagement(params, plans(spend)))
    chosen: FloatArray = plans(best[np.newaxis])[0]
    return chosen


@cache
def myopic(params: CampaignParams) -> FloatArray:
    """Each day what earns most on that day, whatever comes after, (days, channels) [bu/day]."""
    state = model.initial_state(params)
    plan = []
    for low, high in zip(*planner.limits_of(params), strict=True):
        within = partial(nearest, low=low, high=high, budget=params.daily_budget)
        best = _best_spend(params, partial(_earned_today, params, state, within))
        plan.append(within(best))
        _, state = model.transition(params, state, plan[-1])
    return np.stack(plan)


@cache
def alone(params: CampaignParams, channel: int) -> FloatArray:
    """All on one channel and only the minimums on the others, (days, channels) [bu/day]."""
    low, high = planner.limits_of(params)
    spend = low.copy()
    left = params.daily_budget - low.sum(axis=-1) + low[:, channel]
    spend[:, channel] = np.minimum(high[:, channel], left)
    return spend


def best_found(params: CampaignParams) -> FloatArray:
    """The plan of the planner for the nominal parameters, (days, channels) [bu/day]."""
    return planner.plan(params).spend


def random_split(
    params: CampaignParams, days: NDArray[np.int64], rng: np.random.Generator
) -> FloatArray:
    """Uniform among the splits of what ``days`` (batch,) can spend, (batch, channels) [bu/day]."""
    low, high = (limit[days] for limit in planner.limits_of(params))
    shares = rng.dirichlet(np.ones(len(params.channels)), days.shape)
    return fill(shares, low, high, params.daily_budget)


def _earned_today(
    params: CampaignParams,
    state: model.State,
    within: Callable[[FloatArray], FloatArray],
    spend: FloatArray,
) -> FloatArray:
    """What spends (count, channels) [bu/day], brought within limits, earn today, (count,) [1]."""
    return model.engagement(params, model.transition(params, state, within(spend))[0])


def _best_spend(params: CampaignParams, earned: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The spend (channels,) [bu/day] that earns most: where a search by exchange ends.

    It starts from the best spends on a grid and the best of some that are drawn: the grid of many
    channels is so coarse that it has none with a little of each.

    Args:
        params: The campaign.
        earned: Spends (count, channels) [bu/day] to what they earn, (count,) [1].
    """
    budget, channels = params.daily_budget, len(params.channels)
    parts = _parts(channels)
    grid = budget / parts * _splits(parts, channels)
    starts = [grid[earned(grid).argmax()]]
    if parts < FINE_GRID:
        rng = np.random.default_rng(0)
        drawn = budget * rng.dirichlet(np.ones(channels), MOST_SPLITS)
        drawn *= rng.uniform(size=(MOST_SPLITS, 1)) ** rng.choice([0.0, 1.0, 4.0], (MOST_SPLITS, 1))
        starts += [*drawn[earned(drawn).argsort()[-DRAWN:]], np.full(channels, budget / channels)]
    ends = np.stack([_exchanged(budget, budget / parts, start, earned) for start in starts])
    best: FloatArray = ends[earned(ends).argmax()]
    return best


def _exchanged(
    budget: float, step: float, best: FloatArray, earned: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Where ever smaller exchanges between two channels lead, each the one that gains most."""
    channels = len(best)
    unit = np.vstack([np.zeros(channels), np.eye(channels)])  # a channel, or what is left unspent
    moves = (unit[:, np.newaxis] - unit).reshape(-1, channels)  # a step from one to another
    while step > 1e-7 * budget:
        near = np.maximum(best + step * moves, 0.0)
        near *= budget / np.maximum(near.sum(axis=-1, keepdims=True), budget)
        tried = np.concatenate([best[np.newaxis], near])
        found = earned(tried).argmax()
        if found == 0:
            step /= 2
        best = tried[found]
    return best


def _parts(channels: int) -> int:
    """Into how many parts the budget is split on the first grid."""
    return max(parts for parts in range(1, 21) if comb(parts + channels, channels) <= MOST_SPLITS)


def _splits(parts: int, channels: int) -> FloatArray:
    """All ways to put up to so many parts on the channels, (ways, channels)."""
    bars = np.array(list(combinations(range(parts + channels), channels)), dtype=float)
    return np.diff(bars, axis=1, prepend=-1.0) - 1.0
