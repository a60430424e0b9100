"""Charts of campaigns: spend and metrics by day, and what moves the budget."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from envs.campaign.looks import Look, looks
from envs.campaign.params import CampaignParams, FloatArray
from evaluate.campaign.explain import PlanDiagnostics
from evaluate.report.charts import (
    BASELINE_COLOUR,
    DPI,
    axes_of,
    legend_below,
    legend_of,
    theme,
    write_numbers,
)
from evaluate.report.wording import Form, short
from evaluate.statistics import Interval

CUMULATIVE = "purple"
GREYS = ("#555555", "#a0a0a0")
MOST_BARS = 45  # in one picture; more metrics and days get a panel for each metric
FAR_APART = 20  # times: metrics that one linear axis cannot show
MOST_FIGURES = 14  # days that a heat map has room for
POINTS = 72  # an inch
SIGNS = {
    "": "",
    "at 0": "0",
    "at min": "\N{DOWNWARDS ARROW}",
    "at max": "\N{UPWARDS ARROW}",
    "all": "1",
}
"""What stands for a limit where there is no room for figures."""


class Played(NamedTuple):
    """One campaign to be drawn: spends by policy, in the order of the panels, and metrics seen."""

    title: str
    spends: dict[str, pd.DataFrame]  # a row per day
    seen: pd.DataFrame  # a row per day


def daily_metrics(days: pd.DataFrame, title: str, params: CampaignParams) -> Figure:
    """Bars: what each day earned of each metric, averaged over campaigns; many in panels."""
    mean = days.groupby("day")[list(params.metrics)].mean()
    styles, count = looks(params), len(params.metrics)
    if mean.size > MOST_BARS:
        with _panels(count, 3, 1.6) as (figure, grid):
            figure.suptitle(title, fontsize=12)
            for axes, metric in zip(grid, params.metrics, strict=True):
                axes.bar(mean.index, mean[metric], color=styles[metric].colour)
                axes.set_title(metric, fontsize=10)
                _days_of_panel(axes, mean.index)
                write_numbers(axes.yaxis)
            figure.supxlabel("day", fontsize=10)
            figure.supylabel("counts per day", fontsize=10)
        return figure
    with axes_of((6, 4)) as (figure, axes):
        width = 0.8 / count
        for place, metric in enumerate(params.metrics):
            x = mean.index + width * (place - (count - 1) / 2)
            axes.bar(x, mean[metric], width, label=metric, **_bar(styles[metric]))
        axes.set(title=title, xlabel="day", ylabel="counts per day")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.grid(False)
        axes.yaxis.grid(True, linestyle="--", alpha=0.7)
        write_numbers(axes.yaxis)
        legend_below(figure, axes)
    return figure


def cumulative(days: pd.DataFrame, total: str, title: str) -> Figure:
    """A line with markers: what has come together up to each day, averaged over campaigns."""
    sums = days.groupby("day")[total].mean().cumsum()
    with axes_of((6, 3.4)) as (figure, axes):
        sns.lineplot(sums, color=CUMULATIVE, marker="o", ax=axes)
        axes.set(title=title, xlabel="day", ylabel=f"cumulative {total}", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        write_numbers(axes.yaxis)
    return figure


def spend_by_day(days: pd.DataFrame, policies: Sequence[str], params: CampaignParams) -> Figure:
    """Stacked bars, a panel a policy: each day's spend, the mean over what was played."""
    with _panels(len(policies), 2, 2.5, sharey=True) as (figure, grid):
        for axes, policy in zip(grid, policies, strict=True):
            _stacked(days[days["policy"] == policy], policy, axes, params)
        legend_below(figure, grid[0])
    return figure


