"""The parts of the page that fit any environment: result, baselines, learning, uncertainty."""

import os

import pandas as pd

from evaluate import learning
from evaluate.report import charts, wording
from evaluate.report.page import Chart, Section, Table
from evaluate.report.wording import INTERVAL
from evaluate.results import (
    BEST_FIXED,
    CLAIRVOYANT,
    FAILURE_THRESHOLD,
    REPLANNER,
    PolicyResult,
    best_simple_rule,
)
from evaluate.statistics import LEAST_BAND, Interval, Kind
from train.config import EvaluationConfig, dump_config
from train.play import percent
from train.storage.run_files import read_command, read_versions
from train.storage.run_folder import Run

NOTHING = "-"
LEAST_SHOWN = -0.5  # of the gap; a policy further down would leave the others no room


def result(results: list[PolicyResult], metric: str) -> str:
    """The result in a sentence or two: the leading agent, how sure that is, what is beside it."""
    leading = results[0]
    if leading.gap_closed:
        return f"{_gap_closed(leading, leading.gap_closed, metric)} {_winner(results)}".strip()
    spread = wording.spread(leading.mean, wording.number, _over(leading, leading.mean))
    sentence = f"{leading.name} earns {wording.number(leading.mean.value)} {metric} ({spread})"
    if leading.share_of_optimum is None:
        return f"{sentence} on average."
    sentence += f", {percent(leading.share_of_optimum.value)} of the optimum"
    rule = best_simple_rule(results)
    if rule is None or rule.difference is None:
        return f"{sentence}."
    return sentence + _against_rule(rule, rule.difference)


def _over(policy: PolicyResult, interval: Interval) -> str:
    return wording.over(interval, len(policy.seeds), policy.scores.values.shape[1])


def _gap_closed(leading: PolicyResult, closed: Interval, metric: str) -> str:
    part = wording.share(closed.value)
    spread = wording.spread(closed, wording.share, _over(leading, closed))
    return (
        f"{leading.name} closes {part} of the gap between the {BEST_FIXED} and the {CLAIRVOYANT} "
        f"({spread}): it earns {wording.number(leading.mean.value)} {_words(metric)}."
    )


def _against_rule(rule: PolicyResult, difference: Interval) -> str:
    """By how much the leading agent earns more than the best simple rule, if that is sure."""
    named = f"the best simple rule, {rule.name}"
    if difference.low != difference.high and difference.sign == 0:
        by = wording.with_ends(difference, wording.signed)
        return f". Neither it nor {named}, can be said to earn more: the difference is {by}."
    by = wording.number(abs(difference.value))
    more = f"{by} {'more' if difference.value > 0 else 'less'} than"
    condition = wording.condition(difference)
    return f" and {'as much as' if by == '0.0' else more} {named}{condition and ', '}{condition}."


def _winner(results: list[PolicyResult]) -> str:
    """Who wins: the leading agent, or the strongest baseline that does not know the draw."""
    leading = results[0].name
    replanner = next((policy for policy in results if policy.name == REPLANNER), None)
    if replanner is None or replanner.difference is None or replanner.gap_closed is None:
        return ""
    lead = replanner.difference
    beside = f"the {REPLANNER}, which closes {wording.share(replanner.gap_closed.value)}"
    more = wording.with_ends(lead if lead.value > 0 else -lead, wording.number)
    where = wording.condition(lead) or "on the same campaigns"
    if lead.sign > 0:
        return f"{leading} wins against {beside}: it earns {more} more {where}."
    if lead.sign < 0:
        return f"The winner is {beside}: it earns {more} more than {leading} {where}."
    by = wording.with_ends(lead, wording.signed)
    return f"Neither it nor {beside}, can be said to win: the difference is {by} {where}."


