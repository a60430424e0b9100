"""The pictures that belong to a campaign: its days, its spend, and why the budget is split as it is."""

from typing import Any, NamedTuple

import pandas as pd

from evaluate.report import charts
from evaluate.report.page import Chart, Section, Table
from evaluate.results import BEST_FIXED, CLAIRVOYANT, OPTIMAL

CHANNELS, METRICS, TOTAL = (
    ("posts", "ads", "rewards"),
    ("likes", "comments", "shares"),
    "engagement",
)
NOMINAL = (
    "Campaigns differ in how strong their channels are. The text and the worth of one more unit below are those of the "
    "nominal campaign, and of the mean of what a policy spends."
)
VARIED = (("seed", "training seeds"), ("campaign", "campaigns"))


class Pictures(NamedTuple):
    """The sections that belong to a campaign; none of them where the days are not those of one."""

    plan: Section | None
    days: Section | None
    why: Section | None


def campaign_sections(
    days: pd.DataFrame, learned: list[str], env: Any, colours: dict[str, str]
) -> Pictures:
    """The plan, the article's pictures, and why the budget is split so.

    Args:
        days: A row per policy, training seed, campaign and day.
        learned: Names of the trained policies, the leading one first.
        env: The environment, for what it knows of a plan.
        colours: A colour for each policy.
    """
    if not {*CHANNELS, *METRICS, TOTAL} <= set(days.columns):
        return Pictures(None, None, None)
    leading = learned[0]
    differ = CLAIRVOYANT in set(days["policy"])
    beside = [name for name in (OPTIMAL, BEST_FIXED) if name in set(days["policy"])]
    drawn = [*learned, *beside, *([CLAIRVOYANT] if differ else [])]
    insights = {name: env.insight(_plan(days, name)) for name in [leading, *beside]}
    spend = Chart(
        "spend_by_day",
        f"Where each trained policy puts the budget, day by day, beside {'rules' if differ else 'the best plan'} that "
        f"{'know how campaigns differ' if differ else 'there is'}{', the mean over campaigns' if differ else ''}.",
        f"Stacked bars of spend on posts, ads and rewards by day for {', '.join(drawn)}.",
        charts.spend_by_day(days, CHANNELS, drawn),
    )
    text = [*([NOMINAL] if differ else []), env.explanation()]
    why = Section("Why this split", text, [], [spend, *why_charts(insights, colours)])
    return Pictures(_the_plan(days, leading), _the_days(days, leading), why)


def why_charts(insights: dict[str, dict[str, Any]], colours: dict[str, str]) -> list[Chart]:
    """What moves the budget over the days; loyalty and freshness only where they move at all."""
    moves = any(
        len(set(insight[state])) > 1
        for insight in insights.values()
        for state in ("loyalty", "freshness")
    )
    audience = Chart(
        "audience",
        "What the plan does to the audience: rewards build loyalty, which lifts posts; ads tire, and rest mends them.",
        "; ".join(
            f"{name}: loyalty {insight['loyalty'][0]:.2f} on the first day, {insight['loyalty'][-1]:.2f} on the last, "
            f"freshness {insight['freshness'][0]:.2f} and {insight['freshness'][-1]:.2f}"
            for name, insight in insights.items()
        ),
        charts.audience(insights, {name: colours[name] for name in insights}),
    )
    why = Chart(
        "why_this_split",
        "Why this split: the engagement that one more unit on a channel and day would earn over the rest of the "
        "campaign. Within a day it is the same for every channel of the best plan, except where a limit is named: "
        "a channel at 0 earns less than the others, and less could not be spent on it.",
        "Heat maps of the worth of one more unit by channel and day for "
        + ", ".join(insights)
        + ".",
        charts.marginal(insights, CHANNELS),
    )
    return [*([audience] if moves else []), why]


def _the_plan(days: pd.DataFrame, leading: str) -> Section:
    """The leading policy's spend as a picture and as a table to copy."""
    plan = _plan(days, leading)
    of = days[days["policy"] == leading]
    counted = [f"{of[name].nunique()} {label}" for name, label in VARIED if _varies(of, name)]
    mean = f", the mean over {' and '.join(counted)}" if counted else ""
    rows = [
        [str(day), *(f"{value:.1f}" for value in spend), f"{spend.sum():.1f}"]
        for day, spend in enumerate(plan, 1)
    ]
    table = Table(
        f"Spend in budget units by day and channel, as {leading} decides{mean}.",
        ["day", *CHANNELS, "sum"],
        rows,
        copy_as="plan.csv",
    )
    words = "; ".join(
        f"day {row[0]}: "
        + ", ".join(f"{value} {name}" for name, value in zip(CHANNELS, row[1:-1], strict=True))
        for row in rows
    )
    picture = Chart(
        "plan",
        f"The plan of {leading}{mean}.",
        f"Stacked bars of spend by day. {words}.",
        charts.plan(of, CHANNELS),
    )
    return Section("The plan", [], [table], [picture])


def _varies(days: pd.DataFrame, by: str) -> bool:
    """Whether the spend of a day depends on the training seed, or on the campaign, by as much as is shown."""
    of_day = days.groupby(["day", by])[list(CHANNELS)].mean().groupby("day")
    return bool(((of_day.max() - of_day.min()) > 0.05).any(axis=None))


def _the_days(days: pd.DataFrame, leading: str) -> Section:
    """What the days bring: the pictures of the article."""
    main = days[days["policy"] == leading]
    earned = main.groupby("day")[[*METRICS, TOTAL]].mean()
    by_day = "; ".join(
        f"day {day}: " + ", ".join(f"{row[name]:,.0f} {name}" for name in METRICS)
        for day, row in earned.iterrows()
    )
    together = ", ".join(f"{value:,.0f}" for value in earned[TOTAL].cumsum())
    return Section(
        "Day by day",
        [],
        [],
        [
            Chart(
                "daily_metrics",
                f"What each day of the campaign earns when {leading} decides.",
                f"Grouped bars of likes, comments and shares by day for {leading}. {by_day}.",
                charts.daily_metrics(main, METRICS, f"Daily engagement metrics: {leading}"),
            ),
            Chart(
                "cumulative_engagement",
                "How the engagement adds up over the campaign: likes + 2 comments + 3 shares.",
                f"A rising line of cumulative engagement for {leading}: {together}.",
                charts.cumulative(main, TOTAL, f"Cumulative engagement: {leading}"),
            ),
        ],
    )


def _plan(days: pd.DataFrame, policy: str) -> Any:
    """The spend of a policy averaged over seeds and campaigns, (days, 3) [bu/day]."""
    return days[days["policy"] == policy].groupby("day")[list(CHANNELS)].mean().to_numpy()
