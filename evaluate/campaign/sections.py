"""The sections that belong to a campaign: its plan, its days, and why the budget is split so."""

import numpy as np
import pandas as pd

from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.planner import limits_of
from evaluate.campaign import charts, unobserved
from evaluate.campaign.domain import EXPECTED, TOTAL
from evaluate.campaign.explain import (
    NEAR,
    PlanDiagnostics,
    explanation,
    how_sure,
    plan_diagnostics,
    roles_of,
)
from evaluate.campaign.policies import BEST_FIXED, BEST_FOUND, CLAIRVOYANT, OPTIMAL
from evaluate.campaign.rounding import places, rounded
from evaluate.domain import Evaluation
from evaluate.report import wording
from evaluate.report.page import Chart, Section, Table

NOMINAL = (
    "Campaigns differ in what their channels do. The text and the worth of one more unit below "
    "are those of the nominal campaign, and of the mean of what a policy spends."
)
SIGNS = (
    " There are too many days for figures: 0 marks a channel at 0, an arrow down one at its least, "
    "an arrow up one at its most, and 1 one that gets all."
)
VARIED = (("seed", "training seeds"), ("campaign", "campaigns"))


def days_of(evaluation: Evaluation) -> pd.DataFrame:
    """A row per policy, training seed, ``campaign`` and ``day``."""
    return evaluation.results.steps.rename(columns={"episode": "campaign", "step": "day"})


def campaign_sections(
    evaluation: Evaluation, params: CampaignParams
) -> tuple[Section, Section, Section]:
    """The plan of the leading policy, the article's pictures, and why the budget is split so."""
    days, trained = days_of(evaluation), evaluation.trained
    leading, played = days[days["policy"] == trained[0]], set(days["policy"])
    best = [name for name in (OPTIMAL, BEST_FOUND, BEST_FIXED) if name in played]
    drawn = [*trained, *best, *({CLAIRVOYANT} & played)]
    diagnostics = {
        name: plan_diagnostics(params, _plan(days[days["policy"] == name], params))
        for name in (trained[0], *best)
    }
    text = [*([NOMINAL] if params.is_drawn else []), explanation(params), how_sure(params)]
    pictures = [_spend(days, drawn, params), *why_charts(diagnostics, evaluation.colours)]
    return (
        _the_plan(leading, trained[0], params),
        _the_days(leading, trained[0], params),
        Section("Why this split", text, [], pictures),
    )


def why_charts(diagnostics: dict[str, PlanDiagnostics], colours: dict[str, str]) -> list[Chart]:
    """What moves the budget over the days; loyalty and fatigue only where there are any."""
    params = next(iter(diagnostics.values())).params
    signs = "" if charts.has_room_for_figures(params.days) else SIGNS
    why = Chart(
        "why_this_split",
        f"Why this split: the engagement that one more {wording.one_of(params.unit)} on a channel "
        "and day would earn over the rest of the campaign. Within a day it is the same for every "
        "channel of the best plan, except at a limit: a channel at 0 earns less than the others, "
        "and less could not be spent on it. A spend that is closer to a limit than "
        f"{NEAR:.1%} of the daily budget counts as at the limit.{signs}",
        f"Heat maps of the worth of one more {wording.one_of(params.unit)} by channel and day for "
        f"{', '.join(diagnostics)}.",
        charts.marginal_engagement(diagnostics),
    )
    courses = [course for behind in diagnostics.values() for course in behind.audience.values()]
    moves = any(np.ptp(course) > 0 for course in courses)
    return [*([_audience(diagnostics, colours, params)] if moves else []), why]


def _audience(
    diagnostics: dict[str, PlanDiagnostics], colours: dict[str, str], params: CampaignParams
) -> Chart:
    """The course of loyalty and fatigue; its caption says what the channels do to them."""
    building, lifted, tiring = (
        wording.listed([params.channels[channel] for channel in channels]) if channels else ""
        for channels in roles_of(params)
    )
    recovers = ", and recovers with time" if any(params.fatigue_recovery) else ""
    parts = [f"spend on {building} builds loyalty, which lifts {lifted}"] * bool(building)
    parts += [f"it tires of {tiring}{recovers}"] * bool(tiring)
    ends = (
        f"{name}: "
        + ", ".join(
            f"{state} {course[0]:.2f} on the first day and {course[-1]:.2f} on the last"
            for state, course in behind.audience.items()
        )
        for name, behind in diagnostics.items()
    )
    return Chart(
        "audience",
        f"What the plan does to the audience: {'; '.join(parts)}.",
        "; ".join(ends),
        charts.audience(diagnostics, colours),
    )


def _spend(days: pd.DataFrame, drawn: list[str], params: CampaignParams) -> Chart:
    beside = "the best plan"
    if params.is_drawn:
        beside = "baselines that know how campaigns differ, the mean over campaigns"
    return Chart(
        "spend_by_day",
        f"Where each trained policy puts the budget, day by day, beside {beside}.",
        f"Stacked bars of spend on {wording.listed(params.channels)} by day for "
        f"{', '.join(drawn)}.",
        charts.spend_by_day(days, drawn, params),
    )


def _the_plan(days: pd.DataFrame, leading: str, params: CampaignParams) -> Section:
    """The leading policy's spend as a picture and as a table to copy."""
    counted = [
        f"{days[name].nunique()} {label}" for name, label in VARIED if _varies(days, name, params)
    ]
    mean = f", the mean over {' and '.join(counted)}" if counted else ""
    limits, spend = limits_of(params), _plan(days, params)
    form, shown = wording.Digits(places(spend, *limits)).number, rounded(spend, *limits)
    rows = [[str(day), *map(form, (*split, split.sum()))] for day, split in enumerate(shown, 1)]
    caption = (
        f"Spend in {params.unit} by day and channel, as {leading} decides{mean}, rounded so that "
        "no day costs more."
    )
    table = Table(caption, ["day", *params.channels, "sum"], rows, copy_as="plan.csv")
    words = "; ".join(
        f"day {day}: "
        + ", ".join(f"{value} {name}" for name, value in zip(params.channels, split, strict=True))
        for day, *split, _ in rows
    )
    title, alternative = f"The plan of {leading}{mean}.", f"Stacked bars of spend by day. {words}."
    picture = Chart("plan", title, alternative, charts.plan(shown, params, form))
    return Section("The plan", _beyond_past_days(days, spend, params), [table], [picture])


def _beyond_past_days(days: pd.DataFrame, spend: FloatArray, params: CampaignParams) -> list[str]:
    """What has to be said of a plan that leaves what past days spent; empty where it does not."""
    if not unobserved.unobserved(params, spend):
        return []
    column = EXPECTED if EXPECTED in days else TOTAL  # days without noise bring what is expected
    earned = days.groupby(["seed", "campaign"])[column].sum().to_numpy(dtype=float)
    return [unobserved.warning_of(params, spend, earned)]


def _varies(days: pd.DataFrame, by: str, params: CampaignParams) -> bool:
    """Whether a day's spend depends on the training seed, or the campaign, by what is shown."""
    shown = 0.5 * 10.0 ** -places(_plan(days, params))
    spend = days.groupby(["day", by])[list(params.channels)].mean().groupby("day")
    return bool(((spend.max() - spend.min()) > shown).any(axis=None))


def _the_days(days: pd.DataFrame, leading: str, params: CampaignParams) -> Section:
    """What the days bring: the pictures of the article."""
    form = wording.short
    earned = days.groupby("day")[[*params.metrics, TOTAL]].mean()
    by_day = "; ".join(
        f"day {day}: " + ", ".join(f"{form(row[name])} {name}" for name in params.metrics)
        for day, row in earned.iterrows()
    )
    sums = earned[TOTAL].cumsum()
    together = ", ".join(map(wording.digits(sums.max()).number, sums))
    weights = zip(params.metric_weights, params.metrics, strict=True)
    weighted = " + ".join(name if w == 1 else f"{form(w)} {name}" for w, name in weights if w)
    daily = Chart(
        "daily_metrics",
        f"What each day of the campaign earns when {leading} decides.",
        f"Grouped bars of {wording.listed(params.metrics)} by day for {leading}. {by_day}.",
        charts.daily_metrics(days, f"Daily engagement metrics: {leading}", params),
    )
    total = Chart(
        "cumulative_engagement",
        f"How the engagement adds up over the campaign: {weighted}.",
        f"A rising line of cumulative engagement for {leading}: {together}.",
        charts.cumulative(days, TOTAL, f"Cumulative engagement: {leading}"),
    )
    return Section("Day by day", [], [], [daily, total])


def _plan(days: pd.DataFrame, params: CampaignParams) -> FloatArray:
    """The spend of one policy averaged over seeds and campaigns, (days, channels) [bu/day]."""
    return days.groupby("day")[list(params.channels)].mean().to_numpy(dtype=float)
