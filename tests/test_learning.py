"""The agents learn: the shipped configs, over many seeds, judged on the saved models."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import A2C

from evaluate.campaign.domain import DOMAIN
from evaluate.campaign.policies import BEST_FIXED
from evaluate.policies import load_candidates
from evaluate.rollouts import play_all, reward_column
from train.__main__ import main
from train.config import load_config
from train.storage.run_folder import finished_runs

pytestmark = pytest.mark.slow


def shares(runs_dir: Path, config: str) -> dict[int, float]:
    """Share of the optimum of each training seed: deterministic, on the config's environment."""
    agents = load_candidates(finished_runs(runs_dir, config), main=config)
    results = play_all(agents, 1, 20000, DOMAIN.columns)
    reached = results.episodes.groupby("seed")["share_of_optimum"].mean()
    return dict(zip(reached.index.astype(int), reached.astype(float), strict=True))


@pytest.mark.parametrize("seeds", [range(5), range(5, 10)], ids=["seeds 0 to 4", "seeds 5 to 9"])
@pytest.mark.parametrize(("agent", "least"), [("a2c", 0.999), ("reference", 0.995)])
def test_every_seed_masters_the_linear_campaign(
    agent: str, least: float, seeds: range, tmp_path: Path
) -> None:
    chosen = [str(seed) for seed in seeds]
    assert (
        main(
            [
                "configs/linear.yaml",
                "--agents",
                agent,
                "--seeds",
                *chosen,
                "--runs-dir",
                str(tmp_path),
            ]
        )
        == 0
    )
    reached = shares(tmp_path, "linear")
    assert set(reached) == set(seeds)
    assert min(reached.values()) >= least, reached


@pytest.mark.parametrize(
    ("config", "agent", "least"),
    [
        ("dynamic", "a2c", 0.999),
        ("dynamic", "reference", 0.995),
        ("brand", "a2c", 0.995),
        ("brand", "reference", 0.99),
    ],
)
def test_both_agents_master_the_campaigns_with_memory(
    config: str, agent: str, least: float, tmp_path: Path
) -> None:
    assert (
        main(
            [
                f"configs/{config}.yaml",
                "--agents",
                agent,
                "--seeds",
                "0",
                "1",
                "--runs-dir",
                str(tmp_path),
            ]
        )
        == 0
    )
    reached = shares(tmp_path, config)
    assert min(reached.values()) >= least, reached


def test_who_sees_the_day_alone_lands_at_the_best_fixed_plan(tmp_path: Path) -> None:
    assert main(["configs/blind.yaml", "--runs-dir", str(tmp_path)]) == 0
    config = load_config(Path("configs/blind.yaml"))
    baselines = DOMAIN.baseline_policies(config.env, 0)
    floor = [baseline for baseline in baselines if baseline.name == BEST_FIXED]
    agent = load_candidates(finished_runs(tmp_path, "blind"), main="blind")
    settings = config.evaluation
    results = play_all(agent + floor, settings.n_eval_episodes, settings.seed, DOMAIN.columns)
    earned = results.episodes.groupby("policy")["expected_engagement"].mean()
    assert earned["a2c"] == pytest.approx(earned[BEST_FIXED], rel=0.005)


def test_a2c_load_plays_what_was_learned(tmp_path: Path) -> None:
    assert (
        main(
            ["configs/linear.yaml", "--agents", "a2c", "--seeds", "0", "--runs-dir", str(tmp_path)]
        )
        == 0
    )
    model = A2C.load(tmp_path / "linear/a2c-seed0-1/model.zip", device="cpu")
    env = gymnasium.make("envs:LinearCampaign-v0")
    seen, _ = env.reset(seed=0)
    terminated = False
    while not terminated:
        action, _ = model.predict(seen, deterministic=True)
        seen, _, terminated, _, info = env.step(action)
    assert info["episode_metrics"]["campaign/share_of_optimum"] >= 0.999


def test_the_articles_agent_is_far_from_it(tmp_path: Path) -> None:
    chosen = [str(seed) for seed in range(10)]
    assert main(["configs/article.yaml", "--seeds", *chosen, "--runs-dir", str(tmp_path)]) == 0
    agents = load_candidates(finished_runs(tmp_path, "article"), main="article")
    results = play_all(agents, 1, 20000, DOMAIN.columns)
    reached = results.episodes.groupby("policy")["share_of_optimum"].mean()
    assert reached["reference (mix)"] == pytest.approx(0.818, abs=0.001)


def test_a2c_balances_the_pole(tmp_path: Path) -> None:
    assert main(["configs/cartpole.yaml", "--agents", "a2c", "--runs-dir", str(tmp_path)]) == 0
    agents = load_candidates(finished_runs(tmp_path, "cartpole"), main="cartpole")
    results = play_all(agents, 20, 20000, reward_column)
    assert float(np.mean(results.episodes["return"])) >= 400
