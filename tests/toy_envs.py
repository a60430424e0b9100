"""Small environments for tests: endless, idle, of many spaces, one that cannot be saved."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ENDLESS = "tests.toy_envs:Endless-v0"
UNSTABLE = "tests.toy_envs:Unstable-v0"
NOT_A_NUMBER = "tests.toy_envs:NotANumber-v0"
SECRETIVE = "tests.toy_envs:Secretive-v0"
UNLIMITED = "tests.toy_envs:Unlimited-v0"
REPETITIVE = "tests.toy_envs:Repetitive-v0"
TARGET = "tests.toy_envs:Target-v0"
TWO_NAMES_GENERATOR = "tests.toy_envs:TwoNames-v0"
TWO_NAMES_VIEW = "tests.toy_envs:TwoNamesView-v0"
TWO_NAMES_LIST = "tests.toy_envs:TwoNamesList-v0"


class Endless(gymnasium.Env[Any, Any]):
    """One observation, two actions that do the same; after ``days`` steps it ends, if ever."""

    def __init__(self, days: int = 0) -> None:
        self._days, self._played = days, 0
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._played = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._played += 1
        return np.zeros(1, np.float32), 1.0, self._played == self._days, False, {}


class Repetitive(Endless):
    """Ends when the action changes: exploration ends it, a deterministic policy does not."""

    _last: Any = None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        has_changed = self._played > 0 and action != self._last
        self._last = action
        seen, reward, *_ = super().step(action)
        return seen, reward, has_changed, False, {}


class NotANumber(gymnasium.Env[Any, Any]):
    """Earns 1 a step, and no number once ``good_steps`` are over."""

    def __init__(self, good_steps: int = 40) -> None:
        self.observation_space, self.action_space = (
            spaces.Box(-1.0, 1.0, (1,), np.float32),
            spaces.Discrete(2),
        )
        self._left = good_steps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        return np.zeros(1, np.float32), 1.0 if self._left >= 0 else float("nan"), False, False, {}


class Unstable(NotANumber):
    """Earns NaN in the end where the training seed is 10."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self._left = 10**9 if seed not in {None, 10} else self._left
        return super().reset(seed=seed)


class Secretive(gymnasium.Env[Any, Any]):
    """Keeps what changes in it where it cannot be seen."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = (
            spaces.Box(-1.0, 1.0, (1,), np.float32),
            spaces.Discrete(2),
        )
        self._steps = iter(range(10**9))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), float(next(self._steps) % 3), False, False, {}


BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
ACTION_SPACES: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3, start=1),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4], start=[0, -1, 5]),
    "multi_binary": spaces.MultiBinary(3),
    "box": BOX,
    "empty_box": spaces.Box(-1.0, 1.0, (0,), np.float32),
    "whole_box": spaces.Box(0, 5, (2,), np.int64),
    "infinite_box": spaces.Box(-np.inf, 1.0, (2,), np.float32),
    "table": spaces.MultiDiscrete(np.array([[3, 2], [2, 2]])),
    "tuple": spaces.Tuple([spaces.Discrete(2)]),
}
OBSERVATION_SPACES: dict[str, spaces.Space[Any]] = {
    "box": BOX,
    "empty_box": spaces.Box(-1.0, 1.0, (0,), np.float32),
    "dict": spaces.Dict({"near": BOX, "far": spaces.Box(0.0, 9.0, (3,), np.float32)}),
}


class Target(gymnasium.Env[Any, Any]):
    """Earns the share of an action's parts that are the largest of their space; 4 steps.

    What it observes are the steps so far, in every entry. The infos of resets and steps differ.
    """

    def __init__(self, action: str = "box", observation: str = "box") -> None:
        self.action_space = ACTION_SPACES[action]
        self.observation_space = OBSERVATION_SPACES[observation]
        self._steps = self._episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps, self._episodes = 0, self._episodes + 1
        return self._observed(), {"episodes": self._episodes, "last": "reset"}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in self.action_space, action
        self._steps += 1
        reward = float(np.mean(action == self._largest()))
        return self._observed(), reward, self._steps == 4, False, {"steps": self._steps, "last": 1}

    def _largest(self) -> Any:
        space: Any = self.action_space
        if isinstance(space, spaces.Discrete):
            return space.start + space.n - 1
        if isinstance(space, spaces.MultiDiscrete):
            return space.start + space.nvec - 1
        return 1

    def _observed(self) -> Any:
        space = self.observation_space
        parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
        seen = {
            name: np.full(part.shape or (), self._steps, np.float32) for name, part in parts.items()
        }
        return seen if isinstance(space, spaces.Dict) else seen[""]


class TwoNames(gymnasium.Env[Any, Any]):
    """Knows its generator, the cells of its board or a list by a second name, and uses both."""

    def __init__(self, kind: str = "generator") -> None:
        self.observation_space = spaces.Box(-1e6, 1e6, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._kind = kind

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._rng = self.np_random
        self._board = np.zeros(4)
        self._rows = self._board.reshape(2, 2)
        self._log: list[float] = []
        self._history = {"log": self._log}
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._kind == "generator":
            value = self._rng.random() + self.np_random.random()
        elif self._kind == "view":
            self._rows[0] += 1.0 + action
            value = float(self._board.sum())
        else:
            self._log.append(float(action))
            value = float(sum(self._history["log"]))
        return np.array([value], np.float32), value, False, False, {}


class _Idle(gymnasium.Env[Any, Any]):
    """Does nothing: for tests that bring their own rollouts."""

    def __init__(self, observation: spaces.Box[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape or (), np.float32), {}


def idle_env(
    observation: spaces.Box[Any], action: spaces.Space[Any], n_envs: int
) -> SyncVectorEnv[Any, Any]:
    """A batch of them in same-step mode."""
    return SyncVectorEnv(
        [lambda: _Idle(observation, action)] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP
    )


gymnasium.register("Endless-v0", "tests.toy_envs:Endless", max_episode_steps=7)
gymnasium.register("Unlimited-v0", "tests.toy_envs:Endless")
gymnasium.register("Repetitive-v0", "tests.toy_envs:Repetitive")
gymnasium.register("Target-v0", "tests.toy_envs:Target", disable_env_checker=True)
gymnasium.register("NotANumber-v0", "tests.toy_envs:NotANumber", max_episode_steps=7)
gymnasium.register("Unstable-v0", "tests.toy_envs:Unstable", max_episode_steps=7)
gymnasium.register("Secretive-v0", "tests.toy_envs:Secretive", max_episode_steps=7)
gymnasium.register("TwoNames-v0", "tests.toy_envs:TwoNames", max_episode_steps=50)
for _id, _kind in (("TwoNamesView-v0", "view"), ("TwoNamesList-v0", "list")):
    gymnasium.register(_id, "tests.toy_envs:TwoNames", max_episode_steps=50, kwargs={"kind": _kind})
