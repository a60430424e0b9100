"""The pictures that belong to a campaign: its days, its spend, and why the budget is split as it is."""

from typing import Any

import pandas as pd

from evaluate import charts
from evaluate.report import Chart

CHANNELS, METRICS, TOTAL = ("posts", "ads", "rewards"), ("likes", "comments", "shares"), "engagement"
OPTIMAL = "optimal plan"


def campaign_charts(days: pd.DataFrame, learned: list[str], env: Any, colours: dict[str, str]) -> list[Chart]:
    """The pictures of a campaign; none where the days are not those of one.

    Args:
        days: A row per policy, training seed, campaign and day.
        learned: Names of the trained policies, the leading one first.
        env: The environment, for what it knows of a plan.
        colours: A colour for each policy.
    """
    if not {*CHANNELS, *METRICS, TOTAL} <= set(days.columns):
        return []
    leading = learned[0]
    main = days[days["policy"] == leading]
    beside = [OPTIMAL] if OPTIMAL in set(days["policy"]) else []
    drawn = [
        Chart(
            "daily_metrics",
            f"What each day of the campaign earns when {leading} decides.",
            f"Grouped bars of likes, comments and shares by day for {leading}.",
            charts.daily_metrics(main, METRICS, f"Daily engagement metrics: {leading}"),
        ),
        Chart(
            "cumulative_engagement",
            "How the engagement adds up over the campaign: likes + 2 comments + 3 shares.",
            f"A rising line of cumulative engagement for {leading}.",
            charts.cumulative(main, TOTAL, f"Cumulative engagement: {leading}"),
        ),
        Chart(
            "spend_by_day",
            "Where each trained policy puts the budget, day by day, beside the best plan that there is.",
            f"Stacked bars of spend on posts, ads and rewards by day for {', '.join([*learned, *beside])}.",
            charts.spend_by_day(days, CHANNELS, [*learned, *beside]),
        ),
    ]
    insights = {name: env.insight(_plan(days, name)) for name in [leading, *beside]}
    return drawn + _why(insights, colours)


def _why(insights: dict[str, dict[str, Any]], colours: dict[str, str]) -> list[Chart]:
    """What moves the budget over the days; loyalty and freshness only where they move at all."""
    moves = any(len(set(insight[state])) > 1 for insight in insights.values() for state in ("loyalty", "freshness"))
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
        "Heat maps of the worth of one more unit by channel and day for " + ", ".join(insights) + ".",
        charts.marginal(insights, CHANNELS),
    )
    return [*([audience] if moves else []), why]


def _plan(days: pd.DataFrame, policy: str) -> Any:
    """The spend of a policy averaged over seeds and campaigns, (days, 3) [bu/day]."""
    return days[days["policy"] == policy].groupby("day")[list(CHANNELS)].mean().to_numpy()
