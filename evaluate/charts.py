"""From tidy frames to pictures: one function a chart, one theme, one colour per channel, metric and policy."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from envs.campaign.rendering import METRIC_COLOURS
from train.play import percent

COLOURS = {**METRIC_COLOURS, "posts": "#4c72b0", "ads": "#dd8452", "rewards": "#55a868", "cumulative": "purple"}
_POLICY_COLOURS = ("#6a3d9a", "#1f78b4", "#b15928", "#e31a1c", "#33a02c", "#ff7f00")
_YARDSTICK_COLOUR = "#b0b0b0"


def policy_colours(names: Sequence[str], learned: Sequence[str]) -> dict[str, str]:
    """A colour for each policy: its own for a learned one, grey for a yardstick."""
    own = {name: _POLICY_COLOURS[i % len(_POLICY_COLOURS)] for i, name in enumerate(learned)}
    return {name: own.get(name, _YARDSTICK_COLOUR) for name in names}


def daily_metrics(days: pd.DataFrame, metrics: Sequence[str], title: str) -> Figure:
    """Grouped bars: what each day earned of each metric, averaged over campaigns."""
    long = days.melt(id_vars="day", value_vars=list(metrics), var_name="metric", value_name="counts")
    with _axes((9, 4.5)) as (figure, axes):
        palette = {name: COLOURS[name] for name in metrics}
        sns.barplot(long, x="day", y="counts", hue="metric", palette=palette, saturation=1, errorbar=None, ax=axes)
        axes.set(title=title, xlabel="day", ylabel="counts per day")
        axes.yaxis.grid(True, linestyle="--", alpha=0.7)
        _legend_outside(axes)
    return figure


def cumulative(days: pd.DataFrame, total: str, title: str) -> Figure:
    """A line with markers: what has come together up to each day, averaged over campaigns."""
    mean = days.groupby("day", as_index=False)[total].mean()
    mean[total] = mean[total].cumsum()
    with _axes((9, 4)) as (figure, axes):
        sns.lineplot(mean, x="day", y=total, color=COLOURS["cumulative"], marker="o", ax=axes)
        axes.set(title=title, xlabel="day", ylabel=f"cumulative {total}", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def learning_curves(progress: pd.DataFrame, total: str, colours: dict[str, str], optimum: float | None) -> Figure:
    """What the agents earned while they learned, a line a run, over environment steps on a logarithmic scale."""
    with _axes((9, 4.5)) as (figure, axes):
        sns.lineplot(
            progress,
            x="timesteps",
            y=total,
            hue="policy",
            palette=colours,
            units="run",
            estimator=None,
            alpha=0.8,
            ax=axes,
        )
        if optimum is not None:
            axes.axhline(optimum, color="black", linewidth=1, linestyle=":", label="optimum")
        axes.set(title="Engagement over training" if total == "engagement" else f"{total} over training", xscale="log")
        axes.set(xlabel="environment steps", ylabel=f"{total} per episode, exploration included")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _legend_outside(axes)
    return figure


def spend_by_day(days: pd.DataFrame, channels: Sequence[str], policies: Sequence[str]) -> Figure:
    """Stacked bars, a panel a policy: where each day's budget went, averaged over campaigns and training seeds."""
    mean = days[days["policy"].isin(policies)].groupby(["policy", "day"], as_index=False)[list(channels)].mean()
    long = mean.melt(id_vars=["policy", "day"], value_vars=list(channels), var_name="channel", value_name="spend")
    columns = min(len(policies), 2)
    rows = -(-len(policies) // columns)
    with _theme():
        figure = Figure(figsize=(4.5 * columns, 3.2 * rows + 0.3), dpi=110, layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
        for axes, policy in zip(grid, policies, strict=False):
            _stacked(long[long["policy"] == policy], channels, policy, axes, legend=axes is grid[columns - 1])
        for axes in grid[len(policies) :]:
            axes.set_visible(False)
    return figure


def audience(insights: dict[str, dict[str, Any]], colours: dict[str, str]) -> Figure:
    """Lines: how loyal the audience is and how fresh ads are at the start of each day, for each plan."""
    long = pd.concat(
        pd.DataFrame({"policy": policy, "day": range(1, len(values) + 1), "state": state, "value": values})
        for policy, insight in insights.items()
        for state, values in insight.items()
        if state in {"loyalty", "freshness"}
    )
    with _axes((9, 4)) as (figure, axes):
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
        _legend_outside(axes)
    return figure


def marginal(insights: dict[str, dict[str, Any]], channels: Sequence[str]) -> Figure:
    """Heat maps, a panel a plan: what one more unit is worth over the rest of the campaign, by channel and day."""
    least = min(float(insight["marginal"].min()) for insight in insights.values())
    most = max(float(insight["marginal"].max()) for insight in insights.values())
    days = len(next(iter(insights.values()))["marginal"])
    with _theme():
        figure = Figure(figsize=(9, 1.9 * len(insights) + 0.6), dpi=110, layout="constrained")
        for axes, (policy, insight) in zip(
            figure.subplots(len(insights), squeeze=False).flatten(), insights.items(), strict=True
        ):
            text = [
                [f"{value:.1f}\n{limit}".strip() for value, limit in zip(values, limits, strict=True)]
                for values, limits in zip(insight["marginal"].T, insight["binding"].T, strict=True)
            ]
            frame = pd.DataFrame(insight["marginal"].T, index=list(channels), columns=range(1, days + 1))
            sns.heatmap(
                frame, annot=pd.DataFrame(text).to_numpy(), fmt="", cmap="Purples", vmin=least, vmax=most, ax=axes
            )
            axes.set(title=policy, xlabel="day", ylabel="")
            axes.tick_params(axis="y", rotation=0)
    return figure


def share_of_optimum(campaigns: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Horizontal bars, best first: each policy's share of the optimum, a dot for each training seed."""
    seeds = campaigns.groupby(["policy", "seed"], dropna=False, as_index=False)["share_of_optimum"].mean()
    means = seeds.groupby("policy")["share_of_optimum"].mean().sort_values(ascending=False)
    order = list(means.index)
    several = seeds.groupby("policy").filter(lambda group: len(group) > 1)
    with _axes((9, 0.4 * len(order) + 1.2)) as (figure, axes):
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
                several, x="share_of_optimum", y="policy", order=order, color="black", size=3, jitter=False, ax=axes
            )
        for position, value in enumerate(means):
            axes.annotate(percent(float(value)), (value, position), (4, 0), textcoords="offset points", va="center")
        axes.set(xlabel="share of the optimum", ylabel="", xlim=(0, 1.1 * float(means.max())))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _legend_outside(axes: Axes) -> None:
    axes.legend(title=None, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _stacked(long: pd.DataFrame, channels: Sequence[str], title: str, axes: Axes, legend: bool) -> None:
    palette = {name: COLOURS[name] for name in channels}
    options: dict[str, Any] = {"multiple": "stack", "discrete": True, "shrink": 0.8, "alpha": 1, "edgecolor": "white"}
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
    if legend:
        sns.move_legend(axes, "upper left", bbox_to_anchor=(1.0, 1.0), title=None, frameon=False)


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
        figure = Figure(figsize=size, dpi=110, layout="constrained")
        yield figure, figure.subplots()
