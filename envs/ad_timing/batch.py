"""A batch of sessions in progress: their state, totals and observations, an item at a time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from envs.ad_timing import model, rendering
from envs.ad_timing.model import State
from envs.ad_timing.optimum import best_value, solutions
from envs.ad_timing.params import make_params
from envs.batched import ALL, Played, Rows, check_choice, check_count, check_state

COLUMNS = 5  # of an observation, without the privileged one


class AdTimingBatch:
    """A batch of sessions; they are over until the first reset.

    Args:
        count: Number of sessions.
        known: Other arguments of the caller, offered as a correction of a mistyped name.
        privileged: Whether the last column of the observations says who is impatient.
        **changes: Fields of ``AdTimingParams``.

    Raises:
        ValueError: An unknown argument or a bad value; the message names it and what is allowed.
    """

    family, episode = "ad timing", "session"
    ending = "the session is over"
    reset_options: tuple[str, ...] = ()
    former_names: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, count: int, known: tuple[str, ...] = (), /, privileged: bool = False, **changes: Any
    ) -> None:
        check_count(self.family, count)
        self.params = make_params(("privileged", "render_mode", *known), changes)
        check_choice(self.family, "privileged", privileged, (False, True))
        self.privileged = int(privileged)
        size, most = COLUMNS + self.privileged, self.params.max_items
        self.action_space: spaces.Space[Any] = spaces.Discrete(2)
        self.observation_space: spaces.Space[Any] = spaces.Box(0.0, 1.0, (size,), np.float32)
        self.observations = np.zeros((count, size), np.float32)
        self.is_over = np.ones(count, dtype=bool)
        self.is_started = False
        self._log_share = (np.log1p(np.arange(most + 1)) / np.log1p(most)).astype(np.float32)
        self._everyone = np.arange(count)
        self._start = self._state = model.initial_state((count,))
        self._is_impatient = np.zeros(count, dtype=bool)
        self._luck = np.zeros((count, most), np.float32)
        self._shown = np.zeros((count, most), dtype=bool)
        self._watched = np.zeros(count, dtype=np.int64)
        self._value = np.zeros(count)
        self._given_away = np.zeros(count)

    def reset(
        self, rng: Generator, rows: Rows = ALL, options: dict[str, Any] | None = None
    ) -> None:
        """Starts new sessions, and draws who is impatient and all of the luck to come.

        The luck does not depend on what a policy does: a seed brings every policy the same users.
        """
        count = len(self._everyone[rows])
        if self.params.users == "mixed":
            self._is_impatient[rows] = rng.random(count) < self.params.impatient_share
        self._luck[rows] = rng.random((count, self.params.max_items), np.float32)
        self._state = _merge(rows, self._start, self._state)
        self.is_over = self.is_over.copy()
        for array in (self.is_over, self._shown, self._watched, self._value, self._given_away):
            array[rows] = 0
        self.is_started = True
        self._observe()

    def read(self, actions: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """Whether an ad is shown, (count,), from actions (*shape,) of 0 or 1."""
        numbers = np.asarray(actions)
        if numbers.shape != shape:
            raise ValueError(f"action: shape {numbers.shape}, must be {shape}")
        if numbers.dtype.kind not in "iu" or (numbers < 0).any() or (numbers > 1).any():
            raise ValueError(f"action={actions}: must be a whole number, 0 (wait) or 1 (show)")
        return numbers.reshape(-1).astype(bool)

    def step(self, actions: NDArray[Any], rows: Rows, rng: Generator) -> Played:
        """Plays a decision and the item after it; it draws nothing, the luck is there already."""
        now = np.minimum(self._state.items, self.params.max_items - 1)  # those over stay within
        luck = self._luck[self._everyone, now]
        played = model.transition(self.params, self._state, actions, luck, self._is_impatient)
        self._shown[self._everyone[rows], now[rows]] = actions[rows]
        self._watched[rows] += played.is_watched[rows]
        self._value[rows] += played.reward[rows]
        self._given_away[rows] += self._losses(actions)[rows]
        self._state = _merge(rows, played.after, self._state)
        is_cut = ~played.is_left & (self._state.items >= self.params.max_items)
        is_over = self.is_over.copy()
        is_over[rows] = (played.is_left | is_cut)[rows]
        self.is_over = is_over
        self._observe()
        info = {"ad": actions, "watched": played.is_watched, "left": played.is_left}
        return Played(
            played.reward, played.is_left, is_cut, {**info, "value": played.reward.copy()}
        )

    def _losses(self, actions: NDArray[Any]) -> NDArray[np.float64]:
        """What decisions give away against the best rule that knows the user's type, (count,)."""
        k, m, show = self._state.k, self._state.m, actions.astype(np.int64)
        first, *second = (
            best.losses[show, k, np.minimum(m, best.losses.shape[2] - 1)]
            for best in solutions(self.params)
        )
        losses: NDArray[np.float64] = first
        return np.where(self._is_impatient, second[0], losses) if second else losses

    def _observe(self) -> None:
        k, m, items, annoyance = self._state
        seen = self.observations
        seen[:, 0] = self.params.freshness[k]
        for column, number in enumerate((k, m, items), start=1):
            seen[:, column] = self._log_share[number]
        seen[:, 4] = annoyance / (1.0 + annoyance)
        if self.privileged:
            seen[:, COLUMNS] = self._is_impatient

    def episode_metrics(self) -> dict[str, NDArray[np.float64]]:
        """Totals of each session so far, flat names to arrays (count,).

        The expected value is what the best rule that knows the user's type earns from the start,
        less what each decision gave away. Over sessions its mean is that of the value, without the
        luck of who leaves when.
        """
        starts = np.array([best.value for best in solutions(self.params)])
        expected = starts[self._is_impatient.astype(np.int64)] - self._given_away
        return {
            "ad_timing/value": self._value.copy(),
            "ad_timing/expected_value": expected,
            "ad_timing/share_of_optimum": expected / best_value(self.params),
            "ad_timing/ads": self._state.m.astype(np.float64),
            "ad_timing/items": self._watched.astype(np.float64),
        }

    def get_state(self) -> dict[str, NDArray[Any]]:
        """A copy of every array that differs between these sessions and new ones, by name."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Takes over what ``get_state`` of sessions with the same parameters returned.

        Raises:
            ValueError: An entry is missing, unknown or of another shape.
        """
        check_state(self._arrays(), state)
        self._state = State(*(state[name] for name in State._fields))
        for name, array in self._arrays().items():
            array[...] = state[name]
        self.is_started = True

    def render(self, index: int, mode: str) -> str | NDArray[np.uint8]:
        """A session so far as a line of signs (``ansi``) or as an image (``rgb_array``)."""
        shown = self._shown[index, : self._state.items[index]]
        watched = int(self._watched[index])
        if mode == "ansi":
            return rendering.ansi(shown, watched, self._value[index])
        return rendering.rgb_array(shown, watched, self.params.max_items)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "observations": self.observations,
            "is_over": self.is_over,
            "is_impatient": self._is_impatient,
            "luck": self._luck,
            "shown": self._shown,
            "watched": self._watched,
            "value": self._value,
            "given_away": self._given_away,
            **self._state._asdict(),
        }


def _merge(rows: Rows, new: State, old: State) -> State:
    """The new state in the given rows, the old one elsewhere."""
    if isinstance(rows, slice):
        return new
    return State(*(np.where(rows, a, b) for a, b in zip(new, old, strict=True)))
