"""Trains, saves and loads the hand-written reference: the adapter between it and the program."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from train.agents import reference
from train.agents.privileged import mask_privileged_inputs
from train.agents.reference import ActorCritic, Losses, Rollout, advantage
from train.config import AgentConfig
from train.divergence import check_finite
from train.environment import TrainingEnv, flat_observation_space
from train.logs.training_log import TrainingLog
from train.storage.safe_load import restore_network


class ReferencePolicy(NamedTuple):
    """A trained reference that decides."""

    agent: ActorCritic

    @torch.no_grad()
    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Observations (n_envs, size) to actions (n_envs, ...), sampled or the likeliest."""
        policy = self.agent.distribution(torch.as_tensor(observation, dtype=torch.float32))
        return self.agent.to_env(policy.mode if deterministic else policy.sample()), state


def build(envs: TrainingEnv, config: AgentConfig, seed: int) -> ActorCritic:
    """Builds the untrained agent."""
    agent = ActorCritic(flat_observation_space(envs), envs.single_action_space, config, seed)
    mask_privileged_inputs(agent.actor, envs)
    return agent


def learn(
    agent: ActorCritic,
    envs: TrainingEnv,
    total_timesteps: int,
    seed: int,
    log: TrainingLog,
    before_rollout: Callable[[int], object] | None = None,
) -> None:
    """Trains until ``total_timesteps`` environment steps are taken, and logs every rollout.

    Raises:
        DivergedError: A loss or the weights are not finite.
    """

    def on_update(rollout: Rollout, losses: Losses, learning_rate: float) -> None:
        values = {f"{name}_loss": loss.item() for name, loss in losses._asdict().items()}
        check_finite(agent.num_timesteps, values, next(agent.parameters()))
        row = partial(scalars, agent, envs, rollout, losses, learning_rate)
        log.rollout(agent.num_timesteps, row)

    start = before_rollout or (lambda _: None)
    reference.learn(agent, envs, total_timesteps, seed, start, log.step, on_update)
    log.finish()


def scalars(
    agent: ActorCritic, envs: TrainingEnv, rollout: Rollout, losses: Losses, learning_rate: float
) -> dict[str, float]:
    """One rollout and its update under Stable-Baselines3's tags."""
    returns = advantage(rollout, agent.config.gamma, agent.config.gae_lambda) + rollout.values
    variance = returns.var(unbiased=False)
    unexplained = (returns - rollout.values).var(unbiased=False)
    row = {
        "train/learning_rate": learning_rate,
        "train/explained_variance": float(1.0 - unexplained / variance if variance else np.nan),
        "train/entropy_loss": losses.entropy.item(),
        "train/policy_loss": losses.policy.item(),
        "train/value_loss": losses.value.item(),
    }
    if envs.return_queue:
        row["rollout/ep_rew_mean"] = float(np.mean(envs.return_queue))
        row["rollout/ep_len_mean"] = float(np.mean(envs.length_queue))
    if agent.log_std is not None:
        row["train/std"] = agent.log_std.exp().mean().item()
    return row


def get_state(agent: ActorCritic) -> dict[str, Any]:
    """What learning resumes from at the start of a rollout, but environments and generators."""
    return {
        "weights": dict(agent.state_dict()),
        "optimizer": agent.optimizer.state_dict(),
        "timesteps": agent.num_timesteps,
        "observations": agent.last_obs,
    }


def set_state(agent: ActorCritic, envs: TrainingEnv, seed: int, state: dict[str, Any]) -> None:
    """Puts an untrained agent into the state of another; resets the environments as once."""
    envs.reset(seed=seed)
    agent.load_state_dict(state["weights"])
    agent.optimizer.load_state_dict(state["optimizer"])
    agent.num_timesteps, agent.last_obs = state["timesteps"], state["observations"]


def save(agent: ActorCritic, path: Path) -> None:
    """Writes the weights of both networks."""
    torch.save(agent.state_dict(), path)


def load(
    path: Path, config: AgentConfig, observation: spaces.Box, action: spaces.Space[Any]
) -> ReferencePolicy:
    """Rebuilds the agent from the config and its weights, as ``restore_network`` reads them."""
    agent = ActorCritic(observation, action, config, seed=0)
    restore_network(agent, path)
    return ReferencePolicy(agent)


@torch.no_grad()
def probabilities(policy: ReferencePolicy, observations: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of a categorical actor, (n_envs, actions)."""
    seen = torch.as_tensor(observations, dtype=torch.float32)
    categorical: Any = policy.agent.distribution(seen)
    return np.asarray(categorical.probs.numpy(), dtype=np.float64)
