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
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

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
        value: The figure.
        bound: What it has to be at least, or at most where ``most`` is set.
        detail: The figures behind it.
        most: Whether less is better.
    """

    what: str
    value: float
    bound: float
    detail: str
    most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the figure is what it has to be."""
        return self.value <= self.bound if self.most else self.value >= self.bound

    def __str__(self) -> str:
        limit = f"{'at most' if self.most else 'at least'} {self.bound:g}: {'reached' if self.reached else 'MISSED'}"
        return f"{self.what}: {self.value:,.2f} ({limit}); {self.detail}"


def main() -> int:
    """Prints a line per figure; 1 where a target is missed."""
    torch.set_num_threads(LINEAR.torch_threads)
    reached = []
    for measure in (training_against_stock, first_scalar, vector_env_alone, single_env_against_cartpole):
        target = measure()
        reached.append(target.reached)
        print(target, flush=True)
    return int(not all(reached))


def training_against_stock() -> Target:
    """Steps per second of A2C as shipped, against Stable-Baselines3 on eight single environments."""
    pairs = [(_shipped_speed(150_000), _stock_speed(16_000)) for _ in range(ROUNDS)]
    ratio = statistics.median(ours / stock for ours, stock in pairs)
    ours, stock = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Target("training, shipped / stock", ratio, 25.0, f"medians {ours:,.0f} and {stock:,.0f} steps/s")


def first_scalar() -> Target:
    """Seconds from the start of learning to the first value in TensorBoard."""
    waits = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            start = time.time()
            _learn(folder, 20_000)
            events = EventAccumulator(folder)
            events.Reload()
            waits.append(events.Scalars("rollout/ep_rew_mean")[0].wall_time - start)
    return Target("first scalar [s]", statistics.median(waits), 1.0, f"worst {max(waits):.2f} s", most=True)


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
    speeds = [1024 * 140 / _cpu_seconds(lambda: [envs.step(actions) for _ in range(140)]) for _ in range(20 * ROUNDS)]
    # An absolute figure says what the machine can do when others leave it alone: the fastest round.
    detail = f"the fastest of {len(speeds)} rounds, median {statistics.median(speeds) / 1e6:.2f}"
    return Target("vector environment at 1,024 [million steps/s]", max(speeds) / 1e6, 2.0, detail)


def single_env_against_cartpole() -> Target:
    """Speed of the single environment through ``gymnasium.make``, against CartPole-v1; the fastest rounds of each."""
    campaign, cartpole = _single("envs:LinearCampaign-v0"), _single("CartPole-v1")
    pairs = [(campaign(), cartpole()) for _ in range(20 * ROUNDS)]
    ours, theirs = (max(column) for column in zip(*pairs, strict=True))
    median = statistics.median(mine / their for mine, their in pairs)
    detail = (
        f"{ours:,.0f} and {theirs:,.0f} steps/s, the fastest of {len(pairs)} rounds; median of the ratios {median:.2f}"
    )
    return Target("single environment / CartPole-v1", ours / theirs, 0.2, detail)


def _shipped_speed(total_timesteps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _learn(folder, total_timesteps)


def _learn(folder: str, total_timesteps: int) -> float:
    """Trains as ``python -m train`` does, log included; steps per second."""
    part = LINEAR.agent("a2c")
    envs = make_training_env(LINEAR.env, part.n_envs, part.stats_window_size)
    agent = a2c.build(envs, part, seed=0)
    with TrainingLog(Path(folder), total_timesteps, part.log_interval, "bench", show_progress=False) as log:
        seconds = _seconds(lambda: a2c.learn(agent, envs, total_timesteps, 0, log))
    return agent.num_timesteps / seconds


def _stock_speed(total_timesteps: int) -> float:
    part = LINEAR.agent("a2c")
    envs = make_vec_env(LINEAR.env.id, n_envs=8, seed=0, env_kwargs=LINEAR.env.kwargs)
    policy_kwargs = {"net_arch": list(part.policy_kwargs.net_arch)}
    agent = A2C("MlpPolicy", envs, n_steps=part.n_steps, gamma=part.gamma, policy_kwargs=policy_kwargs, device="cpu")
    return total_timesteps / _seconds(lambda: agent.learn(total_timesteps))


def _single(env_id: str, steps: int = 700) -> Callable[[], float]:
    env: Any = gymnasium.make(env_id)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]
    env.reset(seed=0)

    def play() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return lambda: steps / _cpu_seconds(play)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Time on the processor: for work on one thread, without what other programs took in between."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
