"""A minimal actor-critic in plain torch, the algorithm alone: to be read in one sitting.

The critic predicts the return; the advantage, actual minus predicted return, trains both networks.
With a Gaussian actor it is the A2C of Mnih et al. (2016), with a categorical actor and rollouts of
one step the agent of the article. It makes the same updates as Stable-Baselines3's A2C.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal
from torch.optim import Adam, Optimizer, RMSprop

from train.config import AgentConfig, PolicyKwargs

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
BatchEnv = VectorEnv[Any, Any, Any]
OnStep = Callable[[dict[str, Any]], object]
# Not as_tensor: an environment may write into its arrays again.
copied = partial(torch.tensor, dtype=torch.float32)


class Rollout(NamedTuple):
    """Transitions collected since the last update, (n_steps, n_envs, ...), oldest step first."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    dones: Tensor
    values: Tensor
    last_values: Tensor  # of the observations after the last step, (n_envs,)


class Losses(NamedTuple):
    """The three terms of the objective; their weighted sum is minimised."""

    policy: Tensor
    value: Tensor
    entropy: Tensor


def mlp(inputs: int, outputs: int, kwargs: PolicyKwargs, last_gain: float) -> nn.Sequential:
    """A fully connected network, initialised orthogonally or as torch does."""
    sizes = (inputs, *kwargs.net_arch, outputs)
    gains = (*[np.sqrt(2)] * len(kwargs.net_arch), last_gain)
    layers: list[nn.Module] = []
    for (size, next_size), gain in zip(pairwise(sizes), gains, strict=True):
        layer = nn.Linear(size, next_size)
        if kwargs.ortho_init:
            nn.init.orthogonal_(layer.weight, gain=gain)
            nn.init.zeros_(layer.bias)
        layers += [layer, ACTIVATIONS[kwargs.activation_fn]()]
    return nn.Sequential(*layers[:-1])  # the output is linear


class ActorCritic(nn.Module):
    """Policy (actor), value function (critic) and optimiser, for the spaces of one environment."""

    def __init__(
        self, observation: spaces.Box, action: spaces.Space[Any], config: AgentConfig, seed: int
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.config, self.action_space, kwargs = config, action, config.policy_kwargs
        size, outputs = observation.shape[0], spaces.flatdim(action)
        log_std = nn.Parameter(torch.full((outputs,), kwargs.log_std_init))
        self.log_std = log_std if isinstance(action, spaces.Box) else None
        self.actor = mlp(size, outputs, kwargs, last_gain=0.01)
        self.critic = mlp(size, 1, kwargs, last_gain=1.0)
        self.optimizer: Optimizer = Adam(self.parameters(), eps=kwargs.optimizer_kwargs.eps)
        if config.use_rms_prop:
            self.optimizer = RMSprop(self.parameters(), eps=config.rms_prop_eps)
        self.num_timesteps = 0
        self.last_obs: Tensor | None = None  # (n_envs, size); None before the first rollout

    def distribution(self, observations: Tensor) -> Distribution:
        """The policy at observations (..., size)."""
        output, space = self.actor(observations), self.action_space
        if self.log_std is not None:
            return Independent(Normal(output, self.log_std.exp()), 1)
        if isinstance(space, spaces.Discrete):
            return Categorical(probs=torch.softmax(output, dim=-1))
        if isinstance(space, spaces.MultiDiscrete):  # missing choices have probability 0
            is_choice = torch.arange(int(space.nvec.max())) < torch.as_tensor(space.nvec)[:, None]
            logits = output.new_full((*output.shape[:-1], *is_choice.shape), -torch.inf)
            logits[..., is_choice] = output
        else:  # MultiBinary: the log-odds of each bit
            logits = torch.stack([torch.zeros_like(output), output], dim=-1)
        return Independent(Categorical(probs=torch.softmax(logits, dim=-1)), 1)

    def value(self, observations: Tensor) -> Tensor:
        """The predicted return at observations (..., size), (...,)."""
        return torch.squeeze(self.critic(observations), -1)

    def to_env(self, actions: Tensor) -> NDArray[Any]:
        """Actions (n_envs, ...) in shape, dtype and bounds of the action space."""
        space = self.action_space
        array = actions.numpy().astype(space.dtype).reshape(-1, *(space.shape or ()))
        return np.clip(array, space.low, space.high) if isinstance(space, spaces.Box) else array

    def update(self, rollout: Rollout, learning_rate: float) -> Losses:
        """One gradient step of both networks on one rollout."""
        config = self.config
        terms = losses(self, rollout)
        total = terms.policy + config.ent_coef * terms.entropy + config.vf_coef * terms.value
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters(), config.max_grad_norm)
        self.optimizer.step()
        return terms


