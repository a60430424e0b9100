"""A batch of deliveries in progress: their state, totals and observations, a move at a time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from envs.batched import ALL, Played, Rows, check_choice, check_count, check_state
from envs.delivery import model, rendering
from envs.delivery.city import DIRECTIONS, FloatArray, IntArray, make_city
from envs.delivery.observation import SIZE, bounds, observe
from envs.delivery.params import make_params

PAIRS = ("training", "held_out", "all")
REWARDS = ("minutes", "saved")
KWARGS = ("pairs", "reward", "render_mode")


class DeliveryBatch:
    """Deliveries in one city; they are over until the first reset.

    Args:
        count: Number of deliveries.
        pairs, reward, **params: As in ``DeliveryEnv``.
        known: Other arguments of the caller, offered as a correction of a mistyped name.

    Attributes:
        observations: Current observations, (count, SIZE), float32; changed in place by every move.
        is_over: Which deliveries are over, (count,); a new array after every move.
        is_started: Whether there was a first reset.

    The others are those of ``envs.batched.Batch``.

    Raises:
        ValueError: An unknown argument or a bad value; the message names it and what is allowed.
    """

    family, episode, ending = "delivery", "ride", "the ride is over"
    reset_options: tuple[str, ...] = ()
    former_names: Mapping[str, str] = MappingProxyType({})
    privileged = 0

    def __init__(
        self,
        count: int,
        known: tuple[str, ...] = (),
        /,
        pairs: str = "training",
        reward: str = "minutes",
        **changes: Any,
    ) -> None:
        check_count("delivery", count)
        self.params = params = make_params(known=(*KWARGS, *known), **changes)
        check_choice("delivery", "pairs", pairs, PAIRS)
        check_choice("delivery", "reward", reward, REWARDS)
        self._reward = reward
        self.action_space: spaces.Space[Any] = spaces.Discrete(len(DIRECTIONS))
        self.observation_space: spaces.Space[Any] = spaces.Box(*bounds(), dtype=np.float32)
        self._city = make_city(params)
        by_name = self._city.orders, self._city.held_out
        self._orders = {
            "training": by_name[0],
            "held_out": by_name[1],
            "all": np.concatenate(by_name),
        }[pairs]
        if not len(self._orders):
            raise ValueError(
                f"delivery: pairs={pairs!r}: held_out={params.held_out:g} leaves no such pair in a "
                f"city of {params.rows} x {params.columns} with least_blocks={params.least_blocks}"
            )
        at, goal, clock, left = np.zeros((4, count), dtype=np.int64)
        streets = np.zeros((count, len(DIRECTIONS)), dtype=np.int64)
        self._state = model.State(at, goal, clock, left, streets)
        self._draws = np.zeros((count, params.most_moves + 1, len(DIRECTIONS)), dtype=np.float32)
        self._moves = np.zeros(count, dtype=np.int64)
        self._route = np.zeros((count, params.most_moves + 1, 2), dtype=np.int64)
        self._totals = np.zeros((count, 2))
        self.observations = np.zeros((count, SIZE), dtype=np.float32)
        self.is_over = np.ones(count, dtype=bool)
        self.is_started = False

    def reset(
        self, rng: Generator, rows: Rows = ALL, options: dict[str, Any] | None = None
    ) -> None:
        """Starts new deliveries, with draws from ``rng``.

        What decides the jams of every move is drawn here, so that it does not depend on what a
        policy does.
        """
        count = len(self.is_over) if isinstance(rows, slice) else int(np.count_nonzero(rows))
        orders = self._orders[rng.integers(len(self._orders), size=count)]
        clock = rng.integers(self.params.last_order + 1, size=count)
        draws = rng.random((count, *self._draws.shape[1:]), dtype=np.float32)
        new = model.start(self.params, self._city, orders, clock, draws[:, 0])
        for part, value in zip(self._state, new, strict=True):
            part[rows] = value
        self._draws[rows] = draws
        self._moves[rows] = 0
        self._route[rows, 0] = np.stack([new.at, new.clock], axis=-1)
        self._totals[rows] = 0.0
        self.observations[rows] = observe(self.params, self._city, new)
        self.is_over = self.is_over.copy()
        self.is_over[rows] = False
        self.is_started = True

    def read(self, actions: Any, shape: tuple[int, ...]) -> IntArray:
        """Directions (count,) from the actions of agents.

        Raises:
            ValueError: They are not whole numbers of 0 to 3, or of another shape.
        """
        turns = np.asarray(actions)
        if turns.shape != shape:
            raise ValueError(f"action: shape {turns.shape}, must be {shape}")
        if turns.dtype.kind not in "iu" or (turns < 0).any() or (turns >= len(DIRECTIONS)).any():
            allowed = ", ".join(f"{index} ({name})" for index, name in enumerate(DIRECTIONS))
            raise ValueError(f"action={actions}: must be a whole number, {allowed}")
        return np.atleast_1d(turns).astype(np.int64)

    def step(self, actions: IntArray, rows: Rows, rng: Generator) -> Played:
        """Rides a street of the given deliveries; others do not change."""
        before, params = self._state, self.params
        start, clock = before.at.copy(), before.clock.copy()
        usual = model.usual_minutes(params, self._city, before)
        self._moves[rows] += 1
        draws = self._draws[np.arange(len(self._moves)), self._moves]
        after, moved = model.move(params, self._city, before, actions, draws)
        for part, new in zip(before, after, strict=True):
            part[rows] = new[rows]
        self._route[np.arange(len(self._moves)), self._moves] = np.stack(before[:3:2], axis=-1)
        self._totals[rows, 0] += moved.minutes[rows]
        self._totals[rows, 1] += moved.late[rows]
        self.observations[rows] = observe(params, self._city, after)[rows]
        terminated = before.at == before.goal
        truncated = ~terminated & (self._moves == params.most_moves)
        self.is_over = terminated | truncated
        info = {
            "start": self._city.place[start],
            "end": self._city.place[before.at],
            "clock": clock,
            "minutes": moved.minutes,
            "minutes_late": moved.late,
        }
        earned = -model.cost(params, moved)
        if self._reward == "saved":
            earned = earned + usual - model.usual_minutes(params, self._city, before)
        return Played(params.reward_scale * earned, terminated, truncated, info)

    def episode_metrics(self) -> dict[str, FloatArray]:
        """Totals of each delivery so far, flat names to arrays (count,); unscaled."""
        (start, clock), goal = self._route[:, 0].T, self._state.goal
        minutes, late = self._totals.T
        usual = self._city.usual[np.minimum(clock, self.params.evening), start, goal]
        cost = model.cost(self.params, model.Move(minutes, late))
        return {
            "delivery/minutes_saved": usual - cost,
            "delivery/minutes": minutes.copy(),
            "delivery/minutes_late": late.copy(),
            "delivery/on_time": (late == 0).astype(np.float64),
            "delivery/held_out": self._city.is_held_out[start, goal].astype(np.float64),
        }

    def get_state(self) -> dict[str, NDArray[Any]]:
        """A copy of every array that differs between these deliveries and new ones, by name."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Takes over what ``get_state`` of deliveries in the same city returned.

        Raises:
            ValueError: An entry is missing, unknown or of another shape.
        """
        check_state(self._arrays(), state)
        for name, array in self._arrays().items():
            array[...] = state[name]
        self.is_started = True

    def render(self, index: int, mode: str) -> str | NDArray[np.uint8]:
        """The ride so far as a table (``ansi``) or on a map of the city (``rgb_array``)."""
        route = self._route[index, : self._moves[index] + 1]
        draw = rendering.ansi if mode == "ansi" else rendering.rgb_array
        return draw(self._city, route, int(self._state.goal[index]))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "draws": self._draws,
            "moves": self._moves,
            "route": self._route,
            "totals": self._totals,
            "observations": self.observations,
            "is_over": self.is_over,
            **self._state._asdict(),
        }
