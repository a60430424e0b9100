"""``make bench``: speed as ratios of two things measured in turn in one run."""

import random
import statistics
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import torch
import torch._dynamo  # the first optimiser step would load it
from gymnasium.vector import AutoresetMode
from hypothesis import HealthCheck, given, settings
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.env_util import make_vec_env
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from envs.campaign import belief
from envs.campaign.latent import sample_latent, sample_noise
from envs.campaign.model import Noise, observed
from envs.campaign.presets import PRESETS
from evaluate.campaign import policies
from tests.tools.mutated import CASES, Case, make_runs, survives
from tests.tools.resuming import Job, kill_at_random, outcome, start
from train.agents import a2c
from train.agents.reference_agent import ReferencePolicy
from train.agents.registry import REGISTRY
from train.config import AgentName, EnvConfig, TrainConfig, load_config
from train.environment import make_env, make_training_env
from train.logs.training_log import TrainingLog
from train.play import mean_score
from train.run import TrainingRun, run_training
from train.storage.run_folder import Run, RunState

ROUNDS = 5
KILLS = 5
CASES_TRIED = 1000
VECTOR_SPEEDS = {
    "envs:LinearCampaign-v0": 2.0,
    "envs:AdTiming-v0": 1.0,
    "envs:TrafficSignal-v0": 1.0,
}  # million steps/s
LINEAR = load_config(Path("configs/linear.yaml"))
DYNAMIC = load_config(Path("configs/dynamic.yaml"))
GROWTH_CHART = Path("reports/bench/growth.png")


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
        side = "at most" if self.most else "at least"
        limit = f"{side} {self.bound:g}: {'reached' if self.reached else 'MISSED'}"
        return f"{self.what}: {self.value:,.2f} ({limit}); {self.detail}"


class Way(NamedTuple):
    """A way to train: how many environments, and how many threads of torch."""

    n_envs: int
    threads: int


class UntilShare(BaseCallback):
    """Stops training once the deterministic policy reaches a share of the optimum, or at a time.

    The policy is asked after every update; what that takes is not counted.

    Args:
        share: The share to reach.
        limit: Seconds to give up after.

    Attributes:
        seconds: Time from the start of learning to the answer.
        best: The largest share so far.
    """

    def __init__(self, share: float, limit: float) -> None:
        super().__init__()
        self._share = share
        self._limit = limit
        self._single = make_env(DYNAMIC.env, 1)
        self._since = time.perf_counter()
        self.seconds = 0.0
        self.best = 0.0

    @property
    def reached(self) -> bool:
        """Whether the policy got there."""
        return self.best >= self._share

    def _on_step(self) -> bool:
        return not self.reached and self._elapsed() < self._limit

    def _on_rollout_start(self) -> None:
        # A rollout starts where the update on the one before has ended.
        if self.num_timesteps:
            self._ask()

    def _on_training_end(self) -> None:
        if not self.reached:
            self._ask()

    def _ask(self) -> None:
        self.seconds = self._elapsed()
        scores = mean_score(self.model.policy, self._single, seed=0).means
        self.best = max(self.best, scores["campaign/share_of_optimum"])
        self._since = time.perf_counter() - self.seconds

    def _elapsed(self) -> float:
        return time.perf_counter() - self._since


def main(argv: list[str] | None = None) -> int:
    """Prints a line per figure, of all sections or of those named; 1 where a target is missed."""
    known: tuple[Callable[[], Iterator[Target]], ...] = (
        training_against_stock,
        first_scalar,
        vector_env_alone,
        single_env_against_cartpole,
        time_to_optimum,
        every_seed,
        training_against_limit,
        growth,
        channels,
        uncertain_env,
        deciding,
        checkpoints,
        kills,
        fuzz,
    )
    sections = {section.__name__: section for section in known}
    names = (sys.argv[1:] if argv is None else argv) or list(sections)
    for name in names:
        if name not in sections:
            print(f"error: no section {name!r}; known: {', '.join(sections)}", file=sys.stderr)
            return 2
    torch.set_num_threads(LINEAR.torch_threads)
    reached = []
    for name in names:
        for target in sections[name]():
            reached.append(target.reached)
            print(target, flush=True)
    return int(not all(reached))


