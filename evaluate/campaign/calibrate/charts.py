"""Charts of a campaign fitted to past days: what was learned, and what spend and days earn."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from envs.campaign.looks import looks
from envs.campaign.params import FloatArray
from evaluate.campaign.calibrate.fit_check import FitCheck
from evaluate.campaign.calibrate.fitted import BASE, Fitted, Range, range_of
from evaluate.campaign.charts import bar_style, panels
from evaluate.report.charts import (
    BASELINE_COLOUR,
    DPI,
    axes_of,
    legend_below,
    legend_of,
    theme,
    write_numbers,
)
from evaluate.report.wording import one_of

BEYOND = 1.4  # times the largest spend ever: as far as response curves are drawn
GRID = 81  # spends of a response curve
OUTSIDE, INSIDE = "#d62728", "#444444"  # counts beyond their band, and within
LEARNED, FAINT = "#6a3d9a", 0.25
ROW = 0.19  # height of a line of parameters [inches]

Rows = Sequence[tuple[str, float, float, float]]
"""A label, and low end, middle and high end of an interval."""


def interval(label: str, bands: Range, position: int) -> tuple[str, float, float, float]:
    """A row: a label, and the interval at a position of bands (positions,)."""
    low, middle, high = (float(part[position]) for part in bands)
    return label, low, middle, high


def learned(groups: Mapping[str, Rows], ends: tuple[float, float]) -> Figure:
    """Intervals of parameters, a panel a group, over the band of all their priors.

    Args:
        groups: By title; in prior standard deviations from the prior median.
        ends: Low and high end of the priors' band.
    """
    heights = [ROW * (len(rows) + 1.5) + 0.3 for rows in groups.values()]
    with theme():
        figure = Figure(figsize=(6, sum(heights) + 0.7), dpi=DPI, layout="constrained")
        grid = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)
        for axes, (title, rows) in zip(grid[:, 0], groups.items(), strict=True):
            axes.axvspan(*ends, color=BASELINE_COLOUR, alpha=0.35, linewidth=0)
            axes.axvline(0.0, color=BASELINE_COLOUR, linewidth=1)
            _intervals(axes, rows, [LEARNED] * len(rows))
            axes.set_title(title, fontsize=10)
            axes.tick_params(axis="y", labelsize=8)
        grid[-1, 0].set_xlabel("standard deviations of the prior from its median", fontsize=10)
        before = Patch(color=BASELINE_COLOUR, alpha=0.35)
        after = Line2D([], [], color=LEARNED, marker="o", markersize=4)
        legend_of(figure, {"believed before": before, "after these days": after})
    return figure


def responses(fitted: Fitted) -> Figure:
    """Engagement of a day over steady spend, a panel a channel, beyond what was spent shaded."""
    styles, spends = looks(fitted), fitted.past.spend
    grids = np.linspace(0.0, BEYOND * spends.max(axis=0), GRID)  # (grid, channels)
    bands = range_of(fitted.response(grids))
    with panels(len(fitted.channels), 3, 2.1) as (figure, grid):
        for i, (axes, name) in enumerate(zip(grid, fitted.channels, strict=True)):
            x, spent, colour = grids[:, i], spends[:, i], styles[name].colour
            axes.fill_between(x, bands.low[:, i], bands.high[:, i], color=colour, alpha=FAINT, lw=0)
            axes.plot(x, bands.middle[:, i], color=colour)
            for start, end in ((0.0, spent.min()), (spent.max(), x[-1])):
                axes.axvspan(start, end, color="#888888", alpha=0.3, linewidth=0, zorder=0)
            rug = axes.get_xaxis_transform()
            axes.plot(spent, np.full(len(spent), 0.02), "|", color="black", ms=7, transform=rug)
            axes.set(xlim=(0, x[-1]), ylim=(0, None))
            axes.set_title(name, fontsize=10)
            axes.set_xlabel(f"spend [{fitted.unit}/day]", fontsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            write_numbers(axes.xaxis)
            write_numbers(axes.yaxis)
        figure.supylabel("engagement per day", fontsize=10)
        line = Line2D([], [], color=INSIDE)
        marks = {
            "median": line,
            "90% band": Patch(color=INSIDE, alpha=FAINT),
            "days": Line2D([], [], color="black", marker="|", ls=""),
            "never spent": Patch(color="#888888", alpha=0.3),
        }
        legend_of(figure, marks)
    return figure


def contributions(fitted: Fitted) -> Figure:
    """Stacked bars: the mean expected engagement of each day by source, and what was counted."""
    mean = fitted.contributions.mean(axis=0)  # (days, sources)
    tops, styles = mean[:, ::-1].cumsum(axis=1)[:, ::-1], looks(fitted)
    days = np.arange(1, len(mean) + 1)
    with axes_of((6, 3.6)) as (figure, axes):
        for i, name in reversed(list(enumerate(fitted.sources))):
            style = {"facecolor": BASELINE_COLOUR} if name == BASE else bar_style(styles[name])
            place = {"bottom": tops[:, i] - mean[:, i], "width": 1.0, "label": name}
            axes.bar(days, mean[:, i], **place, **(style | {"linewidth": 0}))
        counted = fitted.past.metrics @ np.array(fitted.weights)
        axes.plot(days, counted, ".", color="black", markersize=4, label="counted")
        axes.set(ylabel="engagement per day")
        _days(axes, fitted)
        write_numbers(axes.yaxis)
        legend_below(figure, axes)
    return figure


def spends(fitted: Fitted, spend: FloatArray) -> Figure:
    """Stacked bars: the spend of days to come (days, channels) on each channel."""
    styles, days = looks(fitted), np.arange(1, len(spend) + 1)
    tops = spend.cumsum(axis=1)
    with axes_of((6, 3.4)) as (figure, axes):
        for i, name in enumerate(fitted.channels):
            style = bar_style(styles[name]) | {"label": name, "width": 0.9}
            axes.bar(days, spend[:, i], bottom=tops[:, i] - spend[:, i], **style)
        axes.set(xlabel="day", ylabel=f"spend [{fitted.unit}/day]", xlim=(0.4, len(spend) + 0.6))
        axes.xaxis.grid(False)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        write_numbers(axes.yaxis)
        legend_below(figure, axes)
    return figure


def contribution_bands(fitted: Fitted) -> Figure:
    """Expected engagement of each day with its band, a panel a source."""
    bands, styles = range_of(fitted.contributions), looks(fitted)
    with panels(len(fitted.sources), 2, 1.6) as (figure, grid):
        for i, (axes, name) in enumerate(zip(grid, fitted.sources, strict=True)):
            colour = "#777777" if name == BASE else styles[name].colour
            _band(axes, Range(*(part[:, i] for part in bands)), colour)
            axes.set_title(name, fontsize=10)
            _days(axes, fitted)
        figure.supylabel("engagement per day", fontsize=10)
    return figure


def observed(fitted: Fitted, check: FitCheck) -> Figure:
    """The counts of each day over the band in which they were to be expected, a panel a metric."""
    styles, days = looks(fitted), np.arange(1, len(fitted.past.metrics) + 1)
    with panels(len(fitted.metrics), 1, 2.0) as (figure, grid):
        for i, (axes, name) in enumerate(zip(grid, fitted.metrics, strict=True)):
            _band(axes, Range(*(part[:, i] for part in check.bands)), styles[name].colour)
            seen, within = fitted.past.metrics[:, i], check.is_within[:, i]
            axes.plot(days[within], seen[within], ".", color=INSIDE, markersize=5)
            axes.plot(days[~within], seen[~within], "X", color=OUTSIDE, markersize=5)
            axes.set_title(name, fontsize=10)
            _days(axes, fitted)
        figure.supylabel("counts per day", fontsize=10)
        marks = {
            "90% band": Patch(color=INSIDE, alpha=FAINT),
            "counted": Line2D([], [], color=INSIDE, marker=".", ls=""),
            "outside the band": Line2D([], [], color=OUTSIDE, marker="X", ls=""),
        }
        legend_of(figure, marks)
    return figure


def marginal(fitted: Fitted, order: Iterable[int]) -> Figure:
    """Points with intervals, a row a channel in this order: what one more unit earns."""
    bands, styles, order = range_of(fitted.marginal), looks(fitted), list(order)
    rows = [interval(fitted.channels[i], bands, i) for i in order]
    with axes_of((6, 0.36 * len(rows) + 0.9)) as (figure, axes):
        _intervals(axes, rows, [styles[row[0]].colour for row in rows])
        axes.set(xlabel=f"engagement of one more {one_of(fitted.unit)}", xlim=(0, None))
        write_numbers(axes.xaxis)
    return figure


def _intervals(axes: Axes, rows: Rows, colours: Sequence[str]) -> None:
    for position, ((_, low, middle, high), colour) in enumerate(zip(rows, colours, strict=True)):
        axes.plot([low, high], [position, position], color=colour, linewidth=2)
        axes.plot(middle, position, "o", color=colour, markersize=4)
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.yaxis.grid(False)


def _band(axes: Axes, band: Range, colour: str) -> None:
    """A line within its band, over the days."""
    days = np.arange(1, len(band.middle) + 1)
    axes.fill_between(days, band.low, band.high, color=colour, alpha=FAINT, linewidth=0)
    axes.plot(days, band.middle, color=colour, linewidth=1.2)
    write_numbers(axes.yaxis)


def _days(axes: Axes, fitted: Fitted) -> None:
    """The days of all campaigns one after the other, a dotted line where one starts."""
    starts = np.flatnonzero(fitted.past.starts)[1:]
    for start in starts:
        axes.axvline(start + 0.5, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(0.5, len(fitted.past.starts) + 0.5)
    axes.xaxis.grid(False)
    axes.set_ylim(0, None)
    width = axes.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    axes.xaxis.set_major_locator(MaxNLocator(max(2, 7 // width), integer=True, prune="both"))
    dates = fitted.dates
    if dates is None:
        return

    def date_of(day: float, _: int) -> str:
        return f"{dates[int(day) - 1]:%d %b}" if 1 <= day <= len(dates) else ""

    axes.xaxis.set_major_formatter(FuncFormatter(date_of))
