"""Charts that fit any environment, and what all charts share: theme, legend, policy colours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from evaluate.learning import Curve
from evaluate.report.wording import short
from evaluate.results import SHARE
from evaluate.statistics import FloatArray, Interval, performance_profile
from train.play import percent

_POLICY_COLOURS = ("#6a3d9a", "#1f78b4", "#b15928", "#e31a1c", "#33a02c", "#ff7f00")
BASELINE_COLOUR = "#b0b0b0"
DPI = 160
LETTER, LINE = 0.08, 0.22  # width of a letter and height of a line of a legend [inches]


def policy_colours(names: Sequence[str], trained: Sequence[str]) -> dict[str, str]:
    """A colour for each policy: its own for a trained one, grey for a baseline."""
    own = {name: _POLICY_COLOURS[i % len(_POLICY_COLOURS)] for i, name in enumerate(trained)}
    return {name: own.get(name, BASELINE_COLOUR) for name in names}


def learning_curves(
    curves: dict[str, Curve],
    labels: dict[str, str],
    colours: dict[str, str],
    best: tuple[str, float] | None,
) -> Figure:
    """What the agents earned while they learned: a line a policy, its interval as a band.

    ``labels`` are a title and labels of the axes for ``Axes.set``, ``best`` are the name and the
    value of a line to compare with.
    """
    with axes_of((6, 4)) as (figure, axes):
        for policy, curve in curves.items():
            colour = colours[policy]
            axes.plot(curve.x, curve.center, color=colour, label=policy)
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.25, linewidth=0)
        if best is not None:
            name, value = best
            axes.axhline(value, color="black", linewidth=1, linestyle=":", label=name)
        axes.set(xscale="log", **labels)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: short(value, exact_below=1e3))
        )
        write_numbers(axes.yaxis)
        legend_below(figure, axes)
    return figure


def profile(shares: dict[str, FloatArray], xlabel: str, colours: dict[str, str]) -> Figure:
    """Steps: which part of all training seeds and episodes earned more than each share."""
    least = min(float(values.min()) for values in shares.values())
    most = max(1.0, *(float(values.max()) for values in shares.values()))
    thresholds = np.linspace(least - 0.1 * (most - least), most, 400)
    with axes_of((6, 3.2)) as (figure, axes):
        for policy, values in shares.items():
            above, colour = performance_profile(values, thresholds), colours[policy]
            axes.plot(thresholds, above, drawstyle="steps-post", color=colour, label=policy)
        axes.set(title="Performance profile", xlabel=xlabel, ylabel="earned more than that")
        axes.set(ylim=(-0.02, 1.04))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        legend_below(figure, axes)
    return figure


def shares(episodes: pd.DataFrame, xlabel: str, colours: dict[str, str]) -> Figure:
    """Horizontal bars, best first: each policy's share of the optimum, a dot for each seed."""
    seeds = episodes.groupby(["policy", "seed"], dropna=False, as_index=False)[SHARE].mean()
    means = seeds.groupby("policy")[SHARE].mean().sort_values(ascending=False)
    several = seeds.groupby("policy").filter(lambda group: len(group) > 1)
    most = float(means.max())
    with axes_of((6, 0.32 * len(means) + 1)) as (figure, axes):
        place: dict[str, Any] = {"x": SHARE, "y": "policy", "order": list(means.index), "ax": axes}
        sns.barplot(seeds, **place, hue="policy", palette=colours, saturation=1, errorbar=None)
        if len(several):
            sns.stripplot(several, **place, color="black", size=3, jitter=False)
        for position, value in enumerate(means):
            text = percent(float(value))
            axes.annotate(text, (value, position), (4, 0), textcoords="offset points", va="center")
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 1.001 * most])
        axes.set(xlabel=xlabel, ylabel="", xlim=(0, 1.22 * most))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def gap_closed(
    closed: dict[str, Interval], seeds: dict[str, FloatArray], colours: dict[str, str]
) -> Figure:
    """Horizontal bars, best first: how much of a gap each policy closes, its interval, seeds."""
    order = sorted(closed, key=lambda name: -closed[name].value)
    with axes_of((6, 0.36 * len(order) + 1)) as (figure, axes):
        for position, name in enumerate(order):
            value, low, high, kind = closed[name]
            axes.barh(position, value, color=colours[name])
            if low is not None and high is not None and kind != "exact":
                axes.plot([low, high], [position, position], color="black", linewidth=1.5)
            dots = seeds[name] if len(seeds[name]) > 1 else np.zeros(0)
            axes.plot(dots, np.full(len(dots), position), "o", color="black", markersize=3)
            ends = (end for end in (value, low, high, *dots, 0.0) if end is not None)
            text = f"{round(value, 2) + 0.0:.0%}".replace("-", "\N{MINUS SIGN}")  # never -0 %
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


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend under the picture, so that a narrow screen gives the width to what is drawn."""
    handles, labels = axes.get_legend_handles_labels()
    if own := axes.get_legend():
        handles = [handle for handle in own.legend_handles if handle]
        labels = [text.get_text() for text in own.get_texts()]
        own.remove()
    legend_of(figure, dict(zip(labels, handles, strict=True)))


def legend_of(figure: Figure, marks: Mapping[str, Artist]) -> None:
    """A legend under the picture, which grows by what more than one row of it takes."""
    width, height = figure.get_size_inches()
    fitting = int(width / (0.65 + LETTER * max(map(len, marks))))
    rows = -(-len(marks) // max(1, fitting))
    columns = -(-len(marks) // rows)
    figure.set_size_inches(width, height + LINE * (rows - 1))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(marks.values(), marks.keys(), **place)


def write_numbers(axis: Axis, sign: str = "") -> None:
    """Writes the ticks of an axis as people write numbers: 0.002, 2,000, 1.5M."""
    form = FuncFormatter(lambda value, _: (sign if value > 0 else "") + short(value, 6))
    axis.set_major_formatter(form)


@contextmanager
def theme() -> Iterator[None]:
    """The look of all charts."""
    with (
        sns.axes_style("whitegrid", {"axes.edgecolor": "#888888"}),
        sns.plotting_context("notebook"),
        mpl.rc_context({"font.size": 10}),
    ):
        yield


@contextmanager
def axes_of(size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    """A figure of one picture, ``size`` in inches, and its axes."""
    with theme():
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        yield figure, figure.subplots()
