"""Charts of ad timing: the chance to show an ad against k, and when ads are shown."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from envs.ad_timing.model import BoolArray
from evaluate.report.charts import BASELINE_COLOUR, axes_of, legend_below

SHOWN_ITEMS = 60  # of a schedule
STYLES = (":", "--")  # of the best rules


def show_by_k(chances: pd.DataFrame, rules: dict[str, int], colours: dict[str, str]) -> Figure:
    """Lines of ``chance`` by ``k`` for each ``policy`` and ``seed``, and the best rules' k."""
    most = max(int(chances["k"].max()), *rules.values())
    with axes_of((6, 4)) as (figure, axes):
        for policy, by_policy in chances.groupby("policy"):
            label: str | None = str(policy)
            for _, line in by_policy.groupby("seed"):
                colour = colours[str(policy)]
                axes.plot(line["k"], line["chance"], ".-", color=colour, alpha=0.8, label=label)
                label = None
        for (name, least), style_of in zip(rules.items(), STYLES, strict=False):
            k = np.arange(most + 1)
            axes.step(k, k >= least, where="mid", color="black", linestyle=style_of, label=name)
        axes.set(title="When an ad is shown", xlabel="items since the start or the last ad, k")
        axes.set(ylabel="chance to show an ad", ylim=(-0.03, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        legend_below(figure, axes)
    return figure


def timeline(schedules: dict[str, BoolArray]) -> Figure:
    """A line for each schedule (items,), with a mark before each item that has an ad."""
    with axes_of((7, 0.28 * len(schedules) + 1)) as (figure, axes):
        for place, schedule in enumerate(schedules.values()):
            axes.hlines(place, 1, len(schedule), color=BASELINE_COLOUR, linewidth=1)
            ads = np.flatnonzero(schedule) + 1
            axes.plot(ads, np.full(len(ads), place), "|", color="black", markersize=9)
        axes.set_yticks(range(len(schedules)), list(schedules))
        axes.invert_yaxis()
        axes.grid(False)
        axes.set(xlabel="item", xlim=(0, SHOWN_ITEMS + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
