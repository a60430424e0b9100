"""A minimal actor-critic in plain torch, to be read from top to bottom in one sitting.

An actor decides, a critic foretells what is still to be earned, and the advantage (what came out,
less what the critic foretold) tells both what to change. Plain hyperparameters make it the one-step
agent of the article (a categorical actor, a rollout of one step) or the n-step A2C of Mnih et al.
2016 with a Gaussian actor. Given the same weights and the same rollout it makes the same update as
Stable-Baselines3's A2C; a test holds the two together.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from train.agents.privileged import mask_privileged_inputs
from train.agents.reference_state import get_state as get_state
from train.agents.reference_state import set_state as set_state
from train.config import AgentConfig, InputError, PolicyKwargs
from train.logs.training_log import TrainingLog
from train.divergence import check_finite
from train.storage.safe_load import load_weights, read_bytes

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Actor(nn.Module):
    """The policy: observations (..., size) to a distribution over actions, categorical or Gaussian."""

    def __init__(
        self, observation: spaces.Box, action: spaces.Space[Any], kwargs: PolicyKwargs
    ) -> None:
        super().__init__()
        discrete = isinstance(action, spaces.Discrete)
        outputs = (
            int(action.n)
            if isinstance(action, spaces.Discrete)
            else int(np.prod(action.shape or ()))
        )
        self.net = mlp(int(observation.shape[0]), outputs, kwargs, last_gain=0.01)
        self.log_std = (
            None if discrete else nn.Parameter(torch.full((outputs,), kwargs.log_std_init))
        )

    def forward(self, observations: Tensor) -> Distribution:
        """The distribution of the next action."""
        output = self.net(observations)
        if self.log_std is None:
            return Categorical(probs=torch.softmax(output, dim=-1))
        return Independent(Normal(output, self.log_std.exp()), 1)


class Critic(nn.Module):
    """The value function: observations (..., size) to the return expected from there on, (...,)."""

    def __init__(self, observation: spaces.Box, kwargs: PolicyKwargs) -> None:
        super().__init__()
        self.net = mlp(int(observation.shape[0]), 1, kwargs, last_gain=1.0)

    def forward(self, observations: Tensor) -> Tensor:
        """The value of each observation."""
        value: Tensor = self.net(observations).squeeze(-1)
        return value


def mlp(inputs: int, outputs: int, kwargs: PolicyKwargs, last_gain: float) -> nn.Sequential:
    """A plain network; orthogonal initial weights where the hyperparameters ask for them."""
    sizes = (inputs, *kwargs.net_arch, outputs)
    layers: list[nn.Module] = []
    for i, (size, next_size) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        layer = nn.Linear(size, next_size)
        if kwargs.ortho_init:
            nn.init.orthogonal_(layer.weight, gain=last_gain if last else np.sqrt(2))
            nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, ACTIVATIONS[kwargs.activation_fn]()]
    return nn.Sequential(*layers)


class Rollout(NamedTuple):
    """What the actor has lived through since the last update; arrays (n_steps, n_envs, ...), oldest step first."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    dones: Tensor
    values: Tensor
    last_values: Tensor
    """Values of the observations after the last step, (n_envs,)."""


class Losses(NamedTuple):
    """The three terms of the objective; their weighted sum is minimised."""

    policy: Tensor
    value: Tensor
    entropy: Tensor


def advantage(rollout: Rollout, gamma: float, gae_lambda: float) -> Tensor:
    """How much better each action turned out than the critic foretold, (n_steps, n_envs).

    Generalised advantage estimation (Schulman et al. 2016); with ``gae_lambda`` 1 it is the n-step
    advantage of A2C, with a rollout of one step the temporal-difference error of the article.
    """
    result = torch.zeros_like(rollout.rewards)
    next_value, following = rollout.last_values, torch.zeros_like(rollout.last_values)
    for t in reversed(range(len(rollout.rewards))):
        goes_on = 1.0 - rollout.dones[t]
        td_error = rollout.rewards[t] + gamma * next_value * goes_on - rollout.values[t]
        following = td_error + gamma * gae_lambda * goes_on * following
        result[t] = following
        next_value = rollout.values[t]
    return result


