"""``python -m train CONFIG``: trains the agents of a config, each seed into a folder of its own.

``python -m train --resume RUN`` goes on with a run that was stopped or killed.
"""

import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from train.cli import ResumeArgs, TrainArgs, parse_args, parse_resume
from train.config import AgentConfig, AgentName, InputError, dump_config
from train.parallel import cores, run_all

if TYPE_CHECKING:
    from train.play import Score
    from train.storage.checkpoint import Checkpoint
    from train.storage.run_folder import Run


class Outcome(NamedTuple):
    """How a run ended."""

    label: str
    folder: Path
    state: Literal["interrupted", "finished"]
    score: "Score"
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    command = "python -m train " + shlex.join(arguments)
    try:
        with _sigterm_as_ctrl_c():
            resume = parse_resume(arguments)
            return (
                _train_all(parse_args(arguments), command)
                if resume is None
                else _resume(resume, command)
            )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(
            error
        ):  # torch's way to say it
            raise
        print(
            f"error: not enough memory: fewer n_envs, n_steps, units or campaigns need less: {error}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was saved before is as it was", file=sys.stderr)
        return 130


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM end the program as Ctrl-C does, wherever it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _train_all(args: TrainArgs, command: str) -> int:
    agents = args.agents or args.train.agents
    jobs = [
        (agent, args.train.agent(agent), seed, args, command)
        for seed in args.seeds
        for agent in agents
    ]
    several = cores() // args.train.torch_threads if len(args.seeds) > 1 else 1
    at_once = min(len(jobs), args.jobs or several)
    outcomes = _side_by_side(jobs, at_once) if at_once > 1 else _one_by_one(jobs)
    stopped = [outcome for outcome in outcomes if outcome.state == "interrupted"]
    if stopped or len(outcomes) < len(jobs):
        return _interrupted([outcome.folder for outcome in stopped or outcomes[-1:]])
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

    from train.__main__ import (
        _train as work,  # by its full name, for the other processes to find it
    )

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


def _interrupted(folders: list[Path]) -> int:
    """Says what is saved and how to go on."""
    saved = ", ".join(map(str, folders))
    look = "\n".join(f"  python -m evaluate {folder}" for folder in folders)
    go_on = "\n".join(f"  python -m train --resume {folder}" for folder in folders)
    print(
        f"interrupted: what was learned is saved in {saved}; look at it with\n{look}\n"
        f"or go on exactly where it stopped with\n{go_on}",
        file=sys.stderr,
    )
    return 130


def _train(
    agent: AgentName,
    part: AgentConfig,
    seed: int,
    args: TrainArgs,
    command: str,
    show_progress: bool = True,
) -> Outcome:
    """One agent, one seed, one folder."""
    from train.environment import make_env
    from train.storage import run_folder

    make_env(args.train.env, part.n_envs).close()  # a bad environment leaves no folder
    folder = run_folder.create_run(args.runs_dir, args.config.stem, agent, seed)
    state = run_folder.RunState(agent=agent, seed=seed, state="running", timesteps=0)
    with run_folder.explain_write_errors(folder), run_folder.lock(folder):
        run_folder.write_description(folder, args.train, command)
        run_folder.write_state(folder, state)
        return _go(run_folder.Run(folder, args.train, state), None, show_progress)


def _resume(args: ResumeArgs, command: str) -> int:
    """Goes on with a run; one that is finished already is left as it is, unless it is to go further."""
    from train.storage import run_folder

    run_folder.find_run(args.folder)
    with run_folder.explain_write_errors(args.folder), run_folder.lock(args.folder):
        run = run_folder.find_run(args.folder)
        if args.total_timesteps is not None:
            run = _further(run, args.total_timesteps)
        elif run.state.state == "finished" and run.model.is_file():
            print(
                f"run {run.folder}: is finished already, after {run.state.timesteps:,} steps; "
                "to train it further, give --total-timesteps"
            )
            return 0
        checkpoint = _last_checkpoint(run)
        run_folder.append_command(run.folder, command)
        outcome = _go(run, checkpoint)
    print(_summary(outcome), flush=True)
    if outcome.state == "interrupted":
        return _interrupted([run.folder])
    print(f"look further:\n  python -m evaluate {run.folder}")
    return 0


