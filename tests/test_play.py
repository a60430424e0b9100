"""Playing a policy: an episode that never ends is cut, and the score says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy_envs import ENDLESS, UNLIMITED
from train import play as play_module
from train.__main__ import main
from train.config import EnvConfig
from train.environment import make_env
from train.play import MAX_STEPS, mean_score, play, step_limit


class Still:
    """Always decides for 0."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        return np.zeros(len(observation), dtype=np.int64), state


def env(env_id: str, **kwargs: Any) -> EnvConfig:
    return EnvConfig(id=env_id, kwargs=kwargs)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (env(ENDLESS), 7),
        (env(ENDLESS, max_episode_steps=9), 9),
        (env(ENDLESS, max_episode_steps=-1), MAX_STEPS),
        (env(UNLIMITED), MAX_STEPS),
        (env("CartPole-v1"), 500),
        (env("envs:LinearCampaign-v0"), MAX_STEPS),
    ],
)
def test_the_limit_is_that_of_the_environment(config: EnvConfig, limit: int) -> None:
    assert step_limit(make_env(config, 1)) == limit


def test_episodes_that_never_end_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_module, "MAX_STEPS", 20)
    envs = make_env(env(UNLIMITED), 3)
    steps = list(play(Still(), envs, seed=0))
    assert len(steps) == 20
    assert [bool(step.cut.any()) for step in steps] == [False] * 19 + [True]
    assert steps[-1].ended.tolist() == steps[-1].cut.tolist() == [True] * 3
    score = mean_score(Still(), envs, seed=0)
    assert score.means == {"return": 20.0}
    assert score.cut == "3 of 3 episodes cut after 20 steps"


def test_episodes_that_end_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_module, "MAX_STEPS", 20)
    assert mean_score(Still(), make_env(env(UNLIMITED, days=20), 2), 0) == ({"return": 20.0}, "")
    assert mean_score(Still(), make_env(env(ENDLESS), 2), 0) == ({"return": 7.0}, "")


def test_metrics_are_those_of_episodes_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_module, "MAX_STEPS", 5)
    envs = make_env(env("envs:LinearCampaign-v0", action="channel"), 2)
    score = mean_score(Still(), envs, seed=0)
    assert score.cut == "2 of 2 episodes cut after 5 steps"
    assert set(score.means) == {"return"}


def test_training_without_a_time_limit_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(play_module, "MAX_STEPS", 30)
    config = tmp_path / "c.yaml"
    config.write_text(
        "env: {id: CliffWalking-v1}\ntotal_timesteps: 3000\na2c: {}\n"
        "evaluation: {n_eval_episodes: 4}\n"
    )
    assert main([str(config), "--runs-dir", str(tmp_path)]) == 0
    assert "4 of 4 episodes cut after 30 steps" in capsys.readouterr().out