def losses(actor: Actor, critic: Critic, rollout: Rollout, config: AgentConfig) -> Losses:
    """The terms of the objective on one rollout."""
    advantages = advantage(rollout, config.gamma, config.gae_lambda)
    returns = advantages + rollout.values
    if config.normalize_advantage:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    distribution = actor(rollout.observations)
    return Losses(
        policy=-(
            advantages * distribution.log_prob(rollout.actions)
        ).mean(),  # make good actions likelier
        value=(returns - critic(rollout.observations)).pow(2).mean(),  # foretell what came out
        entropy=-distribution.entropy().mean(),  # stay curious
    )


class Agent:
    """Actor, critic and an optimiser for each.

    Args:
        observation, action: Spaces of one environment.
        config: Hyperparameters.
        seed: Seed of the weights, and of every action drawn later.

    Attributes:
        timesteps: Environment steps learned from so far.
        observations: What it sees now, (n_envs, size); None before the first step.
    """

    def __init__(
        self, observation: spaces.Box, action: spaces.Space[Any], config: AgentConfig, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.action_space = config, action
        self.actor = Actor(observation, action, config.policy_kwargs)
        self.critic = Critic(observation, config.policy_kwargs)
        self.optimizers = [_optimizer(self.actor, config), _optimizer(self.critic, config)]
        self.timesteps = 0
        self.observations: Tensor | None = None

    def parameters(self) -> list[nn.Parameter]:
        """Every weight of actor and critic."""
        return [*self.actor.parameters(), *self.critic.parameters()]

    def update(self, rollout: Rollout, learning_rate: float) -> Losses:
        """One gradient step of both networks on one rollout."""
        config = self.config
        terms = losses(self.actor, self.critic, rollout, config)
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = learning_rate
            optimizer.zero_grad()
        (terms.policy + config.ent_coef * terms.entropy + config.vf_coef * terms.value).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters(), config.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return terms

    def to_env(self, actions: Tensor) -> NDArray[Any]:
        """Actions as the environment takes them: a Gaussian knows no bounds, a box does."""
        box = self.action_space
        if isinstance(box, spaces.Box):
            return np.asarray(np.clip(actions.numpy().reshape(-1, *box.shape), box.low, box.high))
        return np.asarray(actions.numpy())

    @torch.no_grad()
    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Observations (n_envs, size) to actions (n_envs, ...); deterministic: the likeliest one."""
        distribution = self.actor(torch.as_tensor(observation, dtype=torch.float32))
        return self.to_env(distribution.mode if deterministic else distribution.sample()), state


def build(envs: RecordEpisodeStatistics[Any, Any], config: AgentConfig, seed: int) -> Agent:
    """Builds the untrained agent."""
    agent = Agent(envs.single_observation_space, envs.single_action_space, config, seed)  # type: ignore[arg-type]
    mask_privileged_inputs(agent.actor, envs)
    return agent


def learn(
    agent: Agent,
    envs: RecordEpisodeStatistics[Any, Any],
    total_timesteps: int,
    seed: int,
    log: TrainingLog,
    before_rollout: Callable[[int], object] | None = None,
) -> None:
    """Lives through rollouts and learns from each, until ``total_timesteps`` environment steps are taken."""
    config = agent.config
    end = config.learning_rate if config.learning_rate_end is None else config.learning_rate_end
    if agent.observations is None:
        agent.observations = torch.as_tensor(envs.reset(seed=seed)[0], dtype=torch.float32)
    while agent.timesteps < total_timesteps:
        if before_rollout is not None:
            before_rollout(agent.timesteps)
        rollout, agent.observations = live(agent, agent.observations, envs, log)
        agent.timesteps += rollout.rewards.numel()
        done = min(agent.timesteps / total_timesteps, 1.0)
        learning_rate = config.learning_rate + done * (end - config.learning_rate)
        terms = agent.update(rollout, learning_rate)
        values = {f"{name}_loss": term.item() for name, term in terms._asdict().items()}
        check_finite(agent.timesteps, values, agent.parameters()[0])
        log.rollout(agent.timesteps, partial(scalars, agent, envs, rollout, terms, learning_rate))
    log.finish()


@torch.no_grad()
def live(
    agent: Agent, observations: Tensor, envs: RecordEpisodeStatistics[Any, Any], log: TrainingLog
) -> tuple[Rollout, Tensor]:
    """Plays ``n_steps`` from ``observations`` on: the rollout, and what is seen after it."""
    steps = []
    for _ in range(agent.config.n_steps):
        actions = agent.actor(observations).sample()
        values = agent.critic(observations)
        after, earned, terminated, truncated, infos = envs.step(agent.to_env(actions))
        log.step(infos)
        rewards = torch.as_tensor(earned, dtype=torch.float32)
        cut = truncated & ~terminated
        if cut.any():  # the episode was cut off, the task goes on: what would have followed counts
            last = np.stack(infos["final_obs"][cut].tolist())
            rewards[cut] += agent.config.gamma * agent.critic(
                torch.as_tensor(last, dtype=torch.float32)
            )
        dones = torch.as_tensor(terminated | truncated, dtype=torch.float32)
        steps.append((observations, actions, rewards, dones, values))
        observations = torch.as_tensor(after, dtype=torch.float32)
    seen, chosen, won, ended, foretold = (
        torch.stack(column) for column in zip(*steps, strict=True)
    )
    return Rollout(seen, chosen, won, ended, foretold, agent.critic(observations)), observations


def scalars(
    agent: Agent,
    envs: RecordEpisodeStatistics[Any, Any],
    rollout: Rollout,
    terms: Losses,
    learning_rate: float,
) -> dict[str, float]:
    """One rollout and its update under Stable-Baselines3's tags."""
    config = agent.config
    returns = advantage(rollout, config.gamma, config.gae_lambda) + rollout.values
    variance = returns.var(unbiased=False)
    explained = (
        1.0 - (returns - rollout.values).var(unbiased=False) / variance
        if variance > 0
        else torch.nan
    )
    named = {
        "train/learning_rate": learning_rate,
        "train/explained_variance": float(explained),
        "train/entropy_loss": terms.entropy.item(),
        "train/policy_loss": terms.policy.item(),
        "train/value_loss": terms.value.item(),
    }
    if envs.return_queue:
        named["rollout/ep_rew_mean"] = float(np.mean(envs.return_queue))
        named["rollout/ep_len_mean"] = float(np.mean(envs.length_queue))
    if agent.actor.log_std is not None:
        named["train/std"] = agent.actor.log_std.exp().mean().item()
    return named


def save(agent: Agent, path: Path) -> None:
    """Writes the weights of both networks."""
    torch.save({"actor": agent.actor.state_dict(), "critic": agent.critic.state_dict()}, path)


def load(
    path: Path, config: AgentConfig, observation: spaces.Box, action: spaces.Space[Any]
) -> Agent:
    """Rebuilds the agent from the config and fills in the weights; nothing of the file is unpickled.

    Raises:
        InputError: The file is damaged or does not fit the config.
    """
    agent = Agent(observation, action, config, seed=0)
    try:
        weights = load_weights(read_bytes(path))
        agent.actor.load_state_dict(weights["actor"])
        agent.critic.load_state_dict(weights["critic"])
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise InputError(
            f"{path}: is no model of its config: {str(error).splitlines()[0]}"
        ) from error
    return agent


@torch.no_grad()
def probabilities(agent: Agent, observations: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of a categorical actor, (n_envs, actions)."""
    probabilities: Tensor = agent.actor(torch.as_tensor(observations, dtype=torch.float32)).probs
    return probabilities.double().numpy()


def _optimizer(network: nn.Module, config: AgentConfig) -> torch.optim.Optimizer:
    if config.use_rms_prop:
        return torch.optim.RMSprop(
            network.parameters(), lr=config.learning_rate, alpha=0.99, eps=config.rms_prop_eps
        )
    return torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, eps=config.policy_kwargs.optimizer_kwargs.eps
    )
