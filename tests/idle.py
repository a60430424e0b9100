"""An environment in which nothing happens, for tests that bring their own rollouts."""

from typing import Any

import numpy as np
from gymnasium import Env, spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class _Idle(Env[Any, Any]):
    def __init__(self, observation: spaces.Box[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape or (), np.float32), {}


def idle_env(observation: spaces.Box[Any], action: spaces.Space[Any], n_envs: int) -> SyncVectorEnv[Any, Any]:
    """A batch of them in same-step mode."""
    return SyncVectorEnv([lambda: _Idle(observation, action)] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)
