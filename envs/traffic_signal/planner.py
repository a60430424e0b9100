"""The optimum for one who sees every vehicle: dynamic programming on truncated queues.

States are both queues up to ``most``, the phase and the steps of green. Vehicles beyond the longest
queue are turned away, so ``most`` has to be so long that this hardly happens.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from envs.traffic_signal import model
from envs.traffic_signal.params import STEP, FloatArray, SignalParams, rates_at
from envs.traffic_signal.timing import arrival_chances

TOLERANCE = 1e-4  # of the average cost [veh]
MOST_SWEEPS = 20_000
KEPT_EVERY = 12  # steps between two policies that are kept of an optimum that depends on time


class Optimum(NamedTuple):
    """When the best policy switches, and what it costs.

    Attributes:
        switches: (times, phases, greens, n, n), by both queues; one time where arrivals are always
            the same, else one for every ``KEPT_EVERY`` steps.
        delay: Expected waiting over expected arrivals [s/veh]: in the long run where arrivals are
            always the same, else over an episode.
    """

    switches: model.BoolArray
    delay: float

    def decide(self, state: model.State) -> model.BoolArray:
        """Whether to switch, (...,); a queue beyond the longest counts as the longest."""
        time = np.minimum(state.step // KEPT_EVERY, len(self.switches) - 1)
        green = np.minimum(state.green, self.switches.shape[2] - 1)
        queues = np.minimum(state.queues, self.switches.shape[-1] - 1)
        at = time, state.phase, green, queues[..., 0], queues[..., 1]
        return np.asarray(self.switches[at])


@cache
def optimum(params: SignalParams, most: int = 90) -> Optimum:
    """The optimum of an episode, or in the long run where arrivals are always the same.

    Solved once a process for each parameters. For the long run it is relative value iteration on
    the average cost (Puterman 1994, section 8.5.5), else backward induction.

    Raises:
        RuntimeError: The average cost did not settle, as when queues grow without end.
    """
    if params.is_stationary:
        return _in_the_long_run(params, most)
    value = np.zeros((2, params.max_green_steps + 1, most + 1, most + 1))
    kept = []
    rates = rates_at(params, np.arange(params.steps) * STEP)
    backwards = _kernels(params, rates[::-1], most)
    for step, kernels in zip(reversed(range(params.steps)), backwards, strict=True):
        value, switch = _sweep(params, value, kernels)
        if step % KEPT_EVERY == 0:
            kept.append(switch)
    arrivals = float(rates.sum()) * STEP
    return Optimum(np.array(kept[::-1]), STEP * float(value[0, 1, 0, 0]) / arrivals)


def _in_the_long_run(params: SignalParams, most: int) -> Optimum:
    rates = np.asarray(params.rates)
    kernels = next(_kernels(params, rates[np.newaxis], most))
    value = np.zeros((2, params.max_green_steps + 1, most + 1, most + 1))
    for _ in range(MOST_SWEEPS):
        after, switch = _sweep(params, value, kernels)
        gain = after - value
        value = after - after[0, 0, 0, 0]
        if np.ptp(gain) < TOLERANCE:
            return Optimum(switch[np.newaxis], float(gain.mean()) / max(float(rates.sum()), 1e-9))
    raise RuntimeError(
        f"the optimum of {params} did not settle within {MOST_SWEEPS:,} sweeps of queues up to "
        f"{most} vehicles"
    )


class _Kernels(NamedTuple):
    """Chances of an approach's next queue given its queue, (2 approaches, n, n) each."""

    red: FloatArray
    green: FloatArray


def _kernels(params: SignalParams, rates: FloatArray, most: int) -> Iterator[_Kernels]:
    """The chances of a step at each of the rates (steps, 2) [veh/s]."""
    least, chance = model.capacity(params)
    chances = arrival_chances(rates * STEP)
    arrivals = len(chances[0, 0])
    red, fewer, more = (_moves(most, arrivals, leaving) for leaving in (0, least, least + 1))
    green = (1 - chance) * fewer + chance * more
    for both in chances:
        red_pair, green_pair = (np.tensordot(both, moves, axes=1) for moves in (red, green))
        yield _Kernels(red_pair, green_pair)


def _moves(most: int, arrivals: int, leaving: int) -> FloatArray:
    """1 where a queue becomes the next one with so many arrivals, (arrivals, n, n)."""
    queues, count = np.arange(most + 1), np.arange(arrivals)[:, np.newaxis]
    after = np.clip(queues + count - leaving, 0, most)
    return np.asarray(after[..., np.newaxis] == queues, dtype=np.float64)


def _sweep(
    params: SignalParams, value: FloatArray, kernels: _Kernels
) -> tuple[FloatArray, model.BoolArray]:
    """One step of value iteration: costs to go (2, greens, n, n) [veh] and where to switch.

    The cost of a step is what waits at its end, so it is added to the value of that state.
    """
    count = value.shape[-1]
    cost = np.add.outer(np.arange(count), np.arange(count))
    total = value + cost
    (red_ns, red_ew), (green_ns, green_ew) = kernels
    switched = red_ns @ total[::-1, 0] @ red_ew.T  # to the other phase, nobody drives
    extended = np.empty_like(value)
    longer = np.concatenate([total[:, 1:], total[:, -1:]], axis=1)
    extended[0] = green_ns @ longer[0] @ red_ew.T
    extended[1] = red_ns @ longer[1] @ green_ew.T
    switch = extended > switched[:, np.newaxis]
    switch[:, 0] = False  # at least a step of green
    switch[:, params.max_green_steps] = True
    return np.where(switch, switched[:, np.newaxis], extended), switch
