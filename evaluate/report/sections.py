"""The other parts of the page that fit any environment: comparison, uncertainty, provenance."""

import os

import pandas as pd

from evaluate import learning
from evaluate.domain import Evaluation
from evaluate.report import charts, wording
from evaluate.report.page import Chart, Row, Section, Table, table
from evaluate.report.result import digits, scale, words
from evaluate.report.wording import INTERVAL
from evaluate.results import PolicyResult
from evaluate.targets import EvaluationTarget, state_of
from train.config import dump_config
from train.play import percent
from train.storage.records import read_command, read_versions

LEAST_SHOWN = -0.5  # of the gap; a policy further down would leave the others no room


def comparison(evaluation: Evaluation) -> Section | None:
    """What every policy earns, and by how much the leading one earns more; none for one alone."""
    policies = evaluation.policies
    if len(policies) == 1:
        return None
    is_gap, is_share = bool(policies[0].gap_closed), bool(policies[0].share_of_optimum)
    drawn = [_bars_of_the_gap(evaluation)] if is_gap else []
    drawn += [_bars_of_shares(evaluation)] if is_share else []
    text = [_about_the_gap(evaluation)] if is_gap else []
    is_alone = all(policy.is_trained for policy in policies)
    title = "What each agent earns" if is_alone else "Comparison with the baselines"
    return Section(title, text, [_comparison_table(evaluation)], drawn)


def uncertain(evaluation: Evaluation) -> Section:
    """What varied, what did not, and how far the figures carry beyond the runs at hand."""
    seeds = max(len(agent.scores.values) for agent in evaluation.agents)
    chances = [
        f"{agent.name} {wording.failures(agent.failures, with_chance=seeds > 1)}"
        for agent in evaluation.agents
        if agent.failures and (seeds > 1 or agent.failures.unfinished)
    ]
    text = [
        _about_episodes(evaluation),
        cut_episodes(evaluation),
        _about_seeds(seeds, evaluation.domain.episode),
        f"Seeds that failed: {'; '.join(chances)}." if chances else "",
    ]
    tables = [_seeds_table(evaluation)] if seeds > 1 else []
    return Section("What was uncertain", [part for part in text if part], tables, [])


def provenance(
    command: str, evaluation: Evaluation, target: EvaluationTarget, progress: pd.DataFrame
) -> dict[str, str]:
    """How the report was made."""
    runs, settings = target.runs, evaluation.settings
    versions = [read_versions(run) for run in runs]
    packages = [f"Python {v.python}, {v.packages_text}" for v in versions]
    platforms = dict.fromkeys(v.platform for v in versions)
    times = (f"{name} {value:,.1f} s" for name, value in learning.seconds(progress).items())
    return {
        "command": command,
        "trained by": "\n".join(dict.fromkeys(read_command(run) for run in runs)),
        "config": dump_config(runs[0].config),
        "commit": "\n".join(dict.fromkeys(v.commit or "unknown" for v in versions)),
        "packages": "\n".join(dict.fromkeys(packages)),
        "machine": f"{', '.join(platforms)}, {os.cpu_count()} cores",
        "training seeds": ", ".join(map(str, sorted({run.state.seed for run in runs}))),
        f"{evaluation.domain.episode}s": (
            f"{settings.n_eval_episodes} per policy, seed {settings.seed}, the same for all"
        ),
        "training time": f"{', '.join(times)} a run, the median",
        "runs": "\n".join(
            f"{run.config_name}/{run.folder.name}: {run.state.timesteps:,} steps, {state_of(run)}"
            for run in [*runs, *target.unfinished]
        ),
    }


def cut_episodes(evaluation: Evaluation) -> str:
    """Which episodes did not end by themselves; nothing where all did."""
    domain, results = evaluation.domain, evaluation.results
    if not results.cut:
        return ""
    steps = results.steps.groupby("policy")["step"].max()
    total = results.episodes["policy"].value_counts()
    parts = [
        f"{count:,} of {total[policy]:,} {domain.episode}s of {policy} after {steps[policy]:,} "
        f"{domain.step}s"
        for policy, count in results.cut.items()
    ]
    return f"Cut short, as they did not end: {'; '.join(parts)}."


def _comparison_table(evaluation: Evaluation) -> Table:
    metric, episode = words(evaluation.metric), evaluation.domain.episode
    left_out = {
        "one seed": f" With one training seed an interval covers {episode}s, not training.",
        "seeds on one episode": f" Intervals cover training on this one {episode} alone.",
    }
    caption = (
        f"Mean {metric} of each policy on the same {episode}s. Differences are taken {episode} by "
        f"{episode}, so luck that is common to both cancels; a tie counts half in the chance."
        f"{left_out.get(evaluation.policies[0].mean.kind, '')}"
    )
    return table(caption, [_compared(evaluation, policy) for policy in evaluation.policies])


def _compared(evaluation: Evaluation, policy: PolicyResult) -> Row:
    """A row of the comparison."""
    leading, episode = evaluation.policies[0].name, evaluation.domain.episode
    closed, share, form = policy.gap_closed, policy.share_of_optimum, digits(evaluation)
    row: Row = [("policy", policy.name)]
    if closed:
        row += [("gap closed", wording.share(closed.value))]
        row += [(INTERVAL, wording.ends(closed, wording.share, episode))]
    row += [(words(evaluation.metric), form.number(policy.mean.value))]
    row += [(evaluation.share_name, percent(share.value))] if share else []
    row += [] if closed else [(INTERVAL, wording.ends(policy.mean, form.number, episode))]
    by = ends = chance = wording.NOTHING
    if policy.difference and policy.probability_of_improvement:
        by = form.signed(policy.difference.value)
        ends = wording.ends(policy.difference, form.signed, episode)
        chance = f"{policy.probability_of_improvement.value:.0%}"
    row += [(f"{leading} earns more by", by), (INTERVAL, ends)]
    return [*row, (f"chance that {leading} earns more", chance)]


