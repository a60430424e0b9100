"""How the agents learned, and what their training seeds end with."""

import pandas as pd

from evaluate import learning
from evaluate.domain import Evaluation
from evaluate.report import charts, wording
from evaluate.report.page import Chart, Section, Table
from evaluate.report.result import best_name, scale, share_name, words
from evaluate.report.wording import INTERVAL
from evaluate.results import FAILURE_THRESHOLD, OPTIMUM, PolicyResult
from evaluate.statistics import LEAST_BAND
from train.play import percent


def training(evaluation: Evaluation, progress: pd.DataFrame) -> Section:
    """The learning curves over steps and over time, and what the training seeds end with."""
    agents = [policy for policy in evaluation.policies if policy.is_trained]
    table = _gap_at_the_end if agents[0].gap_closed else _at_the_end
    drawn = [*_learning_charts(evaluation, progress), *_profile(evaluation, agents)]
    return Section("How it learned", [], [table(evaluation, agents)], drawn)


def _learning_charts(evaluation: Evaluation, progress: pd.DataFrame) -> list[Chart]:
    """The curves over steps and over time; none where no episode ended."""
    column = evaluation.metric if evaluation.metric in progress else "ep_rew_mean"
    if progress.get(column, pd.Series()).isna().all():
        return []
    return [
        _learning_chart(evaluation, progress, column, "training", "timesteps", "environment steps"),
        _learning_chart(evaluation, progress, column, "time", "seconds", "seconds of training"),
    ]


def _learning_chart(
    evaluation: Evaluation, progress: pd.DataFrame, column: str, over: str, x: str, xlabel: str
) -> Chart:
    name = "return" if column == "ep_rew_mean" else words(column)
    share, best = evaluation.policies[0].share_of_optimum, None
    if share and column == evaluation.metric:
        best = (best_name(evaluation), evaluation.policies[0].mean.value / share.value)
    by_policy = learning.curves(progress, x, column)
    ends = "; ".join(
        f"{policy} ends at {curve.center[-1]:,.1f}" for policy, curve in by_policy.items()
    )
    ylabel = f"{name} per {evaluation.domain.episode}"
    labels = {"title": f"{name.capitalize()} over {over}", "xlabel": xlabel, "ylabel": ylabel}
    return Chart(
        f"{evaluation.domain.objective}_over_{over}",
        f"What the agents earned while they learned, over {xlabel}, exploration included, so below "
        f"what they earn once trained; the band is the {INTERVAL} of the mean over training seeds, "
        f"from {LEAST_BAND} seeds on.",
        f"Lines of {ylabel} over {xlabel}: {ends}.",
        charts.learning_curves(by_policy, labels, evaluation.colours, best),
    )


def _profile(evaluation: Evaluation, agents: list[PolicyResult]) -> list[Chart]:
    """How shares spread over seeds and episodes; none with one seed or without an optimum."""
    shares = {
        agent.name: agent.scores.values * scale(agent.share_of_optimum, agent)
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
    best = best_name(evaluation)
    gap = "optimality gap" if best == OPTIMUM else f"gap to the {best}"
    head += [gap] if is_share else []
    head += ["seeds that failed"] if is_failing else []
    episode = evaluation.domain.episode
    rows = [
        _row_at_the_end(agent, form, episode) + (_failed(agent) if is_failing else [])
        for agent in agents
    ]
    is_compared = any(not policy.is_trained for policy in evaluation.policies)
    low = f"it earns less than {FAILURE_THRESHOLD:.0%} of what the best baseline earns, or where "
    caption = (
        "What each agent earns once trained. The interquartile mean leaves out the best and the "
        "worst quarter."
    )
    if is_failing:
        caption += f" A seed fails where {low if is_compared else ''}its training did not finish."
    return Table(caption, head, rows)


def _row_at_the_end(agent: PolicyResult, form: wording.Form, episode: str) -> list[str]:
    shown = agent.share_of_optimum or agent.mean
    per_unit, worst = scale(shown, agent), float(agent.scores.by_seed.min())
    row = [agent.name, str(len(agent.scores.values)), form(shown.value)]
    row += [wording.ends(shown, form, episode), form(agent.iqm.value * per_unit)]
    row += [form(worst * per_unit)]
    return row + ([f"{agent.optimality_gap.value:.2%}"] if agent.optimality_gap else [])


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


def _failed(agent: PolicyResult) -> list[str]:
    return [wording.failures(agent.failures) if agent.failures else wording.NOTHING]
