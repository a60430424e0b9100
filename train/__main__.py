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
from typing import TYPE_CHECKING, Literal, NamedTuple

from train.cli import ResumeArgs, TrainArgs, parse_args, parse_resume
from train.config import AgentConfig, AgentName, InputError, dump_config

if TYPE_CHECKING:
    from train.checkpoint import Checkpoint
    from train.run_dir import Run


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    state: Literal["interrupted", "finished"]
    score: dict[str, float]
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    command = "python -m train " + shlex.join(arguments)
    try:
        with _sigterm_as_ctrl_c():
            resume = parse_resume(arguments)
            return _train_all(parse_args(arguments), command) if resume is None else _resume(resume, command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):  # torch's way to say it
            raise
        print(
            f"error: not enough memory: fewer n_envs, n_steps, units or campaigns need less: {error}", file=sys.stderr
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
    parts = {agent: args.train.agent(agent) for agent in agents}
    outcomes = []
    for seed in args.seeds:
        for agent, part in parts.items():
            outcome = _train(agent, part, seed, args, command)
            outcomes.append(outcome)
            print(_summary(agent, seed, outcome), flush=True)
            if outcome.state == "interrupted":
                return _interrupted(outcome.folder)
    print("look further:\n  " + "\n  ".join(_next_commands(args)))
    return 0


def _next_commands(args: TrainArgs) -> tuple[str, str]:
    """The two commands to look further: those of the Makefile, or of Python where the runs are elsewhere."""
    if args.runs_dir == Path("runs"):
        return f"make evaluate CONFIG={args.config}", "make tensorboard"
    return (
        f"python -m evaluate {args.config} --runs-dir {args.runs_dir}",
        f"python -m tensorboard.main --logdir {args.runs_dir}",
    )


def _interrupted(folder: Path) -> int:
    print(
        f"interrupted: what was learned is saved in {folder}; look at it with\n  python -m evaluate {folder}\n"
        f"or go on exactly where it stopped with\n  python -m train --resume {folder}",
        file=sys.stderr,
    )
    return 130


def _train(agent: AgentName, part: AgentConfig, seed: int, args: TrainArgs, command: str) -> Outcome:
    """One agent, one seed, one folder."""
    from train import run_dir
    from train.make_env import make_env

    make_env(args.train.env, part.n_envs).close()  # a bad environment leaves no folder
    folder = run_dir.create_run(args.runs_dir, args.config.stem, agent, seed)
    state = run_dir.RunState(agent=agent, seed=seed, state="running", timesteps=0)
    with run_dir.write_faults_named(folder), run_dir.lock(folder):
        run_dir.write_description(folder, args.train, command)
        run_dir.write_state(folder, state)
        return _go(run_dir.Run(folder, args.train, state), None)


def _resume(args: ResumeArgs, command: str) -> int:
    """Goes on with a run; one that is finished already is left as it is, unless it is to go further."""
    from train import run_dir

    run_dir.find_run(args.folder)
    with run_dir.write_faults_named(args.folder), run_dir.lock(args.folder):
        run = run_dir.find_run(args.folder)
        if args.total_timesteps is not None:
            run = _further(run, args.total_timesteps)
        elif run.state.state == "finished" and run.model.is_file():
            print(
                f"run {run.folder}: is finished already, after {run.state.timesteps:,} steps; "
                "to train it further, give --total-timesteps"
            )
            return 0
        checkpoint = _last_checkpoint(run)
        run_dir.add_command(run.folder, command)
        outcome = _go(run, checkpoint)
    print(_summary(run.state.agent, run.state.seed, outcome), flush=True)
    if outcome.state == "interrupted":
        return _interrupted(run.folder)
    print(f"look further:\n  python -m evaluate {run.folder}")
    return 0


def _further(run: "Run", total_timesteps: int) -> "Run":
    """The run with another end, written to its config."""
    from train import run_dir

    if total_timesteps <= run.state.timesteps:
        raise InputError(
            f"--total-timesteps {total_timesteps}: run {run.folder} has {run.state.timesteps:,} steps already"
        )
    config = run.config.model_copy(update={"total_timesteps": total_timesteps})
    run_dir.write_state(run.folder, run.state.model_copy(update={"state": "running"}))
    run_dir.write_text(run.folder / "config.yaml", dump_config(config))
    print(
        f"run {run.folder}: goes on to {total_timesteps:,} steps instead of {run.config.total_timesteps:,}; its "
        "schedules now run over all of them, so it is not the run that as many steps from the start would have been"
    )
    return run._replace(config=config)


def _last_checkpoint(run: "Run") -> "Checkpoint | None":
    """The newest good checkpoint; says which it is, which are damaged, and what may change the bits."""
    from train import checkpoint, run_dir

    found, damaged = checkpoint.newest_checkpoint(run.folder)
    for line in damaged:
        print(f"{line}; the one before is taken", file=sys.stderr)
    for line in run_dir.other_versions(run.folder):
        print(f"run {run.folder}: {line}: the bits may differ from those of a run never stopped", file=sys.stderr)
    checkpoint.set_aside(run.folder, newer_than=-1 if found is None else found.timesteps)
    checkpoint.clear_unfinished(run.folder)
    from_where = "has no checkpoint: starts anew" if found is None else f"goes on after step {found.timesteps:,}"
    print(f"run {run.folder}: {from_where}", flush=True)
    return found


def _go(run: "Run", checkpoint: "Checkpoint | None") -> Outcome:
    """Trains a run to its end, from its start or from a checkpoint."""
    import torch
    import torch._dynamo  # the first optimiser step would load it, and its two seconds would count as training

    from train import run_dir
    from train.learners import LEARNERS
    from train.make_env import flat_observation_space, make_env
    from train.play import mean_score
    from train.session import learn

    config, learner, part = run.config, LEARNERS[run.state.agent], run.config.agent(run.state.agent)
    torch.set_num_threads(config.torch_threads)
    run_dir.write_state(run.folder, run.state.model_copy(update={"state": "running"}))
    start = time.perf_counter()
    state = learn(run, learner, checkpoint)
    seconds = time.perf_counter() - start
    judged = make_env(config.env, config.evaluation.campaigns)
    policy = learner.load(run.model, part, flat_observation_space(judged), judged.single_action_space)
    return Outcome(run.folder, state, mean_score(policy, judged, config.evaluation.seed), seconds)


def _summary(agent: str, seed: int, outcome: Outcome) -> str:
    """The line that ends a run: what the trained policy reaches, and how long it took."""
    from train.play import percent

    share = [value for name, value in outcome.score.items() if name.endswith("/share_of_optimum")]
    total = {name.rsplit("/", 1)[-1]: value for name, value in outcome.score.items()}
    name = next(iter(total))
    reached = f"{name} {total[name]:,.1f}" + (f", {percent(share[0])} of the optimum" if share else "")
    return f"{agent} seed {seed}: {reached}, {outcome.seconds:.1f} s, {outcome.folder}"


if __name__ == "__main__":
    sys.exit(main())
