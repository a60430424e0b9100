"""Traffic signals in play: their state, totals and observations, advanced a step at a time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from envs.batched import ALL, Array, Played, Rows, check_choice, check_count, check_state
from envs.traffic_signal import model, rendering, timing
from envs.traffic_signal.params import APPROACHES, STEP, SignalParams

FAMILY = "traffic signal"
MOST = 1000  # vehicles of an approach that an observation can show
DAY = 86_400  # [s]
HIGHS = {
    "detectors": (*[np.log1p(MOST)] * 4, 1.0, 1.0, 1.0),
    "state": (*[MOST] * 4, 1.0, 600.0, DAY),
}
"""Upper bounds of the observations of each kind; the lower bounds are 0."""


class SignalBatch:
    """A batch of junctions; see ``envs.batched.Batch``.

    Args:
        params: What all of them have in common.
        observation: A name of ``HIGHS``.
        count: Number of junctions.
    """

    family = FAMILY
    episode = "episode"
    reset_options: tuple[str, ...] = ()
    former_names: Mapping[str, str] = MappingProxyType({})
    privileged = 0

    def __init__(self, params: SignalParams, observation: str, count: int) -> None:
        check_choice(FAMILY, "observation", observation, tuple(HIGHS))
        check_count(FAMILY, count)
        self.params = params
        self.ending = f"the episode ended after {params.episode} s"
        self.action_space: spaces.Space[Any] = spaces.Discrete(2)
        high = np.array(HIGHS[observation], dtype=np.float32)
        self.observation_space: spaces.Space[Any] = spaces.Box(np.zeros_like(high), high)
        self._is_raw = observation == "state"
        self._start = model.initial_state((count,))
        self.state = self._start._replace(step=self._start.step + params.steps)
        self._seen = np.zeros((count, 2), dtype=np.int64)
        self._estimate = np.zeros((count, 2))
        self._totals = {name: np.zeros(count) for name in ("waiting", "vehicles", "switches")}
        self._longest = np.zeros(count)
        self.observations = np.zeros((count, len(high)), dtype=np.float32)
        self.is_over = np.ones(count, dtype=bool)
        self.is_started = False

    def reset(
        self, rng: Generator, rows: Rows = ALL, options: dict[str, Any] | None = None
    ) -> None:
        """Empties the approaches of the given rows; nothing is drawn."""
        self.is_started = True
        self._set(self._start, rows)
        for values in (self._seen, self._estimate, *self._totals.values(), self._longest):
            values[rows] = 0
        self._observe()

    def read(self, actions: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which signals are to switch, (count,)."""
        given = np.asarray(actions)
        if (
            given.shape != shape
            or given.dtype.kind not in "iub"
            or not np.isin(given, (0, 1)).all()
        ):
            raise ValueError(
                f"{FAMILY}: action={actions!r}: must be 0 (extend the green) or 1 (switch)"
                + (f" for each of {shape[0]} junctions" if shape else "")
            )
        return given.astype(bool).reshape(-1)

    def step(self, actions: Array, rows: Rows, rng: Generator) -> Played:
        """Plays 5 s of the given rows."""
        draws = model.draw(self.params, self.state.step, rng)
        switched = model.is_switching(self.params, self.state, actions)
        after = model.transition(self.params, self.state, actions, draws)
        waiting = model.waiting(after.queues)
        self._set(after, rows)
        self._seen[rows] = model.detect(self.params, after.queues, rng)[rows]
        guess = model.estimate(self.params, self._estimate, self._seen, after)
        self._estimate[rows] = guess[rows]
        gains = (waiting, draws.arrivals.sum(axis=1), switched)
        for total, gain in zip(self._totals.values(), gains, strict=True):
            total[rows] += gain[rows]
        self._longest[rows] = np.maximum(self._longest, after.queues.max(axis=1))[rows]
        self._observe()
        info = {
            **{f"queue_{name}": after.queues[:, i].copy() for i, name in enumerate(APPROACHES)},
            **{f"arrivals_{name}": draws.arrivals[:, i] for i, name in enumerate(APPROACHES)},
            "phase": after.phase.copy(),
            "switched": switched,
        }
        over = self.is_over.copy()
        reward = -self.params.reward_scale * waiting.astype(np.float64)
        return Played(reward, np.zeros_like(over), over, info)

    def episode_metrics(self) -> dict[str, NDArray[np.float64]]:
        """Totals of each episode so far, flat names to arrays (count,)."""
        vehicles = np.maximum(self._totals["vehicles"], 1.0)
        delay = self._totals["waiting"] / vehicles
        seconds = np.maximum(self.state.step, 1) * STEP
        return {
            "traffic/time_saved": timing.programme_delay(self.params) - delay,
            "traffic/delay": delay,
            "traffic/queue": self._totals["waiting"] / seconds,
            "traffic/longest_queue": self._longest.copy(),
            "traffic/switches_per_hour": 3600.0 * self._totals["switches"] / seconds,
            "traffic/vehicles": self._totals["vehicles"].copy(),
        }

    def get_state(self) -> dict[str, Array]:
        """A copy of every array that differs between these junctions and new ones, by name."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes over what ``get_state`` returned, its arrays included.

        Raises:
            ValueError: An entry is missing, unknown or of another shape.
        """
        now = self._arrays()
        check_state(now, state)
        self.state = model.State(*(state[name] for name in model.State._fields))
        self.is_over = self.state.step >= self.params.steps
        for name, array in self._arrays().items():
            array[...] = state[name]
        self.is_started = True

    def render(self, index: int, mode: str) -> str | NDArray[np.uint8]:
        """The junction as it stands: a few lines (``ansi``) or a picture (``rgb_array``)."""
        state = model.State(*(part[index] for part in self.state))
        draw = rendering.ansi if mode == "ansi" else rendering.rgb_array
        return draw(state)

    def _arrays(self) -> dict[str, Array]:
        return {
            **self.state._asdict(),
            **self._totals,
            "longest": self._longest,
            "seen": self._seen,
            "estimate": self._estimate,
            "observations": self.observations,
        }

    def _set(self, new: model.State, rows: Rows) -> None:
        """Takes over a state in the given rows."""
        if not isinstance(rows, slice):
            parts = zip(new, self.state, strict=True)
            new = model.State(
                *(np.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in parts)
            )
        self.state = new
        self.is_over = new.step >= self.params.steps

    def _observe(self) -> None:
        """Writes the observations, which are a function of state, detections and estimate."""
        queues, phase, green, step = self.state
        shown = self.observations
        if self._is_raw:
            shown[:, :2] = queues
            shown[:, 2:4] = self._seen
            shown[:, 5] = green * STEP
            shown[:, 6] = step * STEP
        else:
            is_ns = phase == 0
            for column, values in ((0, self._seen), (2, self._estimate)):
                shown[:, column] = np.where(is_ns, values[:, 0], values[:, 1])
                shown[:, column + 1] = np.where(is_ns, values[:, 1], values[:, 0])
            np.log1p(shown[:, :4], out=shown[:, :4])
            shown[:, 5] = green / self.params.max_green_steps
            shown[:, 6] = step / self.params.steps
        shown[:, 4] = phase
        np.minimum(shown, self.observation_space.high, out=shown)  # type: ignore[attr-defined]
