"""``make bench``: speed as ratios of two things measured in one run, in turn, so that a slow moment hits both."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import torch
import torch._dynamo  # the first optimiser step would load it
from gymnasium.vector import AutoresetMode
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_vec_env

from train import a2c
from train.callbacks import TrainingLog
from train.config import load_config
from train.make_env import make_training_env

ROUNDS = 5
LINEAR = load_config(Path("configs/linear.yaml"))


class Target(NamedTuple):
    """One measured figure beside what it has to be.

    Attributes:
        what: What was measured.
        value: The median over the rounds.
        least: What it has to be at least.
        detail: The figures behind it.
    """

    what: str
    value: float
    least: float
    detail: str


def main() -> int:
    """Prints a line per figure; 1 where a target is missed."""
    torch.set_num_threads(LINEAR.torch_threads)
    targets = []
    for measure in (training_against_stock, vector_env_alone, single_env_against_cartpole):
        target = measure()
        targets.append(target)
        verdict = "reached" if target.value >= target.least else "MISSED"
        print(
            f"{target.what}: {target.value:,.2f} (at least {target.least:,.2f}: {verdict}); {target.detail}", flush=True
        )
    return int(any(target.value < target.least for target in targets))


def training_against_stock() -> Target:
    """Steps per second of A2C as shipped, against Stable-Baselines3 on eight single environments."""
    pairs = [(_shipped_speed(150_000), _stock_speed(16_000)) for _ in range(ROUNDS)]
    ratio = statistics.median(ours / stock for ours, stock in pairs)
    ours, stock = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Target("training, shipped / stock", ratio, 25.0, f"{ours:,.0f} against {stock:,.0f} steps/s")


def vector_env_alone() -> Target:
    """Millions of steps per second of the vector environment at 1,024 campaigns, on one core."""
    envs: Any = gymnasium.make_vec(
        "envs:LinearCampaign-v0",
        num_envs=1024,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    envs.reset(seed=0)
    actions = envs.action_space.sample()
    speeds = [1024 * 700 / _cpu_seconds(lambda: [envs.step(actions) for _ in range(700)]) for _ in range(ROUNDS)]
    return Target("vector environment at 1,024 [million steps/s]", statistics.median(speeds) / 1e6, 2.0, _range(speeds))


def single_env_against_cartpole() -> Target:
    """Speed of the single environment through ``gymnasium.make``, against CartPole-v1."""
    pairs = [(_single_speed("envs:LinearCampaign-v0"), _single_speed("CartPole-v1")) for _ in range(4 * ROUNDS)]
    ratio = statistics.median(ours / cartpole for ours, cartpole in pairs)
    ours, cartpole = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Target("single environment / CartPole-v1", ratio, 0.2, f"{ours:,.0f} against {cartpole:,.0f} steps/s")


def _shipped_speed(total_timesteps: int) -> float:
    part = LINEAR.agent("a2c")
    envs = make_training_env(LINEAR.env, part.n_envs, part.stats_window_size)
    agent = a2c.build(envs, part, seed=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        TrainingLog(Path(folder), total_timesteps, part.log_interval, "bench", show_progress=False) as log,
    ):
        seconds = _seconds(lambda: a2c.learn(agent, envs, total_timesteps, 0, log))
    return agent.num_timesteps / seconds


def _stock_speed(total_timesteps: int) -> float:
    part = LINEAR.agent("a2c")
    envs = make_vec_env(LINEAR.env.id, n_envs=8, seed=0, env_kwargs=LINEAR.env.kwargs)
    policy_kwargs = {"net_arch": list(part.policy_kwargs.net_arch)}
    agent = A2C(
        "MlpPolicy", envs, n_steps=part.n_steps, gamma=part.gamma, policy_kwargs=policy_kwargs, device="cpu", seed=0
    )
    return total_timesteps / _seconds(lambda: agent.learn(total_timesteps))


def _single_speed(env_id: str, steps: int = 4000) -> float:
    env: Any = gymnasium.make(env_id)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]
    env.reset(seed=0)

    def play() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return steps / _cpu_seconds(play)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Time on the processor: for work on one thread, without what other programs took in between."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _range(speeds: list[float]) -> str:
    return f"{min(speeds):,.0f} to {max(speeds):,.0f} steps/s over {len(speeds)} rounds"


if __name__ == "__main__":
    sys.exit(main())
