"""The sections that belong to a campaign: its plan, its days, and why the budget is split so."""

import numpy as np
import pandas as pd

from envs.campaign.params import CHANNELS, METRICS, CampaignParams, FloatArray
from envs.campaign.planner import limits_of
from evaluate.campaign import charts
from evaluate.campaign.explain import PlanDiagnostics, explanation, how_sure, plan_diagnostics
from evaluate.campaign.policies import BEST_FIXED, BEST_FOUND, CLAIRVOYANT, OPTIMAL
from evaluate.campaign.rounding import places, rounded
from evaluate.domain import Evaluation
from evaluate.report.page import Chart, Section, Table

TOTAL = "engagement"
NOMINAL = (
    "Campaigns differ in how strong their channels are. The text and the worth of one more unit "
    "below are those of the nominal campaign, and of the mean of what a policy spends."
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
        name: plan_diagnostics(params, _plan(days[days["policy"] == name]))
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
    why = Chart(
        "why_this_split",
        "Why this split: the engagement that one more unit on a channel and day would earn over "
        "the rest of the campaign. Within a day it is the same for every channel of the best plan, "
        "except where a limit is named: a channel at 0 earns less than the others, and less could "
        "not be spent on it.",
        f"Heat maps of the worth of one more unit by channel and day for {', '.join(diagnostics)}.",
        charts.marginal_engagement(diagnostics),
    )
    states = [state for behind in diagnostics.values() for state in behind[:2]]
    moves = any(np.ptp(state) > 0 for state in states)
    return [*([_audience(diagnostics, colours)] if moves else []), why]


def _audience(diagnostics: dict[str, PlanDiagnostics], colours: dict[str, str]) -> Chart:
    ends = (
        f"{name}: loyalty {behind.loyalty[0]:.2f} on the first day and {behind.loyalty[-1]:.2f} on "
        f"the last, effectiveness of ads {behind.effectiveness[0]:.2f} and "
        f"{behind.effectiveness[-1]:.2f}"
        for name, behind in diagnostics.items()
    )
    return Chart(
        "audience",
        "What the plan does to the audience: rewards build loyalty, which lifts posts; ads tire "
        "it, and recover with time.",
        "; ".join(ends),
        charts.audience(diagnostics, {name: colours[name] for name in diagnostics}),
    )


def _spend(days: pd.DataFrame, drawn: list[str], params: CampaignParams) -> Chart:
    beside = "the best plan"
    if params.is_drawn:
        beside = "baselines that know how campaigns differ, the mean over campaigns"
    return Chart(
        "spend_by_day",
        f"Where each trained policy puts the budget, day by day, beside {beside}.",
        f"Stacked bars of spend on {_listed(CHANNELS)} by day for {', '.join(drawn)}.",
        charts.spend_by_day(days, drawn),
    )


def _the_plan(days: pd.DataFrame, leading: str, params: CampaignParams) -> Section:
    """The leading policy's spend as a picture and as a table to copy."""
    counted = [f"{days[name].nunique()} {label}" for name, label in VARIED if _varies(days, name)]
    mean = f", the mean over {' and '.join(counted)}" if counted else ""
    rows = _plan_rows(_plan(days), params)
    caption = (
        f"Spend in budget units by day and channel, as {leading} decides{mean}, rounded so that no "
        "day costs more."
    )
    table = Table(caption, ["day", *CHANNELS, "sum"], rows, copy_as="plan.csv")
    words = "; ".join(
        f"day {day}: "
        + ", ".join(f"{value} {name}" for name, value in zip(CHANNELS, split, strict=True))
        for day, *split, _ in rows
    )
    title, alternative = f"The plan of {leading}{mean}.", f"Stacked bars of spend by day. {words}."
    picture = Chart("plan", title, alternative, charts.plan(days))
    return Section("The plan", [], [table], [picture])


def _plan_rows(spend: FloatArray, params: CampaignParams) -> list[list[str]]:
    """Day, rounded spend on each channel and their sum, from spend (days, channels) [bu/day]."""
    limits = limits_of(params)
    digits = places(spend, *limits)
    return [
        [str(day), *(f"{value:.{digits}f}" for value in (*split, split.sum()))]
        for day, split in enumerate(rounded(spend, *limits), 1)
    ]


def _varies(days: pd.DataFrame, by: str) -> bool:
    """Whether a day's spend depends on the training seed, or the campaign, by what is shown."""
    shown = 0.5 * 10.0 ** -places(_plan(days))
    spend = days.groupby(["day", by])[list(CHANNELS)].mean().groupby("day")
    return bool(((spend.max() - spend.min()) > shown).any(axis=None))


def _the_days(days: pd.DataFrame, leading: str, params: CampaignParams) -> Section:
    """What the days bring: the pictures of the article."""
    earned = days.groupby("day")[[*METRICS, TOTAL]].mean()
    by_day = "; ".join(
        f"day {day}: " + ", ".join(f"{row[name]:,.0f} {name}" for name in METRICS)
        for day, row in earned.iterrows()
    )
    together = ", ".join(f"{value:,.0f}" for value in earned[TOTAL].cumsum())
    daily = Chart(
        "daily_metrics",
        f"What each day of the campaign earns when {leading} decides.",
        f"Grouped bars of {_listed(METRICS)} by day for {leading}. {by_day}.",
        charts.daily_metrics(days, f"Daily engagement metrics: {leading}"),
    )
    total = Chart(
        "cumulative_engagement",
        f"How the engagement adds up over the campaign: {_weighted(params)}.",
        f"A rising line of cumulative engagement for {leading}: {together}.",
        charts.cumulative(days, TOTAL, f"Cumulative engagement: {leading}"),
    )
    return Section("Day by day", [], [], [daily, total])


def _weighted(params: CampaignParams) -> str:
    """What engagement is: likes + 2 comments + 3 shares."""
    weights = zip(params.metric_weights, METRICS, strict=True)
    parts = [name if weight == 1 else f"{weight:g} {name}" for weight, name in weights if weight]
    return " + ".join(parts) or "nothing"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _plan(days: pd.DataFrame) -> FloatArray:
    """The spend of one policy averaged over seeds and campaigns, (days, channels) [bu/day]."""
    return days.groupby("day")[list(CHANNELS)].mean().to_numpy(dtype=float)
