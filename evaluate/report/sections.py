"""The parts of the page that fit any environment: result, yardsticks, learning, uncertainty, provenance."""

import os
from collections.abc import Callable

import numpy as np
import pandas as pd

from evaluate import learning
from evaluate.campaign.sections import OPTIMAL
from evaluate.report import charts
from evaluate.report.page import Chart, Section, Table
from evaluate.results import BEST_FIXED, CLAIRVOYANT, FAILURE_THRESHOLD, REPLANNER, PolicyResult
from evaluate.statistics import LEVEL, RESAMPLES, Interval
from train.config import EvaluationConfig, dump_config
from train.play import percent
from train.storage.records import read_command, read_versions
from train.storage.run_folder import Run

NOTHING = "-"
LEAST_SHOWN = -0.5  # of the gap; a policy further down would leave the others no room


def result(found: list[PolicyResult], metric: str) -> str:
    """The result in one sentence: the leading agent, how sure that is, and the best simple rule beside it."""
    leading, seeds = found[0], len(found[0].seeds)
    if leading.closed:
        return f"{_gap_closed(leading, leading.closed, metric)} {_winner(found)}"
    ends = leading.total.show(_number).removeprefix(_number(leading.total.value))[:-1]
    over = f" over {seeds} training seeds" if seeds > 1 else ""
    sentence = f"{leading.name} earns {_number(leading.total.value)} {metric}{ends}{over})"
    if leading.share is None:
        return f"{sentence} on average."
    sentence += f", {percent(leading.share.value)} of the optimum"
    rule = next(
        (standing for standing in found if not standing.learned and standing.name != OPTIMAL), None
    )
    if rule is None or rule.lead is None:
        return f"{sentence}."
    by = _number(abs(rule.lead.value))
    more = "as much as" if by == "0.0" else f"{by} {'more' if rule.lead.value > 0 else 'less'} than"
    return f"{sentence} and {more} the best simple rule, {rule.name}."


def _gap_closed(leading: PolicyResult, closed: Interval, metric: str) -> str:
    ends = closed.show(_share).removeprefix(_share(closed.value))[:-1]
    over = (
        f" over {len(leading.seeds)} training seeds and all campaigns"
        if len(leading.seeds) > 1
        else ""
    )
    return (
        f"{leading.name} closes {_share(closed.value)} of the gap between the {BEST_FIXED} and the {CLAIRVOYANT}{ends}{over}): "
        f"it earns {_number(leading.total.value)} {_words(metric)}."
    )


def _winner(found: list[PolicyResult]) -> str:
    """Who wins on the same campaigns: the leading agent, or the strongest rule that does not know the draw."""
    leading = found[0].name
    rival = next((standing for standing in found if standing.name == REPLANNER), None)
    if rival is None or rival.lead is None or rival.closed is None:
        return ""
    lead = rival.lead
    by = (
        lead
        if lead.value > 0
        else Interval(-lead.value, *(end and -end for end in (lead.high, lead.low)))
    )
    beside = f"the {REPLANNER}, which closes {_share(rival.closed.value)}"
    if lead.low is not None and lead.high is not None and lead.low <= 0.0 <= lead.high:
        return f"Neither it nor {beside}, can be said to win: on the same campaigns it earns {lead.show(_signed)}."
    if lead.value > 0:
        return f"{leading} wins against {beside}: it earns {by.show(_number)} more on the same campaigns."
    return f"The winner is {beside}: it earns {by.show(_number)} more than {leading} on the same campaigns."


