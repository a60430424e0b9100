"""The baselines of ad timing as policies."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.ad_timing.model import BoolArray, IntArray
from envs.ad_timing.optimum import solutions
from envs.ad_timing.params import AdTimingParams
from evaluate.ad_timing.schedules import adaptive_schedule, best_threshold
from evaluate.domain import Probabilities
from evaluate.results import BaselineNames

OPTIMAL, BEST_THRESHOLD = "optimal rule", "best threshold"
ADAPTIVE, CLAIRVOYANT = "adaptive rule", "clairvoyant"
SAMPLED = "(sampled)"  # after the name of a trained policy that draws its decisions
NAMES = BaselineNames(
    optimum=OPTIMAL,
    best_fixed=BEST_THRESHOLD,
    clairvoyant=CLAIRVOYANT,
    replanner=ADAPTIVE,
    planners=(OPTIMAL, BEST_THRESHOLD, ADAPTIVE, CLAIRVOYANT),
)
EVERY = (3, 6, 10)  # items


class Seen(NamedTuple):
    """What an observation says, each (batch,)."""

    k: IntArray  # items since the start or the last ad
    m: IntArray  # ads so far
    items: IntArray
    is_impatient: BoolArray  # where the observation is privileged


class Rule(NamedTuple):
    """A policy as Stable-Baselines3 plays it, from a rule over what is seen."""

    max_items: int
    decide: Callable[[Seen], BoolArray]

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Observation (size,) or (batch, size) to decisions (...,), 1 to show an ad."""
        shown = self.decide(seen(np.atleast_2d(observation), self.max_items)).astype(np.int64)
        return shown.reshape(observation.shape[:-1]), state


class Sampled(NamedTuple):
    """A trained policy that draws its decisions, as it did while it learned."""

    probabilities: Probabilities
    rng: np.random.Generator

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Observations (batch, size) to decisions (batch,), 1 to show an ad."""
        chance = self.probabilities(observation)[:, 1]
        return (self.rng.random(len(chance)) < chance).astype(np.int64), state


def seen(observation: NDArray[Any], max_items: int) -> Seen:
    """Counts from observations (batch, size)."""
    numbers = np.expm1(observation[:, 1:4].astype(np.float64) * np.log1p(max_items))
    k, m, items = np.rint(numbers).astype(np.int64).T
    return Seen(k, m, items, observation[:, -1] == 1.0)


def baseline_rules(params: AdTimingParams) -> dict[str, Callable[[Seen], BoolArray]]:
    """The baselines of a session by name."""
    rules = {
        "always": _threshold(0),
        "never": _threshold(params.max_items + 1),
        **{f"every {items}": _threshold(items) for items in EVERY},
    }
    tables = [best.shows for best in solutions(params)]
    if params.users == "alike":
        return rules | {OPTIMAL: lambda now: _looked_up(tables[0], now)}
    rules[BEST_THRESHOLD] = _threshold(best_threshold(params))
    if not params.f:
        rules[ADAPTIVE] = lambda now: adaptive_schedule(params)[now.items]
    patient, impatient = tables
    rules[CLAIRVOYANT] = lambda now: np.where(
        now.is_impatient, _looked_up(impatient, now), _looked_up(patient, now)
    )
    return rules


def _threshold(least: int) -> Callable[[Seen], BoolArray]:
    return lambda now: now.k >= least


def _looked_up(shows: BoolArray, now: Seen) -> BoolArray:
    decided: BoolArray = shows[now.k, np.minimum(now.m, shows.shape[1] - 1)]
    return decided