def yardsticks(
    results: list[PolicyResult], metric: str, campaigns: pd.DataFrame, colours: dict[str, str]
) -> Section:
    """What every policy earns, and by how much the leading one earns more."""
    leading, shares = results[0].name, results[0].share_of_optimum is not None
    gap = results[0].gap_closed is not None
    head = ["policy", *(["gap closed", INTERVAL] if gap else []), _words(metric)]
    head += [
        *(["share of the optimum"] if shares else []),
        *([] if gap else [INTERVAL]),
    ]
    head += [
        f"{leading} earns more by",
        INTERVAL,
        f"chance that {leading} earns more",
    ]
    rows = [
        [
            policy.name,
            *(
                [
                    wording.share(policy.gap_closed.value),
                    wording.ends(policy.gap_closed, wording.share),
                ]
                if policy.gap_closed
                else []
            ),
            wording.number(policy.mean.value),
            *([percent(policy.share_of_optimum.value)] if policy.share_of_optimum else []),
            *([] if gap else [wording.ends(policy.mean, wording.number)]),
            *(
                [
                    wording.signed(policy.difference.value),
                    wording.ends(policy.difference, wording.signed),
                ]
                if policy.difference
                else [NOTHING, NOTHING]
            ),
            f"{policy.probability_of_improvement.value:.0%}"
            if policy.probability_of_improvement
            else NOTHING,
        ]
        for policy in results
    ]
    caption = (
        f"Mean {_words(metric)} of each policy on the same campaigns. Differences are taken "
        "campaign by campaign, so luck that is common to both cancels; a tie counts half in the "
        f"chance.{_covered(results[0].mean.kind)}"
    )
    drawn, text = [], []
    if gap:
        text.append(
            f"Gap closed is (policy - {BEST_FIXED}) / ({CLAIRVOYANT} - {BEST_FIXED}) in "
            f"{_words(metric)}, the mean of what was to be expected from the spend, free of the "
            f"luck of the days. The {BEST_FIXED} knows how campaigns differ, but not what this one "
            f"is like; the {CLAIRVOYANT} knows the latent parameters of each campaign, and no "
            "policy earns more. Policies that adapt stand between the two; below 0 % a policy "
            f"earns less than the {BEST_FIXED}."
        )
        drawn.append(_bars_of_the_gap(results, colours))
    if shares:
        words = ", ".join(
            f"{policy.name} {percent(policy.share_of_optimum.value)}"
            for policy in results
            if policy.share_of_optimum
        )
        drawn.append(
            Chart(
                "share_of_optimum",
                "Every policy against the best that is possible; a dot for each training seed "
                "where there are several.",
                f"Bars of the share of the optimum: {words}.",
                charts.share_of_optimum(campaigns, colours),
            )
        )
    return Section(
        "What it earns against each yardstick", text, [Table(caption, head, rows)], drawn
    )


def _bars_of_the_gap(results: list[PolicyResult], colours: dict[str, str]) -> Chart:
    closed = {policy.name: policy.gap_closed for policy in results if policy.gap_closed}
    shown = {name: value for name, value in closed.items() if value.value >= LEAST_SHOWN}
    seeds = {
        policy.name: policy.gap_closed_by_seed
        for policy in results
        if policy.gap_closed_by_seed is not None
    }
    missing = [name for name in closed if name not in shown]
    below = f" Too far below to be drawn: {', '.join(missing)}." if missing else ""
    return Chart(
        "gap_closed",
        f"How far each policy goes from the {BEST_FIXED} to the {CLAIRVOYANT}; lines are "
        f"{INTERVAL}s, dots training seeds where there are several.{below}",
        "Bars of the gap closed: "
        + ", ".join(
            f"{name} {wording.with_ends(value, wording.share)}" for name, value in closed.items()
        )
        + ".",
        charts.gap_closed(shown, {name: seeds[name] for name in shown}, colours),
    )


