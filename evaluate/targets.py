"""What an evaluation is about: the runs of configs or folders, and how they are played."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from train.config import EnvConfig, EvaluationConfig, load_config
from train.errors import InputError
from train.storage.run_folder import Run, finished_runs, load_run, unfinished_runs

DEFAULT_TARGET = Path("configs/dynamic.yaml")


class EvaluationTarget(NamedTuple):
    """What is evaluated."""

    name: str  # what the report is called
    env: EnvConfig  # that the baselines are played in, and runs compared by
    evaluation: EvaluationConfig
    runs: list[Run]  # finished
    unfinished: list[Run]  # of the seeds that were asked for and have no finished run


def find_target(
    targets: Sequence[Path], seeds: tuple[str, ...], runs_dir: Path
) -> EvaluationTarget:
    """Finds the runs of configs and the folders of runs; the first target names the evaluation.

    ``seeds`` are those to take of each config, or ``all``; none for the newest run alone.

    Raises:
        InputError: A target does not exist, or has no finished run.
    """
    targets, wanted = targets or (DEFAULT_TARGET,), _seeds(seeds)
    runs, unfinished = [], []
    for target in targets:
        if not _is_config(target):
            runs.append(load_run(target))
            continue
        finished, rest = _runs(target, wanted, runs_dir)
        runs += finished
        unfinished += rest
    config, name = runs[0].config, runs[0].config_name
    if _is_config(targets[0]):
        config, name = load_config(targets[0]), targets[0].stem
    return EvaluationTarget(name, config.env, config.evaluation, runs, unfinished)


def state_of(run: Run) -> str:
    """What became of a run, in a word."""
    return "died" if run.state.state == "running" else run.state.state


def _is_config(target: Path) -> bool:
    return target.suffix in {".yaml", ".yml"}


def _runs(target: Path, seeds: set[int] | None, runs_dir: Path) -> tuple[list[Run], list[Run]]:
    """The finished runs of a config, and the others; ``seeds`` None takes each agent's newest run.

    An empty set takes every seed.
    """
    load_config(target)
    finished = finished_runs(runs_dir, target.stem)
    if not finished:
        raise InputError(
            f"{target}: no finished run in {runs_dir / target.stem}; train one: "
            f"python -m train {target}"
        )
    if seeds is None:
        newest = {run.state.agent: run for run in sorted(finished, key=lambda run: run.state.order)}
        return [run for run in finished if run in newest.values()], []
    chosen, rest = (
        [run for run in runs if not seeds or run.state.seed in seeds]
        for runs in (finished, unfinished_runs(runs_dir, target.stem))
    )
    missing = seeds - {run.state.seed for run in chosen}
    if missing - {run.state.seed for run in rest} or not chosen:
        known = sorted({run.state.seed for run in finished})
        raise InputError(
            f"{target}: no finished run of seed {min(missing)}; there are runs of the seeds {known}"
        )
    return chosen, rest


def _seeds(words: tuple[str, ...]) -> set[int] | None:
    if not words:
        return None
    if words == ("all",):
        return set()
    for word in words:
        if not word.isdigit():
            raise InputError(f"--seeds {word}: must be 'all' or whole numbers of 0 or more")
    return {int(word) for word in words}
