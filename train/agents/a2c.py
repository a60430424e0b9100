"""The production agent: Stable-Baselines3's A2C on a whole batch of environments at once."""

from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.utils import LinearSchedule, safe_mean
from torch import nn

from train.agents.privileged import mask_privileged_inputs
from train.agents.vec_env import BatchInfos, SB3VecEnv
from train.config import AgentConfig
from train.divergence import check_finite
from train.environment import TrainingEnv
from train.logs.training_log import TrainingLog
from train.storage.safe_load import restore_network

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
# Fields that are not passed to A2C as they are; all others have its names.
NOT_A2C = {"n_envs", "learning_rate", "learning_rate_end", "log_interval", "policy_kwargs"}


class UnshuffledRolloutBuffer(RolloutBuffer):
    """Rollout buffer that yields the whole rollout unshuffled, without copies."""

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """The whole rollout in order, (n_steps * n_envs, ...), or SB3's shuffled minibatches."""
        if batch_size is not None:
            yield from super().get(batch_size)
            return
        observations, actions = (
            part.reshape(-1, *part.shape[2:]) for part in (self.observations, self.actions)
        )
        columns = (self.values, self.log_probs, self.advantages, self.returns)
        flat = [column.reshape(-1) for column in columns]
        parts = (observations, actions.astype(np.float32, copy=False), *flat)
        # No copy: the next rollout is written into new arrays.
        yield RolloutBufferSamples(*(self.to_torch(part, copy=False) for part in parts))


class BatchA2C(A2C):
    """A2C with an unshuffled rollout, which reads episode returns from batched infos."""

    def _setup_model(self) -> None:
        super()._setup_model()
        # Given as rollout_buffer_class, A2C.load would need this module to open the saved file.
        self.rollout_buffer = UnshuffledRolloutBuffer(
            self.n_steps,
            self.observation_space,
            self.action_space,
            device=self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
        )

    def _update_info_buffer(self, infos: Any, dones: NDArray[np.bool_] | None = None) -> None:
        if not isinstance(infos, BatchInfos):
            super()._update_info_buffer(infos, dones)
            return
        ended = infos.batch.get("_episode")
        if ended is None or self.ep_info_buffer is None:
            return
        rows = np.flatnonzero(ended)[-self._stats_window_size :]
        returns, lengths = (infos.batch["episode"][name][rows].tolist() for name in ("r", "l"))
        pairs = zip(returns, lengths, strict=True)
        self.ep_info_buffer.extend({"r": r, "l": length} for r, length in pairs)


class LogCallback(BaseCallback):
    """Logs every step and every update, and calls ``before_rollout`` with the steps so far."""

    def __init__(self, log: TrainingLog, before_rollout: Callable[[int], object] | None) -> None:
        super().__init__()
        self._log, self._before_rollout = log, before_rollout

    def _on_step(self) -> bool:
        self._log.step(self.locals["infos"].batch)
        return True

    def _on_rollout_start(self) -> None:
        # The losses of a rollout are known when the next one starts.
        if self.num_timesteps > self._log.timesteps:
            self._check_finite()
            self._log.rollout(self.num_timesteps, self._scalars)
        if self._before_rollout is not None:
            self._before_rollout(self.num_timesteps)

    def _on_training_end(self) -> None:
        self._check_finite()
        self._log.rollout(self.model.num_timesteps, self._scalars)
        self._log.finish()

    def _check_finite(self) -> None:
        scalars = self.logger.name_to_value.items()
        losses = {name: value for name, value in scalars if name.endswith("_loss")}
        check_finite(self.model.num_timesteps, losses, next(self.model.policy.parameters()))

    def _scalars(self) -> dict[str, float]:
        episodes = self.model.ep_info_buffer or ()
        rollout = {
            "rollout/ep_rew_mean": safe_mean([episode["r"] for episode in episodes]),
            "rollout/ep_len_mean": safe_mean([episode["l"] for episode in episodes]),
        }
        values = self.logger.name_to_value.items()
        updates = {name: float(value) for name, value in values if name != "train/n_updates"}
        return (rollout if episodes else {}) | updates


