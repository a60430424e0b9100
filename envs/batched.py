"""The Gymnasium forms of any family: one episode, and many at once, over a batch of episodes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Rows = slice | Mask
"""Which episodes of a batch: ``ALL``, or a mask (count,)."""

ALL = slice(None)
RENDER_MODES = ("ansi", "rgb_array")
METADATA: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 1}


class Played(NamedTuple):
    """A step of each episode of a batch, in arrays that the batch does not keep.

    Attributes:
        reward: (count,); of no meaning, like ``info``, where an episode was not played.
        terminated, truncated: Whether the episode is now over, and in which way, (count,).
        info: What Gymnasium's ``info`` tells of the step, names to arrays (count, ...).
    """

    reward: NDArray[np.float64]
    terminated: Mask
    truncated: Mask
    info: dict[str, Array]


class Batch(Protocol):
    """Episodes of one family, played side by side; they are over until the first reset.

    Attributes:
        family: What messages about arguments begin with: "campaign".
        episode: What messages call an episode; its plural has an s.
        ending: Why there is no further step, for messages: "the campaign ended with day 7".
        params: What all episodes have in common, shown as ``params`` of the environment.
        reset_options: Names of the options that ``reset`` knows.
        former_names: Former names of options to those that took their place.
        action_space, observation_space: Those of a single episode.
        privileged: How many of an observation's last columns are for a critic in training alone.
        observations: As of now, (count, ...); may be changed in place by every step.
        is_over: Which episodes are over, (count,); a new array after every step.
        is_started: Whether there was a first reset.
    """

    family: str
    episode: str
    ending: str
    params: Any
    reset_options: tuple[str, ...]
    former_names: Mapping[str, str]
    action_space: spaces.Space[Any]
    observation_space: spaces.Space[Any]
    privileged: int
    observations: Array
    is_over: Mask
    is_started: bool

    def reset(
        self, rng: Generator, rows: Rows = ALL, options: dict[str, Any] | None = None
    ) -> None:
        """Starts new episodes; raises ``ValueError`` for a bad value of an option."""

    def read(self, actions: Any, shape: tuple[int, ...]) -> Array:
        """Agents' actions (*shape, ...) as ``step`` takes them, (count, ...).

        ``shape`` is (count,), or () for a single episode. Raises ``ValueError`` for bad actions.
        """

    def step(self, actions: Array, rows: Rows, rng: Generator) -> Played:
        """Plays a step of the given rows; other rows do not change."""

    def episode_metrics(self) -> dict[str, NDArray[np.float64]]:
        """Totals of each episode so far, unscaled: "family/metric" to arrays (count,)."""

    def get_state(self) -> dict[str, Array]:
        """A copy of every array that differs between these episodes and new ones, by name."""

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes over a state and its arrays; ``ValueError`` (``check_state``) for another's."""

    def render(self, index: int, mode: str) -> str | NDArray[np.uint8]:
        """Draws an episode in one of ``RENDER_MODES``."""


def get_state(env: "BatchedEnv | BatchedVectorEnv") -> dict[str, Any]:
    """The state of episodes and generator as plain data: numbers, text and arrays."""
    arrays, generator = env._batch.get_state(), env.np_random.bit_generator.state
    return {f"{env._batch.episode}s": arrays, "generator": generator}


def set_state(env: "BatchedEnv | BatchedVectorEnv", state: dict[str, Any]) -> None:
    """Restores what ``get_state`` of an environment with the same arguments returned.

    Raises:
        ValueError: The state is that of another environment.
    """
    arrays = state[f"{env._batch.episode}s"]
    env._batch.set_state({name: np.array(values) for name, values in arrays.items()})
    env.np_random.bit_generator.state = state["generator"]


