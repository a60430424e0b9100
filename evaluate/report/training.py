"""How the agents learned, and what their training seeds end with."""

import pandas as pd

from evaluate import learning
from evaluate.domain import Evaluation
from evaluate.report import charts, wording
from evaluate.report.page import Chart, Row, Section, Table, table
from evaluate.report.result import digits, scale, words
from evaluate.report.wording import INTERVAL
from evaluate.results import FAILURE_THRESHOLD, OPTIMUM, PolicyResult
from evaluate.statistics import LEAST_BAND
from train.play import percent


def training(evaluation: Evaluation, progress: pd.DataFrame) -> Section:
    """The learning curves over steps and over time, and what the training seeds end with."""
    drawn = [*_learning_charts(evaluation, progress), *_profile(evaluation)]
    return Section("How it learned", [], [_at_the_end(evaluation)], drawn)


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
        best = (evaluation.best, evaluation.policies[0].mean.value / share.value)
    by_policy = learning.curves(progress, x, column)
    ends = "; ".join(
        f"{policy} ends at {digits(evaluation).number(curve.center[-1])}"
        for policy, curve in by_policy.items()
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


def _profile(evaluation: Evaluation) -> list[Chart]:
    """How shares spread over seeds and episodes; none with one seed or without an optimum."""
    shares = {
        agent.name: agent.scores.values * scale(agent.share_of_optimum, agent)
        for agent in evaluation.agents
        if agent.share_of_optimum and len(agent.seeds) > 1
    }
    if not shares:
        return []
    name = evaluation.share_name
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


def _at_the_end(evaluation: Evaluation) -> Table:
    """What the trained policies earn when training is over."""
    caption = "What each agent earns once trained. "
    caption += "The interquartile mean leaves out the best and the worst quarter."
    least = f"{FAILURE_THRESHOLD:.0%} of what the best baseline earns"
    if evaluation.policies[0].gap_closed:
        caption = "What each agent reaches once trained."
        least = f"the {evaluation.domain.baselines.best_fixed}"
    is_failing = any(agent.failures for agent in evaluation.agents)
    if is_failing:
        is_compared = len(evaluation.agents) < len(evaluation.policies)
        low = f"it earns less than {least}, or where " if is_compared else ""
        caption += f" A seed fails where {low}its training did not finish."
    rows = []
    for agent in evaluation.agents:
        row = [("policy", agent.name), ("training seeds", str(len(agent.scores.values)))]
        row += _gap_at_the_end(evaluation, agent) or _total_at_the_end(evaluation, agent)
        failed = wording.failures(agent.failures) if agent.failures else wording.NOTHING
        rows.append(row + ([("seeds that failed", failed)] if is_failing else []))
    return table(caption, rows)


def _total_at_the_end(evaluation: Evaluation, agent: PolicyResult) -> Row:
    """Shares of the optimum where there is one, otherwise totals."""
    shown = agent.share_of_optimum or agent.mean
    form = percent if agent.share_of_optimum else digits(evaluation).number
    measure = evaluation.share_name if agent.share_of_optimum else words(evaluation.metric)
    per_unit = scale(shown, agent)
    row = [(f"{measure}, mean", form(shown.value))]
    row += [(INTERVAL, wording.ends(shown, form, evaluation.domain.episode))]
    row += [("interquartile mean", form(agent.iqm.value * per_unit))]
    row += [("worst seed", form(float(agent.scores.by_seed.min()) * per_unit))]
    if agent.optimality_gap:
        is_optimum = evaluation.best == OPTIMUM
        gap = "optimality gap" if is_optimum else f"gap to the {evaluation.best}"
        row += [(gap, f"{agent.optimality_gap.value:.2%}")]
    return row


def _gap_at_the_end(evaluation: Evaluation, agent: PolicyResult) -> Row:
    """How much of the gap it closes; empty where there is none."""
    closed, by_seed = agent.gap_closed, agent.gap_closed_by_seed
    if closed is None or by_seed is None:
        return []
    return [
        ("gap closed, mean", wording.share(closed.value)),
        (INTERVAL, wording.ends(closed, wording.share, evaluation.domain.episode)),
        ("worst seed", wording.share(float(by_seed.min()))),
        ("best seed", wording.share(float(by_seed.max()))),
    ]