def yardsticks(
    found: list[PolicyResult], metric: str, campaigns: pd.DataFrame, colours: dict[str, str]
) -> Section:
    """What every policy earns, and by how much the leading one earns more."""
    leading, shares = found[0].name, found[0].share is not None
    gap = found[0].closed is not None
    head = ["policy", *(["gap closed", f"{LEVEL:.0%} interval"] if gap else []), _words(metric)]
    head += [
        *(["share of the optimum"] if shares else []),
        *([] if gap else [f"{LEVEL:.0%} interval"]),
    ]
    head += [
        f"{leading} earns more by",
        f"{LEVEL:.0%} interval",
        f"chance that {leading} earns more",
    ]
    rows = [
        [
            standing.name,
            *(
                [_share(standing.closed.value), _ends(standing.closed, _share)]
                if standing.closed
                else []
            ),
            _number(standing.total.value),
            *([percent(standing.share.value)] if standing.share else []),
            *([] if gap else [_ends(standing.total, _number)]),
            *(
                [_signed(standing.lead.value), _ends(standing.lead, _signed)]
                if standing.lead
                else [NOTHING, NOTHING]
            ),
            f"{standing.beaten.value:.0%}" if standing.beaten else NOTHING,
        ]
        for standing in found
    ]
    caption = (
        f"Mean {_words(metric)} of each policy on the same campaigns. Differences are taken campaign by campaign, so "
        "luck that is common to both cancels; a tie counts half in the chance."
    )
    drawn, text = [], []
    if gap:
        text.append(
            f"Gap closed is (policy - {BEST_FIXED}) / ({CLAIRVOYANT} - {BEST_FIXED}) in {_words(metric)}, the mean of what was to be "
            f"expected from the spend, free of the luck of the days. The {BEST_FIXED} knows how campaigns differ, but not "
            f"what this one is like; the {CLAIRVOYANT} knows what holds in each campaign, and no policy earns more. "
            f"Policies that adapt stand between the two; below 0 % a policy earns less than the {BEST_FIXED}."
        )
        drawn.append(_bars_of_the_gap(found, colours))
    if shares:
        words = ", ".join(
            f"{standing.name} {percent(standing.share.value)}"
            for standing in found
            if standing.share
        )
        drawn.append(
            Chart(
                "share_of_optimum",
                "Every policy against the best that is possible; a dot for each training seed where there are several.",
                f"Bars of the share of the optimum: {words}.",
                charts.share_of_optimum(campaigns, colours),
            )
        )
    return Section(
        "What it earns against each yardstick", text, [Table(caption, head, rows)], drawn
    )


def _bars_of_the_gap(found: list[PolicyResult], colours: dict[str, str]) -> Chart:
    closed = {standing.name: standing.closed for standing in found if standing.closed}
    shown = {name: value for name, value in closed.items() if value.value >= LEAST_SHOWN}
    seeds = {
        standing.name: standing.closed_by_seed
        for standing in found
        if standing.closed_by_seed is not None
    }
    missing = [name for name in closed if name not in shown]
    below = f" Too far below to be drawn: {', '.join(missing)}." if missing else ""
    return Chart(
        "gap_closed",
        f"How far each policy goes from the {BEST_FIXED} to the {CLAIRVOYANT}; lines are {LEVEL:.0%} intervals, dots training "
        f"seeds where there are several.{below}",
        "Bars of the gap closed: "
        + ", ".join(f"{name} {value.show(_share)}" for name, value in closed.items())
        + ".",
        charts.gap_closed(shown, {name: seeds[name] for name in shown}, colours),
    )