class BatchedEnv(gymnasium.Env[Array, Any]):
    """A batch of one episode as a Gymnasium environment."""

    metadata: dict[str, Any] = METADATA
    get_state, set_state = get_state, set_state

    def __init__(self, batch: Batch, render_mode: str | None = None) -> None:
        check_choice(batch.family, "render_mode", render_mode, (None, *RENDER_MODES))
        self.metadata = METADATA | {"privileged": batch.privileged}
        self.params = batch.params
        self.action_space = batch.action_space
        self.observation_space = batch.observation_space
        self.render_mode = render_mode
        self._batch = batch

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Starts a new episode; the class tells of the options.

        Raises:
            ValueError: An unknown option or a bad value.
        """
        super().reset(seed=seed)
        _check_options(self._batch, options, self._batch.reset_options)
        self._batch.reset(self.np_random, ALL, options)
        return self._batch.observations[0].copy(), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Plays one step.

        Raises:
            ValueError: The action is not one of the action space; nothing has changed.
            gymnasium.error.ResetNeeded: The episode is over, or has not been started.
        """
        batch = self._batch
        if batch.is_over[0]:
            why = batch.ending if batch.is_started else f"no {batch.episode} has been started"
            raise ResetNeeded(f"{why}; call reset() for a new one")
        played = batch.step(batch.read(action, ()), ALL, self.np_random)
        info = {name: _first(values) for name, values in played.info.items()}
        if batch.is_over[0]:
            totals = batch.episode_metrics()
            info["episode_metrics"] = {name: _first(values) for name, values in totals.items()}
        ended = bool(played.terminated[0]), bool(played.truncated[0])
        return batch.observations[0].copy(), played.reward.item(), *ended, info

    def render(self) -> Any:
        """The episode so far as text (``ansi``) or as an image (``rgb_array``)."""
        if self.render_mode is not None:
            return self._batch.render(0, self.render_mode)
        text = 'render() without a render_mode draws nothing: make(..., render_mode="ansi")'
        gymnasium.logger.warn(text)
        return None


