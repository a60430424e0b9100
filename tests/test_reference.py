"""The hand-written actor-critic and Stable-Baselines3's check each other on the same rollout."""

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import A2C
from stable_baselines3.common.logger import Logger
from torch.distributions import Bernoulli

from tests.toy_envs import idle_env
from train.agents import a2c, reference, reference_agent
from train.agents.reference import Losses, Rollout, advantage
from train.config import AgentConfig, EnvConfig
from train.divergence import DivergedError
from train.environment import make_training_env
from train.errors import InputError

OBSERVATION = spaces.Box(0.0, 1.0, (6,), np.float32)
GAUSSIAN = spaces.Box(-10.0, 10.0, (3,), np.float32)
CATEGORICAL = spaces.Discrete(3)
MULTI_CATEGORICAL = spaces.MultiDiscrete([3, 2, 4])
BINARY = spaces.MultiBinary(3)
N_STEPS, N_ENVS = 5, 8


def config(**changes: Any) -> AgentConfig:
    fields = {
        "n_envs": N_ENVS,
        "n_steps": N_STEPS,
        "gamma": 0.97,
        "gae_lambda": 0.9,
        "ent_coef": 0.01,
        "learning_rate": 0.01,
        "policy_kwargs": {"net_arch": (16, 16)},
    }
    return AgentConfig.model_validate(fields | changes)


def pair(action: spaces.Space[Any], part: AgentConfig) -> tuple[A2C, reference.ActorCritic]:
    """Both agents with the same weights, drawn at random but not small."""
    envs = RecordEpisodeStatistics(idle_env(OBSERVATION, action, N_ENVS))
    theirs = a2c.build(envs, part, seed=1)
    theirs._setup_learn(1)
    theirs.policy.to(torch.float64)
    theirs.set_logger(Logger(None, []))
    ours = reference.ActorCritic(OBSERVATION, action, part, seed=2)
    ours.double()
    policy: Any = theirs.policy
    _copy(ours.actor, [*policy.mlp_extractor.policy_net, policy.action_net])
    _copy(ours.critic, [*policy.mlp_extractor.value_net, policy.value_net])
    with torch.no_grad():
        policy.action_net.weight.mul_(30.0)
        _copy(ours.actor, [*policy.mlp_extractor.policy_net, policy.action_net])
        if ours.log_std is not None:
            policy.log_std.copy_(torch.tensor([-0.3, 0.1, 0.4]))
            ours.log_std.copy_(policy.log_std)
    return theirs, ours


def _copy(net: torch.nn.Module, layers: list[Any]) -> None:
    mine = [layer for layer in net.modules() if isinstance(layer, torch.nn.Linear)]
    their = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    for to, source in zip(mine, their, strict=True):
        to.load_state_dict(source.state_dict())


def fill(theirs: A2C, action: spaces.Space[Any]) -> Rollout:
    """Writes one random rollout into Stable-Baselines3's buffer and returns it as ours."""
    rng = np.random.default_rng(3)
    action.seed(3)
    buffer = theirs.rollout_buffer
    buffer.reset()
    for name in ("observations", "rewards", "values", "log_probs", "advantages", "returns"):
        setattr(buffer, name, getattr(buffer, name).astype(np.float64))
    starts, steps = np.ones(N_ENVS, dtype=bool), []
    for _ in range(N_STEPS):
        seen, earned = torch.as_tensor(rng.random((N_ENVS, 6))), torch.as_tensor(rng.random(N_ENVS))
        drawn = np.stack([action.sample() for _ in range(N_ENVS)])
        if isinstance(action, spaces.Box):
            drawn = rng.normal(size=drawn.shape)
        actions = torch.as_tensor(drawn if action == CATEGORICAL else drawn.astype(np.float32))
        with torch.no_grad():
            values, log_probs, _ = theirs.policy.evaluate_actions(seen, actions)
        buffer.add(seen.numpy(), actions.numpy(), earned.numpy(), starts, values, log_probs)
        dones = rng.random(N_ENVS) < 0.3
        steps.append((seen, actions, earned, torch.as_tensor(dones).double(), values.flatten()))
        starts = dones
    with torch.no_grad():
        last = theirs.policy.predict_values(torch.as_tensor(rng.random((N_ENVS, 6))))
    buffer.compute_returns_and_advantage(last, dones)
    seen, actions, earned, ended, values = (
        torch.stack(column) for column in zip(*steps, strict=True)
    )
    return Rollout(seen, actions, earned, ended, values, last.flatten())