def training_against_stock() -> Iterator[Target]:
    """Steps per second of A2C as shipped, against stock on eight single environments."""
    pairs = [(_shipped_speed(LINEAR, 150_000), _stock_speed(LINEAR, 16_000)) for _ in range(ROUNDS)]
    ratio = statistics.median(ours / stock for ours, stock in pairs)
    ours, stock = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield Target(
        "training, shipped / stock", ratio, 25.0, f"medians {ours:,.0f} and {stock:,.0f} steps/s"
    )


def first_scalar() -> Iterator[Target]:
    """Seconds from the start of learning to the first value in TensorBoard."""
    waits = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            start = time.time()
            _learn(LINEAR, folder, 20_000)
            events = EventAccumulator(folder)
            events.Reload()
            waits.append(events.Scalars("rollout/ep_rew_mean")[0].wall_time - start)
    yield Target(
        "first scalar [s]", statistics.median(waits), 1.0, f"worst {max(waits):.2f} s", most=True
    )


def vector_env_alone() -> Iterator[Target]:
    """Millions of steps per second of each vector environment at 1,024 episodes, on one core."""
    for env_id, least in VECTOR_SPEEDS.items():
        envs: Any = gymnasium.make_vec(
            env_id,
            num_envs=1024,
            vectorization_mode="vector_entry_point",
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        envs.reset(seed=0)
        steps = partial(_step_often, envs, envs.action_space.sample())
        speeds = [1024 * 140 / _cpu_seconds(steps) for _ in range(20 * ROUNDS)]
        # It says what the machine can do when others leave it alone: the fastest round.
        detail = (
            f"the fastest of {len(speeds)} rounds, median {statistics.median(speeds) / 1e6:.2f}"
        )
        yield Target(f"{env_id} at 1,024 [million steps/s]", max(speeds) / 1e6, least, detail)


def single_env_against_cartpole() -> Iterator[Target]:
    """Speed of the single environment against CartPole-v1, the fastest rounds of each."""
    campaign, cartpole = _single("envs:LinearCampaign-v0"), _single("CartPole-v1")
    pairs = [(campaign(), cartpole()) for _ in range(20 * ROUNDS)]
    ours, theirs = (max(column) for column in zip(*pairs, strict=True))
    median = statistics.median(mine / their for mine, their in pairs)
    speeds = f"{ours:,.0f} and {theirs:,.0f} steps/s, the fastest of {len(pairs)} rounds"
    detail = f"{speeds}; median of the ratios {median:.2f}"
    yield Target("single environment / CartPole-v1", ours / theirs, 0.2, detail)


def time_to_optimum() -> Iterator[Target]:
    """Seconds to 0.99 of the optimum, as shipped and with stock defaults on eight environments.

    Both play the same campaign, whose optimum is solved before. The stock path gets ten times our
    seconds of the same seed; where they do not suffice they count as its time, so that the ratio
    says at least.
    """
    mean_score(_agent(DYNAMIC)[0].policy, make_env(DYNAMIC.env, 1), seed=0)
    torch.set_num_threads(DYNAMIC.torch_threads)
    ours, stock = [], []
    for seed in range(ROUNDS):
        ours.append(_shipped_until(0.99, seed))
        stock.append(_stock_until(0.99, seed, limit=10 * ours[-1].seconds))
    failed = [run.best for run in ours if not run.reached]
    ratio = (
        0.0
        if failed
        else statistics.median(b.seconds / a.seconds for a, b in zip(ours, stock, strict=True))
    )
    missed = [f"{run.best:.3f}" for run in stock if not run.reached]
    medians = [statistics.median(run.seconds for run in runs) for runs in (ours, stock)]
    detail = (
        f"medians {medians[0]:.2f} s (of {ROUNDS - len(failed)} seeds of {ROUNDS}) and "
        f"{medians[1]:.1f} s; stock was stopped at ten times ours on {len(missed)} seeds, at "
        f"shares of {', '.join(missed) or 'none'}"
    )
    yield Target("time to 0.99 of the optimum, stock / shipped", ratio, 10.0, detail)


def training_against_limit() -> Iterator[Target]:
    """Training at the best batch, against its networks alone and against stock."""
    way = _fastest(_ways())
    # Twenty rollouts and more, so that a run's first moments and its pictures weigh what they weigh
    # in a run.
    steps = 600_000
    rounds = [
        (_speed_of(way, steps), _networks_alone(way, steps), _stock_speed(DYNAMIC, 8_000))
        for _ in range(ROUNDS)
    ]
    ours, limit, stock = (statistics.median(column) for column in zip(*rounds, strict=True))
    name = f"{way.n_envs:,} environments, {way.threads} thread{'s'[: way.threads - 1]}"
    alone = f"{name}: medians {ours:,.0f} and {limit:,.0f} steps/s"
    yield Target(
        "training / its networks alone", statistics.median(a / b for a, b, _ in rounds), 0.6, alone
    )
    against = f"{name}: medians {ours:,.0f} and {stock:,.0f} steps/s"
    yield Target(
        "training at the best batch / stock",
        statistics.median(a / c for a, _, c in rounds),
        60.0,
        against,
    )


def every_seed() -> Iterator[Target]:
    """Share of the optimum of configs/dynamic.yaml as shipped, the worst of many training seeds."""
    torch.set_num_threads(DYNAMIC.torch_threads)
    tried: tuple[tuple[AgentName, int, float], ...] = (("a2c", 20, 0.999), ("reference", 10, 0.995))
    for name, seeds, least in tried:
        learner, part = REGISTRY[name].module(), DYNAMIC.agent(name)
        shares = []
        for seed in range(seeds):
            envs = make_training_env(DYNAMIC.env, part.n_envs, part.stats_window_size)
            agent: Any = learner.build(envs, part, seed)
            total = DYNAMIC.total_timesteps
            with (
                tempfile.TemporaryDirectory() as folder,
                TrainingLog(
                    Path(folder), total, part.log_interval, "bench", show_progress=False
                ) as log,
            ):
                learner.learn(agent, envs, total, seed, log)
            policy = agent.policy if name == "a2c" else ReferencePolicy(agent)
            shares.append(
                mean_score(policy, make_env(DYNAMIC.env, 1), seed=0).means[
                    "campaign/share_of_optimum"
                ]
            )
        mean = statistics.mean(shares)
        detail = f"worst {min(shares):.5f}, mean {mean:.5f} of the seeds 0 to {seeds - 1}"
        yield Target(
            f"{name} on dynamic, share of the optimum of the worst seed", min(shares), least, detail
        )


def uncertain_env() -> Iterator[Target]:
    """Speed of the uncertain vector environment less its random numbers, against the dynamic."""
    rounds = []
    for _ in range(20 * ROUNDS):
        dynamic, uncertain = (
            _vector_seconds(f"envs:{name}Campaign-v0") for name in ("Dynamic", "Uncertain")
        )
        rounds.append((dynamic, uncertain, _chance_seconds()))
    dynamic, uncertain, chance = (min(column) for column in zip(*rounds, strict=True))
    detail = (
        f"fastest of {len(rounds)} rounds: {uncertain:.2f} us a step, {chance:.2f} of it random "
        f"numbers, {dynamic:.2f}"
    )
    yield Target(
        "uncertain environment less its random numbers / dynamic",
        dynamic / (uncertain - chance),
        0.5,
        detail,
    )


def _vector_seconds(env_id: str, **kwargs: Any) -> float:
    """Microseconds of a step of one of 1,024 campaigns."""
    kwargs |= {
        "vectorization_mode": "vector_entry_point",
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    envs: Any = gymnasium.make_vec(env_id, num_envs=1024, **kwargs)
    envs.reset(seed=0)
    actions = np.zeros_like(envs.action_space.sample())
    for _ in range(7):
        envs.step(actions)
    return 1e6 * _cpu_seconds(lambda: [envs.step(actions) for _ in range(14)]) / (14 * 1024)


def _chance_seconds() -> float:
    """Microseconds a step of drawing latent, noise and counts for 1,024 campaigns."""
    params, rng = PRESETS["uncertain"], np.random.default_rng(0)
    expected = np.full((1024, 3), 200.0)

    def draw() -> None:
        sample_latent(params, rng, 1024)
        noise = sample_noise(params, rng, 1024)
        assert noise is not None
        for day in range(7):
            observed(params, expected, Noise(*(part[:, day] for part in noise)))

    return 1e6 * _cpu_seconds(draw) / (7 * 1024)


def deciding() -> Iterator[Target]:
    """Milliseconds to decide a day of 1,000 uncertain campaigns, beside the re-planner's."""
    config = load_config(Path("configs/uncertain.yaml"))
    torch.set_num_threads(config.torch_threads)
    agent, _ = _agent(config)
    envs: Any = make_env(config.env, 1000)
    seen, _ = envs.reset(seed=0)
    known = belief.start(PRESETS["uncertain"], 1000)
    played = np.full((1000, 6), 30.0)

    def decide() -> None:
        belief.learn(PRESETS["uncertain"], known, slice(None), 0, played)
        agent.policy.predict(seen, deterministic=True)

    decide()
    ours = statistics.median(_seconds(decide) for _ in range(20))
    params = PRESETS["uncertain"]
    replanner = policies.baseline_policies(params, 0)["daily re-planner"]
    replanned: Any = make_env(
        EnvConfig(id=config.env.id, kwargs=policies.baseline_env_kwargs(params)), 100
    )
    past = [[30.0, 30.0, 40.0, 200.0, 50.0, 100.0]] * 3
    watched, _ = replanned.reset(seed=0, options={"past": past})
    replanner.predict(watched[:1])
    theirs = 10 * _seconds(lambda: replanner.predict(watched))
    detail = f"the daily re-planner takes {theirs:.0f} s (ten times its time for 100)"
    yield Target("deciding a day for 1,000 campaigns [ms]", 1e3 * ours, 50.0, detail, most=True)


def growth() -> Iterator[Target]:
    """How speed and memory grow with environments and days: a table and a chart.

    Memory is what the environments hold on to: state, past and observations. The rollout buffer is
        Stable-Baselines3's;
    each day's observation holds all days, so per environment and day it is flat in environments and
    rises with days.
    """
    torch.set_num_threads(DYNAMIC.torch_threads)
    table = pd.DataFrame(
        [
            _growth_row(n_envs, days)
            for days, n_envs in product((7, 14, 28), (64, 256, 1024, 4096, 16384))
        ]
    )
    print(
        table.to_string(
            index=False,
            formatters=dict.fromkeys(table.columns, "{:,.0f}".format)
            | {"both [MB]": "{:,.1f}".format},
        )
    )
    GROWTH_CHART.parent.mkdir(parents=True, exist_ok=True)
    _growth_chart(table)
    held = table["environment [B/env/day]"]
    bytes_held = f"{held.min():.0f} to {held.max():.0f} bytes per environment and day"
    detail = f"{bytes_held}; chart in {GROWTH_CHART}"
    yield Target(
        "memory per environment and day, most / least",
        held.max() / held.min(),
        1.25,
        detail,
        most=True,
    )


def channels() -> Iterator[Target]:
    """Steps per second of the dynamic campaign against the number of channels: a table."""
    counts, rounds = (1, 2, 3, 5, 8, 12), 10 * ROUNDS
    rows = [[_steps_per_second(count) for count in counts] for _ in range(rounds)]
    fastest = np.max(rows, axis=0)  # (counts, single and vector)
    table = pd.DataFrame(fastest, pd.Index(counts, name="channels"), ["single", "1,024 at once"])
    print(table.map("{:,.0f}".format).to_string())
    ratio = float(fastest[-1, 1] / fastest[counts.index(3), 1])
    detail = f"the fastest of {rounds} rounds, as many metrics as channels"
    yield Target("1,024 environments of 12 channels / of 3, steps/s", ratio, 0.1, detail)


def _steps_per_second(channels: int) -> tuple[float, float]:
    """Of a single environment, and of 1,024 at once."""
    names = [f"channel_{index}" for index in range(channels)]
    kwargs: dict[str, Any] = {
        "channels": names,
        "metrics": [f"metric_{index}" for index in range(channels)],
        "counts": np.ones((channels, channels)),
        "metric_weights": [1.0] * channels,
        "inv_half_saturation": [0.01] * channels,
        "carry_over": [0.2] * channels,
        "loyalty_lift": [1.0] * channels,
        "loyalty_gain": [1.0 / channels] * channels,
        "fatigue": [0.1] * channels,
        "fatigue_recovery": [0.2] * channels,
    }
    env_id = "envs:DynamicCampaign-v0"
    single = _single(env_id, 70, **kwargs)
    return single(), 1e6 / _vector_seconds(env_id, **kwargs)


def checkpoints() -> Iterator[Target]:
    """What checkpoints at the default interval take of the time of training, for each agent.

    The time of a checkpoint is that of the call that writes it, measured in the run itself, so that
    a slow moment of the machine is in both; what the disk still takes after it, training does not
    wait for.
    """
    for agent in LINEAR.agents:
        for name, config in (("linear", LINEAR), ("dynamic", DYNAMIC)):
            shares = [_checkpoint_share(config, agent) for _ in range(ROUNDS)]
            detail = f"of {ROUNDS} runs {', '.join(f'{share:.2f}' for share in shares)}"
            what = f"checkpoints of {agent} on {name} [% of training]"
            yield Target(what, statistics.median(shares), 3.0, detail, most=True)


def _checkpoint_share(config: TrainConfig, agent: AgentName) -> float:
    spent, write = [0.0], TrainingRun.write_checkpoint

    def timed(training: TrainingRun, timesteps: int) -> None:
        spent[0] += _seconds(lambda: write(training, timesteps))

    longer = config.model_copy(update={"total_timesteps": 3 * config.checkpoint_every})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "write_checkpoint", timed)
        state = RunState(agent=agent, seed=0, state="running", timesteps=0)
        run = Run(Path(folder), longer, state)
        part = config.agent(agent)
        envs = make_training_env(config.env, part.n_envs, part.stats_window_size)
        whole = run_training(run, envs, None, show_progress=False).seconds
    return 100 * spent[0] / whole


def kills() -> Iterator[Target]:
    """Runs killed with SIGKILL at random moments and resumed: how many end bit-identical."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        jobs = [
            Job(config, agent, steps=30 * size, every=every)
            for config, agent, size in (
                ("linear", "a2c", 3584),
                ("dynamic", "a2c", 896),
                ("dynamic", "reference", 448),
                ("cartpole", "a2c", 128),
                ("pendulum", "reference", 128),
            )
            for every in (size, 5 * size)
        ]
        trials = [
            _kill_trial(job, Path(name) / f"{i}-{n}", rng)
            for i, job in enumerate(jobs)
            for n in range(KILLS)
        ]
    same, killed = (sum(column) for column in zip(*trials, strict=True))
    detail = f"{killed} kills met a run at work; {len(trials)} runs"
    yield Target("killed runs that end bit-identical", float(same), float(len(trials)), detail)


def _kill_trial(job: Job, folder: Path, rng: random.Random) -> tuple[bool, int]:
    """Whether a killed run ends as a whole one does, and how often it was killed at work."""
    run = job.folder(folder / "killed")
    start(job.argv(folder / "whole")).join()
    killed = int(kill_at_random(job.argv(folder / "killed"), run, rng, longest=1.0))
    for _ in range(rng.choice((0, 0, 1))):
        killed += kill_at_random(["--resume", str(run)], run, rng, longest=1.0)
    start(["--resume", str(run)]).join()
    return outcome(run) == outcome(job.folder(folder / "whole")), killed


def fuzz() -> Iterator[Target]:
    """Changed configs, command lines and runs: how many end well or with a message."""
    ended: list[int] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = make_runs(Path(folder))

        @settings(
            max_examples=CASES_TRIED,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=CASES)
        def give(case: Case) -> None:
            try:
                ended.append(survives(case, runs))
            except Exception as error:  # all of them are looked at, not the first alone
                failed.append(f"{case}: {error}")

        give()
    print("\n".join(failed))
    detail = (
        f"{ended.count(0)} ended well, {ended.count(2)} with a message, {len(failed)} otherwise"
    )
    yield Target(
        "changed inputs that end well or with a message",
        float(len(ended)),
        float(CASES_TRIED),
        detail,
    )


def _growth_row(n_envs: int, days: int) -> dict[str, float]:
    config = _of_days(days)
    mean_score(
        _agent(config, 1)[0].policy, make_env(config.env, 1), seed=0
    )  # solves the optimum, once per days
    agent, _ = _agent(config, n_envs)
    buffer = sum(
        part.nbytes for part in vars(agent.rollout_buffer).values() if isinstance(part, np.ndarray)
    )
    # Less that of one environment: what all of them share, as the parameters, is left out.
    held = (_bytes_held(config, n_envs) - _bytes_held(config, 1)) / (n_envs - 1)
    return {
        "days": days,
        "environments": n_envs,
        "steps/s": _shipped_speed(config, 30_000, n_envs),
        "environment [B/env/day]": held / days,
        "rollout buffer [B/env/day]": buffer / n_envs / days,
        "both [MB]": (held * n_envs + buffer) / 1e6,
    }


def _growth_chart(table: pd.DataFrame) -> None:
    columns = ("steps/s", "environment [B/env/day]", "both [MB]")
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(13, 4), layout="constrained")
        for axes, column in zip(figure.subplots(1, len(columns)), columns, strict=True):
            sns.lineplot(
                table,
                x="environments",
                y=column,
                hue="days",
                palette="colorblind",
                marker="o",
                ax=axes,
            )
            axes.set_xscale("log", base=2)
            if column == "both [MB]":
                axes.set_yscale("log")
            else:
                axes.set_ylim(0, None)
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        figure.savefig(GROWTH_CHART, dpi=120)


def _of_days(days: int) -> TrainConfig:
    """The shipped config for campaigns of other lengths: a rollout stays a campaign."""
    env = DYNAMIC.env.model_copy(update={"kwargs": {**DYNAMIC.env.kwargs, "days": days}})
    part = DYNAMIC.agent("a2c").model_copy(update={"n_steps": days})
    return DYNAMIC.model_copy(update={"env": env, "a2c": part})


def _bytes_held(config: TrainConfig, n_envs: int) -> int:
    """What the environments hold on to after a whole campaign."""
    tracemalloc.start()
    envs: Any = make_env(config.env, n_envs)
    envs.reset(seed=0)
    actions = np.zeros((n_envs, *envs.single_action_space.shape), dtype=np.float32)
    for _ in range(config.agent("a2c").n_steps):
        envs.step(actions)
    del actions
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held


def _ways() -> list[Way]:
    return [Way(n_envs, threads) for threads, n_envs in product((1, 2), (1024, 2048, 4096, 8192))]


def _fastest(ways: list[Way]) -> Way:
    """The way with the fastest short run; all are tried in turn."""
    passes = [[_speed_of(way, 400_000) for way in ways] for _ in range(2)]
    speeds = [max(tries) for tries in zip(*passes, strict=True)]
    return ways[speeds.index(max(speeds))]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def _speed_of(way: Way, total_timesteps: int) -> float:
    with _threads(way.threads):
        return _shipped_speed(DYNAMIC, total_timesteps, way.n_envs)


def _networks_alone(way: Way, total_timesteps: int) -> float:
    """Steps per second of the networks' products and activations, on batches as in training.

    Actor and critic run forward on one batch for each step of a rollout, without gradients, and
    forward and backward on the whole rollout once. No environment, no distribution, no loss, no
    clipping, no optimiser; nor the values after the last step, which training computes too.
    """
    agent, _ = _agent(DYNAMIC, way.n_envs)
    policy: Any = agent.policy
    actor = torch.nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)
    critic = torch.nn.Sequential(*policy.mlp_extractor.value_net, policy.value_net)
    weights = [*actor.parameters(), *critic.parameters()]
    batch = torch.rand(way.n_envs, *agent.rollout_buffer.obs_shape)
    whole = batch.repeat(agent.n_steps, 1)
    rollouts = -(-total_timesteps // len(whole))

    def work() -> None:
        for _ in range(rollouts):
            with torch.no_grad():
                for _ in range(agent.n_steps):
                    actor(batch), critic(batch)
            torch.autograd.grad(actor(whole).sum() + critic(whole).sum(), weights)

    with _threads(way.threads):
        return rollouts * len(whole) / _seconds(work)


def _shipped_until(share: float, seed: int) -> UntilShare:
    with tempfile.TemporaryDirectory() as folder:
        agent, _ = _agent(DYNAMIC, seed=seed)
        interval = DYNAMIC.agent("a2c").log_interval
        with TrainingLog(
            Path(folder), DYNAMIC.total_timesteps, interval, "bench", show_progress=False
        ) as log:
            until = UntilShare(share, limit=60.0)
            callback = CallbackList([a2c.LogCallback(log, None), until])
            agent.learn(DYNAMIC.total_timesteps, callback=callback, log_interval=None)  # type: ignore[arg-type]
    return until


def _stock_until(share: float, seed: int, limit: float) -> UntilShare:
    envs = make_vec_env(DYNAMIC.env.id, n_envs=8, seed=seed, env_kwargs=DYNAMIC.env.kwargs)
    policy_kwargs = {"net_arch": list(DYNAMIC.agent("a2c").policy_kwargs.net_arch)}
    agent = A2C("MlpPolicy", envs, policy_kwargs=policy_kwargs, seed=seed, device="cpu")
    until = UntilShare(share, limit)
    agent.learn(sys.maxsize, callback=until)
    return until


def _agent(
    config: TrainConfig, n_envs: int | None = None, seed: int = 0
) -> tuple[a2c.BatchA2C, Any]:
    part = config.agent("a2c")
    envs = make_training_env(config.env, n_envs or part.n_envs, part.stats_window_size)
    return a2c.build(envs, part, seed), envs


def _shipped_speed(config: TrainConfig, total_timesteps: int, n_envs: int | None = None) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _learn(config, folder, total_timesteps, n_envs)


def _learn(
    config: TrainConfig, folder: str, total_timesteps: int, n_envs: int | None = None
) -> float:
    """Trains as ``python -m train`` does, log included; steps per second."""
    agent, envs = _agent(config, n_envs)
    interval = config.agent("a2c").log_interval
    with TrainingLog(Path(folder), total_timesteps, interval, "bench", show_progress=False) as log:
        seconds = _seconds(lambda: a2c.learn(agent, envs, total_timesteps, 0, log))
    return agent.num_timesteps / seconds


def _stock_speed(config: TrainConfig, total_timesteps: int) -> float:
    part = config.agent("a2c")
    envs = make_vec_env(config.env.id, n_envs=8, seed=0, env_kwargs=config.env.kwargs)
    policy_kwargs = {"net_arch": list(part.policy_kwargs.net_arch)}
    agent = A2C(
        "MlpPolicy",
        envs,
        n_steps=part.n_steps,
        gamma=part.gamma,
        policy_kwargs=policy_kwargs,
        device="cpu",
    )
    return total_timesteps / _seconds(lambda: agent.learn(total_timesteps))


def _single(env_id: str, steps: int = 700, **kwargs: Any) -> Callable[[], float]:
    env: Any = gymnasium.make(env_id, **kwargs)
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


def _step_often(envs: Any, actions: Any) -> None:
    for _ in range(140):
        envs.step(actions)


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Time on the processor: for work on one thread, without other programs' share."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
