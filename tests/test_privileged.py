"""Observations for the critic alone: weights, decisions, and a model file that opens anywhere."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3 import A2C
from torch import nn

from envs.campaign.latent import privileged_size
from envs.campaign.presets import PRESETS
from train.agents import a2c, reference_agent
from train.agents.registry import REGISTRY
from train.config import AGENTS, AgentConfig, EnvConfig, PolicyKwargs
from train.environment import flat_observation_space, make_training_env
from train.logs.training_log import TrainingLog

ENV = EnvConfig(
    id="envs:UncertainCampaign-v0", kwargs={"privileged": True, "observation": "belief", "days": 2}
)
PRIVILEGED_SIZE = privileged_size(PRESETS["uncertain"])
PART = AgentConfig(n_envs=8, n_steps=2, learning_rate=0.01)


def first_layer(network: nn.Module) -> Any:
    return (
        next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
        .weight.detach()
        .numpy()
    )


@pytest.mark.parametrize("name", AGENTS)
def test_no_actor_ever_learns_from_privileged_columns(name: str, tmp_path: Any) -> None:
    envs = make_training_env(ENV, PART.n_envs, 10)
    learner = REGISTRY[name].module()
    agent: Any = learner.build(envs, PART, 0)
    with TrainingLog(tmp_path, 160, 5, "test", show_progress=False) as log:
        learner.learn(agent, envs, 160, 0, log)
    actor, critic = (
        (agent.policy.mlp_extractor.policy_net, agent.policy.mlp_extractor.value_net)
        if name == "a2c"
        else (agent.actor, agent.critic)
    )
    assert (first_layer(actor)[:, -PRIVILEGED_SIZE:] == 0.0).all()
    assert (first_layer(actor)[:, :-PRIVILEGED_SIZE] != 0.0).any(axis=0).all()
    assert (first_layer(critic)[:, -PRIVILEGED_SIZE:] != 0.0).all()
    policy = agent.policy if name == "a2c" else reference_agent.ReferencePolicy(agent)
    seen_size = flat_observation_space(envs).shape[0]
    seen = np.random.default_rng(0).uniform(0, 1, (5, seen_size)).astype(np.float32)
    other = seen.copy()
    other[:, -PRIVILEGED_SIZE:] = 50.0
    assert (
        policy.predict(seen, deterministic=True)[0] == policy.predict(other, deterministic=True)[0]
    ).all()


def test_a_saved_agent_with_a_privileged_critic_opens_with_sb3_alone(tmp_path: Any) -> None:
    envs = make_training_env(ENV, PART.n_envs, 10)
    agent = a2c.build(envs, PART, 0)
    a2c.save(agent, tmp_path / "model.zip")
    opened = A2C.load(tmp_path / "model.zip", device="cpu")
    seen = envs.reset(seed=0)[0]
    assert (
        opened.predict(seen, deterministic=True)[0] == agent.predict(seen, deterministic=True)[0]
    ).all()


@pytest.mark.parametrize("name", AGENTS)
def test_linear_actors_ignore_privileged_columns_too(name: str) -> None:
    part = PART.model_copy(update={"policy_kwargs": PolicyKwargs(net_arch=())})
    agent: Any = REGISTRY[name].module().build(make_training_env(ENV, PART.n_envs, 10), part, 0)
    actor = agent.policy.action_net if name == "a2c" else agent.actor
    assert (first_layer(nn.Sequential(actor))[:, -PRIVILEGED_SIZE:] == 0.0).all()
    assert (first_layer(nn.Sequential(actor))[:, :-PRIVILEGED_SIZE] != 0.0).any()


def test_without_privileged_columns_nothing_is_hidden() -> None:
    plain = EnvConfig(id=ENV.id, kwargs={"days": 2})
    agent = reference_agent.build(make_training_env(plain, 2, 10), PART, 0)
    assert (first_layer(agent.actor) != 0.0).all()
