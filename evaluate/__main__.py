"""``python -m evaluate [TARGET ...]``: judges trained runs against the yardsticks and writes the report."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from train.config import EnvConfig, EvaluationConfig, InputError, load_config
from train.parallel import ONE_THREAD
from train.storage.run_folder import Run, finished_runs, load_run

DEFAULT_TARGET = Path("configs/dynamic.yaml")


class Args(NamedTuple):
    """Plays trained runs and yardsticks on the same campaigns and writes tables, charts and a report."""

    targets: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            help="configs (the newest finished run of each agent) or folders of runs; the first one leads the report; "
            f"default: {DEFAULT_TARGET}"
        ),
    ] = ()
    seeds: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            help="training seeds to take of each config, or 'all'; default: the newest run alone"
        ),
    ] = ()
    out: Annotated[
        Path | None, tyro.conf.arg(help="folder for the report; default: reports/<config>")
    ] = None
    title: Annotated[
        str | None, tyro.conf.arg(help="heading of the report; default: names the config")
    ] = None
    logo: Annotated[
        Path | None, tyro.conf.arg(help="picture above the heading: PNG, JPEG, GIF, WebP or SVG")
    ] = None
    runs_dir: Annotated[Path, tyro.conf.arg(help="folder of the runs")] = Path("runs")


class EvaluationTarget(NamedTuple):
    """What is judged: the runs, the campaign that they share, and how it is played."""

    name: str
    env: EnvConfig
    evaluation: EvaluationConfig
    runs: list[Run]


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = tyro.cli(
            Args, args=arguments, prog="python -m evaluate", config=(tyro.conf.AvoidSubcommands,)
        )
        subject = find_target(args)
        for name in ONE_THREAD:  # small matrices: a second thread would only wait
            os.environ.setdefault(name, "1")
        from evaluate.evaluate import evaluate_runs
        from evaluate.report.page import Brand, read_logo

        brand = Brand(args.title, read_logo(args.logo) if args.logo else None)
        out = args.out or Path("reports") / subject.name
        evaluate_runs(
            subject.name,
            subject.env,
            subject.evaluation,
            subject.runs,
            out,
            "python -m evaluate " + shlex.join(arguments),
            brand,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the earlier report, if any, is as it was", file=sys.stderr)
        return 130
    return 0


def find_target(args: Args) -> EvaluationTarget:
    """Finds the runs that were asked for.

    Raises:
        InputError: A target does not exist, or has no finished run.
    """
    targets = args.targets or (DEFAULT_TARGET,)
    seeds = _seeds(args.seeds)
    runs = [run for target in targets for run in _runs(target, seeds, args.runs_dir)]
    first = targets[0]
    if first.suffix not in {".yaml", ".yml"}:
        return EvaluationTarget(
            runs[0].config_name, runs[0].config.env, runs[0].config.evaluation, runs
        )
    config = load_config(first)
    return EvaluationTarget(first.stem, config.env, config.evaluation, runs)


def _runs(target: Path, seeds: set[int] | None, runs_dir: Path) -> list[Run]:
    """The runs of one target; ``seeds`` None takes the newest run of each agent, an empty set takes every seed."""
    if target.suffix not in {".yaml", ".yml"}:
        return [load_run(target)]
    load_config(target)
    found = finished_runs(runs_dir, target.stem)
    if not found:
        raise InputError(
            f"{target}: no finished run in {runs_dir / target.stem}; train one: python -m train {target}"
        )
    if seeds is None:
        agents = dict.fromkeys(run.state.agent for run in found)
        return [
            max((run for run in found if run.state.agent == agent), key=lambda run: run.state.order)
            for agent in agents
        ]
    chosen = [run for run in found if not seeds or run.state.seed in seeds]
    missing = seeds - {run.state.seed for run in chosen}
    if missing:
        known = sorted({run.state.seed for run in found})
        raise InputError(
            f"{target}: no finished run of seed {min(missing)}; there are runs of the seeds {known}"
        )
    return chosen


def _seeds(words: tuple[str, ...]) -> set[int] | None:
    if not words:
        return None
    if words == ("all",):
        return set()
    for word in words:
        if not word.isdigit():
            raise InputError(f"--seeds {word}: must be 'all' or whole numbers of 0 or more")
    return {int(word) for word in words}


if __name__ == "__main__":
    sys.exit(main())