def training(
    found: list[PolicyResult],
    metric: str,
    progress: pd.DataFrame,
    colours: dict[str, str],
    seed: int,
) -> Section:
    """The learning curves over steps and over time, and what the training seeds end with."""
    column = metric if metric in progress else "ep_rew_mean"
    share = found[0].share
    best = found[0].total.value / share.value if share and column == metric else None
    name = "return" if column == "ep_rew_mean" else _words(column)
    exploration = "exploration included, so below what they earn once trained; the band is the interval of the mean "
    drawn = []
    for stem, x, label, over in (
        ("engagement_over_training", "timesteps", "environment steps", "training"),
        ("engagement_over_time", "seconds", "seconds of training", "time"),
    ):
        found_curves = learning.curves(progress, x, column, np.random.default_rng(seed))
        ends = "; ".join(
            f"{policy} ends at {curve.center[-1]:,.1f}" for policy, curve in found_curves.items()
        )
        drawn.append(
            Chart(
                stem,
                f"What the agents earned while they learned, over {label}, {exploration}over training seeds.",
                f"Lines of {name} per episode over {label}: {ends}.",
                charts.learning_curves(
                    found_curves, label, name, f"{name.capitalize()} over {over}", colours, best
                ),
            )
        )
    agents = [standing for standing in found if standing.learned]
    several = {
        agent.name: agent.scores.values * (agent.share.value / agent.total.value)
        for agent in agents
        if agent.share and len(agent.seeds) > 1
    }
    if several:
        ranges = "; ".join(
            f"{name} from {values.min():.2%} to {values.max():.2%}"
            for name, values in several.items()
        )
        drawn.append(
            Chart(
                "performance_profile",
                "Which part of the training seeds and campaigns earned more than each share of the optimum: a curve "
                "further to the right is better, a steep one tells of seeds that agree.",
                f"Falling steps: {ranges}.",
                charts.profile(several, colours),
            )
        )
    return Section("How it learned", [], [_at_the_end(agents, metric)], drawn)


def _at_the_end(agents: list[PolicyResult], metric: str) -> Table:
    """What the trained policies earn when training is over, seed by seed."""
    if agents[0].closed:
        return _gap_at_the_end(agents)
    shares = agents[0].share is not None
    form = percent if shares else _number
    measure = "share of the optimum" if shares else _words(metric)
    head = [
        "policy",
        "training seeds",
        f"{measure}, mean",
        f"{LEVEL:.0%} interval",
        "interquartile mean",
    ]
    head += ["worst seed", *(["optimality gap"] if shares else []), "seeds that failed"]
    rows = []
    for agent in agents:
        shown = agent.share or agent.total
        scale = shown.value / agent.total.value if agent.total.value else 1.0
        rows.append(
            [
                agent.name,
                str(len(agent.scores.values)),
                form(shown.value),
                _ends(shown, form),
                form(agent.middle.value * scale),
                form(float(agent.scores.by_seed.min()) * scale),
                *([f"{agent.gap.value:.2%}"] if agent.gap else []),
                f"{agent.failures.failed} of {agent.failures.seeds}" if agent.failures else NOTHING,
            ]
        )
    caption = (
        "What each agent earns once trained. The interquartile mean leaves out the best and the worst quarter. "
        f"A seed fails where it earns less than {FAILURE_THRESHOLD:.0%} of what the best yardstick earns."
    )
    return Table(caption, head, rows)


def _gap_at_the_end(agents: list[PolicyResult]) -> Table:
    head = [
        "policy",
        "training seeds",
        "gap closed, mean",
        f"{LEVEL:.0%} interval",
        "worst seed",
        "best seed",
    ]
    rows = [
        [
            agent.name,
            str(len(agent.scores.values)),
            _share(agent.closed.value),
            _ends(agent.closed, _share),
            *(
                _share(float(value))
                for value in (agent.closed_by_seed.min(), agent.closed_by_seed.max())
            ),
            f"{agent.failures.failed} of {agent.failures.seeds}" if agent.failures else NOTHING,
        ]
        for agent in agents
        if agent.closed and agent.closed_by_seed is not None
    ]
    caption = f"What each agent reaches once trained. A seed fails where it earns less than the {BEST_FIXED}."
    return Table(caption, [*head, "seeds that failed"], rows)


