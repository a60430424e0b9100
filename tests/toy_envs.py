"""Small environments for tests: endless, idle, one that earns NaN, one that cannot be saved."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ENDLESS = "tests.toy_envs:Endless-v0"
NOT_A_NUMBER = "tests.toy_envs:NotANumber-v0"
SECRETIVE = "tests.toy_envs:Secretive-v0"


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
gymnasium.register("NotANumber-v0", "tests.toy_envs:NotANumber", max_episode_steps=7)
gymnasium.register("Secretive-v0", "tests.toy_envs:Secretive", max_episode_steps=7)
