"""The parts of the page that fit any environment, from the result to the provenance."""

import os

import pandas as pd

from evaluate import learning
from evaluate.domain import Evaluation
from evaluate.report import charts, wording
from evaluate.report.page import Chart, Section, Table
from evaluate.report.wording import INTERVAL
from evaluate.results import FAILURE_THRESHOLD, PolicyResult, best_simple_rule
from evaluate.statistics import LEAST_BAND, Interval, Kind
from evaluate.targets import EvaluationTarget, state_of
from train.config import dump_config
from train.play import percent
from train.storage.run_files import read_command, read_versions

NOTHING = "-"
LEAST_SHOWN = -0.5  # of the gap; a policy further down would leave the others no room


def result(evaluation: Evaluation) -> str:
    """The result in a sentence or two: the leading agent, how sure that is, what is beside it."""
    leading = evaluation.policies[0]
    if leading.gap_closed:
        closed = _gap_closed(evaluation, leading, leading.gap_closed)
        return f"{closed} {_winner(evaluation)}".strip()
    mean, metric = leading.mean, words(evaluation.metric)
    spread = _spread(evaluation, leading, mean, wording.number)
    if leading.share_of_optimum is None:
        return f"{leading.name} earns a mean {metric} of {wording.number(mean.value)} ({spread})."
    share = percent(leading.share_of_optimum.value)
    sentence = (
        f"{leading.name} earns {wording.number(mean.value)} {metric} ({spread}), {share} of the "
        f"{_best(evaluation)}"
    )
    rule = best_simple_rule(evaluation.policies, evaluation.domain.baselines)
    if rule is None or rule.difference is None:
        return f"{sentence}."
    return sentence + _against_rule(rule, rule.difference, evaluation.domain.episode)


def comparison(evaluation: Evaluation) -> Section | None:
    """What every policy earns, and by how much the leading one earns more; none for one alone."""
    policies = evaluation.policies
    if len(policies) == 1:
        return None
    is_gap, is_share = bool(policies[0].gap_closed), bool(policies[0].share_of_optimum)
    drawn = []
    if is_gap:
        drawn.append(_bars_of_the_gap(evaluation))
    if is_share:
        drawn.append(_bars_of_shares(evaluation))
    text = [_about_the_gap(evaluation)] if is_gap else []
    title = "What each agent earns"
    if any(not policy.is_trained for policy in policies):
        title = "Comparison with the baselines"
    return Section(title, text, [_comparison_table(evaluation)], drawn)


def training(evaluation: Evaluation, progress: pd.DataFrame) -> Section:
    """The learning curves over steps and over time, and what the training seeds end with."""
    agents = [policy for policy in evaluation.policies if policy.is_trained]
    table = _gap_at_the_end if agents[0].gap_closed else _at_the_end
    drawn = [
        _learning_chart(evaluation, progress, "training", "timesteps", "environment steps"),
        _learning_chart(evaluation, progress, "time", "seconds", "seconds of training"),
        *_profile(evaluation, agents),
    ]
    return Section("How it learned", [], [table(evaluation, agents)], drawn)


def uncertain(evaluation: Evaluation) -> Section:
    """What varied, what did not, and how far the figures carry beyond the runs at hand."""
    agents = [policy for policy in evaluation.policies if policy.is_trained]
    seeds = max(len(agent.scores.values) for agent in agents)
    text = [_about_episodes(evaluation), _about_seeds(seeds, evaluation.domain.episode)]
    chances = [
        f"{agent.name} {wording.failures(agent.failures, with_chance=seeds > 1)}"
        for agent in agents
        if agent.failures and (seeds > 1 or agent.failures.unfinished)
    ]
    text.append(f"Seeds that failed: {'; '.join(chances)}." if chances else "")
    tables = [_seeds_table(evaluation, agents)] if seeds > 1 else []
    return Section("What was uncertain", [part for part in text if part], tables, [])


