"""The page itself, as Streamlit runs it from top to bottom whenever something on it is changed.

Only widgets and their places stand here; ``what_if.py`` has the numbers.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from envs.campaign.params import CampaignParams, FloatArray
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
from evaluate.report.wording import in_text
from evaluate.targets import DEFAULT_TARGET
from train.errors import InputError
from train.play import percent
from train.storage.run_folder import Run

TITLE = "What if?"
OWN = "your plan"
EVERY_DAY, BY_DAY = "the same every day", "day by day"
FINEST = 100  # steps of a slider between nothing and a round number near the budget
IN_A_ROW = 4  # sliders
ABREAST = 3  # channels with which three tables fit beside each other
AS_IT_IS = "%.10g"  # a number without zeros at its end
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
            agents = what_if.agents_plan(run.folder, agent, run.model.stat().st_mtime, problem)
            best = what_if.best_plan(problem)
        if agents.warning:
            st.warning(agents.warning)
        own = _own_plan(problem, agents)
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
        params = params_of(run.config.env)
        budget = st.number_input(
            f"Daily budget [{params.unit}]",
            value=params.daily_budget,
            key=f"budget of {name}",
            **_steps(params),
        )
        weekday = st.selectbox(
            "First day", WEEKDAYS, index=params.start_weekday, key=f"weekday of {name}"
        )
        with st.expander(f"Limits a day [{params.unit}]", expanded=False):
            limits = [
                _limits(name, channel, set_so, params)
                for channel, set_so in zip(params.channels, what_if.limits_set(params), strict=True)
            ]
    least, most = zip(*limits, strict=True)
    return run, agent, what_if.Change(float(budget), WEEKDAYS.index(weekday), least, most)


def _limits(
    name: str, channel: str, set_so: tuple[str, str], params: CampaignParams
) -> tuple[float | None, float | None]:
    """Least and most of a channel; None where nothing is entered and the config's are kept."""
    least, most = (
        place.number_input(
            f"{which} {channel}",
            value=None,
            min_value=0.0,
            placeholder=text,
            key=f"{which} {channel} of {name}",
            **_steps(params),
        )
        for place, which, text in zip(st.columns(2), ("least", "most"), set_so, strict=True)
    )
    return least, most


def _steps(params: CampaignParams) -> dict[str, Any]:
    """How an amount is entered and shown, by the size of the budget [bu/day]."""
    step = 10.0 ** math.floor(math.log10(params.daily_budget)) / FINEST
    return {"step": step, "format": AS_IT_IS}


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


def _own_plan(problem: Problem, agents: Outcome) -> FloatArray:
    """The plan set by hand, (days, channels) [bu/day]; past days are as they were."""
    params, played = problem.params, len(problem.past)
    st.subheader(f"Your plan [{params.unit}/day]")
    how = st.radio("Your plan", (EVERY_DAY, BY_DAY), horizontal=True, label_visibility="collapsed")
    own = np.array(agents.spend, dtype=np.float64)
    if how == EVERY_DAY:
        own[played:] = _sliders(problem)
        return own
    st.caption("The table starts with the agent's plan.")
    low, high = what_if.range_of(problem.env)
    amounts = {
        name: st.column_config.NumberColumn(
            min_value=least, max_value=most, required=True, **_steps(params)
        )
        for name, least, most in zip(params.channels, low.tolist(), high.tolist(), strict=True)
    }
    start = agents.frame.iloc[played:].astype(float)
    own[played:] = st.data_editor(start, column_config=amounts, height="content").to_numpy()
    return own


def _sliders(problem: Problem) -> list[float]:
    """A slider for each channel, within the limits [bu/day]."""
    params, chosen = problem.params, []
    step, channels = _steps(params)["step"], len(params.channels)
    low, high = (limit.tolist() for limit in what_if.range_of(problem.env))
    for place, name, least, most in zip(_places(channels), params.channels, low, high, strict=True):
        if most - least < step:
            place.caption(f"{name}: {in_text(most)}, as the limits say")
            chosen.append(most)
            continue
        even = round(params.daily_budget / channels / step) * step
        key = f"{name} {least:g} to {most:g}"
        at = min(max(even, least), most)
        form = AS_IT_IS if step < 1 else "localized"
        chosen.append(place.slider(name, least, most, at, step, form, key=key))
    return chosen