class BatchedVectorEnv(VectorEnv[Array, Array, Array]):
    """A batch of episodes as a Gymnasium vector environment.

    Args:
        batch: The episodes.
        render_mode: As in the single form.
        autoreset_mode: What happens after the last step, as Gymnasium defines it: ``NEXT_STEP``
            (its default) ignores the next action and starts a new episode, ``SAME_STEP`` starts it
            at once and returns the last step as ``final_obs`` and ``final_info``, ``DISABLED``
            waits for ``reset(options={"reset_mask": mask})``.
    """

    def __init__(
        self,
        batch: Batch,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        mode = getattr(autoreset_mode, "value", autoreset_mode)
        check_choice(batch.family, "autoreset_mode", mode, [known.value for known in AutoresetMode])
        check_choice(batch.family, "render_mode", render_mode, (None, *RENDER_MODES))
        self._mode = AutoresetMode(mode)
        self.metadata = METADATA | {"autoreset_mode": self._mode, "privileged": batch.privileged}
        self.params = batch.params
        self.num_envs = len(batch.is_over)
        self.render_mode = render_mode
        self.single_action_space = batch.action_space
        self.single_observation_space = batch.observation_space
        self.action_space = batch_space(batch.action_space, self.num_envs)
        self.observation_space = batch_space(batch.observation_space, self.num_envs)
        self._batch = batch

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Starts new episodes: all, or those that ``options["reset_mask"]`` (num_envs,) marks.

        Raises:
            ValueError: An unknown option, a bad value, or a mask that does not fit.
        """
        super().reset(seed=seed)
        _check_options(self._batch, options, ("reset_mask", *self._batch.reset_options))
        self._batch.reset(self.np_random, _reset_rows(options, self.num_envs), options)
        return self._batch.observations.copy(), {}

    def step(self, actions: Array) -> tuple[Array, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """Plays one step of every episode.

        Raises:
            ValueError: An action is not one of the action space; nothing has changed.
            gymnasium.error.ResetNeeded: No episode has been started, or one is over and the
                autoreset mode is ``DISABLED``.
        """
        batch = self._batch
        if not batch.is_started:
            raise ResetNeeded(f"no {batch.episode} has been started; call reset() before step()")
        waiting = batch.is_over
        if waiting.any() and self._mode is AutoresetMode.DISABLED:
            over = np.flatnonzero(waiting).tolist()
            raise ResetNeeded(f"{batch.episode}s {over} are over; reset them with a reset_mask")
        active = ~waiting
        read = batch.read(actions, (self.num_envs,))
        played = batch.step(read, active if waiting.any() else ALL, self.np_random)
        rewards = np.where(active, played.reward, 0.0)
        terminated, truncated = played.terminated & active, played.truncated & active
        ended = terminated | truncated
        if self._mode is AutoresetMode.SAME_STEP and ended.any():
            infos = _masked(played.info, active & ~ended) | self._final_infos(played, ended)
            batch.reset(self.np_random, waiting | ended)
        else:
            infos = self._infos(played, active, ended)
            if waiting.any():
                batch.reset(self.np_random, waiting)
        return batch.observations.copy(), rewards, terminated, truncated, infos

    get_state, set_state = get_state, set_state

    def render(self) -> tuple[Any, ...] | None:
        """One text or image for each episode."""
        if self.render_mode is None:
            return None
        return tuple(self._batch.render(index, self.render_mode) for index in range(self.num_envs))

    def _infos(self, played: Played, rows: Mask, ended: Mask) -> dict[str, Any]:
        """The step's info of the given rows, with the totals of the episodes that ended."""
        infos = _masked(played.info, rows)
        if ended.any():
            infos["episode_metrics"] = _masked(self._batch.episode_metrics(), ended)
            infos["_episode_metrics"] = ended.copy()
        return infos

    def _final_infos(self, played: Played, ended: Mask) -> dict[str, Any]:
        """What Gymnasium returns of last steps where the next episode starts in the same step."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        last = self._batch.observations[ended]
        final_obs[ended] = np.fromiter(last, dtype=object, count=len(last))
        final = {"final_obs": final_obs, "final_info": self._infos(played, ended, ended)}
        return final | {f"_{name}": ended.copy() for name in final}


def check_choice(family: str, name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raises ``ValueError`` for an argument that is none of the allowed values."""
    if value not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise ValueError(f"{family}: {name}={value!r}: must be one of {listed}")


def check_count(family: str, count: Any) -> None:
    """Raises ``ValueError`` for what cannot be a number of episodes."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{family}: num_envs={count!r}: must be a whole number of 1 or more")


def check_state(now: dict[str, Array], state: dict[str, Array]) -> None:
    """Raises ``ValueError`` where a state has other names, shapes or types than that of now."""
    if set(state) != set(now):
        raise ValueError(
            f"state: has {', '.join(sorted(state))}; must have {', '.join(sorted(now))}"
        )
    for name, array in now.items():
        entry = state[name]
        if (entry.shape, entry.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"state: {name} is {entry.dtype} {entry.shape}, must be {array.dtype} {array.shape}"
            )


def _check_options(batch: Batch, options: dict[str, Any] | None, known: tuple[str, ...]) -> None:
    for name in options or {}:
        today = batch.former_names.get(name)
        if today in known:
            raise ValueError(f"reset: option {name!r} is now called {today!r}")
        if name not in known:
            raise ValueError(f"reset: unknown option {name!r}; known: {', '.join(known) or 'none'}")


def _reset_rows(options: dict[str, Any] | None, num_envs: int) -> Rows:
    if not options or "reset_mask" not in options:
        return ALL
    mask = np.asarray(options["reset_mask"])
    if mask.shape != (num_envs,) or mask.dtype != np.bool_:
        raise ValueError(
            f"reset_mask: shape {mask.shape} of {mask.dtype}, must be ({num_envs},) of bool"
        )
    return mask


def _first(values: Array) -> Any:
    """The entry of the first episode: a number of Python's where it is one, else an array."""
    return values[0] if values.ndim > 1 else values[0].item()


def _masked(values: dict[str, Array], mask: Mask) -> dict[str, Any]:
    """Gymnasium's vector info: zeros where the mask is off, and the mask itself under ``_name``."""
    if not mask.any():
        return {}
    infos: dict[str, Any] = {}
    everywhere = bool(mask.all())
    for name, value in values.items():
        rows = mask.reshape(-1, *[1] * (value.ndim - 1))
        infos[name] = value if everywhere else np.where(rows, value, np.zeros((), value.dtype))
        infos[f"_{name}"] = mask.copy()
    return infos