def provenance(
    command: str, evaluation: Evaluation, target: EvaluationTarget, progress: pd.DataFrame
) -> dict[str, str]:
    """How the report was made."""
    runs, settings = target.runs, evaluation.settings
    versions = [read_versions(run) for run in runs]
    packages = [f"Python {v['python']}, {v['packages']}" for v in versions]
    platforms = dict.fromkeys(v["platform"] for v in versions)
    times = (f"{name} {value:,.1f} s" for name, value in learning.seconds(progress).items())
    return {
        "command": command,
        "trained by": "\n".join(dict.fromkeys(read_command(run) for run in runs)),
        "config": dump_config(runs[0].config),
        "commit": "\n".join(dict.fromkeys(v["commit"] for v in versions)),
        "packages": "\n".join(dict.fromkeys(packages)),
        "machine": f"{', '.join(platforms)}, {os.cpu_count()} cores",
        "training seeds": ", ".join(map(str, sorted({run.state.seed for run in runs}))),
        f"{evaluation.domain.episode}s": (
            f"{settings.n_eval_episodes} per policy, seed {settings.seed}, the same for all"
        ),
        "training time": f"{', '.join(times)} a run, the median",
        "runs": "\n".join(
            f"{run.name}/{run.folder.name}: {run.state.timesteps:,} steps, {state_of(run)}"
            for run in [*runs, *target.unfinished]
        ),
    }


def share_name(evaluation: Evaluation) -> str:
    """What shares are called: those of the optimum, or of what was found in its place."""
    return f"share of the {_best(evaluation)}"


def words(metric: str) -> str:
    """The name of a column in words."""
    return metric.replace("_", " ")


def _best(evaluation: Evaluation) -> str:
    return evaluation.domain.baselines.best(evaluation.policies)


def _spread(
    evaluation: Evaluation, policy: PolicyResult, interval: Interval, form: wording.Form
) -> str:
    episode = evaluation.domain.episode
    count = policy.scores.values.shape[1]
    over = wording.over(interval, len(policy.seeds), count, episode)
    return wording.spread(interval, form, episode, over)


def _gap_closed(evaluation: Evaluation, leading: PolicyResult, closed: Interval) -> str:
    names = evaluation.domain.baselines
    return (
        f"{leading.name} closes {wording.share(closed.value)} of the gap between the "
        f"{names.best_fixed} and the {names.clairvoyant} "
        f"({_spread(evaluation, leading, closed, wording.share)}): it earns "
        f"{wording.number(leading.mean.value)} {words(evaluation.metric)}."
    )


def _against_rule(rule: PolicyResult, difference: Interval, episode: str) -> str:
    """By how much the leading agent earns more than the best simple rule, if that is sure."""
    named = f"the best simple rule, {rule.name}"
    if difference.low != difference.high and difference.sign == 0:
        by = wording.with_ends(difference, wording.signed, episode)
        return f". Neither it nor {named}, can be said to earn more: the difference is {by}."
    by = wording.number(abs(difference.value))
    more = f"{by} {'more' if difference.value > 0 else 'less'} than"
    condition = wording.condition(difference, episode)
    return f" and {'as much as' if by == '0.0' else more} {named}{condition and ', '}{condition}."


def _winner(evaluation: Evaluation) -> str:
    """Who wins: the leading agent, or the strongest baseline that does not know the draw."""
    replanner, episode = evaluation.domain.baselines.replanner, evaluation.domain.episode
    leading = evaluation.policies[0].name
    other = next((policy for policy in evaluation.policies if policy.name == replanner), None)
    if other is None or other.difference is None or other.gap_closed is None:
        return ""
    lead, condition = other.difference, wording.condition(other.difference, episode)
    beside = f"the {replanner}, which closes {wording.share(other.gap_closed.value)}"
    more = wording.with_ends(lead if lead.value > 0 else -lead, wording.number, episode)
    where = condition or f"on the same {episode}s"
    if lead.sign > 0:
        return f"{leading} wins against {beside}: it earns {more} more {where}."
    if lead.sign < 0:
        return f"The winner is {beside}: it earns {more} more than {leading} {where}."
    by = wording.with_ends(lead, wording.signed, episode)
    return f"Neither it nor {beside}, can be said to win: {where} it earns {by}."


def _comparison_table(evaluation: Evaluation) -> Table:
    leading = evaluation.policies[0]
    head = ["policy"]
    head += ["gap closed", INTERVAL] if leading.gap_closed else []
    head += [words(evaluation.metric)]
    head += [share_name(evaluation)] if leading.share_of_optimum else []
    head += [] if leading.gap_closed else [INTERVAL]
    head += [f"{leading.name} earns more by", INTERVAL, f"chance that {leading.name} earns more"]
    episode = evaluation.domain.episode
    caption = (
        f"Mean {words(evaluation.metric)} of each policy on the same {episode}s. Differences are "
        f"taken {episode} by {episode}, so luck that is common to both cancels; a tie counts half "
        f"in the chance.{_covered(leading.mean.kind, episode)}"
    )
    return Table(caption, head, [_compared(policy, episode) for policy in evaluation.policies])


