"""Spaces: both agents learn every kind they support, any other is refused before training."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.tools.programs import ROOT
from tests.toy_envs import TARGET
from train.__main__ import main
from train.agents.registry import REGISTRY
from train.config import AGENTS, EnvConfig, load_config
from train.environment import flat_observation_space, make_env
from train.play import mean_score
from train.storage.run_folder import load_run


def test_the_registry_has_every_agent_of_the_config() -> None:
    assert tuple(REGISTRY) == AGENTS == ("a2c", "reference")


def test_the_registry_does_not_wait_for_torch() -> None:
    script = "import sys, train.agents.registry; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_discrete_actions_are_shifted_to_their_start() -> None:
    for kind in ("discrete", "multi_discrete"):
        envs = make_env(EnvConfig(id=TARGET, kwargs={"action": kind}), 2)
        space: Any = envs.single_action_space
        assert not np.any(space.start)
        envs.reset(seed=0)
        envs.step(np.zeros((2, *space.shape), dtype=np.int64))  # refused where it is too low
        with pytest.raises(AssertionError):
            envs.step(np.full((2, *space.shape), -1))


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_both_agents_learn_discrete_actions_of_every_kind(
    kind: str, agent: str, tmp_path: Path
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        f"env: {{id: '{TARGET}', kwargs: {{action: {kind}}}}}\n"
        f"total_timesteps: 6000\n{agent}: {{n_envs: 32, n_steps: 4, learning_rate: 0.01, "
        "ent_coef: 0.05, normalize_advantage: true}\n"
        "evaluation: {n_eval_episodes: 2}\n"
    )
    assert main([str(config), "--runs-dir", str(tmp_path)]) == 0
    run = load_run(tmp_path / "c" / f"{agent}-seed0-1")
    envs = make_env(run.config.env, 2)
    policy = (
        REGISTRY[agent]
        .module()
        .load(
            run.model,
            load_config(config).agent(agent),
            flat_observation_space(envs),
            envs.single_action_space,
        )
    )
    assert mean_score(policy, envs, seed=0).means["return"] == 4.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"action": "empty_box"}, "its action space Box([], [], (0,), float32) is empty"),
        ({"action": "whole_box"}, "its action space Box(0, 5, (2,), int64) holds whole numbers"),
        ({"action": "infinite_box"}, "its action space Box(-inf, 1.0, (2,), float32) needs finite"),
        ({"action": "table"}, "must have one dimension"),
        ({"action": "tuple"}, "is neither a Box nor Discrete, MultiDiscrete or MultiBinary"),
        ({"observation": "empty_box"}, "its observations Box([], [], (0,), float32) are empty"),
    ],
)
def test_any_other_space_is_refused_before_training(
    kwargs: dict[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        f"env: {{id: '{TARGET}', kwargs: {kwargs}}}\ntotal_timesteps: 40\n"
        "a2c: {}\nreference: {}\n"
    )
    assert main([str(config), "--runs-dir", str(tmp_path / "runs")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_observations_of_several_parts_are_flattened() -> None:
    envs = make_env(EnvConfig(id=TARGET, kwargs={"observation": "dict"}), 3)
    assert isinstance(envs.single_observation_space, spaces.Box)
    assert envs.reset(seed=0)[0].shape == (3, 5)
