"""The best rule by dynamic programming, and what any other rule is worth, where users are alike."""

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

    @property
    def value(self) -> float:
        """What a session is worth from its start [1]."""
        return float(self.values[0, 0])

    @property
    def threshold(self) -> int:
        """Least k at which the first ad is shown; more than ``max_items`` where none ever is."""
        shown = np.flatnonzero(self.shows[:, 0])
        return int(shown[0]) if len(shown) else len(self.shows)


def solve(params: AdTimingParams, rule: BoolArray | None = None) -> Solution:
    """Value iteration (Bellman 1957), for the best rule or for one that is given.

    ``rule`` (k from 0 to max_items,) says where an ad is shown. Sessions that are cut off count as
    if they went on.

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
        shows = show > wait if rule is None else np.broadcast_to(rule[:, np.newaxis], show.shape)
        before, values = values, np.where(shows, show, wait)
        if np.abs(values - before).max() < TOLERANCE * max(params.u, params.r):
            return Solution(values, shows)


@cache
def best_value(params: AdTimingParams) -> float:
    """What a session is worth to the best rule that knows each user's type [1]."""
    return sum(share * solve(alike).value for share, alike in params.types.values())