def _compared(policy: PolicyResult, episode: str) -> list[str]:
    """A row of the comparison."""
    closed, share, difference = policy.gap_closed, policy.share_of_optimum, policy.difference
    row = [policy.name]
    if closed:
        row += [wording.share(closed.value), wording.ends(closed, wording.share, episode)]
    row += [wording.number(policy.mean.value)]
    row += [percent(share.value)] if share else []
    row += [] if closed else [wording.ends(policy.mean, wording.number, episode)]
    if difference is None or policy.probability_of_improvement is None:
        return [*row, NOTHING, NOTHING, NOTHING]
    ends = wording.ends(difference, wording.signed, episode)
    chance = f"{policy.probability_of_improvement.value:.0%}"
    return [*row, wording.signed(difference.value), ends, chance]


def _about_the_gap(evaluation: Evaluation) -> str:
    names, domain = evaluation.domain.baselines, evaluation.domain
    fixed, clairvoyant = names.best_fixed, names.clairvoyant
    return (
        f"Gap closed is (policy - {fixed}) / ({clairvoyant} - {fixed}) in "
        f"{words(evaluation.metric)}, the mean of what was to be expected, free of the luck of the "
        f"{domain.step}s. The {fixed} knows how {domain.episode}s differ, but not what this one is "
        f"like; the {clairvoyant} knows the latent parameters of each {domain.episode}, and no "
        "policy earns more. Policies that adapt stand between the two; below 0 % a policy earns "
        f"less than the {fixed}."
    )


def _bars_of_the_gap(evaluation: Evaluation) -> Chart:
    names, policies = evaluation.domain.baselines, evaluation.policies
    closed = {policy.name: policy.gap_closed for policy in policies if policy.gap_closed}
    shown = {name: value for name, value in closed.items() if value.value >= LEAST_SHOWN}
    seeds = {
        policy.name: policy.gap_closed_by_seed
        for policy in policies
        if policy.name in shown and policy.gap_closed_by_seed is not None
    }
    missing = [name for name in closed if name not in shown]
    below = f" Too far below to be drawn: {', '.join(missing)}." if missing else ""
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
    name = share_name(evaluation)
    values = ", ".join(
        f"{policy.name} {percent(policy.share_of_optimum.value)}"
        for policy in evaluation.policies
        if policy.share_of_optimum
    )
    return Chart(
        "share_of_optimum",
        f"Every policy against the {_best(evaluation)}; a dot for each training seed where there "
        "are several.",
        f"Bars of the {name}: {values}.",
        charts.shares(evaluation.results.episodes, name, evaluation.colours),
    )


def _learning_chart(
    evaluation: Evaluation, progress: pd.DataFrame, over: str, x: str, xlabel: str
) -> Chart:
    column = evaluation.metric if evaluation.metric in progress else "ep_rew_mean"
    name = "return" if column == "ep_rew_mean" else words(column)
    leading = evaluation.policies[0]
    share, best = leading.share_of_optimum, None
    if share and column == evaluation.metric:
        best = (_best(evaluation), leading.mean.value / share.value)
    by_policy = learning.curves(progress, x, column)
    ends = "; ".join(
        f"{policy} ends at {curve.center[-1]:,.1f}" for policy, curve in by_policy.items()
    )
    episode = evaluation.domain.episode
    labels = {
        "title": f"{name.capitalize()} over {over}",
        "xlabel": xlabel,
        "ylabel": f"{name} per {episode}",
    }
    return Chart(
        f"{evaluation.domain.objective}_over_{over}",
        f"What the agents earned while they learned, over {xlabel}, exploration included, so below "
        f"what they earn once trained; the band is the {INTERVAL} of the mean over training seeds, "
        f"from {LEAST_BAND} seeds on.",
        f"Lines of {name} per {episode} over {xlabel}: {ends}.",
        charts.learning_curves(by_policy, labels, evaluation.colours, best),
    )


def _profile(evaluation: Evaluation, agents: list[PolicyResult]) -> list[Chart]:
    """How shares spread over seeds and episodes; none with one seed or without an optimum."""
    shares = {
        agent.name: agent.scores.values * _scale(agent.share_of_optimum, agent)
        for agent in agents
        if agent.share_of_optimum and len(agent.seeds) > 1
    }
    if not shares:
        return []
    name = share_name(evaluation)
    ranges = "; ".join(
        f"{agent} from {values.min():.2%} to {values.max():.2%}" for agent, values in shares.items()
    )
    chart = Chart(
        "performance_profile",
        f"Which part of the training seeds and {evaluation.domain.episode}s earned more than each "
        f"{name}: a curve further to the right is better, a steep one means that seeds agree.",
        f"Falling steps: {ranges}.",
        charts.profile(shares, name, evaluation.colours),
    )
    return [chart]


