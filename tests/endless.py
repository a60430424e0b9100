"""Tasks in which every step earns 1: one is only ever cut off, one ends just when it would have been cut off."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ENDLESS = "tests.endless:Endless-v0"


class Endless(gymnasium.Env[Any, Any]):
    """One observation, two actions that do the same; after ``days`` steps it ends, if ever."""

    def __init__(self, days: int = 0) -> None:
        self._days, self._played = days, 0
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._played = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._played += 1
        return np.zeros(1, np.float32), 1.0, self._played == self._days, False, {}


gymnasium.register("Endless-v0", "tests.endless:Endless", max_episode_steps=7)
