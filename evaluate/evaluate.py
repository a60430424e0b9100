"""One evaluation from runs to report: plays, sums up, draws and writes."""

from pathlib import Path

import pandas as pd

from evaluate import learning
from evaluate.campaign.adaptation import adaptation
from evaluate.campaign.sections import campaign_sections
from evaluate.policies import check_comparable, entries, single_env, yardsticks
from evaluate.report import charts, page, sections
from evaluate.report.page import Brand, Report
from evaluate.results import SHARE, PolicyResult, comparison_metric, numbers, policy_results
from evaluate.rollouts import play_all
from train.config import EnvConfig, EvaluationConfig, InputError
from train.storage.run_folder import Run


def evaluate_runs(
    name: str,
    env: EnvConfig,
    evaluation: EvaluationConfig,
    runs: list[Run],
    out: Path,
    command: str,
    brand: Brand,
) -> None:
    """Judges the runs and writes the report into ``out``.

    Raises:
        InputError: The runs cannot be compared or loaded, or ``out`` cannot be written or is being
            written to.
    """
    with page.lock_report_dir(out):
        _judge(name, env, evaluation, runs, out, command, brand)


def _judge(
    name: str,
    env: EnvConfig,
    evaluation: EvaluationConfig,
    runs: list[Run],
    out: Path,
    command: str,
    brand: Brand,
) -> None:
    check_comparable(env, f"the config {name}", runs)
    progress = learning.read_progress(runs, name)
    _check_alike(runs)
    trained = entries(runs, main=name)
    print(
        f"playing {len(trained)} trained policies and the yardsticks on {evaluation.n_eval_episodes} campaigns",
        flush=True,
    )
    results = play_all(
        trained + yardsticks(env, evaluation.seed), evaluation.n_eval_episodes, evaluation.seed
    )
    table = page.summary(results)
    metric = comparison_metric(results.campaigns, str(table.columns[0]))
    learned = list(dict.fromkeys(entry.name for entry in trained))
    found = policy_results(results.campaigns, learned, metric, evaluation.seed)
    colours = charts.policy_colours([standing.name for standing in found], learned)
    pictures = campaign_sections(results.days, learned, single_env(env), colours)
    adapting = adaptation(results, learned[0], env, evaluation, colours)
    parts = [
        pictures.plan,
        sections.yardsticks(found, metric, results.campaigns, colours),
        *adapting.sections,
        pictures.days,
        pictures.why,
        sections.training(found, metric, progress, colours, evaluation.seed),
        sections.uncertain(found, metric, evaluation),
    ]
    report = Report(
        title=brand.title or f"Campaign report: {name}",
        logo=brand.logo,
        result=sections.result(found, metric),
        sections=[part for part in parts if part],
        provenance=sections.provenance(command, evaluation, runs, progress),
    )
    figures = {
        policy: values | adapting.numbers.get(policy, {})
        for policy, values in numbers(found).items()
    }
    page.write(out, report, results, table, figures)
    print(_printed(table, metric, found))
    print(report.result)
    print(f"report: {out / 'index.html'}")


def _check_alike(runs: list[Run]) -> None:
    """Refuses runs that are no repetitions of each other: of one agent with other values, or with the same seed."""
    seen: dict[tuple[str, str, int], Run] = {}
    first: dict[tuple[str, str], Run] = {}
    for run in runs:
        agent = run.state.agent
        twin = seen.setdefault((run.config_name, agent, run.state.seed), run)
        if twin is not run:
            raise InputError(
                f"run {run.folder}: has the agent and the seed of {twin.folder}; name one of them"
            )
        other = first.setdefault((run.config_name, agent), run)
        differing = _differing(other, run)
        if differing:
            raise InputError(
                f"run {run.folder}: is no repetition of {other.folder}: {differing}; "
                f"choose runs of equal values with --seeds or by their folders, or train them anew"
            )


def _differing(one: Run, other: Run) -> str:
    """The first value in which two runs of an agent differ that decides what was learned, or nothing."""
    values = []
    for run in (one, other):
        config = run.config.model_dump(mode="json")
        values.append(
            {
                key: config[key]
                for key in ("env", "total_timesteps", "torch_threads", run.state.agent)
            }
            | {"steps learned from": run.state.timesteps}
        )
    for key, mine in values[0].items():
        if values[1][key] != mine:
            return f"{key} {_short(values[1][key], mine)} instead of {_short(mine, values[1][key])}"
    return ""


def _short(value: object, other: object) -> str:
    if isinstance(value, dict) and isinstance(other, dict):
        return ", ".join(f"{key}={part}" for key, part in value.items() if other.get(key) != part)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _printed(table: pd.DataFrame, metric: str, found: list[PolicyResult]) -> str:
    closed = {standing.name: standing.closed.value for standing in found if standing.closed}
    if closed:
        shown = table[[metric, "seeds"]].assign(gap_closed=pd.Series(closed))
    else:
        shown = table[[name for name in (metric, SHARE, "seeds", "worst_seed") if name in table]]
    return shown.to_string(float_format=lambda value: f"{value:,.4f}")