def build(envs: TrainingEnv, config: AgentConfig, seed: int) -> BatchA2C:
    """Builds the untrained agent with its environments."""
    end = config.learning_rate if config.learning_rate_end is None else config.learning_rate_end
    agent = BatchA2C(
        "MlpPolicy",
        SB3VecEnv(envs),
        learning_rate=LinearSchedule(config.learning_rate, end, 1.0),
        policy_kwargs=_policy_kwargs(config),
        seed=seed,
        device="cpu",
        **config.model_dump(exclude=NOT_A2C),
    )
    agent.set_logger(Logger(folder=None, output_formats=[]))
    actor = nn.ModuleList([agent.policy.mlp_extractor.policy_net, agent.policy.action_net])
    mask_privileged_inputs(actor, envs)
    return agent


def learn(
    agent: BatchA2C,
    envs: TrainingEnv,
    total_timesteps: int,
    seed: int,
    log: TrainingLog,
    before_rollout: Callable[[int], object] | None = None,
) -> None:
    """Trains until ``total_timesteps`` environment steps are taken, and logs every rollout.

    ``envs`` and ``seed`` are those that the agent was built with and holds itself.

    Raises:
        DivergedError: A loss or the weights are not finite.
    """
    callback = LogCallback(log, before_rollout)
    left = total_timesteps - agent.num_timesteps
    # Not reset: schedules run over all steps, those before a resume included.
    agent.learn(left, callback=callback, log_interval=None, reset_num_timesteps=False)  # type: ignore[arg-type]


def get_state(agent: BatchA2C) -> dict[str, Any]:
    """What learning resumes from at the start of a rollout, but environments and generators."""
    return {
        "policy": dict(agent.policy.state_dict()),
        "optimizer": agent.policy.optimizer.state_dict(),
        "timesteps": agent.num_timesteps,
        "updates": agent._n_updates,
        "observations": agent._last_obs,
        "episode_starts": agent._last_episode_starts,
        "episodes": list(agent.ep_info_buffer or ()),
    }


def set_state(agent: BatchA2C, envs: TrainingEnv, seed: int, state: dict[str, Any]) -> None:
    """Puts an untrained agent into the state of another; resets the environments as once."""
    if agent.env is not None:
        agent.env.reset()
    agent.policy.load_state_dict(state["policy"])
    agent.policy.optimizer.load_state_dict(state["optimizer"])
    agent.num_timesteps = state["timesteps"]
    agent._n_updates = state["updates"]
    agent._last_obs = state["observations"]
    agent._last_episode_starts = state["episode_starts"]
    window = agent._stats_window_size
    agent.ep_info_buffer = deque(state["episodes"], maxlen=window)
    agent.ep_success_buffer = deque(maxlen=window)


def save(agent: BatchA2C, path: Path) -> None:
    """Writes Stable-Baselines3's own format, which ``A2C.load`` opens."""
    agent.save(path)


def load(
    path: Path, config: AgentConfig, observation: spaces.Box, action: spaces.Space[Any]
) -> ActorCriticPolicy:
    """Rebuilds the policy from the config and its weights, as ``restore_network`` reads them."""
    policy = ActorCriticPolicy(observation, action, lambda _: 0.0, **_policy_kwargs(config))
    restore_network(policy, path, "policy.pth")
    policy.set_training_mode(False)
    return policy


def probabilities(policy: ActorCriticPolicy, observations: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of a categorical actor, (n_envs, actions)."""
    with torch.no_grad():
        actor = policy.get_distribution(policy.obs_to_tensor(observations)[0])
    categorical: Any = actor.distribution
    return np.asarray(categorical.probs.numpy(), dtype=np.float64)


def _policy_kwargs(config: AgentConfig) -> dict[str, Any]:
    kwargs = config.policy_kwargs
    adam = {"optimizer_kwargs": {"eps": kwargs.optimizer_kwargs.eps}}
    return {
        "net_arch": list(kwargs.net_arch),
        "activation_fn": ACTIVATIONS[kwargs.activation_fn],
        "ortho_init": kwargs.ortho_init,
        "log_std_init": kwargs.log_std_init,
        **({} if config.use_rms_prop else adam),
    }
