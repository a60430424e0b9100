"""The store-and-forward model of a junction with two approaches: pure functions, leading axes.

Every step lasts 5 s. Vehicles that wait are counted, not followed; a green approach discharges
whole vehicles at its saturation flow; a switch costs one step in which nobody drives.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from envs.traffic_signal.params import STEP, FloatArray, SignalParams, rates_at

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class State(NamedTuple):
    """A junction before a decision; arrays with leading axes (...,).

    Attributes:
        queues: Waiting vehicles of each approach, (..., 2) [veh].
        phase: The approach whose green it is, (...,): 0 north-south, 1 east-west.
        green: Steps of green since the switch, (...,); 0 after the step that a switch costs.
        step: Steps since the episode began, (...,).
    """

    queues: IntArray
    phase: IntArray
    green: IntArray
    step: IntArray


class Draws(NamedTuple):
    """What chance brings in a step.

    Attributes:
        arrivals: (..., 2) [veh].
        capacity: What a green approach can discharge, (...,) [veh].
    """

    arrivals: IntArray
    capacity: IntArray


def initial_state(shape: tuple[int, ...]) -> State:
    """Empty approaches and a north-south green that may end at once, arrays (*shape, ...)."""
    zero = np.zeros(shape, dtype=np.int64)
    return State(np.zeros((*shape, 2), dtype=np.int64), zero, zero + 1, zero)


def draw(params: SignalParams, step: IntArray, rng: Generator) -> Draws:
    """Draws of the steps (...,): Poisson arrivals; a capacity of whole vehicles."""
    least, chance = capacity(params)
    rates = rates_at(params, 0 if params.is_stationary else step * STEP)
    arrivals = rng.poisson(rates * STEP, (*step.shape, 2))
    return Draws(arrivals, least + (rng.random(step.shape) < chance))


def capacity(params: SignalParams) -> tuple[int, float]:
    """What a green step discharges at least [veh], and the chance that it is one more.

    The mean is the saturation flow times 5 s: 2.5 vehicles are 2 or 3, equally likely.
    """
    least, chance = divmod(params.saturation_flow * STEP, 1.0)
    return int(least), chance


def is_switching(params: SignalParams, state: State, switch: BoolArray) -> BoolArray:
    """Whether the signal switches, (...,): not before one step of green, at last at the longest."""
    return (state.green >= 1) & (switch | (state.green >= params.max_green_steps))


def transition(params: SignalParams, state: State, switch: BoolArray, draws: Draws) -> State:
    """The state after a step in which agents asked for a switch (...,), or did not.

    q_i' = max(q_i + arrivals_i - capacity [i is green and the signal does not switch], 0)
    """
    switching = is_switching(params, state, switch)
    phase = state.phase ^ switching
    discharged = np.where(switching, 0, draws.capacity)
    queues = state.queues + draws.arrivals
    north_south = np.where(phase == 0, discharged, 0)
    queues[..., 0] -= north_south
    queues[..., 1] -= discharged - north_south
    np.maximum(queues, 0, out=queues)
    return State(queues, phase, np.where(switching, 0, state.green + 1), state.step + 1)


def waiting(queues: IntArray) -> IntArray:
    """What vehicles wait in a step that ends with queues (..., 2), (...,) [veh s]."""
    total: IntArray = STEP * queues.sum(axis=-1)
    return total


def detect(params: SignalParams, queues: IntArray, rng: Generator) -> IntArray:
    """What the detectors show of queues (..., 2): each vehicle is seen or missed, in every step.

    The detectors draw from a generator of their own, one number of ``rng`` its seed, so that
    arrivals do not depend on how long the queues are.
    """
    if params.detection == 1.0:
        return queues
    own = np.random.Generator(np.random.SFC64(int(rng.integers(2**63))))
    return own.binomial(queues, params.detection)


def estimate(params: SignalParams, before: FloatArray, seen: IntArray, state: State) -> FloatArray:
    """Estimated queues (..., 2) [veh] from the estimate before and what is seen now.

    What the green discharged is taken off; what is seen over its chance corrects the rest with a
    constant gain; there are at least as many vehicles as are seen. It uses no arrivals.
    """
    if params.detection == 1.0:
        return seen.astype(np.float64)
    discharged = np.where(state.green > 0, params.saturation_flow * STEP, 0.0)
    is_green = np.arange(2) == state.phase[..., np.newaxis]
    expected = np.maximum(before - np.where(is_green, discharged[..., np.newaxis], 0.0), 0.0)
    return np.maximum(seen, expected + GAIN * (seen / params.detection - expected))


GAIN = 0.5  # of the correction: between remembering all and seeing one step alone
