"""The agents by name: the model file, and the module, loaded when used as torch takes seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stable_baselines3.common.policies import ActorCriticPolicy

    from train.agents.a2c import BatchA2C
    from train.agents.reference import ActorCritic
    from train.agents.reference_agent import ReferencePolicy
    from train.config import AgentConfig
    from train.environment import TrainingEnv
    from train.logs.training_log import TrainingLog
    from train.play import Policy

A = TypeVar("A")
P = TypeVar("P", bound="Policy")


class Agent(Protocol[A, P]):
    """A module that trains one kind of agent: ``A`` while it learns, ``P`` once it is loaded."""

    def build(self, envs: "TrainingEnv", config: "AgentConfig", seed: int) -> A:
        """Builds the untrained agent."""

    def learn(
        self,
        agent: A,
        envs: "TrainingEnv",
        total_timesteps: int,
        seed: int,
        log: "TrainingLog",
        before_rollout: Callable[[int], object] | None = None,
    ) -> None:
        """Trains in place; ``before_rollout`` takes the steps so far, and may raise to stop."""

    def get_state(self, agent: A) -> dict[str, Any]:
        """What learning resumes from at the start of a rollout, but environments and generators."""

    def set_state(self, agent: A, envs: "TrainingEnv", seed: int, state: dict[str, Any]) -> None:
        """Puts an untrained agent into the state of another; resets the environments."""

    def save(self, agent: A, path: Path) -> None:
        """Writes its weights."""

    def load(
        self, path: Path, config: "AgentConfig", observation: spaces.Box, action: spaces.Space[Any]
    ) -> P:
        """Rebuilds the trained policy from config and weights."""

    def probabilities(self, policy: P, observations: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of a categorical actor, (n_envs, actions)."""


class Entry(NamedTuple):
    """One agent: the name of its model file in a run's folder, and how to load its module."""

    model_file: str
    module: Callable[[], Agent[Any, Any]]


def _a2c() -> "Agent[BatchA2C, ActorCriticPolicy]":
    from train.agents import a2c

    return a2c


def _reference() -> "Agent[ActorCritic, ReferencePolicy]":
    from train.agents import reference_agent

    return reference_agent


REGISTRY = {"a2c": Entry("model.zip", _a2c), "reference": Entry("model.pt", _reference)}
