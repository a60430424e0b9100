"""``python -m train CONFIG``: trains the agents of a config, each seed into a folder of its own.

``python -m train --resume RUN`` resumes a run that was stopped or killed.
"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from train.cli import ResumeArgs, TrainArgs, parse_args, parse_resume
from train.errors import InputError
from train.parallel import cores, run_all
from train.signals import sigterm_as_ctrl_c

if TYPE_CHECKING:
    from train.run import NewRun, Outcome


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    command = "python -m train " + shlex.join(arguments)
    try:
        with sigterm_as_ctrl_c():
            resume = parse_resume(arguments)
            if resume is not None:
                return _resume(resume, command)
            return _train(parse_args(arguments), command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        # torch raises a RuntimeError
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            raise
        advice = "fewer n_envs, n_steps, units or episodes need less"
        print(f"error: not enough memory: {advice}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was saved before is as it was", file=sys.stderr)
        return 130


def _train(args: TrainArgs, command: str) -> int:
    from train.environment import make_env

    make_env(args.train.env, 1).close()  # a bad one is named before torch is loaded
    from train.run import NewRun

    jobs = [
        NewRun(args.train, args.config.stem, agent, seed, args.runs_dir, command)
        for seed in args.seeds
        for agent in args.agents or args.train.agents
    ]
    several = cores() // args.train.torch_threads if len(args.seeds) > 1 else 1
    at_once = min(len(jobs), args.jobs or several)
    outcomes = _side_by_side(jobs, at_once) if at_once > 1 else _one_by_one(jobs)
    code = _report(outcomes, is_cut_short=len(outcomes) < len(jobs))
    if code == 0:
        print("look further:\n  " + "\n  ".join(_next_commands(args)))
    return code


def _resume(args: ResumeArgs, command: str) -> int:
    from train.run import resume_run

    outcome = resume_run(args.folder, args.total_timesteps, command)
    if outcome is None:
        return 0
    print(outcome.summary, flush=True)
    code = _report([outcome])
    if code == 0:
        print(f"look further:\n  python -m evaluate {args.folder}")
    return code


def _one_by_one(jobs: "list[NewRun]") -> "list[Outcome]":
    """Trains one run after another; an interrupted one is the last."""
    from train.run import start_run

    outcomes = []
    for job in jobs:
        outcomes.append(start_run(job))
        print(outcomes[-1].summary, flush=True)
        if outcomes[-1].state == "interrupted":
            break
    return outcomes


def _side_by_side(jobs: "list[NewRun]", at_once: int) -> "list[Outcome]":
    """Trains several runs at a time, with one bar for all of them."""
    from tqdm import tqdm

    from train.run import start_run

    outcomes: list[Outcome] = []
    print(f"{len(jobs)} runs, {at_once} at a time", flush=True)
    with tqdm(total=len(jobs), unit="run") as bar:

        def done(outcome: "Outcome") -> None:
            outcomes.append(outcome)
            tqdm.write(outcome.summary)
            bar.update()

        try:
            run_all(start_run, [(job, False) for job in jobs], at_once, done)
        except InputError:
            _report(outcomes)  # those that were stopped for it
            raise
    return outcomes


def _report(outcomes: "list[Outcome]", is_cut_short: bool = False) -> int:
    """Says which runs diverged, and how to resume those that were interrupted; the exit code."""
    diverged = [outcome for outcome in outcomes if outcome.state == "diverged"]
    for outcome in diverged:
        print(f"error: {outcome.fault}", file=sys.stderr)
    stopped = [outcome.run.folder for outcome in outcomes if outcome.state == "interrupted"]
    if not (stopped or is_cut_short):
        return 2 if diverged else 0
    saved = stopped or [outcome.run.folder for outcome in outcomes if outcome.score][-1:]
    look = "\n".join(f"  python -m evaluate {folder}" for folder in saved)
    resume = "\n".join(f"  python -m train --resume {folder}" for folder in saved)
    what = f"what was learned is saved in {', '.join(map(str, saved))}; look at it with\n{look}"
    advice = f"or resume exactly where it stopped with\n{resume}"
    print(f"interrupted: {what}\n{advice}", file=sys.stderr)
    return 130


def _next_commands(args: TrainArgs) -> tuple[str, str]:
    """The two commands to look further: the Makefile's, or Python's for runs elsewhere."""
    if args.runs_dir == Path("runs"):
        return f"make evaluate CONFIG={args.config}", "make tensorboard"
    look = f"python -m evaluate {args.config} --runs-dir {args.runs_dir}"
    return look, f"python -m tensorboard.main --logdir {args.runs_dir}"


if __name__ == "__main__":
    sys.exit(main())
