"""One evaluation from runs to report: plays, sums up, draws and writes."""

from pathlib import Path
from typing import Any

import pandas as pd

from evaluate import charts, report
from evaluate.campaign_charts import OPTIMAL, campaign_charts
from evaluate.policies import check_comparable, entries, single_env, yardsticks
from evaluate.report import Chart, Report
from evaluate.rollouts import Results, play_all
from evaluate.run_files import read_progress, read_versions
from train.config import EnvConfig, EvaluationConfig
from train.play import percent
from train.run_dir import Run


def judge(name: str, env: EnvConfig, evaluation: EvaluationConfig, runs: list[Run], out: Path, command: str) -> None:
    """Judges the runs and writes the report into ``out``.

    Raises:
        InputError: The runs cannot be compared or loaded, or ``out`` cannot be written.
    """
    check_comparable(env, f"the config {name}", runs)
    learned = entries(runs, main=name)
    print(f"playing {len(learned)} trained policies and the yardsticks on {evaluation.campaigns} campaigns", flush=True)
    results = play_all(learned + yardsticks(env, evaluation.seed), evaluation.campaigns, evaluation.seed)
    table = report.summary(results)
    names = list(dict.fromkeys(entry.name for entry in learned))
    page = Report(
        title=f"Campaign report: {name}",
        result=_result(table, names),
        explanation=_explanation(env),
        table=table,
        charts=_charts(results, table, names, runs, name, env),
        provenance=_provenance(command, evaluation, runs),
    )
    report.write(out, page, results, table)
    print(_printed(table))
    print(page.result)
    print(f"report: {out / 'index.html'}")


def _result(table: pd.DataFrame, learned: list[str]) -> str:
    """The result in one sentence: the leading agent beside the best yardstick."""
    metric = str(table.columns[0])
    best = learned[0]
    row: Any = table.loc[best]
    seeds = f", the worst of {row['seeds']:.0f} training seeds {percent(row['worst_seed'])}" if row["seeds"] > 1 else ""
    if "share_of_optimum" not in table:
        return f"{best} earns {metric} {row[metric]:,.1f} on average."
    rules = table.drop(index=[*learned, OPTIMAL], errors="ignore")
    others = rules.sort_values("share_of_optimum", ascending=False)
    rival = (
        f" The best simple rule, {others.index[0]}, reaches {percent(others['share_of_optimum'].iloc[0])}."
        if len(others)
        else ""
    )
    return (
        f"{best} earns {row[metric]:,.1f} engagement, {percent(row['share_of_optimum'])} of the optimum{seeds}.{rival}"
    )


def _charts(
    results: Results, table: pd.DataFrame, learned: list[str], runs: list[Run], main: str, env: EnvConfig
) -> list[Chart]:
    """The pictures of the page: those that belong to the environment, then those of any."""
    colours = charts.policy_colours(list(table.index), learned)
    drawn = campaign_charts(results.days, learned, single_env(env), colours)
    progress = _progress(runs, main)
    if "share_of_optimum" in table:
        drawn.append(
            Chart(
                "share_of_optimum",
                "Every policy against the best that is possible; a dot for each training seed where there are several.",
                "Bars: " + ", ".join(f"{name} {row['share_of_optimum']:.1%}" for name, row in table.iterrows()) + ".",
                charts.share_of_optimum(results.campaigns, colours),
            )
        )
    column = "engagement" if "engagement" in progress else "ep_rew_mean"
    best = table[column] / table["share_of_optimum"] if {column, "share_of_optimum"} <= set(table.columns) else None
    drawn.append(
        Chart(
            "engagement_over_training",
            "What the agents earned while they learned, exploration included, so below what they earn once trained.",
            f"Lines of {column} over environment steps, one for each training run.",
            charts.learning_curves(progress, column, colours, None if best is None else float(best.iloc[0])),
        )
    )
    return drawn


def _progress(runs: list[Run], main: str) -> pd.DataFrame:
    frames = []
    for run in runs:
        label = run.state.agent if run.name == main else f"{run.name}/{run.state.agent}"
        frames.append(read_progress(run).assign(policy=label, run=str(run.folder)))
    return pd.concat(frames, ignore_index=True)


def _explanation(env: EnvConfig) -> str | None:
    unwrapped = single_env(env)
    return unwrapped.explanation() if hasattr(unwrapped, "explanation") else None


def _provenance(command: str, evaluation: EvaluationConfig, runs: list[Run]) -> dict[str, str]:
    """How the report was made; nothing in it depends on the clock."""
    versions = read_versions(runs[0])
    return {
        "command": command,
        "campaigns": f"{evaluation.campaigns} per policy, seed {evaluation.seed}, the same for all",
        "runs": "\n".join(
            f"{run.name}/{run.folder.name}: {run.state.timesteps:,} steps, {run.state.state}" for run in runs
        ),
        "trained with": f"Python {versions['python']}, {versions['packages']}, {versions['platform']}",
        "commit": versions["commit"],
    }


def _printed(table: pd.DataFrame) -> str:
    shown = table[[name for name in (table.columns[0], "share_of_optimum", "seeds", "worst_seed") if name in table]]
    return shown.to_string(float_format=lambda value: f"{value:,.4f}")
