"""A task that is only ever cut off: every step earns 1."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ENDLESS = "tests.endless:Endless-v0"


class Endless(gymnasium.Env[Any, Any]):
    """One observation, two actions that do the same."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), 1.0, False, False, {}


gymnasium.register("Endless-v0", "tests.endless:Endless", max_episode_steps=7)
