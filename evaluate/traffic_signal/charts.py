"""Charts of traffic signals: delay by policy, queues over time, and when the signal switches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from envs.traffic_signal.params import STEP, SignalParams, rates_at
from evaluate.report.charts import BASELINE_COLOUR, DPI, axes_of, legend_of, theme
from evaluate.report.wording import Form
from evaluate.statistics import Interval

MOST_SHOWN = 2.5  # times the median delay; a longer bar would leave the others no room
POINTS = 60  # in time
MOST_QUEUE = 15  # vehicles in the picture of switches
LEAST_SEEN = 20  # decisions in a cell of it
LOADS = ("north-south", "east-west")
LOOKS: tuple[dict[str, Any], ...] = ({"color": "#d95f02"}, {"color": "#1b7837", "dashes": (4, 2)})
GREYS, DASHES = ("#555555", "#8c8c8c", "#b0b0b0"), ("-", "--", ":")


def before_decisions(steps: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The steps of some policies, with queues and phase as they were before each decision."""
    chosen = steps[steps["policy"].isin(names)]
    last = chosen.groupby(["policy", "seed", "episode"], dropna=False, sort=False)
    before = last[["queue_ns", "queue_ew", "phase", "switched"]].shift(1).fillna(0)
    is_ns = before["phase"] == 0
    return chosen.assign(
        at_green=before["queue_ns"].where(is_ns, before["queue_ew"]).astype(int),
        at_red=before["queue_ew"].where(is_ns, before["queue_ns"]).astype(int),
        may_switch=before["switched"] == 0,
        waiting=chosen["queue_ns"] + chosen["queue_ew"],
    )


def delays(means: Mapping[str, Interval], colours: Mapping[str, str], form: Form) -> Figure:
    """Horizontal bars, shortest first: the mean delay of each policy with its interval [s/veh]."""
    order = sorted(means, key=lambda name: means[name].value)
    most = MOST_SHOWN * float(np.median([means[name].value for name in order]))
    with axes_of((6, 0.36 * len(order) + 1)) as (figure, axes):
        for place, name in enumerate(order):
            value, low, high, _ = means[name]
            axes.barh(place, min(value, most), color=colours[name])
            end = value if high is None else high
            if low is not None and high is not None and high <= most:
                axes.plot([low, high], [place, place], color="black", linewidth=1.5)
            at, offset = (min(end, most), place), (5, 0)
            axes.annotate(form(value), at, offset, textcoords="offset points", va="center")
        axes.set_yticks(range(len(order)), order)
        axes.yaxis.grid(False)
        axes.invert_yaxis()
        longest = max(min(means[name].high or 0.0, most) for name in order)
        axes.set(xlabel="mean delay [s/veh]", xlim=(0, 1.2 * longest))
    return figure


def queues_by_time(steps: pd.DataFrame) -> dict[str, pd.Series]:
    """Mean number of waiting vehicles of each policy in equal parts of the episode, by minute."""
    last = int(steps["step"].max())
    width = -(-last // POINTS)
    part = (steps["step"] - 1) // width
    means = steps.groupby([steps["policy"], part], sort=False)["waiting"].mean()
    minutes = STEP / 60 * width
    return {
        str(name): pd.Series(values.to_numpy(), (values.index.get_level_values(1) + 0.5) * minutes)
        for name, values in means.groupby(level=0, sort=False)
    }


def queues(
    means: Mapping[str, pd.Series], params: SignalParams, colours: Mapping[str, str]
) -> Figure:
    """Lines: waiting vehicles of each policy over time, and the load of both roads below."""
    with theme():
        figure = Figure(figsize=(6, 4.6), dpi=DPI, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        greys = iter(zip(GREYS, DASHES, strict=True))
        marks = {}
        for name, values in means.items():
            is_grey = colours[name] == BASELINE_COLOUR
            colour, dash = next(greys) if is_grey else (colours[name], "-")
            (marks[name],) = above.plot(values, color=colour, linestyle=dash, label=name)
        above.set(ylabel="waiting [veh]", ylim=(0, None))
        minutes = np.linspace(0, params.episode / 60, 200)
        loads = rates_at(params, 60 * minutes) / params.saturation_flow
        for name, load, look in zip(LOADS, loads.T, LOOKS, strict=True):
            (marks[name],) = below.plot(minutes, load, label=name, **look)
        total = loads.sum(axis=1)
        (marks["load of both"],) = below.plot(minutes, total, color="black", linewidth=1)
        below.set(xlabel="time since the start [min]", ylabel="load", ylim=(0, 1.25 * total.max()))
        below.yaxis.set_major_formatter(PercentFormatter(1.0))
        legend_of(figure, marks)
    return figure


def switching(steps: pd.DataFrame) -> pd.DataFrame:
    """Share of switches where one is possible, by vehicles at green (rows) and at red (columns)."""
    free = steps[steps["may_switch"] & (steps[["at_green", "at_red"]].max(axis=1) <= MOST_QUEUE)]
    every = np.arange(MOST_QUEUE + 1)
    place: dict[str, Any] = {"index": "at_green", "columns": "at_red", "values": "switched"}
    decided = free.astype({"switched": float})
    shares = decided.pivot_table(**place, aggfunc="mean").reindex(index=every, columns=every)
    sizes = decided.pivot_table(**place, aggfunc="size").reindex(index=every, columns=every)
    return shares.where(sizes >= LEAST_SEEN)


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Share of the cells that both have in which both mostly do the same."""
    shares = np.stack([first.to_numpy(), second.to_numpy()])
    mostly = shares[:, np.isfinite(shares).all(axis=0)] > 0.5
    return float((mostly[0] == mostly[1]).mean())


def switches(shares: Mapping[str, pd.DataFrame]) -> Figure:
    """Heat maps, a panel a policy: the share of switches by both queues."""
    with theme():
        figure = Figure(figsize=(6, 3.3), dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(shares), sharey=True)
        for axes, (name, share) in zip(panels, shares.items(), strict=True):
            sns.heatmap(share, ax=axes, cmap="Purples", vmin=0, vmax=1, cbar=False, square=True)
            axes.set_facecolor("#d9d9d9")
            axes.grid(visible=False)
            axes.invert_yaxis()
            ticks = np.arange(0, MOST_QUEUE + 1, 5)
            axes.set_xticks(ticks + 0.5, ticks)
            axes.set_yticks(ticks + 0.5, ticks)
            axes.tick_params(rotation=0)
            axes.set(title=name, xlabel="waiting at red [veh]", ylabel="")
        panels[0].set_ylabel("waiting at green [veh]")
        bar = figure.colorbar(panels[-1].collections[0], ax=panels, shrink=0.8)
        bar.set_label("share of switches")
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure
