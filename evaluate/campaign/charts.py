"""Charts of campaigns: spend and metrics by day, and what moves the budget."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from envs.campaign.params import CHANNELS, METRICS
from envs.campaign.rendering import METRIC_COLOURS
from evaluate.campaign.explain import PlanDiagnostics
from evaluate.campaign.rounding import places
from evaluate.report.charts import BASELINE_COLOUR, DPI, axes_of, legend_below, theme
from evaluate.statistics import Interval

COLOURS = METRIC_COLOURS | {"posts": "#4c72b0", "ads": "#dd8452", "rewards": "#55a868"}
CUMULATIVE = "purple"
GREYS = ("#555555", "#a0a0a0")


class Played(NamedTuple):
    """One campaign to be drawn.

    Attributes:
        title: What to say of it.
        spends: For each policy, in the order of the panels, a row per day with its spend.
        seen: A row per day with the metrics seen.
    """

    title: str
    spends: dict[str, pd.DataFrame]
    seen: pd.DataFrame


def daily_metrics(days: pd.DataFrame, title: str) -> Figure:
    """Grouped bars: what each day earned of each metric, averaged over campaigns."""
    long = days.melt("day", list(METRICS), "metric", "counts")
    with axes_of((6, 4)) as (figure, axes):
        place: dict[str, Any] = {"x": "day", "y": "counts", "hue": "metric", "ax": axes}
        sns.barplot(long, **place, palette=COLOURS, saturation=1, errorbar=None)
        axes.set(title=title, xlabel="day", ylabel="counts per day")
        axes.yaxis.grid(True, linestyle="--", alpha=0.7)
        legend_below(figure, axes)
    return figure


def cumulative(days: pd.DataFrame, total: str, title: str) -> Figure:
    """A line with markers: what has come together up to each day, averaged over campaigns."""
    mean = days.groupby("day", as_index=False)[total].mean()
    mean[total] = mean[total].cumsum()
    with axes_of((6, 3.4)) as (figure, axes):
        sns.lineplot(mean, x="day", y=total, color=CUMULATIVE, marker="o", ax=axes)
        axes.set(title=title, xlabel="day", ylabel=f"cumulative {total}", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def spend_by_day(days: pd.DataFrame, policies: Sequence[str]) -> Figure:
    """Stacked bars, a panel a policy: each day's spend, the mean over what was played."""
    columns = min(len(policies), 2)
    rows = -(-len(policies) // columns)
    with theme():
        figure = Figure(figsize=(3 * columns, 2.5 * rows + 0.4), dpi=DPI, layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
        for axes, policy in zip(grid, policies, strict=False):
            mean = _mean_spend(days[days["policy"] == policy])
            _stacked(mean, policy, axes, legend=axes is grid[0])
        legend_below(figure, grid[0])
        for axes in grid[len(policies) :]:
            axes.set_visible(False)
    return figure


def plan(days: pd.DataFrame) -> Figure:
    """Stacked bars of one policy's spend by day, the mean over what was played, with figures."""
    mean = _mean_spend(days)
    spend = mean[list(CHANNELS)].to_numpy()
    digits, least = max(places(spend) - 1, 0), 0.06 * spend.sum(axis=1).max()
    middles = spend.cumsum(axis=1) - spend / 2
    with axes_of((6, 3.6)) as (figure, axes):
        _stacked(mean, "", axes, legend=True)
        legend_below(figure, axes)
        for day, channel in np.argwhere(spend >= least):
            middle = (mean["day"][day], middles[day, channel])
            text = f"{spend[day, channel]:,.{digits}f}"
            axes.annotate(text, middle, ha="center", va="center", color="white")
    return figure


def audience(diagnostics: dict[str, PlanDiagnostics], colours: dict[str, str]) -> Figure:
    """Lines: loyalty and the effectiveness of ads at the start of each day, for each plan."""
    states = pd.concat(
        pd.DataFrame({"loyalty": plan.loyalty, "effectiveness of ads": plan.effectiveness}).assign(
            policy=policy, day=range(1, len(plan.loyalty) + 1)
        )
        for policy, plan in diagnostics.items()
    )
    lines = states.melt(["policy", "day"], var_name="state")
    with axes_of((6, 3.4)) as (figure, axes):
        place: dict[str, Any] = {"x": "day", "y": "value", "hue": "policy", "ax": axes}
        on_top = list(reversed(diagnostics))  # the leading policy is drawn last
        sns.lineplot(lines, **place, hue_order=on_top, style="state", markers=True, palette=colours)
        title = "Loyalty of the audience and effectiveness of ads"
        axes.set(title=title, xlabel="day", ylabel="share of the most", ylim=(0, 1.05))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, axes, columns=2)
    return figure


def marginal_engagement(diagnostics: dict[str, PlanDiagnostics]) -> Figure:
    """Heat maps, a panel a plan: what one more unit is worth, by channel and day."""
    values = [behind.marginal_engagement.T for behind in diagnostics.values()]  # (channels, days)
    scale: dict[str, Any] = {"vmin": min(map(np.min, values)), "vmax": max(map(np.max, values))}
    with theme():
        figure = Figure(figsize=(6, 1.8 * len(values) + 0.4), dpi=DPI, layout="constrained")
        panels = figure.subplots(len(values), squeeze=False).flatten()
        for axes, value, (policy, behind) in zip(panels, values, diagnostics.items(), strict=True):
            frame = pd.DataFrame(value, list(CHANNELS), pd.RangeIndex(1, value.shape[1] + 1))
            text = np.vectorize(_with_limit)(value, behind.active_constraint.T)
            sns.heatmap(frame, annot=text, fmt="", ax=axes, cmap="Purples", **scale)
            axes.set(title=policy, xlabel="day", ylabel="")
            axes.tick_params(axis="y", rotation=0)
    return figure


def gain_by_group(
    gains: dict[str, list[Interval]],
    groups: Sequence[str],
    xlabel: str,
    ylabel: str,
    colours: dict[str, str],
) -> Figure:
    """Points with intervals, a column for each group: by how much each policy gains."""
    with axes_of((6, 3.6)) as (figure, axes):
        greys = iter(GREYS)
        places = np.linspace(-0.18, 0.18, len(gains))
        for place, marker, (name, intervals) in zip(places, "os^Dv", gains.items(), strict=False):
            is_grey = colours[name] == BASELINE_COLOUR
            colour = next(greys, BASELINE_COLOUR) if is_grey else colours[name]
            x = np.arange(len(groups)) + place
            axes.plot(x, [gain.value for gain in intervals], marker, color=colour, label=name)
            for at, gain in zip(x, intervals, strict=True):
                if gain.low is not None and gain.high is not None:
                    axes.plot([at, at], [gain.low, gain.high], color=colour)
        axes.axhline(0.0, color="black", linewidth=1)
        axes.xaxis.grid(False)
        axes.set_xticks(range(len(groups)), groups)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:+,.0f}"))
        legend_below(figure, axes)
    return figure


