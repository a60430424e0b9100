"""Environments that something is wrong with: one earns no number, one cannot be saved."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

NOT_A_NUMBER = "tests.odd_envs:NotANumber-v0"
SECRETIVE = "tests.odd_envs:Secretive-v0"


class NotANumber(gymnasium.Env[Any, Any]):
    """Earns 1 a step, and no number once ``good_steps`` are over."""

    def __init__(self, good_steps: int = 40) -> None:
        self.observation_space, self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32), spaces.Discrete(2)
        self._left = good_steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        return np.zeros(1, np.float32), 1.0 if self._left >= 0 else float("nan"), False, False, {}


class Secretive(gymnasium.Env[Any, Any]):
    """Keeps what changes in it where it cannot be seen."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32), spaces.Discrete(2)
        self._steps = iter(range(10**9))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), float(next(self._steps) % 3), False, False, {}


gymnasium.register("NotANumber-v0", "tests.odd_envs:NotANumber", max_episode_steps=7)
gymnasium.register("Secretive-v0", "tests.odd_envs:Secretive", max_episode_steps=7)
