"""The result of an evaluation in a sentence or two, and the words that other parts share."""

from evaluate.domain import Evaluation
from evaluate.report import wording
from evaluate.results import PolicyResult, best_simple_rule
from evaluate.statistics import Interval
from train.play import percent


def result(evaluation: Evaluation) -> str:
    """The result in a sentence or two: the leading agent, how sure that is, what is beside it."""
    leading = evaluation.policies[0]
    if leading.gap_closed:
        closed = _gap_closed(evaluation, leading, leading.gap_closed)
        return f"{closed} {_winner(evaluation)}".strip()
    mean, metric = leading.mean, words(evaluation.metric)
    form = digits(evaluation)
    spread = _spread(evaluation, leading, mean, form.number)
    if leading.share_of_optimum is None:
        return f"{leading.name} earns a mean {metric} of {form.number(mean.value)} ({spread})."
    share = percent(leading.share_of_optimum.value)
    sentence = (
        f"{leading.name} earns {form.number(mean.value)} {metric} ({spread}), {share} of the "
        f"{evaluation.best}"
    )
    rule = best_simple_rule(evaluation.policies, evaluation.domain.baselines)
    if rule is None or rule.difference is None:
        return f"{sentence}."
    return sentence + _against_rule(rule, rule.difference, form, evaluation.domain.episode)


def words(metric: str) -> str:
    """The name of a column in words."""
    return metric.replace("_", " ")


def digits(evaluation: Evaluation) -> wording.Digits:
    """How totals and their differences are written: as the largest of the means needs it."""
    return wording.totals(max(abs(policy.mean.value) for policy in evaluation.policies))


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
        f"{digits(evaluation).number(leading.mean.value)} {words(evaluation.metric)}."
    )


def _against_rule(
    rule: PolicyResult, difference: Interval, form: wording.Digits, episode: str
) -> str:
    """By how much the leading agent earns more than the best simple rule, if that is sure."""
    named = f"the best simple rule, {rule.name}"
    if difference.low != difference.high and difference.sign == 0:
        by = wording.with_ends(difference, form.signed, episode)
        return f". Neither it nor {named}, can be said to earn more: the difference is {by}."
    by = form.number(abs(difference.value))
    more = f"{by} {'more' if difference.value > 0 else 'less'} than"
    condition = wording.condition(difference, episode)
    lead = "as much as" if by == form.number(0.0) else more
    return f" and {lead} {named}{condition and ', '}{condition}."


def _winner(evaluation: Evaluation) -> str:
    """Who wins: the leading agent, or the strongest baseline that does not know the draw."""
    replanner, episode = evaluation.domain.baselines.replanner, evaluation.domain.episode
    leading = evaluation.policies[0].name
    adaptive = next((policy for policy in evaluation.policies if policy.name == replanner), None)
    if adaptive is None or adaptive.difference is None or adaptive.gap_closed is None:
        return ""
    lead, form = adaptive.difference, digits(evaluation)
    beside = f"the {replanner}, which closes {wording.share(adaptive.gap_closed.value)}"
    more = wording.with_ends(lead if lead.value > 0 else -lead, form.number, episode)
    where = wording.condition(lead, episode) or f"on the same {episode}s"
    if lead.sign > 0:
        return f"{leading} wins against {beside}: it earns {more} more {where}."
    if lead.sign < 0:
        return f"The winner is {beside}: it earns {more} more than {leading} {where}."
    by = wording.with_ends(lead, form.signed, episode)
    return f"Neither it nor {beside}, can be said to win: the difference is {by} {where}."


def scale(shown: Interval, agent: PolicyResult) -> float:
    """From totals to the unit that is shown."""
    return shown.value / agent.mean.value if agent.mean.value else 1.0
