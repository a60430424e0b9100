"""Fixed programmes, rules and the optimum as policies of a traffic signal.

They are played with ``observation="state"``; only the optimum looks at the true queues.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.traffic_signal import planner, timing
from envs.traffic_signal.model import BoolArray, IntArray, State
from envs.traffic_signal.params import STEP, SignalParams
from evaluate.results import BaselineNames

WEBSTER, DAILY, FIXED = "Webster programme", "Webster, one for all hours", "fixed 30/30"
GAP_OUT, LONGEST, OPTIMUM = "gap-out rule", "longest queue + 2", "optimum"
HYSTERESIS = 2  # vehicles by which the other queue must be longer
NAMES = BaselineNames(
    best_fixed=WEBSTER,
    clairvoyant=OPTIMUM,
    replanner=GAP_OUT,
    planners=(OPTIMUM,),
    gap_ends=(
        f"The {WEBSTER} is timed for the mean arrivals of each hour and does not look; the "
        f"{OPTIMUM} sees every vehicle that waits and knows the rates: on average no policy does "
        "better."
    ),
)
FORM = {"observation": "state"}  # in which baselines decide

Decision = Callable[[State, IntArray], BoolArray]
"""True state and queues seen (n_envs, 2) to where the signal switches, (n_envs,)."""


class SignalPolicy(NamedTuple):
    """A policy as Stable-Baselines3 plays it, from a function of state and detections."""

    decide: Decision

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Observations (n_envs, 7) of the kind ``state`` to actions (n_envs,)."""
        numbers = np.rint(observation).astype(np.int64)
        queues, seen = numbers[..., :2], numbers[..., 2:4]
        phase, green, step = numbers[..., 4], numbers[..., 5] // STEP, numbers[..., 6] // STEP
        return self.decide(State(queues, phase, green, step), seen).astype(np.int64), state


def policies(params: SignalParams) -> dict[str, SignalPolicy]:
    """The baselines of a junction by name; the optimum is solved when it is first played."""
    rules: dict[str, Decision] = {
        FIXED: fixed(timing.Programme(np.full((1, 2), 30 // STEP))),
        WEBSTER: fixed(timing.hourly_programme(params)),
        GAP_OUT: gap_out,
        LONGEST: longest_queue,
        OPTIMUM: lambda state, _seen: planner.optimum(params).decide(state),
    }
    if not params.is_stationary:
        rules[DAILY] = fixed(timing.daily_programme(params))
    return {name: SignalPolicy(rule) for name, rule in rules.items()}


def fixed(programme: timing.Programme) -> Decision:
    """Switches when the green of the programme is over, whatever the detectors show."""

    def decide(state: State, _seen: IntArray) -> BoolArray:
        is_over: BoolArray = state.green >= of_phase(programme.at(state.step), state.phase)
        return is_over

    return decide


def gap_out(state: State, seen: IntArray) -> BoolArray:
    """Extends while a vehicle is seen at green; switches when one is seen at red alone."""
    switch: BoolArray = of_phase(seen, state.phase) == 0
    return switch & (of_phase(seen, 1 - state.phase) > 0)


def longest_queue(state: State, seen: IntArray) -> BoolArray:
    """Switches when the queue at red is seen to be longer by more than two vehicles."""
    return of_phase(seen, 1 - state.phase) > of_phase(seen, state.phase) + HYSTERESIS


def of_phase(pairs: IntArray, phase: IntArray) -> IntArray:
    """Which of the pairs (..., 2) belongs to a phase (...,), (...,)."""
    return np.where(phase == 0, pairs[..., 0], pairs[..., 1])
