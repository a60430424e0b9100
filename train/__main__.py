"""``python -m train CONFIG``: trains the agents of a config, each seed into a folder of its own."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from train.cli import TrainArgs, parse_args
from train.config import AgentConfig, AgentName, InputError, TrainConfig
from train.parallel import cores, run_all

if TYPE_CHECKING:
    from train.callbacks import TrainingLog


class Outcome(NamedTuple):
    """How a run ended."""

    label: str
    folder: Path
    state: Literal["interrupted", "finished"]
    score: dict[str, float]
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = parse_args(arguments)
        return _train_all(args, "python -m train " + shlex.join(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before anything was learned", file=sys.stderr)
        return 130


def _train_all(args: TrainArgs, command: str) -> int:
    agents = args.agents or args.train.agents
    jobs = [(agent, args.train.agent(agent), seed, args, command) for seed in args.seeds for agent in agents]
    several = cores() // args.train.torch_threads if len(args.seeds) > 1 else 1
    at_once = min(len(jobs), args.jobs or several)
    outcomes = _side_by_side(jobs, at_once) if at_once > 1 else _one_by_one(jobs)
    stopped = [outcome for outcome in outcomes if outcome.state == "interrupted"]
    if stopped or len(outcomes) < len(jobs):
        folders = "\n".join(f"  python -m evaluate {outcome.folder}" for outcome in stopped or outcomes[-1:])
        saved = ", ".join(str(outcome.folder) for outcome in stopped or outcomes)
        print(
            f"interrupted: what was learned is saved in {saved}; look at it with\n{folders}\n"
            f"or train anew with\n  {command}",
            file=sys.stderr,
        )
        return 130
    print("look further:\n  " + "\n  ".join(_next_commands(args)))
    return 0


def _one_by_one(jobs: list[tuple[Any, ...]]) -> list[Outcome]:
    """Trains one run after another; an interrupted one is the last."""
    outcomes = []
    for job in jobs:
        outcomes.append(_train(*job))
        print(_summary(outcomes[-1]), flush=True)
        if outcomes[-1].state == "interrupted":
            break
    return outcomes


def _side_by_side(jobs: list[tuple[Any, ...]], at_once: int) -> list[Outcome]:
    """Trains several runs at a time, with one bar for all of them."""
    from tqdm import tqdm

    from train.__main__ import _train as work  # by its full name, for the other processes to find it

    print(f"{len(jobs)} runs, {at_once} at a time", flush=True)
    with tqdm(total=len(jobs), unit="run") as bar:

        def done(outcome: Outcome) -> None:
            tqdm.write(_summary(outcome))
            bar.update()

        return run_all(work, [(*job, False) for job in jobs], at_once, done)


def _next_commands(args: TrainArgs) -> tuple[str, str]:
    """The two commands to look further: those of the Makefile, or of Python where the runs are elsewhere."""
    if args.runs_dir == Path("runs"):
        return f"make evaluate CONFIG={args.config}", "make tensorboard"
    return (
        f"python -m evaluate {args.config} --runs-dir {args.runs_dir}",
        f"python -m tensorboard.main --logdir {args.runs_dir}",
    )


def _train(
    agent: AgentName, part: AgentConfig, seed: int, args: TrainArgs, command: str, show_progress: bool = True
) -> Outcome:
    """One agent, one seed, one folder."""
    import torch
    import torch._dynamo  # the first optimiser step would load it, and its two seconds would count as training

    from train import run_dir
    from train.callbacks import TrainingLog
    from train.learners import LEARNERS
    from train.make_env import flat_observation_space, make_env, make_training_env
    from train.monitor import write_outcome
    from train.play import mean_score

    config, learner = args.train, LEARNERS[agent]
    torch.set_num_threads(config.torch_threads)
    envs = make_training_env(config.env, part.n_envs, part.stats_window_size)
    folder = run_dir.create_run(args.runs_dir, args.config.stem, agent, seed)
    run_dir.write_description(folder, config, command)
    run_dir.write_state(folder, run_dir.RunState(agent=agent, seed=seed, state="running", timesteps=0))
    start = time.perf_counter()
    label = f"{agent} seed {seed}"
    with TrainingLog(folder, config.total_timesteps, part.log_interval, label, show_progress) as log:
        model = learner.build(envs, part, seed)
        state = _learn(learner, model, envs, config, seed, log)
        run_dir.write_file(folder / run_dir.MODEL_FILES[agent], lambda path: learner.save(model, path))
        run_dir.write_state(folder, run_dir.RunState(agent=agent, seed=seed, state=state, timesteps=log.timesteps))
    seconds = time.perf_counter() - start
    envs.close()
    judged = make_env(config.env, config.evaluation.campaigns)
    policy = learner.load(
        folder / run_dir.MODEL_FILES[agent], part, flat_observation_space(judged), judged.single_action_space
    )
    score = mean_score(policy, judged, config.evaluation.seed)
    if state == "finished":
        write_outcome(folder, config, agent, seed, score, log.timesteps)
    return Outcome(label, folder, state, score, seconds)


def _learn(
    learner: Any, model: Any, envs: Any, config: TrainConfig, seed: int, log: "TrainingLog"
) -> Literal["interrupted", "finished"]:
    try:
        learner.learn(model, envs, config.total_timesteps, seed, log)
    except KeyboardInterrupt:
        log.finish()
        return "interrupted"
    return "finished"


def _summary(outcome: Outcome) -> str:
    """The line that ends a run: what the trained policy reaches, and how long it took."""
    from train.play import percent

    share = [value for name, value in outcome.score.items() if name.endswith("/share_of_optimum")]
    total = {name.rsplit("/", 1)[-1]: value for name, value in outcome.score.items()}
    name = next(iter(total))
    reached = f"{name} {total[name]:,.1f}" + (f", {percent(share[0])} of the optimum" if share else "")
    return f"{outcome.label}: {reached}, {outcome.seconds:.1f} s, {outcome.folder}"


if __name__ == "__main__":
    sys.exit(main())