def uncertain(found: list[PolicyResult], metric: str, evaluation: EvaluationConfig) -> Section:
    """What varied, what did not, and how far the figures carry beyond the runs at hand."""
    agents = [standing for standing in found if standing.learned]
    rules = [standing for standing in found if not standing.learned]
    drawn = all(not rule.total.exact for rule in rules)
    seeds = max(len(agent.scores.values) for agent in agents)
    text = []
    if rules and not drawn:
        text.append(
            "The campaign draws nothing: a plan earns the same each time that it is played. The figures of rules that "
            "draw nothing either are exact, and so is the optimum."
        )
    elif rules:
        text.append(
            f"The campaign is drawn: {evaluation.n_eval_episodes} draws, the same for every policy. Intervals count "
            "campaigns as one layer of chance and training seeds as another."
        )
    if seeds > 1:
        text.append(
            f"What varies is training, which starts from another random seed each time. The seed is the unit that is "
            f"repeated: {LEVEL:.0%} percentile bootstrap intervals from {RESAMPLES:,} resamples of whole seeds, after "
            "Agarwal et al. 2021. They say how far the mean of other seeds may lie off, not how far a single run may."
        )
        chances = "; ".join(f"{agent.name} {agent.failures}" for agent in agents if agent.failures)
        text.append(f"Seeds that failed: {chances}." if chances else "")
    else:
        text.append(
            "Training starts from a random seed, and one seed tells nothing of others: there is no interval. For one, "
            'train several, make train SEEDS="0 1 2 3 4", and evaluate them, make evaluate ARGS="--seeds all".'
        )
    measure = (
        ["share of the optimum"] if found[0].share else ["gap closed"] if found[0].closed else []
    )
    head = ["policy", "seed", _words(metric), *measure]
    rows = []
    for agent in agents if seeds > 1 else ():
        shown = _shown_by_seed(agent)
        for seed, value, more in zip(agent.seeds, agent.scores.by_seed, shown, strict=True):
            rows.append([agent.name, str(seed), _number(value), *more])
    tables = (
        [Table("Every training seed, once trained.", head, rows, copy_as="seeds.csv")]
        if rows
        else []
    )
    return Section("What was uncertain", [part for part in text if part], tables, [])


def _shown_by_seed(agent: PolicyResult) -> list[list[str]]:
    """What else is told of each training seed: its share of the optimum or of the gap, if there is one."""
    if agent.closed_by_seed is not None:
        return [[_share(value)] for value in agent.closed_by_seed]
    scale = agent.share.value / agent.total.value if agent.share and agent.total.value else None
    return [[percent(value * scale)] if scale else [] for value in agent.scores.by_seed]


def provenance(
    command: str, evaluation: EvaluationConfig, runs: list[Run], progress: pd.DataFrame
) -> dict[str, str]:
    """How the report was made."""
    versions = [read_versions(run) for run in runs]
    packages = [f"Python {v.python}, {v.packages_text}" for v in versions]
    times = ", ".join(
        f"{policy} {value:,.1f} s" for policy, value in learning.seconds(progress).items()
    )
    return {
        "command": command,
        "trained by": "\n".join(dict.fromkeys(read_command(run) for run in runs)),
        "config": dump_config(runs[0].config),
        "commit": "\n".join(dict.fromkeys(v.commit or "unknown" for v in versions)),
        "packages": "\n".join(dict.fromkeys(packages)),
        "machine": ", ".join(dict.fromkeys(v.platform for v in versions))
        + f", {os.cpu_count()} cores",
        "training seeds": ", ".join(str(seed) for seed in sorted({run.state.seed for run in runs})),
        "campaigns": f"{evaluation.n_eval_episodes} per policy, seed {evaluation.seed}, the same for all",
        "training time": f"{times} a run, the median",
        "runs": "\n".join(
            f"{run.config_name}/{run.folder.name}: {run.state.timesteps:,} steps, {run.state.state}"
            for run in runs
        ),
    }


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _share(value: float) -> str:
    return f"{value:.1%}".replace("-", "\N{MINUS SIGN}")


def _number(value: float) -> str:
    return f"{value:,.1f}"


def _signed(value: float) -> str:
    shown = f"{value:+,.1f}"
    return "0.0" if shown in {"+0.0", "-0.0"} else shown.replace("-", "\N{MINUS SIGN}")


def _ends(interval: Interval, form: Callable[[float], str]) -> str:
    """The interval's ends for a cell of a table."""
    if interval.low is None:
        return "one seed"
    return interval.ends(form)
