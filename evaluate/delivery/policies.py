"""What a rider without training would do, and the optimum, as policies."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.delivery import solver
from envs.delivery.city import FloatArray, make_city
from envs.delivery.model import State
from envs.delivery.observation import by_the_app, state_of
from envs.delivery.params import DeliveryParams
from evaluate.results import BaselineNames

BLIND, FASTEST, REPLANNER = "shortest expected path", "fastest street", "re-planner"
OPTIMUM = "optimum"
NAMES = BaselineNames(
    best_fixed=BLIND,
    clairvoyant=OPTIMUM,
    replanner=REPLANNER,
    planners=(BLIND, REPLANNER, OPTIMUM),
    gap_ends=(
        f"The {BLIND} follows the usual times of the hour and does not look at the streets. The "
        f"{OPTIMUM} sees what every policy sees, the streets out of the crossing, and solves the "
        "shortest path with recourse exactly; no policy saves more on average. The "
        f"{REPLANNER} takes, at each crossing, the shortest path by what is seen now and what is "
        f"usual elsewhere (Dijkstra); the {FASTEST} is the fastest of those that lead nearer to "
        "the customer."
    ),
)

Rule = Callable[[DeliveryParams, State], FloatArray]
"""What a rule holds against each turn, (..., 4); infinite without a street; it takes the least."""


class RulePolicy(NamedTuple):
    """A rule as Stable-Baselines3 plays it, from what the app shows."""

    params: DeliveryParams
    rule: Rule

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Observations (..., size) to directions (...,); there is no state."""
        now = state_of(self.params, make_city(self.params), observation)
        return self.rule(self.params, now).argmin(axis=-1), state


def baseline_policies(params: DeliveryParams) -> dict[str, RulePolicy]:
    """The baselines by name."""
    rules: dict[str, Rule] = {
        BLIND: without_looking,
        FASTEST: fastest_nearer,
        REPLANNER: replanned,
        OPTIMUM: solver.costs,
    }
    return {name: RulePolicy(params, rule) for name, rule in rules.items()}


def without_looking(params: DeliveryParams, state: State) -> FloatArray:
    """Usual minutes to the customer by each turn, this street included, (..., 4) [min]."""
    city = make_city(params)
    chance = city.chance[np.minimum(state.clock, params.evening), state.at]
    usual = city.free[state.at] + city.jam[state.at] * chance
    return replanned(params, state) - state.minutes + usual


def fastest_nearer(params: DeliveryParams, state: State) -> FloatArray:
    """Minutes of each street now, (..., 4) [min]; those that lead away come last."""
    city = make_city(params)
    goal = city.place[state.goal]
    here = np.abs(city.place[state.at] - goal).sum(axis=-1)
    there = np.abs(city.place[city.end[state.at]] - goal[..., np.newaxis, :]).sum(axis=-1)
    away = np.where(there < here[..., np.newaxis], 0.0, float(city.longest))
    return np.where(city.is_street[state.at], state.minutes + away, np.inf)


def replanned(params: DeliveryParams, state: State) -> FloatArray:
    """Minutes to the customer by each turn, seen now and usual beyond, (..., 4) [min]."""
    return by_the_app(params, make_city(params), state)