def training(
    results: list[PolicyResult], metric: str, progress: pd.DataFrame, colours: dict[str, str]
) -> Section:
    """The learning curves over steps and over time, and what the training seeds end with."""
    column = metric if metric in progress else "ep_rew_mean"
    share = results[0].share_of_optimum
    best = results[0].mean.value / share.value if share and column == metric else None
    name = "return" if column == "ep_rew_mean" else _words(column)
    exploration = "exploration included, so below what they earn once trained"
    band = f"the band is the {INTERVAL} of the mean over training seeds, from {LEAST_BAND} seeds on"
    drawn = []
    for stem, x, label, over in (
        ("engagement_over_training", "timesteps", "environment steps", "training"),
        ("engagement_over_time", "seconds", "seconds of training", "time"),
    ):
        by_policy = learning.curves(progress, x, column)
        ends = "; ".join(
            f"{policy} ends at {curve.center[-1]:,.1f}" for policy, curve in by_policy.items()
        )
        drawn.append(
            Chart(
                stem,
                f"What the agents earned while they learned, over {label}, {exploration}; {band}.",
                f"Lines of {name} per episode over {label}: {ends}.",
                charts.learning_curves(
                    by_policy, label, name, f"{name.capitalize()} over {over}", colours, best
                ),
            )
        )
    agents = [policy for policy in results if policy.is_trained]
    several = {
        agent.name: agent.scores.values * (agent.share_of_optimum.value / agent.mean.value)
        for agent in agents
        if agent.share_of_optimum and len(agent.seeds) > 1
    }
    if several:
        ranges = "; ".join(
            f"{name} from {values.min():.2%} to {values.max():.2%}"
            for name, values in several.items()
        )
        drawn.append(
            Chart(
                "performance_profile",
                "Which part of the training seeds and campaigns earned more than each share of the "
                "optimum: a curve further to the right is better, a steep one shows seeds that "
                "agree.",
                f"Falling steps: {ranges}.",
                charts.profile(several, colours),
            )
        )
    return Section("How it learned", [], [_at_the_end(agents, metric)], drawn)


def _at_the_end(agents: list[PolicyResult], metric: str) -> Table:
    """What the trained policies earn when training is over, seed by seed."""
    if agents[0].gap_closed:
        return _gap_at_the_end(agents)
    shares = agents[0].share_of_optimum is not None
    form = percent if shares else wording.number
    measure = "share of the optimum" if shares else _words(metric)
    head = [
        "policy",
        "training seeds",
        f"{measure}, mean",
        INTERVAL,
        "interquartile mean",
    ]
    head += ["worst seed", *(["optimality gap"] if shares else []), "seeds that failed"]
    rows = []
    for agent in agents:
        shown = agent.share_of_optimum or agent.mean
        scale = shown.value / agent.mean.value if agent.mean.value else 1.0
        rows.append(
            [
                agent.name,
                str(len(agent.scores.values)),
                form(shown.value),
                wording.ends(shown, form),
                form(agent.iqm.value * scale),
                form(float(agent.scores.by_seed.min()) * scale),
                *([f"{agent.optimality_gap.value:.2%}"] if agent.optimality_gap else []),
                wording.failures(agent.failures) if agent.failures else NOTHING,
            ]
        )
    caption = (
        "What each agent earns once trained. The interquartile mean leaves out the best and the "
        f"worst quarter. A seed fails where it earns less than {FAILURE_THRESHOLD:.0%} of what the "
        "best baseline earns, or where its training did not finish."
    )
    return Table(caption, head, rows)


def _gap_at_the_end(agents: list[PolicyResult]) -> Table:
    head = [
        "policy",
        "training seeds",
        "gap closed, mean",
        INTERVAL,
        "worst seed",
        "best seed",
    ]
    rows = [
        [
            agent.name,
            str(len(agent.scores.values)),
            wording.share(agent.gap_closed.value),
            wording.ends(agent.gap_closed, wording.share),
            *(
                wording.share(float(value))
                for value in (agent.gap_closed_by_seed.min(), agent.gap_closed_by_seed.max())
            ),
            wording.failures(agent.failures) if agent.failures else NOTHING,
        ]
        for agent in agents
        if agent.gap_closed and agent.gap_closed_by_seed is not None
    ]
    caption = (
        "What each agent reaches once trained. A seed fails where it earns less than the "
        f"{BEST_FIXED}, or where its training did not finish."
    )
    return Table(caption, [*head, "seeds that failed"], rows)