@pytest.fixture(autouse=True)
def _double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both compute in float64: only formulas can differ visibly, not the order of a sum."""
    monkeypatch.setattr(
        "stable_baselines3.common.policies.preprocess_obs", lambda seen, *_, **__: seen
    )
    log_prob: Any = Bernoulli.log_prob  # computes in the precision of the actions
    monkeypatch.setattr(Bernoulli, "log_prob", lambda self, bits: log_prob(self, bits.double()))


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """To 1e-6 of the quantity's largest magnitude."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-6 * max(float(theirs.abs().max()), 1e-12)


@pytest.mark.parametrize(
    ("action", "use_rms_prop", "normalize_advantage"),
    list(
        itertools.product(
            [GAUSSIAN, CATEGORICAL, MULTI_CATEGORICAL, BINARY], [True, False], [True, False]
        )
    ),
    ids=lambda value: type(value).__name__ if isinstance(value, spaces.Space) else str(value),
)
@pytest.mark.parametrize("max_grad_norm", [0.05, float("inf")])
def test_the_same_rollout_gives_the_same_update(
    action: spaces.Space[Any], use_rms_prop: bool, normalize_advantage: bool, max_grad_norm: float
) -> None:
    part = config(
        use_rms_prop=use_rms_prop,
        normalize_advantage=normalize_advantage,
        max_grad_norm=max_grad_norm,
    )
    theirs, ours = pair(action, part)
    rollout = fill(theirs, action)
    close(
        advantage(rollout, part.gamma, part.gae_lambda),
        torch.as_tensor(theirs.rollout_buffer.advantages),
    )
    before = _flat(ours.parameters())
    theirs.train()
    terms = ours.update(rollout, learning_rate=part.learning_rate)
    logged = theirs.logger.name_to_value
    for name in ("policy", "value", "entropy"):
        close(getattr(terms, name).detach(), torch.tensor(logged[f"train/{name}_loss"]))
    policy = theirs.policy
    theirs_by_name = [
        *([policy.log_std] if ours.log_std is not None else []),
        *_linears([*policy.mlp_extractor.policy_net, policy.action_net]),
        *_linears([*policy.mlp_extractor.value_net, policy.value_net]),
    ]
    close(_flat([p.grad for p in ours.parameters()]), _flat([p.grad for p in theirs_by_name]))
    close(_flat(ours.parameters()), _flat(theirs_by_name))
    moved = (_flat(ours.parameters()) - before).abs()
    assert moved.max() > 1e-4


def _flat(tensors: Iterable[torch.Tensor | None]) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors if tensor is not None])


def _linears(layers: list[Any]) -> list[torch.nn.Parameter]:
    return [
        weights
        for layer in layers
        if isinstance(layer, torch.nn.Linear)
        for weights in layer.parameters()
    ]


def test_one_clip_bounds_actor_and_critic_together() -> None:
    part = config(max_grad_norm=0.05)
    theirs, ours = pair(GAUSSIAN, part)
    ours.update(fill(theirs, GAUSSIAN), learning_rate=0.0)
    norm = torch.sqrt(
        sum(
            (p.grad.pow(2).sum() for p in ours.parameters() if p.grad is not None),
            torch.tensor(0.0),
        )
    )
    assert norm == pytest.approx(0.05, rel=1e-4)


def test_the_advantage_is_the_actual_less_the_predicted_return() -> None:
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    dones = torch.tensor([[0.0], [0.0], [1.0]])
    values = torch.tensor([[0.5], [0.25], [0.125]])
    rollout = Rollout(
        torch.zeros(3, 1, 1), torch.zeros(3, 1), rewards, dones, values, torch.tensor([99.0])
    )
    assert advantage(rollout, gamma=1.0, gae_lambda=1.0).flatten().tolist() == [5.5, 4.75, 2.875]
    one_step = advantage(rollout, gamma=0.5, gae_lambda=0.0).flatten().tolist()
    assert one_step == [1.0 + 0.5 * 0.25 - 0.5, 2.0 + 0.5 * 0.125 - 0.25, 3.0 - 0.125]


def test_the_weights_start_as_sb3s_do() -> None:
    part = config(policy_kwargs={"net_arch": (64, 64)})
    ours = reference.ActorCritic(OBSERVATION, GAUSSIAN, part, seed=0)
    actor, critic = (
        [layer for layer in net if isinstance(layer, torch.nn.Linear)]
        for net in (ours.actor, ours.critic)
    )
    for layer, gain in zip([*actor, *critic], (2.0, 2.0, 0.0001, 2.0, 2.0, 1.0), strict=True):
        rows = layer.weight if layer.weight.shape[0] <= layer.weight.shape[1] else layer.weight.T
        torch.testing.assert_close(rows @ rows.T, gain * torch.eye(len(rows)), atol=1e-5, rtol=1e-4)
        assert not layer.bias.any()