def _places(count: int) -> Iterator[Any]:
    """Places for so many inputs, in rows of about the same length."""
    rows = math.ceil(count / IN_A_ROW)
    width = math.ceil(count / rows)
    for first in range(0, count, width):
        yield from st.columns(width)[: count - first]


def _compare(outcomes: list[Outcome], own: FloatArray, problem: Problem) -> None:
    """The plans side by side, and below them the pictures of all."""
    agent, best, mine = outcomes
    asked, spent = (plan.sum(axis=1).max() for plan in (own[len(problem.past) :], mine.spend))
    if asked > spent + 1e-6 * asked:
        rule = f"{OWN} is brought back to the budget and the limits."
        unit = problem.params.unit
        st.info(f"{in_text(asked, 6)} {unit} a day is more than can be spent: {rule}")
    budget = problem.params.daily_budget * len(mine.spend)
    unspent = budget - mine.spend.sum()
    if unspent > 1e-6 * budget:
        left, whole = in_text(unspent, 6), in_text(budget, 6)
        note = f"{left} of {whole} {problem.params.unit} are left unspent."
        mine = mine._replace(notes=(*mine.notes, note))
    outcomes = [agent, best, mine]
    for column, outcome in zip(st.columns(len(outcomes)), outcomes, strict=True):
        with column:
            _earned(outcome, best, len(problem.past))
    is_narrow = len(problem.params.channels) <= ABREAST
    names = [outcome.name for outcome in outcomes]
    tables = st.columns(len(outcomes)) if is_narrow else st.tabs(names)
    for place, outcome in zip(tables, outcomes, strict=True):
        with place:
            _days(outcome)
    colours = charts.policy_colours(names, [agent.name, OWN])
    _pictures(outcomes, colours, problem.params)


def _pictures(outcomes: list[Outcome], colours: dict[str, str], params: CampaignParams) -> None:
    """Where the plans put the budget, and what moves it."""
    st.subheader("Where the budget goes, and why")
    left, right = st.columns(2)
    names = [outcome.name for outcome in outcomes]
    words = f"Stacked bars of spend on {', '.join(params.channels)} by day for {', '.join(names)}."
    days = pd.concat(outcome.days() for outcome in outcomes)
    left.image(png(spend_by_day(days, names, params)), width="stretch", alt=words)
    pictures = why_charts({outcome.name: outcome.diagnostics for outcome in outcomes}, colours)
    for place, chart in zip((left, right), pictures, strict=False):  # one where loyalty never moves
        place.image(png(chart.figure), width="stretch", alt=chart.alternative)
        place.caption(chart.caption)


def _earned(outcome: Outcome, best: Outcome, played: int) -> None:
    """What one plan earns."""
    share = "nothing can be earned"
    if best.total > 0:
        share = f"{percent(outcome.total / best.total)} of the {best.name}"
    loyalty = outcome.diagnostics.loyalty
    audience = f"; loyalty {loyalty[-1]:.2f} on the last day" if loyalty.any() else ""
    left = f", days {played + 1} to {len(outcome.spend)}" if played else ""
    st.metric(f"{outcome.name}: engagement{left}", in_text(outcome.total, 5))
    st.caption(f"{share}{audience}")


def _days(outcome: Outcome) -> None:
    """The days of one plan, and what has to be said about them."""
    st.table(outcome.table())
    for note in outcome.notes:
        st.caption(note)
    name = f"{outcome.name.replace(' ', '_')}.csv"
    st.download_button("Download as CSV", outcome.frame.to_csv(), name, "text/csv", key=name)


show(Path("configs"), Path(sys.argv[1]))
