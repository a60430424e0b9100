"""What a rider's app shows: the numbers that an agent observes, and what they say of the state."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.delivery.city import City, FloatArray
from envs.delivery.model import State
from envs.delivery.params import DeliveryParams

SIZE = 23
DETOUR = 5.0  # unit of what a way takes longer, so that a minute counts [min]
LONGEST_DETOUR = 2.0  # that the app tells apart from longer ones [5 min]


def bounds() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the most that can be observed, (SIZE,) each."""
    low, high = np.zeros(SIZE, dtype=np.float32), np.ones(SIZE, dtype=np.float32)
    high[8:16] = LONGEST_DETOUR
    low[21] = -1.0
    return low, high


def observe(params: DeliveryParams, city: City, state: State) -> NDArray[np.float32]:
    """What the app shows of each delivery, (..., SIZE); the page of the environment lists it."""
    total = by_the_app(params, city, state)
    fastest = total.min(axis=-1, keepdims=True)
    seen = np.empty((*state.at.shape, SIZE), dtype=np.float32)
    seen[..., 0:4] = city.is_street[state.at]
    seen[..., 4:8] = state.minutes / city.longest
    seen[..., 8:12] = np.minimum((total - fastest) / DETOUR, LONGEST_DETOUR)
    clock = np.minimum(state.clock, params.evening)
    seen[..., 12:16] = city.alternative[clock, state.at, state.goal]
    seen[..., 12:16] = np.minimum(seen[..., 12:16] / DETOUR, LONGEST_DETOUR)
    seen[..., 16:18] = city.shares[state.at]
    seen[..., 18:20] = city.shares[state.goal]
    seen[..., 20] = clock / params.evening
    seen[..., 21] = np.maximum(state.left / city.most_left, -1.0)
    seen[..., 22] = np.minimum(fastest[..., 0] / (city.most_left + city.longest), 1.0)
    return seen


def by_the_app(params: DeliveryParams, city: City, state: State) -> FloatArray:
    """Minutes to the customer by each turn, (..., 4) [min]: now, then usual; infinite without."""
    clock = np.minimum(state.clock, params.evening)
    return state.minutes + city.beyond[clock, state.at, state.goal]


def state_of(params: DeliveryParams, city: City, seen: NDArray[np.float32]) -> State:
    """The state behind observations (..., SIZE); clock and time left no further than they show."""
    last = np.array([params.rows - 1, params.columns - 1])

    def whole(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        return np.asarray(np.rint(values), dtype=np.int64)

    at, goal = (
        whole(seen[..., part] * last) @ np.array([params.columns, 1])
        for part in (slice(16, 18), slice(18, 20))
    )
    return State(
        at,
        goal,
        whole(seen[..., 20] * params.evening),
        whole(seen[..., 21] * city.most_left),
        whole(seen[..., 4:8] * city.longest),
    )