def _at_the_end(evaluation: Evaluation, agents: list[PolicyResult]) -> Table:
    """What the trained policies earn when training is over, seed by seed."""
    is_share, is_failing = bool(agents[0].share_of_optimum), any(a.failures for a in agents)
    form = percent if is_share else wording.number
    measure = share_name(evaluation) if is_share else words(evaluation.metric)
    head = ["policy", "training seeds", f"{measure}, mean", INTERVAL]
    head += ["interquartile mean", "worst seed"]
    head += ["optimality gap"] if is_share else []
    head += ["seeds that failed"] if is_failing else []
    rows = []
    for agent in agents:
        shown = agent.share_of_optimum or agent.mean
        scale = _scale(shown, agent)
        row = [
            agent.name,
            str(len(agent.scores.values)),
            form(shown.value),
            wording.ends(shown, form, evaluation.domain.episode),
            form(agent.iqm.value * scale),
            form(float(agent.scores.by_seed.min()) * scale),
        ]
        row += [f"{agent.optimality_gap.value:.2%}"] if agent.optimality_gap else []
        rows.append(row + (_failed(agent) if is_failing else []))
    is_compared = any(not policy.is_trained for policy in evaluation.policies)
    low = f"it earns less than {FAILURE_THRESHOLD:.0%} of what the best baseline earns, or where "
    caption = (
        "What each agent earns once trained. The interquartile mean leaves out the best and the "
        "worst quarter."
    )
    if is_failing:
        caption += f" A seed fails where {low if is_compared else ''}its training did not finish."
    return Table(caption, head, rows)


def _gap_at_the_end(evaluation: Evaluation, agents: list[PolicyResult]) -> Table:
    head = ["policy", "training seeds", "gap closed, mean", INTERVAL, "worst seed", "best seed"]
    rows = []
    for agent in agents:
        closed, by_seed = agent.gap_closed, agent.gap_closed_by_seed
        if closed is None or by_seed is None:
            continue
        row = [agent.name, str(len(by_seed)), wording.share(closed.value)]
        row += [wording.ends(closed, wording.share, evaluation.domain.episode)]
        row += [wording.share(float(value)) for value in (by_seed.min(), by_seed.max())]
        rows.append(row + _failed(agent))
    caption = (
        "What each agent reaches once trained. A seed fails where it earns less than the "
        f"{evaluation.domain.baselines.best_fixed}, or where its training did not finish."
    )
    return Table(caption, [*head, "seeds that failed"], rows)


def _scale(shown: Interval, agent: PolicyResult) -> float:
    """From totals to the unit that is shown."""
    return shown.value / agent.mean.value if agent.mean.value else 1.0


def _failed(agent: PolicyResult) -> list[str]:
    return [wording.failures(agent.failures) if agent.failures else NOTHING]


def _seeds_table(evaluation: Evaluation, agents: list[PolicyResult]) -> Table:
    """What every training seed earns, and its share of the optimum or of the gap, if any."""
    head = ["policy", "seed", words(evaluation.metric)]
    head += ["gap closed"] if agents[0].gap_closed else []
    head += [share_name(evaluation)] if agents[0].share_of_optimum else []
    rows = []
    for agent in agents:
        share, closed = agent.share_of_optimum, agent.gap_closed_by_seed
        for index, (seed, value) in enumerate(zip(agent.seeds, agent.scores.by_seed, strict=True)):
            row = [agent.name, str(seed), wording.number(value)]
            row += [wording.share(closed[index])] if closed is not None else []
            row += [percent(value * _scale(share, agent))] if share else []
            rows.append(row)
    return Table("Every training seed, once trained.", head, rows, copy_as="seeds.csv")


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
        f"{episode}s, each times the square of Student's t for their number (Banerjee 1960; for "
        "the seeds of two agents Welch 1947). It covers the mean over other seeds, not a single run, "
        f"and falls short where one bad seed in many is not among these.{two if seeds == 2 else ''}"
    )


def _covered(kind: Kind, episode: str) -> str:
    """What the intervals of the leading agent leave out, for a caption."""
    if kind == "one seed":
        return f" With one training seed an interval covers {episode}s, not training."
    if kind == "seeds on one episode":
        return f" Intervals cover training on this one {episode} alone."
    return ""
