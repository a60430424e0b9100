"""The page itself, as Streamlit runs it from top to bottom whenever something on it is changed.

Only widgets and their places stand here; ``what_if.py`` has the numbers.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from envs.campaign.params import CHANNELS, FloatArray
from envs.campaign.past import columns
from evaluate.campaign.app import what_if
from evaluate.campaign.app.what_if import Outcome, Problem
from evaluate.campaign.charts import spend_by_day
from evaluate.campaign.domain import params_of
from evaluate.campaign.past_days import DAY
from evaluate.campaign.plan import WEEKDAYS, parse_campaign_past
from evaluate.campaign.sections import why_charts
from evaluate.report import charts
from evaluate.report.page import png
from evaluate.targets import DEFAULT_TARGET
from train.errors import InputError
from train.play import percent
from train.storage.run_folder import Run, model_mtime

TITLE = "What if?"
OWN = "your plan"
EVERY_DAY, BY_DAY = "the same every day", "day by day"
FINEST = 100  # steps of a slider between nothing and a round number near the budget
ROOMY = "<style>.stMainBlockContainer {padding: 3rem 1.5rem}</style>"  # for three tables in a row


def show(configs: Path, runs_dir: Path) -> None:
    """The whole page; whatever is wrong with the input stands in the place of the plans."""
    st.set_page_config(page_title=TITLE, layout="wide")
    st.html(ROOMY)
    st.title(TITLE)
    st.caption("The same campaign, played by a trained agent, by the best plan, and by you.")
    try:
        run, agent, change = _settings(what_if.trained(configs, runs_dir))
        problem = what_if.after(run, change, _past(run, change))
        with st.spinner("Asking the agent and solving for the best plan ..."):
            agents = what_if.agents_plan(run.folder, agent, model_mtime(run), problem)
            best = what_if.best_plan(problem)
        if agents.warning:
            st.warning(agents.warning)
        own = _own_plan(problem, agents.spend)
        _compare([agents, best, what_if.earned(problem, OWN, own)], own, problem)
    except InputError as error:
        st.error(str(error))


def _settings(known: dict[str, list[Run]]) -> tuple[Run, str, what_if.Change]:
    """The campaign and what is changed in it, from the side of the page."""
    with st.sidebar:
        names = list(known)
        first = DEFAULT_TARGET.stem
        name = st.selectbox("Config", names, index=names.index(first) if first in names else 0)
        runs = {run.folder.name: run for run in known[name]}
        run = runs[st.selectbox("Trained run", list(runs), key=f"run of {name}")]
        policies = what_if.agents_of(run.folder)
        agent = policies[0]
        if len(policies) > 1:
            agent = st.selectbox("Policy", policies, key=f"policy of {run.folder}")
        before = what_if.settings_of(run.config.env)
        budget = st.number_input("Daily budget", value=before.daily_budget, key=f"budget of {name}")
        weekday = st.selectbox(
            "First day", WEEKDAYS, index=before.start_weekday, key=f"weekday of {name}"
        )
        with st.expander("Limits a day", expanded=False):
            limits = [_limits(name, channel) for channel in CHANNELS]
    least, most = zip(*limits, strict=True)
    return run, agent, what_if.Change(float(budget), WEEKDAYS.index(weekday), least, most)


def _limits(name: str, channel: str) -> tuple[float | None, float | None]:
    """Least and most of a channel; None where nothing is entered."""
    least, most = (
        place.number_input(
            label, value=None, placeholder="none", step=1.0, key=f"{label} of {name}"
        )
        for place, label in zip(st.columns(2), (f"least {channel}", f"most {channel}"), strict=True)
    )
    return least, most


def _past(run: Run, change: what_if.Change) -> what_if.Days:
    """The past days out of an uploaded file; none without one."""
    params = params_of(what_if.changed(run.config.env, change))
    header = ",".join((DAY, *columns(params)))
    with st.sidebar:
        hint = f"A row for each past day under the header {header}"
        file = st.file_uploader("Past days (CSV)", help=hint)
        if file is None:
            return ()
        past = parse_campaign_past(file.getvalue(), file.name, params)
        for notice in past.notices:
            st.info(notice)
    return tuple(map(tuple, past.values.tolist()))


def _own_plan(problem: Problem, proposed: FloatArray) -> FloatArray:
    """The plan of the sliders, (days, channels) [bu/day]; past days are as they were."""
    st.subheader("Your plan")
    played, days = len(problem.past), len(proposed)
    how = st.radio("Your plan", (EVERY_DAY, BY_DAY), horizontal=True, label_visibility="collapsed")
    budget = problem.params.daily_budget
    step = 10.0 ** math.floor(math.log10(budget)) / FINEST
    own = np.array(proposed, dtype=np.float64)
    if how == EVERY_DAY:
        own[played:] = _sliders("", problem, np.full(len(CHANNELS), budget / len(CHANNELS)), step)
        return own
    st.caption("The sliders start with the agent's plan.")
    for day in range(played, days):
        own[day] = _sliders(f"day {day + 1}: ", problem, own[day], step)
    return own


def _sliders(prefix: str, problem: Problem, start: FloatArray, step: float) -> list[float]:
    """A slider for each channel, within the limits [bu/day]."""
    chosen = []
    places = st.columns(len(CHANNELS))
    low, high = what_if.range_of(problem.env)
    for place, name, value, least, most in zip(places, CHANNELS, start, low, high, strict=True):
        label = f"{prefix}{name}"
        if most - least < step:
            place.caption(f"{label}: {most:g}, as the limits say")
            chosen.append(float(most))
            continue
        at = min(max(round(float(value) / step) * step, float(least)), float(most))
        form = f"%.{max(0, -math.floor(math.log10(step)))}f"
        key = f"{label} {least:g} to {most:g}"
        chosen.append(place.slider(label, float(least), float(most), at, step, form, key=key))
    return chosen


def _compare(outcomes: list[Outcome], own: FloatArray, problem: Problem) -> None:
    """The plans side by side, and below them the pictures of all."""
    agent, best, mine = outcomes
    asked, spent = (plan.sum(axis=1).max() for plan in (own[len(problem.past) :], mine.spend))
    if asked > spent + 1e-6 * asked:
        rule = f"{OWN} is brought back to the budget and the limits."
        st.info(f"{asked:,.6g} a day is more than can be spent: {rule}")
    outcomes = [agent, best, _with_unspent(mine, problem)]
    for column, outcome in zip(st.columns(len(outcomes)), outcomes, strict=True):
        with column:
            _outcome(outcome, best, len(problem.past))
    _pictures(outcomes, charts.policy_colours([plan.name for plan in outcomes], [agent.name, OWN]))


def _pictures(outcomes: list[Outcome], colours: dict[str, str]) -> None:
    """Where the plans put the budget, and what moves it."""
    st.subheader("Where the budget goes, and why")
    left, right = st.columns(2)
    names = [outcome.name for outcome in outcomes]
    words = f"Stacked bars of spend on {', '.join(CHANNELS)} by day for {', '.join(names)}."
    days = pd.concat(outcome.days() for outcome in outcomes)
    left.image(
        png(spend_by_day(days, names, outcomes[0].diagnostics.params)), width="stretch", alt=words
    )
    pictures = why_charts({outcome.name: outcome.diagnostics for outcome in outcomes}, colours)
    for place, chart in zip((left, right), pictures, strict=False):  # one where loyalty never moves
        place.image(png(chart.figure), width="stretch", alt=chart.alternative)
        place.caption(chart.caption)


def _with_unspent(mine: Outcome, problem: Problem) -> Outcome:
    """The plan with a note about what it leaves of the budget."""
    budget = problem.params.daily_budget * len(mine.spend)
    unspent = budget - mine.spend.sum()
    if unspent <= 1e-6 * budget:
        return mine
    note = f"{unspent:,.6g} of {budget:,.6g} are left unspent."
    return mine._replace(notes=(*mine.notes, note))


def _outcome(outcome: Outcome, best: Outcome, played: int) -> None:
    """What one plan earns, and its days."""
    share = "nothing can be earned"
    if best.total > 0:
        share = f"{percent(outcome.total / best.total)} of the {best.name}"
    left = f", days {played + 1} to {len(outcome.spend)}" if played else ""
    st.metric(f"{outcome.name}: engagement{left}", f"{outcome.total:,.1f}")
    st.caption(f"{share}; loyalty {outcome.diagnostics.loyalty[-1]:.2f} on the last day")
    st.table(outcome.table())
    for note in outcome.notes:
        st.caption(note)
    name = f"{outcome.name.replace(' ', '_')}.csv"
    st.download_button("Download as CSV", outcome.frame.to_csv(), name, "text/csv", key=name)


show(Path("configs"), Path(sys.argv[1]))
