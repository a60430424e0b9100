"""The equations of a delivery, as functions of arrays over leading axes; draws are arguments."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.delivery.city import City, FloatArray, IntArray
from envs.delivery.params import DeliveryParams

Draws = NDArray[np.floating[Any]]
Numbers = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]


class State(NamedTuple):
    """Where deliveries stand, arrays with leading axes (...,).

    Attributes:
        at: Crossing of the rider, (...,).
        goal: Crossing of the customer, (...,).
        clock: Minute of the evening, (...,) [min].
        left: Minutes to the promised time, negative past it, (...,) [min].
        minutes: What the streets out of the crossing take now, (..., 4) [min].
    """

    at: IntArray
    goal: IntArray
    clock: IntArray
    left: IntArray
    minutes: IntArray


class Move(NamedTuple):
    """What a move took, arrays (...,).

    Attributes:
        minutes: Minutes on the way, or lost [min].
        late: Those of them that are past the promised time [min].
    """

    minutes: Numbers
    late: Numbers


def start(
    params: DeliveryParams, city: City, order: IntArray, clock: IntArray, draws: Draws
) -> State:
    """Deliveries that start: orders (..., 2), clock (...,) [min], uniform draws (..., 4)."""
    at, goal = order[..., 0], order[..., 1]
    new = State(at, goal, clock, clock, street_minutes(params, city, at, clock, draws))
    left = np.ceil(params.promise * usual_minutes(params, city, new)).astype(np.int64)
    return new._replace(left=left)


def street_minutes(
    params: DeliveryParams, city: City, at: IntArray, clock: IntArray, draws: Draws
) -> IntArray:
    """What the streets out of a crossing take on arrival, (..., 4) [min].

    Each is jammed by its chance at that minute, independently of all that was seen before.
    """
    is_jammed = draws < city.chance[np.minimum(clock, params.evening), at]
    return city.free[at] + city.jam[at] * is_jammed


def move(
    params: DeliveryParams, city: City, state: State, action: IntArray, draws: Draws
) -> tuple[State, Move]:
    """Rides a street, actions (...,), to the next crossing, where draws (..., 4) decide.

    Where there is no street the rider loses time at the crossing; the streets stay as they were.
    """
    chosen = action[..., np.newaxis]
    minutes = np.take_along_axis(state.minutes, chosen, axis=-1)[..., 0]
    at, clock, left = city.end[state.at, action], state.clock + minutes, state.left - minutes
    late = lateness(left) - lateness(state.left)
    seen = street_minutes(params, city, at, clock, draws)
    seen = np.where((at == state.at)[..., np.newaxis], state.minutes, seen)
    return State(at, state.goal, clock, left, seen), Move(minutes, late)


def lateness(left: IntArray) -> IntArray:
    """Minutes past the promised time from those left to it [min]."""
    return np.maximum(-left, 0)


def usual_minutes(params: DeliveryParams, city: City, state: State) -> FloatArray:
    """Usual minutes from the rider to the customer at this minute of the evening, (...,) [min]."""
    return city.usual[np.minimum(state.clock, params.evening), state.at, state.goal]


def cost(params: DeliveryParams, moved: Move) -> FloatArray:
    """Minutes, those past the promised time with their penalty, (...,) [min]."""
    return np.asarray(moved.minutes + params.late_penalty * moved.late, dtype=np.float64)