def _further(run: "Run", total_timesteps: int) -> "Run":
    """The run with another end, written to its config."""
    from train.storage import run_folder

    if total_timesteps <= run.state.timesteps:
        raise InputError(
            f"--total-timesteps {total_timesteps}: run {run.folder} has {run.state.timesteps:,} steps already"
        )
    config = run.config.model_copy(update={"total_timesteps": total_timesteps})
    run_folder.write_state(run.folder, run.state.model_copy(update={"state": "running"}))
    run_folder.write_text(run.folder / "config.yaml", dump_config(config))
    print(
        f"run {run.folder}: goes on to {total_timesteps:,} steps instead of {run.config.total_timesteps:,}; its "
        "schedules now run over all of them, so it is not the run that as many steps from the start would have been"
    )
    return run._replace(config=config)


def _last_checkpoint(run: "Run") -> "Checkpoint | None":
    """The newest good checkpoint; says which it is, which are damaged, and what may change the bits."""
    from train.storage import checkpoint, run_folder

    found, damaged = checkpoint.newest_checkpoint(run.folder)
    for line in damaged:
        print(f"{line}; the one before is taken", file=sys.stderr)
    for line in run_folder.version_differences(run.folder):
        print(
            f"run {run.folder}: {line}: the bits may differ from those of a run never stopped",
            file=sys.stderr,
        )
    checkpoint.quarantine(run.folder, newer_than=-1 if found is None else found.timesteps)
    checkpoint.remove_partial(run.folder)
    from_where = (
        "has no checkpoint: starts anew"
        if found is None
        else f"goes on after step {found.timesteps:,}"
    )
    print(f"run {run.folder}: {from_where}", flush=True)
    return found


def _go(run: "Run", checkpoint: "Checkpoint | None", show_progress: bool = True) -> Outcome:
    """Trains a run to its end, from its start or from a checkpoint."""
    import torch
    import torch._dynamo  # the first optimiser step would load it, and its two seconds would count as training

    from train.agents.registry import REGISTRY
    from train.environment import flat_observation_space, make_env
    from train.logs.tensorboard import write_outcome
    from train.play import mean_score
    from train.run import learn
    from train.storage import run_folder

    config, part = run.config, run.config.agent(run.state.agent)
    learner = REGISTRY[run.state.agent].module()
    torch.set_num_threads(config.torch_threads)
    run_folder.write_state(run.folder, run.state.model_copy(update={"state": "running"}))
    start = time.perf_counter()
    state, timesteps = learn(run, learner, checkpoint, show_progress)
    seconds = time.perf_counter() - start
    judged = make_env(config.env, config.evaluation.n_eval_episodes)
    policy = learner.load(
        run.model, part, flat_observation_space(judged), judged.single_action_space
    )
    score = mean_score(policy, judged, config.evaluation.seed)
    if state == "finished":
        write_outcome(run.folder, config, run.state.agent, run.state.seed, score.means, timesteps)
    return Outcome(f"{run.state.agent} seed {run.state.seed}", run.folder, state, score, seconds)


def _summary(outcome: Outcome) -> str:
    """The line that ends a run: what the trained policy reaches, and how long it took."""
    from train.play import percent

    means = outcome.score.means
    share = [value for name, value in means.items() if name.endswith("/share_of_optimum")]
    total = {name.rsplit("/", 1)[-1]: value for name, value in means.items()}
    name = next(iter(total))
    reached = f"{name} {total[name]:,.1f}" + (
        f", {percent(share[0])} of the optimum" if share else ""
    )
    if outcome.score.cut:
        reached += f", {outcome.score.cut}"
    return f"{outcome.label}: {reached}, {outcome.seconds:.1f} s, {outcome.folder}"


if __name__ == "__main__":
    sys.exit(main())
