"""The page itself, as Streamlit runs it from top to bottom whenever something on it is changed.

Only widgets and their places stand here; ``what_if.py`` has the numbers.
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from evaluate.__main__ import DEFAULT_TARGET
from evaluate.campaign.app import what_if
from evaluate.campaign.past_days import parse_history
from evaluate.campaign.sections import CHANNELS, why_charts
from evaluate.report import charts
from evaluate.report.page import png
from train.config import InputError
from train.play import percent
from train.storage.run_folder import Run, model_mtime

TITLE = "What if?"
OWN = "your plan"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EVERY_DAY, BY_DAY = "the same every day", "day by day"
FINEST = 100  # steps of a slider between nothing and a round number near the budget
ROOMY = "<style>.stMainBlockContainer {padding: 3rem 1.5rem}</style>"  # three tables fit beside each other


def show(configs: Path, runs_dir: Path) -> None:
    """The whole page; whatever is wrong with the input stands in the place of the plans."""
    st.set_page_config(page_title=TITLE, layout="wide")
    st.html(ROOMY)
    st.title(TITLE)
    st.caption(
        "The same campaign, played by a trained agent, by the best plan that there is, and by you."
    )
    try:
        run, agent, change = _settings(what_if.trained(configs, runs_dir))
        problem = what_if.after(run, change, _history(run, change))
        with st.spinner("Asking the agent and solving for the best plan ..."):
            found = [
                what_if.agents_plan(run.folder, agent, model_mtime(run), problem),
                what_if.best_plan(problem),
            ]
        own = _own_plan(problem, found[0].spend)
        _compare([*found, what_if.earned(problem, OWN, own)], own, problem)
    except InputError as error:
        st.error(str(error))


def _settings(known: dict[str, list[Run]]) -> tuple[Run, str, what_if.Change]:
    """The campaign and what is changed in it, from the side of the page."""
    with st.sidebar:
        names = list(known)
        first = DEFAULT_TARGET.stem
        name = st.selectbox("Config", names, index=names.index(first) if first in names else 0)
        newest_first = sorted(known[name], key=lambda run: run.state.order, reverse=True)
        runs = {run.folder.name: run for run in newest_first}
        run = runs[st.selectbox("Trained run", list(runs), key=f"run of {name}")]
        agents = what_if.agents_of(run.folder)
        agent = (
            st.selectbox("Policy", agents, key=f"policy of {run.folder}")
            if len(agents) > 1
            else agents[0]
        )
        had = what_if.settings_of(run.config.env)
        budget = st.number_input("Daily budget", value=had.daily_budget, key=f"budget of {name}")
        weekday = st.selectbox(
            "First day", WEEKDAYS, index=had.start_weekday, key=f"weekday of {name}"
        )
        with st.expander("Limits a day", expanded=False):
            limits = [_limits(name, channel) for channel in CHANNELS]
    least, most = zip(*limits, strict=True)
    return run, agent, what_if.Change(float(budget), WEEKDAYS.index(weekday), least, most)


def _limits(name: str, channel: str) -> tuple[float | None, float | None]:
    """Least and most of a channel; None where nothing is entered."""
    left, right = st.columns(2)
    key = f"{channel} of {name}"
    least = left.number_input(
        f"least {channel}", value=None, placeholder="none", key=f"least {key}", step=1.0
    )
    most = right.number_input(
        f"most {channel}", value=None, placeholder="none", key=f"most {key}", step=1.0
    )
    return least, most


def _history(run: Run, change: what_if.Change) -> what_if.Days:
    """The days so far out of an uploaded file; none without one."""
    history = what_if.history_in(run, what_if.changed(run.config.env, change))
    with st.sidebar:
        header = ",".join(("day", *history.columns))
        file = st.file_uploader(
            "Days so far (CSV)", help=f"A row for each past day under the header {header}"
        )
    if file is None:
        return ()
    return tuple(map(tuple, parse_history(file.getvalue(), file.name, history).tolist()))


def _own_plan(problem: what_if.Problem, proposed: Any) -> Any:
    """The plan that the sliders say, (days, 3 channels) [bu/day]; days already played are as they were."""
    st.subheader("Your plan")
    played, days = len(problem.past), len(proposed)
    how = st.radio("Your plan", (EVERY_DAY, BY_DAY), horizontal=True, label_visibility="collapsed")
    budget = problem.env.kwargs["daily_budget"]
    step = 10.0 ** math.floor(math.log10(budget)) / FINEST
    own = np.array(proposed, dtype=np.float64)
    if how == EVERY_DAY:
        own[played:] = _sliders("", problem, np.full(len(CHANNELS), budget / len(CHANNELS)), step)
        return own
    st.caption("The sliders start with the agent's plan.")
    for day in range(played, days):
        own[day] = _sliders(f"day {day + 1}: ", problem, own[day], step)
    return own


def _sliders(prefix: str, problem: what_if.Problem, start: Any, step: float) -> list[float]:
    """A slider for each channel, within the limits [bu/day]."""
    chosen = []
    low, high = what_if.range_of(problem.env)
    for column, name, value, least, most in zip(
        st.columns(3), CHANNELS, start, low, high, strict=True
    ):
        label = f"{prefix}{name}"
        if most - least < step:
            column.caption(f"{label}: {most:g}, as the limits say")
            chosen.append(float(most))
            continue
        at = min(max(round(float(value) / step) * step, float(least)), float(most))
        key = f"{label} {least:g} to {most:g}"
        digits = max(0, -math.floor(math.log10(step)))
        chosen.append(
            column.slider(label, float(least), float(most), at, step, f"%.{digits}f", key=key)
        )
    return chosen


def _compare(outcomes: list[what_if.Outcome], own: Any, problem: what_if.Problem) -> None:
    """The plans side by side, and below them the pictures of all."""
    agent, best, mine = outcomes
    asked = own[len(problem.past) :].sum(axis=1).max()
    if asked > mine.spend.sum(axis=1).max() + 1e-6 * asked:
        st.info(
            f"{asked:,.6g} a day is more than can be spent: {OWN} is brought back to the budget and the limits."
        )
    budget = problem.env.kwargs["daily_budget"] * len(own)
    unspent = budget - mine.spend.sum()
    if unspent > 1e-6 * budget:
        mine = mine._replace(
            notes=(*mine.notes, f"{unspent:,.6g} of {budget:,.6g} are left unspent.")
        )
        outcomes = [agent, best, mine]
    for column, outcome in zip(st.columns(3), outcomes, strict=True):
        with column:
            _outcome(outcome, best, len(problem.past))
    days = pd.concat(outcome.days() for outcome in outcomes)
    names = [outcome.name for outcome in outcomes]
    st.subheader("Where the budget goes, and why")
    left, right = st.columns(2)
    words = f"Stacked bars of spend on {', '.join(CHANNELS)} by day for {', '.join(names)}."
    left.image(png(charts.spend_by_day(days, CHANNELS, names)), width="stretch", alt=words)
    colours = charts.policy_colours(names, [agent.name, mine.name])
    pictures = why_charts({one.name: one.insight for one in outcomes}, colours)
    for place, chart in zip((left, right), pictures, strict=False):  # one where loyalty never moves
        place.image(png(chart.figure), width="stretch", alt=chart.alternative)
        place.caption(chart.caption)


def _outcome(outcome: what_if.Outcome, best: what_if.Outcome, played: int) -> None:
    """What one plan earns, and its days."""
    share = (
        f"{percent(outcome.total / best.total)} of the {best.name}"
        if best.total > 0
        else "nothing can be earned"
    )
    left = f", days {played + 1} to {len(outcome.spend)}" if played else ""
    st.metric(f"{outcome.name}: engagement{left}", f"{outcome.total:,.1f}")
    loyalty = outcome.insight["loyalty"]
    st.caption(f"{share}; loyalty {loyalty[-1]:.2f} on the last day")
    st.table(outcome.table())
    for note in outcome.notes:
        st.caption(note)
    name = f"{outcome.name.replace(' ', '_')}.csv"
    st.download_button(
        "Download as CSV", outcome.frame.to_csv(index=False), name, "text/csv", key=name
    )


show(Path("configs"), Path(sys.argv[1]))
