"""One evaluation from runs to report: plays, sums up, draws and writes."""

from pathlib import Path

import pandas as pd

from evaluate import learning
from evaluate.domain import Domain, Evaluation, domain_of
from evaluate.policies import check_comparable, label, load_candidates
from evaluate.report import charts, page, sections
from evaluate.report.page import Brand, Report
from evaluate.report.result import result
from evaluate.report.training import training
from evaluate.results import (
    KEYS,
    SHARE,
    Unfinished,
    as_json,
    comparison_metric,
    means,
    policy_results,
)
from evaluate.rollouts import RETURN, Candidate, play_all
from evaluate.targets import EvaluationTarget, state_of
from train.errors import InputError
from train.storage.run_folder import Run


def evaluate_runs(target: EvaluationTarget, out: Path, command: str, brand: Brand) -> None:
    """Plays the runs and their baselines and writes the report into ``out``, a locked folder.

    Raises:
        InputError: The runs cannot be compared or loaded, or ``out`` cannot be written.
    """
    check_comparable(target.env, f"the config {target.name}", target.runs)
    progress = learning.read_progress(target.runs, target.name)
    _check_alike(target.runs)
    evaluation = _played(target)
    domain, results = evaluation.domain, evaluation.results
    family = domain.sections(evaluation)
    parts = [
        *family.first,
        sections.comparison(evaluation),
        *family.rest,
        training(evaluation, progress),
        sections.uncertain(evaluation),
    ]
    title = brand.title or f"Evaluation report: {target.name}"
    provenance = sections.provenance(command, evaluation, target, progress)
    shown = [part for part in parts if part]
    report = Report(title, brand.logo, result(evaluation), shown, provenance)
    rows = as_json(evaluation.policies)
    figures = {name: row | family.numbers.get(name, {}) for name, row in rows.items()}
    steps = results.steps.rename(columns={"episode": domain.episode, "step": domain.step})
    table = means(results.episodes)
    page.write(out, report, steps, table, figures)
    _print(target, evaluation, table)
    print(report.result, f"report: {out / 'index.html'}", sep="\n")


def _played(target: EvaluationTarget) -> Evaluation:
    """Plays the runs and the baselines, and sums up what each policy earns."""
    domain, settings = domain_of(target.env), target.evaluation
    loaded = [
        (label(run, target.name), candidate)
        for run in target.runs
        for candidate in load_candidates([run], target.name)
    ]
    trained, agents = [part for _, part in loaded], {part.name: agent for agent, part in loaded}
    baselines = domain.baseline_policies(target.env, settings.seed)
    print(_announced(domain, trained, baselines, settings.n_eval_episodes), flush=True)
    results = play_all(trained + baselines, settings.n_eval_episodes, settings.seed, domain.columns)
    episodes = results.episodes.rename(columns={RETURN: domain.objective})
    results = results._replace(episodes=episodes)
    columns = [name for name in episodes if name not in KEYS]
    metric = domain.objective if domain.objective in columns else str(columns[0])
    metric = comparison_metric(episodes, metric, domain.baselines)
    unfinished = _unfinished(target, agents)
    policies = policy_results(episodes, list(agents), metric, domain.baselines, unfinished)
    colours = charts.policy_colours([policy.name for policy in policies], list(agents))
    best = domain.best_name(target.env)
    return Evaluation(domain, target.env, settings, results, policies, metric, colours, best)


def _announced(
    domain: Domain, trained: list[Candidate], baselines: list[Candidate], episodes: int
) -> str:
    """What is going to be played."""
    agents = f"{len(trained)} trained {'policy' if len(trained) == 1 else 'policies'}"
    beside = f" and {len(baselines)} baseline{'s'[: len(baselines) > 1]}" if baselines else ""
    return f"playing {agents}{beside} on {episodes:,} {domain.episode}{'s'[: episodes > 1]}"


def _unfinished(target: EvaluationTarget, agents: dict[str, str]) -> Unfinished:
    """Seeds without a finished run and what became of them, by policy from each one's agent."""
    return {
        policy: {
            run.state.seed: state_of(run)
            for run in target.unfinished
            if label(run, target.name) == agent
        }
        for policy, agent in agents.items()
    }


def _check_alike(runs: list[Run]) -> None:
    """Refuses runs that do not repeat each other: one agent with other values, or the same seed."""
    same: dict[tuple[str, str, int], Run] = {}
    first: dict[tuple[str, str], Run] = {}
    for run in runs:
        agent = run.state.agent
        twin = same.setdefault((run.config_name, agent, run.state.seed), run)
        if twin is not run:
            raise InputError(
                f"run {run.folder}: has the agent and the seed of {twin.folder}; name one of them"
            )
        earlier = first.setdefault((run.config_name, agent), run)
        difference = _difference(earlier, run)
        if difference:
            raise InputError(
                f"run {run.folder}: does not repeat {earlier.folder}: {difference}; choose runs of "
                "equal values with --seeds or by their folders, or train them again"
            )


def _difference(earlier: Run, later: Run) -> str:
    """The first value in which two runs differ that decides what was learned, or nothing."""
    before, after = (_decisive(run) for run in (earlier, later))
    for key, value in before.items():
        if after[key] != value:
            return f"{key} {_short(after[key], value)} instead of {_short(value, after[key])}"
    return ""


def _decisive(run: Run) -> dict[str, object]:
    config = run.config.model_dump(mode="json")
    keys = ("env", "total_timesteps", "torch_threads", run.state.agent)
    return {key: config[key] for key in keys} | {"steps learned from": run.state.timesteps}


def _short(value: object, beside: object) -> str:
    if isinstance(value, dict) and isinstance(beside, dict):
        return ", ".join(f"{key}={part}" for key, part in value.items() if beside.get(key) != part)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print(target: EvaluationTarget, evaluation: Evaluation, table: pd.DataFrame) -> None:
    """Prints what each policy earns, and what is missing or cut."""
    metric = evaluation.metric
    closed = {part.name: part.gap_closed.value for part in evaluation.policies if part.gap_closed}
    if closed:
        shown = table[[metric, "seeds"]].assign(gap_closed=pd.Series(closed))
    else:
        share = evaluation.share_name.replace(" the ", " ").replace(" ", "_")
        columns = [name for name in (metric, SHARE, "seeds", "worst_seed") if name in table]
        shown = table[columns].rename(columns={SHARE: share})
    print(shown.to_string(float_format=lambda value: f"{value:,.4f}"))
    unfinished = ", ".join(f"{run.folder} ({state_of(run)})" for run in target.unfinished)
    if unfinished:
        print(f"training did not finish: {unfinished}")
    if cut := sections.cut_episodes(evaluation):
        print(cut)