def uncertain(results: list[PolicyResult], metric: str, evaluation: EvaluationConfig) -> Section:
    """What varied, what did not, and how far the figures carry beyond the runs at hand."""
    agents = [policy for policy in results if policy.is_trained]
    rules = [policy for policy in results if not policy.is_trained]
    seeds = max(len(agent.scores.values) for agent in agents)
    text = [_about_campaigns(rules, evaluation.n_eval_episodes), _about_seeds(seeds)]
    chances = [
        f"{agent.name} {wording.failures(agent.failures, with_chance=seeds > 1)}"
        for agent in agents
        if agent.failures and (seeds > 1 or agent.failures.unfinished)
    ]
    text.append(f"Seeds that failed: {'; '.join(chances)}." if chances else "")
    measure = (
        ["share of the optimum"]
        if results[0].share_of_optimum
        else ["gap closed"]
        if results[0].gap_closed
        else []
    )
    head = ["policy", "seed", _words(metric), *measure]
    rows = []
    for agent in agents if seeds > 1 else ():
        shown = _shown_by_seed(agent)
        for seed, value, more in zip(agent.seeds, agent.scores.by_seed, shown, strict=True):
            rows.append([agent.name, str(seed), wording.number(value), *more])
    tables = (
        [Table("Every training seed, once trained.", head, rows, copy_as="seeds.csv")]
        if rows
        else []
    )
    return Section("What was uncertain", [part for part in text if part], tables, [])


def _about_campaigns(rules: list[PolicyResult], campaigns: int) -> str:
    """What is known of the spread between campaigns."""
    if any(rule.mean.kind == "exact" for rule in rules):
        return (
            "The campaign draws nothing: a plan earns the same each time that it is played. The "
            "figures of rules that draw nothing either are exact, and so is the optimum."
        )
    if campaigns == 1:
        return (
            "One campaign was played, which says nothing about others: no interval covers them. "
            "For one that does, set evaluation.n_eval_episodes to 2 or more."
        )
    if not rules:
        return ""
    return (
        f"The campaign is drawn: {campaigns:,} draws, the same for every policy. Intervals count "
        "campaigns as one layer of chance and training seeds as another."
    )


def _about_seeds(seeds: int) -> str:
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
        "campaigns, each times the square of Student's t for their number (Banerjee 1960; for the "
        "seeds of two agents Welch 1947). It covers the mean over other seeds, not a single run, "
        f"and falls short where one bad seed in many is not among these.{two if seeds == 2 else ''}"
    )


def _covered(kind: Kind) -> str:
    """What the intervals of the leading agent leave out, for a caption."""
    if kind == "one seed":
        return " With one training seed an interval covers campaigns, not training."
    if kind == "seeds on one campaign":
        return " Intervals cover training on this one campaign alone."
    return ""


def _shown_by_seed(agent: PolicyResult) -> list[list[str]]:
    """What else is known of each training seed: its share of the optimum or of the gap."""
    if agent.gap_closed_by_seed is not None:
        return [[wording.share(value)] for value in agent.gap_closed_by_seed]
    scale = (
        agent.share_of_optimum.value / agent.mean.value
        if agent.share_of_optimum and agent.mean.value
        else None
    )
    return [[percent(value * scale)] if scale else [] for value in agent.scores.by_seed]


def provenance(
    command: str, evaluation: EvaluationConfig, runs: list[Run], progress: pd.DataFrame
) -> dict[str, str]:
    """How the report was made."""
    versions = [read_versions(run) for run in runs]
    packages = [f"Python {v['python']}, {v['packages']}" for v in versions]
    times = ", ".join(
        f"{policy} {value:,.1f} s" for policy, value in learning.seconds(progress).items()
    )
    return {
        "command": command,
        "trained by": "\n".join(dict.fromkeys(read_command(run) for run in runs)),
        "config": dump_config(runs[0].config),
        "commit": "\n".join(dict.fromkeys(v["commit"] for v in versions)),
        "packages": "\n".join(dict.fromkeys(packages)),
        "machine": ", ".join(dict.fromkeys(v["platform"] for v in versions))
        + f", {os.cpu_count()} cores",
        "training seeds": ", ".join(str(seed) for seed in sorted({run.state.seed for run in runs})),
        "campaigns": (
            f"{evaluation.n_eval_episodes} per policy, seed {evaluation.seed}, the same for all"
        ),
        "training time": f"{times} a run, the median",
        "runs": "\n".join(
            f"{run.name}/{run.folder.name}: {run.state.timesteps:,} steps, {run.state.state}"
            for run in runs
        ),
    }


def _words(metric: str) -> str:
    return metric.replace("_", " ")
