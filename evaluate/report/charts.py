"""From tidy frames to pictures: one function a chart, one theme, one colour per channel, metric and policy."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)

from envs.campaign.rendering import METRIC_COLOURS
from evaluate.learning import Curve
from evaluate.statistics import FloatArray, Interval, performance_profile
from train.play import percent

COLOURS = {
    **METRIC_COLOURS,
    "posts": "#4c72b0",
    "ads": "#dd8452",
    "rewards": "#55a868",
    "cumulative": "purple",
}
_POLICY_COLOURS = ("#6a3d9a", "#1f78b4", "#b15928", "#e31a1c", "#33a02c", "#ff7f00")
_YARDSTICK_COLOUR = "#b0b0b0"
DPI = 160


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


def policy_colours(names: Sequence[str], learned: Sequence[str]) -> dict[str, str]:
    """A colour for each policy: its own for a learned one, grey for a yardstick."""
    own = {name: _POLICY_COLOURS[i % len(_POLICY_COLOURS)] for i, name in enumerate(learned)}
    return {name: own.get(name, _YARDSTICK_COLOUR) for name in names}


def daily_metrics(days: pd.DataFrame, metrics: Sequence[str], title: str) -> Figure:
    """Grouped bars: what each day earned of each metric, averaged over campaigns."""
    long = days.melt(
        id_vars="day", value_vars=list(metrics), var_name="metric", value_name="counts"
    )
    with _axes((6, 4)) as (figure, axes):
        palette = {name: COLOURS[name] for name in metrics}
        sns.barplot(
            long,
            x="day",
            y="counts",
            hue="metric",
            palette=palette,
            saturation=1,
            errorbar=None,
            ax=axes,
        )
        axes.set(title=title, xlabel="day", ylabel="counts per day")
        axes.yaxis.grid(True, linestyle="--", alpha=0.7)
        _legend_below(figure, axes)
    return figure


def cumulative(days: pd.DataFrame, total: str, title: str) -> Figure:
    """A line with markers: what has come together up to each day, averaged over campaigns."""
    mean = days.groupby("day", as_index=False)[total].mean()
    mean[total] = mean[total].cumsum()
    with _axes((6, 3.4)) as (figure, axes):
        sns.lineplot(mean, x="day", y=total, color=COLOURS["cumulative"], marker="o", ax=axes)
        axes.set(title=title, xlabel="day", ylabel=f"cumulative {total}", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def short(value: float) -> str:
    """A number of steps as an axis has room for it: 500, 5k, 10M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def learning_curves(
    curves: dict[str, Curve],
    xlabel: str,
    total: str,
    title: str,
    colours: dict[str, str],
    optimum: float | None,
) -> Figure:
    """What the agents earned while they learned: a line a policy, the interval of its mean over seeds as a band."""
    with _axes((6, 4)) as (figure, axes):
        for policy, curve in curves.items():
            axes.plot(curve.x, curve.center, color=colours[policy], label=policy)
            axes.fill_between(
                curve.x, curve.low, curve.high, color=colours[policy], alpha=0.25, linewidth=0
            )
        if optimum is not None:
            axes.axhline(optimum, color="black", linewidth=1, linestyle=":", label="optimum")
        axes.set(title=title, xscale="log")
        axes.set(xlabel=xlabel, ylabel=f"{total} per episode")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _legend_below(figure, axes)
    return figure


def profile(shares: dict[str, FloatArray], colours: dict[str, str]) -> Figure:
    """Steps: which part of all training seeds and campaigns earned more than each share of the optimum."""
    least = min(float(values.min()) for values in shares.values())
    most = max(1.0, *(float(values.max()) for values in shares.values()))
    thresholds = np.linspace(least - 0.1 * (most - least), most, 400)
    with _axes((6, 3.2)) as (figure, axes):
        for policy, values in shares.items():
            above = performance_profile(values, thresholds)
            axes.plot(
                thresholds, above, drawstyle="steps-post", color=colours[policy], label=policy
            )
        axes.set(
            title="Performance profile",
            xlabel="share of the optimum",
            ylabel="earned more than that",
        )
        axes.set(ylim=(-0.02, 1.04))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _legend_below(figure, axes)
    return figure


