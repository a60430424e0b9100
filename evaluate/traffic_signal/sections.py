"""Sections of the report about a traffic signal: delay, queues over time, when it switches."""

import pandas as pd

from envs.traffic_signal.params import SignalParams
from evaluate import statistics
from evaluate.domain import Evaluation, FamilySections
from evaluate.report import wording
from evaluate.report.page import Chart, Row, Section, table
from evaluate.report.wording import INTERVAL, NOTHING
from evaluate.statistics import Interval, scores_of
from evaluate.traffic_signal import charts
from evaluate.traffic_signal.policies import GAP_OUT, OPTIMUM, WEBSTER

DELAY = "delay"


def signal_sections(evaluation: Evaluation, params: SignalParams) -> FamilySections:
    """The delay ahead of the comparison, the queues and the switches behind it."""
    episodes = evaluation.results.episodes
    names = [policy.name for policy in evaluation.policies]
    delays = {name: statistics.mean(scores_of(episodes, name, DELAY)) for name in names}
    numbers = {name: {DELAY: interval._asdict()} for name, interval in delays.items()}
    shown = [evaluation.policies[0].name, GAP_OUT, OPTIMUM, WEBSTER]
    steps = charts.before_decisions(evaluation.results.steps, shown)
    rest = (_queues(evaluation, params, steps), _switches(evaluation, steps))
    return FamilySections((_delay(evaluation, delays),), rest, numbers)


def _delay(evaluation: Evaluation, delays: dict[str, Interval]) -> Section:
    episode = evaluation.domain.episode
    form = wording.digits(min(delay.value for delay in delays.values()) / 10).number
    text = (
        "The delay of a vehicle is how much longer it is on its way than if it had never waited: "
        "all waiting over all arrivals [s/veh]. The time saved by which policies are compared is "
        f"the delay that Webster's programme of each hour is to be expected to have, less it, so "
        f"the mean of the {WEBSTER} is 0 but for luck."
    )
    rows = [_row(delays, name, form, episode) for name in delays]
    caption = f"Mean delay of a vehicle [s/veh], over the same {episode}s for every policy."
    written = (
        f"{name} {wording.with_ends(delay, form, episode)}" for name, delay in delays.items()
    )
    chart = Chart(
        DELAY,
        f"Mean delay of a vehicle, shortest first; lines are {INTERVAL}s. A bar that leaves the "
        "picture is written with its value.",
        f"Bars of the mean delay in seconds: {', '.join(written)}.",
        charts.delays(delays, evaluation.colours, form),
    )
    return Section("Delay", [text], [table(caption, rows)], [chart])


def _row(delays: dict[str, Interval], name: str, form: wording.Form, episode: str) -> Row:
    value = delays[name].value
    compared = [
        (f"against the {other}", _change(value / delays[other].value) if name != other else NOTHING)
        for other in (OPTIMUM, GAP_OUT, WEBSTER)
    ]
    return [
        ("policy", name),
        ("delay [s/veh]", form(value)),
        (INTERVAL, wording.ends(delays[name], form, episode)),
        *compared,
    ]


def _change(ratio: float) -> str:
    """By how many percent one delay differs from another."""
    return f"{ratio - 1:+.1%}".replace("-", "\N{MINUS SIGN}")


def _queues(evaluation: Evaluation, params: SignalParams, steps: pd.DataFrame) -> Section:
    means = charts.queues_by_time(steps)
    most = "; ".join(f"{name} at most {means[name].max():.1f}" for name in means)
    chart = Chart(
        "queues",
        "Above, the vehicles that wait on both roads together, the mean over what was played. "
        "Below, the load: arrivals over what a road discharges that is always green.",
        f"Lines of the mean number of waiting vehicles over time: {most}.",
        charts.queues(means, params, evaluation.colours),
    )
    return Section("Queues over time", [], [], [chart])


def _switches(evaluation: Evaluation, steps: pd.DataFrame) -> Section:
    leading = evaluation.policies[0].name
    names = [leading, OPTIMUM]
    shares = {name: charts.switching(steps[steps["policy"] == name]) for name in names}
    agree = charts.agreement(shares[leading], shares[OPTIMUM])
    chart = Chart(
        "switching",
        "How often the signal switches, by the vehicles that wait at green and at red when it may "
        "decide; grey where that did not occur often enough.",
        f"Heat maps of the share of switches by both queues for {leading} and the {OPTIMUM}, which "
        f"mostly do the same in {agree:.0%} of the cells that both have.",
        charts.switches(shares),
    )
    text = (
        f"The queues are the true ones, whatever the detectors show. {leading} and the {OPTIMUM} "
        f"mostly do the same in {agree:.0%} of the cells that both have been in."
    )
    return Section("When the signal switches", [text], [], [chart])
