"""The agents by name: what every learner can do, whatever stands behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from gymnasium import spaces
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from numpy.typing import NDArray

from train.agents import a2c, reference
from train.config import AgentConfig
from train.logs.training_log import TrainingLog
from train.play import Policy


class Learner(Protocol):
    """A module that trains one kind of agent."""

    def build(self, envs: RecordEpisodeStatistics[Any, Any], config: AgentConfig, seed: int) -> Any:
        """The untrained agent."""

    def learn(
        self,
        agent: Any,
        envs: RecordEpisodeStatistics[Any, Any],
        total_timesteps: int,
        seed: int,
        log: TrainingLog,
        before_rollout: Callable[[int], object] | None = None,
    ) -> None:
        """Trains the agent in place; ``before_rollout`` takes the environment steps so far, and may raise to stop."""

    def get_state(self, agent: Any) -> dict[str, Any]:
        """All that learning goes on from where a rollout starts, but for environments and random generators."""

    def set_state(
        self, agent: Any, envs: RecordEpisodeStatistics[Any, Any], seed: int, state: dict[str, Any]
    ) -> None:
        """Puts an untrained agent into the state of another, and resets the environments."""

    def save(self, agent: Any, path: Path) -> None:
        """Writes its weights."""

    def load(
        self, path: Path, config: AgentConfig, observation: spaces.Box, action: spaces.Space[Any]
    ) -> Policy:
        """Rebuilds the trained policy from config and weights."""

    def probabilities(self, policy: Any, observations: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of a categorical actor, (n_envs, actions)."""


LEARNERS: dict[str, Learner] = {"a2c": cast(Learner, a2c), "reference": cast(Learner, reference)}