def spend_by_day(days: pd.DataFrame, channels: Sequence[str], policies: Sequence[str]) -> Figure:
    """Stacked bars, a panel a policy: where each day's budget went, averaged over campaigns and training seeds."""
    mean = (
        days[days["policy"].isin(policies)]
        .groupby(["policy", "day"], as_index=False)[list(channels)]
        .mean()
    )
    long = mean.melt(
        id_vars=["policy", "day"], value_vars=list(channels), var_name="channel", value_name="spend"
    )
    columns = min(len(policies), 2)
    rows = -(-len(policies) // columns)
    with _theme():
        figure = Figure(figsize=(3 * columns, 2.5 * rows + 0.4), dpi=DPI, layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
        for axes, policy in zip(grid, policies, strict=False):
            _stacked(long[long["policy"] == policy], channels, policy, axes, legend=axes is grid[0])
        _legend_below(figure, grid[0])
        for axes in grid[len(policies) :]:
            axes.set_visible(False)
    return figure


def plan(days: pd.DataFrame, channels: Sequence[str]) -> Figure:
    """Stacked bars of one policy's spend by day, averaged over campaigns and training seeds, the figures inside."""
    mean = days.groupby("day", as_index=False)[list(channels)].mean()
    long = mean.melt(
        id_vars="day", value_vars=list(channels), var_name="channel", value_name="spend"
    )
    with _axes((6, 3.6)) as (figure, axes):
        _stacked(long, channels, "", axes, legend=True)
        _legend_below(figure, axes)
        base, least = np.zeros(len(mean)), 0.06 * float(mean[list(channels)].sum(axis=1).max())
        for channel in channels:
            for day, bottom, value in zip(mean["day"], base, mean[channel], strict=True):
                if value >= least:
                    axes.annotate(
                        f"{value:.0f}",
                        (day, bottom + value / 2),
                        ha="center",
                        va="center",
                        color="white",
                    )
            base = base + mean[channel].to_numpy()
    return figure


def audience(insights: dict[str, dict[str, Any]], colours: dict[str, str]) -> Figure:
    """Lines: how loyal the audience is and how fresh ads are at the start of each day, for each plan."""
    long = pd.concat(
        pd.DataFrame(
            {"policy": policy, "day": range(1, len(values) + 1), "state": state, "value": values}
        )
        for policy, insight in insights.items()
        for state, values in insight.items()
        if state in {"loyalty", "freshness"}
    )
    with _axes((6, 3.4)) as (figure, axes):
        order = list(reversed(insights))  # the leading policy is drawn last, on top
        lines = long.reset_index(drop=True)
        sns.lineplot(
            lines,
            x="day",
            y="value",
            hue="policy",
            hue_order=order,
            style="state",
            markers=True,
            palette=colours,
            ax=axes,
        )
        axes.set(
            title="Loyalty of the audience and freshness of ads",
            xlabel="day",
            ylabel="share of the most",
            ylim=(0, 1.05),
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend_below(figure, axes, columns=2)
    return figure


def marginal(insights: dict[str, dict[str, Any]], channels: Sequence[str]) -> Figure:
    """Heat maps, a panel a plan: what one more unit is worth over the rest of the campaign, by channel and day."""
    least = min(float(insight["marginal"].min()) for insight in insights.values())
    most = max(float(insight["marginal"].max()) for insight in insights.values())
    days = len(next(iter(insights.values()))["marginal"])
    with _theme():
        figure = Figure(figsize=(6, 1.8 * len(insights) + 0.4), dpi=DPI, layout="constrained")
        for axes, (policy, insight) in zip(
            figure.subplots(len(insights), squeeze=False).flatten(), insights.items(), strict=True
        ):
            text = [
                [
                    f"{value:.1f}\n{limit}".strip()
                    for value, limit in zip(values, limits, strict=True)
                ]
                for values, limits in zip(insight["marginal"].T, insight["binding"].T, strict=True)
            ]
            frame = pd.DataFrame(
                insight["marginal"].T, index=list(channels), columns=range(1, days + 1)
            )
            sns.heatmap(
                frame,
                annot=pd.DataFrame(text).to_numpy(),
                fmt="",
                cmap="Purples",
                vmin=least,
                vmax=most,
                ax=axes,
            )
            axes.set(title=policy, xlabel="day", ylabel="")
            axes.tick_params(axis="y", rotation=0)
    return figure


def share_of_optimum(campaigns: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Horizontal bars, best first: each policy's share of the optimum, a dot for each training seed."""
    seeds = campaigns.groupby(["policy", "seed"], dropna=False, as_index=False)[
        "share_of_optimum"
    ].mean()
    means = seeds.groupby("policy")["share_of_optimum"].mean().sort_values(ascending=False)
    order = list(means.index)
    several = seeds.groupby("policy").filter(lambda group: len(group) > 1)
    with _axes((6, 0.32 * len(order) + 1)) as (figure, axes):
        sns.barplot(
            seeds,
            x="share_of_optimum",
            y="policy",
            order=order,
            hue="policy",
            palette=colours,
            saturation=1,
            errorbar=None,
            ax=axes,
        )
        if len(several):
            sns.stripplot(
                several,
                x="share_of_optimum",
                y="policy",
                order=order,
                color="black",
                size=3,
                jitter=False,
                ax=axes,
            )
        for position, value in enumerate(means):
            axes.annotate(
                percent(float(value)),
                (value, position),
                (4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 1.001 * float(means.max())])
        axes.set(xlabel="share of the optimum", ylabel="", xlim=(0, 1.22 * float(means.max())))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def gap_closed(
    closed: dict[str, Interval], seeds: dict[str, FloatArray], colours: dict[str, str]
) -> Figure:
    """Horizontal bars, best first: which part of a gap each policy closes, its interval, a dot for each seed."""
    order = sorted(closed, key=lambda name: -closed[name].value)
    with _axes((6, 0.36 * len(order) + 1)) as (figure, axes):
        for position, name in enumerate(order):
            found = closed[name]
            low, high = found.low, found.high
            axes.barh(position, found.value, color=colours[name])
            if low is not None and high is not None and found.kind != "exact":
                axes.plot([low, high], [position, position], color="black", linewidth=1.5)
            if len(seeds[name]) > 1:
                axes.plot(
                    seeds[name],
                    np.full(len(seeds[name]), position),
                    "o",
                    color="black",
                    markersize=3,
                )
            ends = [
                value for value in (found.value, low, high, *seeds[name], 0.0) if value is not None
            ]
            text = f"{found.value:.0%}".replace("-", "\N{MINUS SIGN}")
            axes.annotate(
                text, (max(ends), position), (5, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(range(len(order)), order)
        axes.yaxis.grid(False)
        axes.invert_yaxis()
        axes.axvline(0.0, color="black", linewidth=1)
        axes.margins(x=0.14)
        axes.set(xlabel="gap closed")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def gain_by_group(
    gains: dict[str, list[Interval]],
    groups: Sequence[str],
    xlabel: str,
    ylabel: str,
    colours: dict[str, str],
) -> Figure:
    """Points with intervals, a column for each group: by how much each policy gains."""
    with _axes((6, 3.6)) as (figure, axes):
        greys = iter(("#555555", "#a0a0a0"))
        places = np.linspace(-0.18, 0.18, len(gains))
        for place, marker, (name, found) in zip(places, "os^Dv", gains.items(), strict=False):
            colour = (
                next(greys, _YARDSTICK_COLOUR)
                if colours[name] == _YARDSTICK_COLOUR
                else colours[name]
            )
            x = np.arange(len(groups)) + place
            axes.plot(x, [gain.value for gain in found], marker, color=colour, label=name)
            for at, gain in zip(x, found, strict=True):
                if gain.low is not None and gain.high is not None:
                    axes.plot([at, at], [gain.low, gain.high], color=colour)
        axes.axhline(0.0, color="black", linewidth=1)
        axes.xaxis.grid(False)
        axes.set_xticks(range(len(groups)), groups)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:+,.0f}"))
        _legend_below(figure, axes)
    return figure


def single_campaigns(
    rows: Sequence[Played], channels: Sequence[str], metrics: Sequence[str]
) -> Figure:
    """Small multiples, a row a campaign: stacked bars of each policy's spend by day, and lines of the metrics seen."""
    with _theme():
        figure = Figure(figsize=(6.6, 2.7 * len(rows) + 0.5), dpi=DPI, layout="constrained")
        for part, row in zip(
            figure.subfigures(len(rows), squeeze=False).flatten(), rows, strict=True
        ):
            part.suptitle(row.title, fontsize=12, fontweight="bold")
            *left, right = part.subplots(1, len(row.spends) + 1)
            for axes, (policy, days) in zip(left, row.spends.items(), strict=True):
                long = days.melt(
                    id_vars="day", value_vars=list(channels), var_name="channel", value_name="spend"
                )
                _stacked(long, channels, policy, axes, legend=False)
                axes.set(ylabel="spend" if axes is left[0] else "", xticks=days["day"])
                axes.xaxis.grid(False)
            for metric in metrics:
                right.plot(
                    row.seen["day"], row.seen[metric], "o-", markersize=3, color=COLOURS[metric]
                )
            right.set(title="counts seen", xlabel="day", ylim=(0, None), xticks=row.seen["day"])
        marks: list[Artist] = [Patch(color=COLOURS[name], label=name) for name in channels]
        marks += [Line2D([], [], color=COLOURS[name], marker="o", label=name) for name in metrics]
        order = [
            mark
            for pair in zip(marks[: len(channels)], marks[len(channels) :], strict=True)
            for mark in pair
        ]
        figure.legend(handles=order, loc="outside lower center", ncols=len(channels), frameon=False)
    return figure


def _legend_below(figure: Figure, axes: Axes, columns: int | None = None) -> None:
    """One legend under the picture, so that a narrow screen gives the width to what is drawn."""
    own = axes.get_legend()
    handles, labels = axes.get_legend_handles_labels()
    if own is not None:
        handles, labels = (
            [handle for handle in own.legend_handles if handle],
            [text.get_text() for text in own.get_texts()],
        )
        own.remove()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns or min(len(labels), 3),
        frameon=False,
    )


def _stacked(
    long: pd.DataFrame, channels: Sequence[str], title: str, axes: Axes, legend: bool
) -> None:
    palette = {name: COLOURS[name] for name in channels}
    options: dict[str, Any] = {
        "multiple": "stack",
        "discrete": True,
        "shrink": 0.8,
        "alpha": 1,
        "edgecolor": "white",
    }
    sns.histplot(
        long,
        x="day",
        weights="spend",
        hue="channel",
        hue_order=list(reversed(channels)),
        palette=palette,
        ax=axes,
        legend=legend,
        **options,
    )
    axes.set(title=title, xlabel="day", ylabel="spend [budget units]")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


@contextmanager
def _theme() -> Iterator[None]:
    with (
        sns.axes_style("whitegrid", {"axes.edgecolor": "#888888"}),
        sns.plotting_context("notebook"),
        mpl.rc_context({"font.size": 10}),
    ):
        yield


@contextmanager
def _axes(size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    with _theme():
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        yield figure, figure.subplots()