def plan(spend: FloatArray, params: CampaignParams, form: Form) -> Figure:
    """Stacked bars of spend (days, channels) [bu/day], with figures where there is room."""
    days = pd.RangeIndex(1, len(spend) + 1, name="day")
    with axes_of((6, 3.6)) as (figure, axes):
        _stacked(pd.DataFrame(spend, days, params.channels), "", axes, params)
        legend_below(figure, axes)
        write = form if params.daily_budget < 1e5 else short
        texts = np.vectorize(write, otypes=[object])(spend)
        letters = max(map(len, texts.flat))
        bar = 0.65 * 6 * POINTS / len(spend)  # its width [points]
        size = min(10.0, 1.4 * bar) if 6 * letters > bar else 10.0
        is_upright = 0.6 * size * letters > bar
        tall = (0.6 * size * letters if is_upright else 1.2 * size) / (2.4 * POINTS)
        middles = spend.cumsum(axis=1) - spend / 2
        styles = [looks(params)[name] for name in params.channels]
        for day, channel in np.argwhere(spend >= tall * spend.sum(axis=1).max()):
            look = styles[channel]
            axes.annotate(
                texts[day, channel],
                (day + 1, middles[day, channel]),
                ha="center",
                va="center",
                fontsize=size,
                rotation=90 if is_upright else 0,
                color=_ink(look.colour),
                bbox={"facecolor": look.colour, "linewidth": 0, "pad": 1} if look.hatch else None,
            )
    return figure


def audience(diagnostics: dict[str, PlanDiagnostics], colours: dict[str, str]) -> Figure:
    """Lines, a panel for loyalty and for each channel that tires: its course in each plan."""
    states = list(next(iter(diagnostics.values())).audience)
    with _panels(len(states), 2, 2.6, sharey=True) as (figure, grid):
        for axes, state in zip(grid, states, strict=True):
            for policy, behind in reversed(diagnostics.items()):  # the leading one is on top
                course = behind.audience[state]
                x = np.arange(1, len(course) + 1)
                axes.plot(x, course, "o-", markersize=4, color=colours[policy], label=policy)
            axes.set(title=state, xlabel="day", ylabel="share of the most", ylim=(0, 1.05))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, grid[0])
    return figure


def marginal_engagement(diagnostics: dict[str, PlanDiagnostics]) -> Figure:
    """Heat maps, a panel a plan: what one more unit is worth, by channel and day."""
    values = [behind.marginal_engagement.T for behind in diagnostics.values()]  # (channels, days)
    scale: dict[str, Any] = {"vmin": min(map(np.min, values)), "vmax": max(map(np.max, values))}
    count, days = values[0].shape
    has_figures, has_room = has_room_for_figures(days), days <= 7
    size = min(10.0, 90.0 / days) if has_figures else 9.0
    height = count * (3.6 * size if has_figures else 1.6 * size) / POINTS + 0.75

    def cell(worth: float, limit: str) -> str:
        """The worth of a unit in few digits, and the limit that the spend stands at under it."""
        if not has_figures:
            return SIGNS[limit]
        word = limit if has_room else limit.removeprefix("at ")
        return f"{short(worth, 3 if has_room else 2)}\n{word}".strip()

    with _panels(len(values), 1, height) as (figure, panels):
        for axes, value, (policy, behind) in zip(panels, values, diagnostics.items(), strict=True):
            frame = pd.DataFrame(value, behind.params.channels, pd.RangeIndex(1, days + 1))
            exact = np.where(np.abs(value) < 1e-9 * np.abs(value).max(), 0.0, value)
            text, font = np.vectorize(cell)(exact, behind.active_constraint.T), {"fontsize": size}
            sns.heatmap(frame, annot=text, fmt="", annot_kws=font, ax=axes, cmap="Purples", **scale)
            bar: Any = axes.collections[0].colorbar
            write_numbers(bar.ax.yaxis)
            axes.set(title=policy, xlabel="day", ylabel="")
            axes.tick_params(rotation=0)
    return figure


def has_room_for_figures(days: int) -> bool:
    """Whether the heat maps write the worth of a unit for each day, not only where limits hold."""
    return days <= MOST_FIGURES


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
        write_numbers(axes.yaxis, sign="+")
        legend_below(figure, axes)
    return figure