def advantage(rollout: Rollout, gamma: float, gae_lambda: float) -> Tensor:
    """How much better each action turned out than predicted, (n_steps, n_envs).

    Generalised advantage estimation (Schulman et al. 2016). With ``gae_lambda`` 1 it is the n-step
    advantage of A2C; for a rollout of one step it is the temporal-difference error of the article.
    """
    advantages = torch.zeros_like(rollout.rewards)
    next_values, last_gae_lam = rollout.last_values, torch.zeros_like(rollout.last_values)
    for t in reversed(range(len(rollout.rewards))):
        next_non_terminal = 1.0 - rollout.dones[t]
        delta = rollout.rewards[t] + gamma * next_values * next_non_terminal - rollout.values[t]
        last_gae_lam = delta + gamma * gae_lambda * next_non_terminal * last_gae_lam
        advantages[t] = last_gae_lam
        next_values = rollout.values[t]
    return advantages


def losses(agent: ActorCritic, rollout: Rollout) -> Losses:
    """The terms of the objective on one rollout."""
    config = agent.config
    advantages = advantage(rollout, config.gamma, config.gae_lambda)
    returns = advantages + rollout.values
    if config.normalize_advantage:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy = agent.distribution(rollout.observations)
    return Losses(
        policy=-(advantages * policy.log_prob(rollout.actions)).mean(),  # likelier good actions
        value=(returns - agent.value(rollout.observations)).pow(2).mean(),  # better predictions
        entropy=-policy.entropy().mean(),  # continued exploration
    )


@torch.no_grad()
def collect_rollout(
    agent: ActorCritic, envs: BatchEnv, observations: Tensor, on_step: OnStep
) -> tuple[Rollout, Tensor]:
    """Plays ``n_steps`` from ``observations`` on: the rollout, and the observations after it."""
    transitions = []
    for _ in range(agent.config.n_steps):
        actions, values = agent.distribution(observations).sample(), agent.value(observations)
        new_obs, step_rewards, terminated, truncated, infos = envs.step(agent.to_env(actions))
        on_step(infos)
        rewards = copied(step_rewards)
        timeouts = truncated & ~terminated
        if timeouts.any():  # the task continues where the episode does not: add what would follow
            last_obs = copied(np.stack(infos["final_obs"][timeouts].tolist()))
            rewards[timeouts] += agent.config.gamma * agent.value(last_obs)
        dones = copied(terminated | truncated)
        transitions.append((observations, actions, rewards, dones, values))
        observations = copied(new_obs)
    columns = map(torch.stack, zip(*transitions, strict=True))
    return Rollout._make([*columns, agent.value(observations)]), observations


def learn(
    agent: ActorCritic,
    envs: BatchEnv,
    total_timesteps: int,
    seed: int,
    before_rollout: Callable[[int], object],
    on_step: OnStep,
    on_update: Callable[[Rollout, Losses, float], object],
) -> None:
    """Alternates rollouts and updates until ``total_timesteps`` environment steps are taken.

    ``envs`` is in same-step autoreset mode. The callbacks receive the environment steps so far,
    the infos of each step, and each rollout with losses and learning rate of its update.
    """
    start, end = agent.config.learning_rate, agent.config.learning_rate_end
    if agent.last_obs is None:
        agent.last_obs = copied(envs.reset(seed=seed)[0])
    while agent.num_timesteps < total_timesteps:
        before_rollout(agent.num_timesteps)
        rollout, agent.last_obs = collect_rollout(agent, envs, agent.last_obs, on_step)
        agent.num_timesteps += rollout.rewards.numel()
        progress = min(agent.num_timesteps / total_timesteps, 1.0)
        learning_rate = start + progress * ((start if end is None else end) - start)
        on_update(rollout, agent.update(rollout, learning_rate), learning_rate)
