"""Schedules: what each is worth exactly, and the best one for mixed users whose types are hidden.

All that a policy sees of a user is that they are still there. One that draws nothing treats every
session alike until the user leaves: it is a schedule, which says for each item whether an ad comes
before it. So its value needs no sampling.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from envs.ad_timing.model import BoolArray, FloatArray, leave_at_ad
from envs.ad_timing.optimum import TOLERANCE
from envs.ad_timing.params import AdTimingParams

Schedules = dict[str, dict[int | None, BoolArray]]
"""By policy and training seed, none for a baseline: before which items an ad comes, (items,)."""

ODDS = np.linspace(-12.0, 12.0, 241)  # log odds of the user being impatient


def value_of(params: AdTimingParams, schedule: BoolArray) -> float:
    """What a session is worth to a schedule (items,), exactly, for users who are alike [1].

    What comes after the schedule does not count.
    """
    value, still_there, k, m = 0.0, 1.0, 0, 0
    for shown in schedule.tolist():
        stays = 1.0 - float(leave_at_ad(params, np.array(k), np.array(m))) if shown else 1.0
        value += still_there * (params.r * shown + params.u * stays)
        still_there *= stays * (1.0 - params.h)
        k, m = (1, m + 1) if shown else (k + 1, m)
    return value


def threshold_schedule(params: AdTimingParams, least: int) -> BoolArray:
    """When a threshold shows ads, (max_items,): whenever k has come to ``least``."""
    items = np.arange(params.max_items)
    shown: BoolArray = (items > 0) & (items % least == 0) if least else items >= 0
    return shown


def mean_value(params: AdTimingParams, schedule: BoolArray) -> float:
    """What a session is worth to a schedule, the mean over types of users [1]."""
    return sum(share * value_of(alike, schedule) for share, alike in params.types.values())


def best_threshold(params: AdTimingParams) -> int:
    """The threshold that earns most, over all types of users together [items]."""
    thresholds = range(params.max_items + 1)
    return int(np.argmax([mean_value(params, threshold_schedule(params, n)) for n in thresholds]))


@cache
def adaptive_schedule(params: AdTimingParams) -> BoolArray:
    """The best schedule for mixed users with f = 0, (max_items,).

    Value iteration over k and the log odds z that a user who is still there is impatient. Each item
    and each ad moves them by how much likelier one type is to stay than the other (Bayes):

        V(k, z) = max(u + P(stay) V(k + 1, z'), r + P(stay at ad) u + P(stay) V(1, z''))
    """
    k = np.arange(params.max_items + 1)[:, np.newaxis]
    at_ad = [1.0 - leave_at_ad(alike, k, np.zeros_like(k)) for _, alike in params.types.values()]
    item = [np.full(k.shape, 1.0 - alike.h) for _, alike in params.types.values()]
    both = [a * b for a, b in zip(at_ad, item, strict=True)]
    share = 1.0 / (1.0 + np.exp(-ODDS))  # of the impatient
    waited, shown = _Move(item), _Move(both)
    earned = params.r + params.u * _mean(at_ad, share)
    values = np.zeros((len(k), len(ODDS)))
    while True:
        wait = params.u + _mean(item, share) * waited.look_up(np.vstack([values[1:], values[-1:]]))
        show = earned + _mean(both, share) * shown.look_up(np.tile(values[1], (len(k), 1)))
        before, values = values, np.maximum(wait, show)
        if np.abs(values - before).max() < TOLERANCE * max(params.u, params.r):
            return _followed(params, show > wait, waited.by, shown.by)


class _Move:
    """A move of the log odds by what each k adds, and values read there between grid points."""

    def __init__(self, stays: list[FloatArray]) -> None:
        patient, impatient = stays
        with np.errstate(divide="ignore", invalid="ignore"):
            self.by = np.nan_to_num(np.log(impatient) - np.log(patient), posinf=99.0, neginf=-99.0)
        place = np.interp(ODDS + self.by, ODDS, np.arange(len(ODDS)))  # (k, odds)
        self._below = np.minimum(place.astype(np.int64), len(ODDS) - 2)
        self._part = place - self._below

    def look_up(self, values: FloatArray) -> FloatArray:
        """Values (k, odds) where the odds have moved to."""
        low = np.take_along_axis(values, self._below, axis=1)
        high = np.take_along_axis(values, self._below + 1, axis=1)
        moved: FloatArray = low + self._part * (high - low)
        return moved


def _mean(stays: list[FloatArray], share: FloatArray) -> FloatArray:
    mean: FloatArray = (1.0 - share) * stays[0] + share * stays[1]
    return mean


def _followed(
    params: AdTimingParams, shows: BoolArray, waited: FloatArray, shown: FloatArray
) -> BoolArray:
    """The decisions (k, odds) that come up one after another for a user who stays, (max_items,)."""
    share, k = params.impatient_share, 0
    with np.errstate(divide="ignore"):
        odds = float(np.log(share) - np.log(1.0 - share))
    schedule = np.zeros(params.max_items, dtype=bool)
    for item in range(params.max_items):
        schedule[item] = shows[k, np.abs(ODDS - odds).argmin()]
        odds += float((shown if schedule[item] else waited)[k, 0])
        k = 1 if schedule[item] else k + 1
    return schedule


def schedules_of(steps: pd.DataFrame) -> Schedules:
    """The schedules of policies that treat every session alike, from a row per step played."""
    schedules: Schedules = {}
    groups: Any = steps.groupby(["policy", "seed"], dropna=False, sort=False)
    for (policy, seed), played in groups:
        by_item = played.groupby("step")["ad"].agg(["min", "max"])
        if (by_item["min"] == by_item["max"]).all():
            shown = by_item["max"].to_numpy(dtype=bool)
            schedules.setdefault(policy, {})[None if pd.isna(seed) else int(seed)] = shown
    return schedules