def single_campaigns(rows: Sequence[Played]) -> Figure:
    """Small multiples, a row a campaign: bars of each policy's spend, lines of the metrics."""
    with theme():
        figure = Figure(figsize=(6.6, 2.7 * len(rows) + 0.5), dpi=DPI, layout="constrained")
        parts = figure.subfigures(len(rows), squeeze=False).flatten()
        for part, row in zip(parts, rows, strict=True):
            part.suptitle(row.title, fontsize=12, fontweight="bold")
            panels = part.subplots(1, len(row.spends) + 1)
            _single_campaign(row, panels)
        bars = [Patch(color=COLOURS[name], label=name) for name in CHANNELS]
        lines = [Line2D([], [], color=COLOURS[name], marker="o", label=name) for name in METRICS]
        marks: list[Artist] = [mark for pair in zip(bars, lines, strict=True) for mark in pair]
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": len(CHANNELS)}
        figure.legend(handles=marks, frameon=False, **place)
    return figure


def _single_campaign(row: Played, panels: Sequence[Axes]) -> None:
    *left, right = panels
    for axes, (policy, days) in zip(left, row.spends.items(), strict=True):
        _stacked(days, policy, axes, legend=False)
        axes.set(ylabel="spend" if axes is left[0] else "", xticks=days["day"])
        axes.xaxis.grid(False)
    for metric in METRICS:
        x, y = row.seen["day"], row.seen[metric]
        right.plot(x, y, "o-", markersize=3, color=COLOURS[metric])
    right.set(title="counts seen", xlabel="day", ylim=(0, None), xticks=row.seen["day"])


def _with_limit(value: float, limit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number}\n{limit}".strip()


def _mean_spend(days: pd.DataFrame) -> pd.DataFrame:
    return days.groupby("day", as_index=False)[list(CHANNELS)].mean()


def _stacked(days: pd.DataFrame, title: str, axes: Axes, legend: bool) -> None:
    """Bars of the spend by day, the channels on top of each other."""
    long = days.melt("day", list(CHANNELS), "channel", "spend")
    colours: dict[str, Any] = {"hue": "channel", "hue_order": CHANNELS[::-1], "palette": COLOURS}
    bars: dict[str, Any] = {"multiple": "stack", "discrete": True, "shrink": 0.8, "alpha": 1}
    bars |= {"edgecolor": "white", "legend": legend}
    sns.histplot(long, x="day", weights="spend", ax=axes, **colours, **bars)
    axes.set(title=title, xlabel="day", ylabel="spend [budget units]")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