def single_campaigns(rows: Sequence[Played], params: CampaignParams) -> Figure:
    """Small multiples, a row a campaign: bars of each policy's spend, lines of the metrics."""
    styles = looks(params)
    titles = ["\n".join(textwrap.fill(line, 64) for line in row.title.splitlines()) for row in rows]
    heights = [2.3 + 0.2 * (1 + title.count("\n")) for title in titles]
    with theme():
        figure = Figure(figsize=(6.6, sum(heights) + 0.5), dpi=DPI, layout="constrained")
        parts = figure.subfigures(len(rows), height_ratios=heights, squeeze=False).flatten()
        for part, row, title in zip(parts, rows, titles, strict=True):
            part.suptitle(title, fontsize=12, fontweight="bold")
            _single_campaign(row, part.subplots(1, len(row.spends) + 1), params, styles)
        marks: dict[str, Artist] = {name: Patch(**_bar(styles[name])) for name in params.channels}
        marks |= {name: Line2D([], [], **_line(styles[name])) for name in params.metrics}
        legend_of(figure, marks)
    return figure


def _single_campaign(
    row: Played, panels: Sequence[Axes], params: CampaignParams, styles: dict[str, Look]
) -> None:
    *left, right = panels
    for axes, (policy, days) in zip(left, row.spends.items(), strict=True):
        _stacked(days, policy, axes, params)
        axes.set(ylabel=f"spend [{params.unit}/day]" if axes is left[0] else "")
        _days_of_panel(axes, days["day"])
    for metric in params.metrics:
        right.plot(row.seen["day"], row.seen[metric], markersize=3, **_line(styles[metric]))
    means = row.seen[list(params.metrics)].mean()
    if means.max() > FAR_APART * means[means > 0].min():
        right.set_yscale("symlog")
    right.set(title="counts seen", xlabel="day", ylim=(0, None))
    _days_of_panel(right, row.seen["day"])
    right.xaxis.grid(True)
    write_numbers(right.yaxis)


@contextmanager
def _panels(
    count: int, most_columns: int, height: float, sharey: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of panels side by side, each of ``height`` in inches, and their axes."""
    rows = -(-count // most_columns)
    columns = -(-count // rows)
    with theme():
        figure = Figure(figsize=(6, height * rows + 0.4), dpi=DPI, layout="constrained")
        grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False)
        for axes in grid.flatten()[count:]:
            axes.remove()
        yield figure, list(grid.flatten()[:count])
        for axes in grid[:, 1:].flatten():
            axes.set_ylabel("")


def _days_of_panel(axes: Axes, days: pd.Series | pd.Index) -> None:
    """Names every day of a week on a narrow axis, or as many as there is room for."""
    step = 1 if len(days) <= 7 else -(-len(days) // 5)
    axes.set_xticks(days.to_numpy()[::step])
    axes.xaxis.grid(False)


def _ink(colour: str) -> str:
    """Black or white, whichever contrasts more with a colour (the contrast of WCAG 2)."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"


def _bar(look: Look) -> dict[str, Any]:
    return {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": "white", "linewidth": 0.5}


def _line(look: Look) -> dict[str, Any]:
    return {"color": look.colour, "marker": look.marker, "linestyle": look.dash}


def _stacked(days: pd.DataFrame, title: str, axes: Axes, params: CampaignParams) -> None:
    """Bars of the mean spend by day, the channels on top of each other."""
    mean = days.groupby("day")[list(params.channels)].mean()
    spend = mean.to_numpy(dtype=float)
    bottoms, styles = spend.cumsum(axis=1) - spend, looks(params)
    for channel, name in enumerate(params.channels):
        place: dict[str, Any] = {"bottom": bottoms[:, channel], "width": 0.8, "label": name}
        axes.bar(mean.index, spend[:, channel], **place, **_bar(styles[name]))
    axes.set(title=title, xlabel="day", ylabel=f"spend [{params.unit}/day]")
    axes.set_xlim(mean.index[0] - 0.6, mean.index[-1] + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    write_numbers(axes.yaxis)