def test_the_seed_decides_the_weights() -> None:
    first, second, other = (
        reference.ActorCritic(OBSERVATION, GAUSSIAN, config(), seed=seed) for seed in (1, 1, 2)
    )
    weights = [_flat(agent.parameters()) for agent in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def policy_of(action: spaces.Space[Any]) -> reference_agent.ReferencePolicy:
    """An untrained policy over a space of actions."""
    return reference_agent.ReferencePolicy(
        reference.ActorCritic(OBSERVATION, action, config(), seed=0)
    )


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("action", [GAUSSIAN, CATEGORICAL, MULTI_CATEGORICAL, BINARY], ids=repr)
def test_every_decision_is_an_action_of_the_space(
    action: spaces.Space[Any], deterministic: bool
) -> None:
    seen = np.random.default_rng(0).random((50, 6), dtype=np.float32)
    seen[0] = 0.0  # where the bits of an untrained network are equally likely
    chosen, _ = policy_of(action).predict(seen, deterministic=deterministic)
    assert chosen.shape == (50, *(action.shape or ()))
    assert all(row in action for row in chosen)


def test_the_likeliest_actions_are_those_of_sb3() -> None:
    seen = np.random.default_rng(0).normal(0.0, 10.0, (50, 6)).astype(np.float32)
    for action in (CATEGORICAL, MULTI_CATEGORICAL, BINARY):
        theirs, ours = pair(action, config())
        ours.float()
        theirs.policy.float()
        chosen, _ = reference_agent.ReferencePolicy(ours).predict(seen, deterministic=True)
        assert np.array_equal(chosen, theirs.predict(seen, deterministic=True)[0])
        assert len(np.unique(chosen, axis=0)) > 1


def test_deterministic_is_the_likeliest_action() -> None:
    ours = policy_of(CATEGORICAL)
    seen = np.random.default_rng(0).random((50, 6), dtype=np.float32)
    chosen, _ = ours.predict(seen, deterministic=True)
    assert chosen.tolist() == reference_agent.probabilities(ours, seen).argmax(axis=-1).tolist()
    gaussian = policy_of(GAUSSIAN)
    assert np.array_equal(
        gaussian.predict(seen, deterministic=True)[0], gaussian.predict(seen, deterministic=True)[0]
    )
    assert not np.array_equal(gaussian.predict(seen)[0], gaussian.predict(seen)[0])


def test_a_gaussian_action_is_clipped_and_shaped_to_the_box() -> None:
    box = spaces.Box(-1.0, 0.5, (2, 2), np.float32)
    ours = reference.ActorCritic(OBSERVATION, box, config(), seed=0)
    drawn = torch.tensor([[-2.0, -1.0, 0.25, 2.0], [0.0, 0.5, -0.5, 0.75]])
    assert ours.to_env(drawn).tolist() == [[[-1.0, -1.0], [0.25, 0.5]], [[0.0, 0.5], [-0.5, 0.5]]]


class RecordedLog:
    """A log that keeps every rollout."""

    def __init__(self) -> None:
        self.steps = 0
        self.rollouts: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def step(self, infos: dict[str, Any]) -> None:
        self.steps += 1

    def rollout(self, timesteps: int, scalars: Callable[[], dict[str, float]]) -> None:
        self.rollouts.append((timesteps, scalars()))
        assert len(self.rollouts) < 10, "learning does not end"

    def finish(self) -> None:
        self.finished += 1


def as_log(log: RecordedLog) -> Any:
    """The log as what a ``TrainingLog`` is to the type checker."""
    return log


def learn(
    env_id: str, total_timesteps: int, seed: int = 0, **changes: Any
) -> tuple[reference.ActorCritic, RecordedLog, list[int]]:
    """An agent of two environments and 4 steps a rollout, its log, and when rollouts began."""
    part, log = config(n_envs=2, n_steps=4, **changes), RecordedLog()
    began: list[int] = []
    envs = make_training_env(EnvConfig(id=env_id), 2, 10)
    agent = reference_agent.build(envs, part, 1)
    reference_agent.learn(agent, envs, total_timesteps, seed, as_log(log), began.append)
    return agent, log, began


@pytest.mark.parametrize(
    ("total_timesteps", "end", "rates"),
    [
        (24, None, [0.01, 0.01, 0.01]),
        (24, 0.004, [0.008, 0.006, 0.004]),
        (
            20,
            0.005,
            [0.008, 0.006, 0.005],
        ),  # the last rollout goes beyond the end, its rate does not
    ],
)
def test_the_last_rollout_ends_learning_and_the_schedule(
    total_timesteps: int, end: float | None, rates: list[float]
) -> None:
    agent, log, began = learn("FrozenLake-v1", total_timesteps, learning_rate_end=end)
    assert (began, agent.num_timesteps, log.steps, log.finished) == ([0, 8, 16], 24, 12, 1)
    assert [timesteps for timesteps, _ in log.rollouts] == [8, 16, 24]
    assert [scalars["train/learning_rate"] for _, scalars in log.rollouts] == pytest.approx(rates)
    assert agent.optimizer.param_groups[0]["lr"] == pytest.approx(rates[-1])


def test_the_seed_of_learning_decides_where_environments_start() -> None:
    first, second, other = (learn("CartPole-v1", 8, seed)[0].last_obs for seed in (1, 1, 2))
    assert first is not None
    assert second is not None
    assert other is not None
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_learning_resumes_from_the_last_observations() -> None:
    envs, log, part = (
        make_training_env(EnvConfig(id="CartPole-v1"), 2, 10),
        RecordedLog(),
        config(n_envs=2, n_steps=4),
    )
    agent = reference_agent.build(envs, part, 1)
    reference_agent.learn(agent, envs, 8, 0, as_log(log))
    envs.reset = None  # type: ignore[method-assign, assignment]
    reference_agent.learn(agent, envs, 16, 0, as_log(log))
    assert (agent.num_timesteps, log.finished) == (16, 2)


def test_a_loss_that_is_nan_stops_learning() -> None:
    envs, part = make_training_env(EnvConfig(id="CartPole-v1"), 2, 10), config(n_envs=2, n_steps=4)
    agent, log = reference_agent.build(envs, part, 1), RecordedLog()
    with torch.no_grad():
        next(agent.critic.parameters())[0] = torch.nan
    with pytest.raises(
        DivergedError, match=r"^training diverged at step 8: policy_loss is nan, value_loss is nan$"
    ):
        reference_agent.learn(agent, envs, 24, 0, as_log(log))
    assert log.rollouts == []


def logged(
    rewards: list[float], values: list[float], action: spaces.Space[Any], returns: Iterable[float]
) -> dict[str, float]:
    """What is logged of one episode of one environment."""
    ours = reference.ActorCritic(OBSERVATION, action, config(gamma=1.0, gae_lambda=1.0), seed=0)
    column, predicted = torch.tensor(rewards)[:, None], torch.tensor(values)[:, None]
    rollout = Rollout(
        torch.zeros(3, 1, 6),
        torch.zeros(3, 1),
        column,
        torch.zeros(3, 1),
        predicted,
        torch.zeros(1),
    )
    envs: Any = SimpleNamespace(
        return_queue=list(returns), length_queue=[7 * len(rewards) for _ in returns]
    )
    return reference_agent.scalars(
        ours, envs, rollout, Losses(*torch.tensor([0.5, 2.0, -0.25])), 0.125
    )


def test_a_rollout_is_logged_under_the_tags_of_sb3() -> None:
    """Returns of .6, .5 and .3 have a variance of .14 / 9, what is left of them .02 / 9."""
    losses = {"train/policy_loss": 0.5, "train/value_loss": 2.0, "train/entropy_loss": -0.25}
    named = losses | {"train/learning_rate": 0.125, "train/explained_variance": 6 / 7}
    finished = {"rollout/ep_rew_mean": 2.0, "rollout/ep_len_mean": 21.0}
    seen = logged([0.1, 0.2, 0.3], [0.5, 0.5, 0.2], GAUSSIAN, [1.0, 3.0])
    assert seen == pytest.approx(named | finished | {"train/std": 1.0}, rel=1e-5)
    assert logged([0.1, 0.2, 0.3], [0.5, 0.5, 0.2], CATEGORICAL, []) == pytest.approx(
        named, rel=1e-5
    )


def test_returns_that_do_not_vary_have_no_variance_to_explain() -> None:
    assert np.isnan(
        logged([0.0, 0.0, 1.0], [0.5, 0.5, 0.25], GAUSSIAN, [])["train/explained_variance"]
    )


def test_a_saved_agent_decides_as_it_did(tmp_path: Path) -> None:
    ours = reference.ActorCritic(OBSERVATION, GAUSSIAN, config(), seed=5)
    reference_agent.save(ours, tmp_path / "model.pt")
    opened = reference_agent.load(tmp_path / "model.pt", config(), OBSERVATION, GAUSSIAN).agent
    for before, after in zip(ours.parameters(), opened.parameters(), strict=True):
        assert torch.equal(before, after)
    assert opened.to_env(torch.full((1, 3), 20.0)).tolist() == [[10.0, 10.0, 10.0]]


def test_a_model_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    reference_agent.save(reference.ActorCritic(OBSERVATION, GAUSSIAN, config(), seed=0), path)
    fault = r"is not a model of its config: Error\(s\) in loading state_dict for ActorCritic"
    first_line = rf"^{re.escape(str(path))}: {fault}$"
    with pytest.raises(InputError, match=first_line):
        reference_agent.load(path, config(policy_kwargs={"net_arch": (4,)}), OBSERVATION, GAUSSIAN)