def _about_the_gap(evaluation: Evaluation) -> str:
    names, domain = evaluation.domain.baselines, evaluation.domain
    is_expected = evaluation.metric == f"expected_{domain.objective}"
    free = f", the mean of what was to be expected, free of the luck of the {domain.step}s"
    return (
        f"Gap closed is (policy - {names.best_fixed}) / ({names.clairvoyant} - {names.best_fixed}) "
        f"in {words(evaluation.metric)}{free if is_expected else ''}. {names.gap_ends} Below 0 % a "
        f"policy earns less than the {names.best_fixed}."
    )


def _bars_of_the_gap(evaluation: Evaluation) -> Chart:
    names, policies = evaluation.domain.baselines, evaluation.policies
    closed = {policy.name: policy.gap_closed for policy in policies if policy.gap_closed}
    shown = {name: value for name, value in closed.items() if value.value >= LEAST_SHOWN}
    by_seed = {policy.name: policy.gap_closed_by_seed for policy in policies}
    seeds = {name: values for name, values in by_seed.items() if values is not None}
    missing = ", ".join(name for name in closed if name not in shown)
    below = f" Too far below to be drawn: {missing}." if missing else ""
    values = (
        f"{name} {wording.with_ends(value, wording.share, evaluation.domain.episode)}"
        for name, value in closed.items()
    )
    return Chart(
        "gap_closed",
        f"How far each policy goes from the {names.best_fixed} to the {names.clairvoyant}; lines "
        f"are {INTERVAL}s, dots training seeds where there are several.{below}",
        f"Bars of the gap closed: {', '.join(values)}.",
        charts.gap_closed(shown, seeds, evaluation.colours),
    )


def _bars_of_shares(evaluation: Evaluation) -> Chart:
    name = evaluation.share_name
    values = ", ".join(
        f"{policy.name} {percent(policy.share_of_optimum.value)}"
        for policy in evaluation.policies
        if policy.share_of_optimum
    )
    return Chart(
        "share_of_optimum",
        f"Every policy against the {evaluation.best}; a dot for each training seed where "
        "there are several.",
        f"Bars of the {name}: {values}.",
        charts.shares(evaluation.results.episodes, name, evaluation.colours),
    )


def _seeds_table(evaluation: Evaluation) -> Table:
    """What every training seed earns, and its share of the optimum or of the gap, if any."""
    rows = []
    for agent in evaluation.agents:
        share, closed = agent.share_of_optimum, agent.gap_closed_by_seed
        for index, (seed, value) in enumerate(zip(agent.seeds, agent.scores.by_seed, strict=True)):
            row = [("policy", agent.name), ("seed", str(seed))]
            row += [(words(evaluation.metric), digits(evaluation).number(value))]
            row += [("gap closed", wording.share(closed[index]))] if closed is not None else []
            row += [(evaluation.share_name, percent(value * scale(share, agent)))] if share else []
            rows.append(row)
    return table("Every training seed, once trained.", rows, copy_as="seeds.csv")


def _about_episodes(evaluation: Evaluation) -> str:
    """What is known of the spread between episodes."""
    domain, count = evaluation.domain, evaluation.settings.n_eval_episodes
    baselines = [policy for policy in evaluation.policies if not policy.is_trained]
    if any(policy.mean.kind == "exact" for policy in baselines):
        is_optimal = any(policy.name == domain.baselines.optimum for policy in baselines)
        return (
            f"The {domain.episode} draws nothing: a baseline that draws nothing either earns the "
            "same each time that it is played, and its figures are exact"
            f"{', and so is the optimum' if is_optimal else ''}."
        )
    if count == 1:
        return (
            f"One {domain.episode} was played, which says nothing about others: no interval "
            "covers them. For one that does, set evaluation.n_eval_episodes to 2 or more."
        )
    if not baselines:
        return ""
    return (
        f"The {domain.episode} is drawn: {count:,} draws, the same for every policy. Intervals "
        f"count {domain.episode}s as one layer of chance and training seeds as another."
    )


def _about_seeds(seeds: int, episode: str) -> str:
    """What the intervals say about training, and what they rest on."""
    if seeds == 1:
        return (
            "Training starts from a random seed, and one seed says nothing about others: no "
            "interval covers training. For one that does, train several, make train "
            'SEEDS="0 1 2 3 4", and evaluate them, make evaluate ARGS="--seeds all".'
        )
    two = " With two seeds an interval is 12.7 standard errors wide to either side, with five 2.8."
    return (
        "What varies is training, which starts from another random seed each time. The seed is the "
        f"unit that is repeated: a {INTERVAL} adds the squared standard errors of seeds and "
        f"{episode}s, each times the square of Student's t for their number (Banerjee 1960; "
        "for the seeds of two agents Welch 1947). It covers the mean over other seeds, not a "
        "single run, and falls short where one bad seed in many is not among these."
        f"{two if seeds == 2 else ''}"
    )
