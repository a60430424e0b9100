"""Fixed-time signals: Webster's settings, and what a programme of them exactly costs.

Webster, F. V., 1958, Traffic signal settings, Road Research Technical Paper 39.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.stats import poisson

from envs.traffic_signal import model
from envs.traffic_signal.params import HOUR, STEP, FloatArray, SignalParams, rates_at

HIGHEST_LOAD = 0.95  # that Webster's cycle is computed for; above it the formula has no end
MOST_QUEUE = 400  # vehicles of an approach in the exact computation


class Programme(NamedTuple):
    """Greens of a fixed-time signal, by the hour.

    Attributes:
        greens: Steps of green of both approaches, (hours, 2).
    """

    greens: model.IntArray

    def at(self, step: model.IntArray) -> model.IntArray:
        """The greens in force at steps (...,), (..., 2) [steps]."""
        hour = np.minimum(step * STEP // HOUR, len(self.greens) - 1)
        greens: model.IntArray = self.greens[hour]
        return greens


def hourly_rates(params: SignalParams) -> FloatArray:
    """Mean arrivals of each hour of an episode, (hours, 2) [veh/s]."""
    seconds = np.arange(params.steps) * STEP
    rates, hours = rates_at(params, seconds), seconds // HOUR
    return np.array([rates[hours == hour].mean(axis=0) for hour in np.unique(hours)])


def webster(params: SignalParams, rates: FloatArray) -> model.IntArray:
    """Webster's greens for arrivals (..., 2) [veh/s] in whole steps, (..., 2).

    C = (1.5 L + 5) / (1 - Y), with a lost time L of one step for each of the two switches; what is
    left of the cycle is split in proportion to the loads y_i = lambda_i / s, Y = y_1 + y_2.
    """
    loads = np.maximum(rates, 1e-3) / params.saturation_flow
    load = loads.sum(axis=-1, keepdims=True)
    lost = 2.0 * STEP
    cycle = (1.5 * lost + 5.0) / (1.0 - np.minimum(load, HIGHEST_LOAD))
    greens = (cycle - lost) * loads / load / STEP
    return np.asarray(np.clip(np.rint(greens), 1, params.max_green_steps), dtype=np.int64)


def hourly_programme(params: SignalParams) -> Programme:
    """Webster's settings re-timed every hour for its mean arrivals."""
    return Programme(webster(params, hourly_rates(params)))


def daily_programme(params: SignalParams) -> Programme:
    """Webster's settings for the mean arrivals of the whole episode."""
    rates = rates_at(params, np.arange(params.steps) * STEP).mean(axis=0)
    return Programme(webster(params, rates[np.newaxis]))


def expected_delay(params: SignalParams, programme: Programme) -> float:
    """Expected waiting over expected arrivals of an episode under a programme [s/veh].

    It is exact: a fixed-time signal does not look, so each approach is a Markov chain of its own,
    whose distribution is carried from step to step.
    """
    least, chance = model.capacity(params)
    state = model.initial_state(())
    chances = [np.eye(1, MOST_QUEUE + 1)[0] for _ in range(2)]
    queue, waiting = np.arange(MOST_QUEUE + 1), 0.0
    nobody = model.Draws(np.zeros(2, dtype=np.int64), np.zeros((), dtype=np.int64))
    rates = rates_at(params, np.arange(params.steps) * STEP) * STEP
    for arrivals in arrival_chances(rates):
        switch = state.green >= programme.at(state.step)[state.phase]
        is_lost = bool(model.is_switching(params, state, switch))
        state = model.transition(params, state, switch, nobody)
        for approach, brought in enumerate(arrivals):
            after = _join(chances[approach], brought)
            if approach == state.phase and not is_lost:
                after = (1 - chance) * _leave(after, least) + chance * _leave(after, least + 1)
            chances[approach] = after
            waiting += STEP * float(after @ queue)
    return waiting / max(float(rates.sum()), 1e-9)


@cache
def programme_delay(params: SignalParams) -> float:
    """Expected delay under Webster's hourly programme [s/veh], computed once a process."""
    return expected_delay(params, hourly_programme(params))


def arrival_chances(means: FloatArray) -> FloatArray:
    """Chances of 0, 1, 2, ... Poisson arrivals for each of the means (...,), (..., counts)."""
    counts = np.arange(int(poisson.isf(1e-12, means.max())) + 2)
    chances: FloatArray = poisson.pmf(counts, means[..., np.newaxis])
    return np.asarray(chances / chances.sum(axis=-1, keepdims=True))


def _join(chances: FloatArray, arrivals: FloatArray) -> FloatArray:
    """Chances of queues (n,) after arrivals with such chances; the longest queue keeps the rest."""
    after = np.convolve(chances, arrivals)
    after[len(chances) - 1] += after[len(chances) :].sum()
    return after[: len(chances)]


def _leave(chances: FloatArray, count: int) -> FloatArray:
    """Chances of queues (n,) after ``count`` vehicles have left, or as many as there were."""
    if not count:
        return chances
    after = np.zeros_like(chances)
    after[:-count] = chances[count:]
    after[0] += chances[:count].sum()
    return after
