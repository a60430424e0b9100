"""The best rule for users who are alike, by dynamic programming."""

from functools import cache
from typing import NamedTuple

import numpy as np

from envs.ad_timing.model import BoolArray, FloatArray, leave_at_ad
from envs.ad_timing.params import AdTimingParams

TOLERANCE = 1e-10


class Solution(NamedTuple):
    """Values and decisions, each (k from 0 to max_items, m from 0 to the most ads that matter).

    Without f the ads so far do not matter, and there is one column.
    """

    values: FloatArray
    shows: BoolArray
    losses: FloatArray  # (wait or show, k, m): what a decision gives away against the better one

    @property
    def value(self) -> float:
        """What a session is worth from its start [1]."""
        return float(self.values[0, 0])

    @property
    def threshold(self) -> int:
        """Least k at which the first ad is shown; more than ``max_items`` where none ever is."""
        shown = np.flatnonzero(self.shows[:, 0])
        return int(shown[0]) if len(shown) else len(self.shows)


def solve(params: AdTimingParams) -> Solution:
    """Value iteration (Bellman 1957); sessions that are cut off count as if they went on.

    V(k, m) = max(u + (1 - h) V(k + 1, m), r + (1 - b(k, m)) (u + (1 - h) V(1, m + 1)))
    """
    k = np.arange(params.max_items + 1)[:, np.newaxis]
    stays = 1.0 - leave_at_ad(params, k, np.arange(params.max_items if params.f else 1))
    goes_on, values = 1.0 - params.h, np.zeros_like(stays)
    while True:
        next_item = np.concatenate([values[1:], values[-1:]])
        first_item = np.append(values[1, 1:], values[1, -1])  # after an ad
        wait = params.u + goes_on * next_item
        show = params.r + stays * (params.u + goes_on * first_item)
        before, values = values, np.maximum(wait, show)
        if np.abs(values - before).max() < TOLERANCE * max(params.u, params.r):
            return Solution(values, show > wait, values - np.stack([wait, show]))


@cache
def solutions(params: AdTimingParams) -> tuple[Solution, ...]:
    """The best rule for each type of user, solved once per parameters and process."""
    return tuple(solve(alike) for _, alike in params.types.values())


@cache
def best_value(params: AdTimingParams) -> float:
    """What a session is worth to the best rule that knows each user's type [1]."""
    shares = [share for share, _ in params.types.values()]
    return sum(s * best.value for s, best in zip(shares, solutions(params), strict=True))
