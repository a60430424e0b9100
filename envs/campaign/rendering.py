"""Pictures of a single campaign: a small table, and the article's daily bars."""

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model
from envs.campaign.looks import looks
from envs.campaign.params import CampaignParams, FloatArray


def ansi(params: CampaignParams, spend: FloatArray, metrics: FloatArray) -> str:
    """A table of the days played: spend (days, channels), metrics (days, metrics)."""
    header = ["day", *params.channels, *params.metrics, "engagement"]
    table = np.column_stack([spend, metrics, model.engagement(params, metrics)])
    numbers = np.vstack([table, table.sum(axis=0)])
    labels = [*map(str, range(1, len(table) + 1)), "total"]
    columns = [labels, *map(_written, numbers.T)]
    cells = [[name, *column] for name, column in zip(header, columns, strict=True)]
    widths = [max(11, 2 + max(map(len, column))) for column in cells]
    lines = ("".join(map(str.rjust, row, widths)) for row in zip(*cells, strict=True))
    return "\n".join(lines) + "\n"


def rgb_array(params: CampaignParams, metrics: FloatArray) -> NDArray[np.uint8]:
    """The metrics of the days played, (days, metrics), as bars: an image (400, 800, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    days, width = np.arange(1, params.days + 1), 0.75 / len(params.metrics)
    styles = looks(params)
    for i, (name, values) in enumerate(zip(params.metrics, metrics.T, strict=True)):
        places = days[: len(metrics)] + width * (i - (len(params.metrics) - 1) / 2)
        look = styles[name]
        axes.bar(places, values, width, label=name, color=look.colour, hatch=look.hatch)
    title = f"Day {len(metrics)} of {params.days}"
    axes.set(xlabel="day", ylabel="metric [counts/day]", title=title)
    most = max(params.played_ceiling[len(params.channels) :].max(), metrics.max(initial=0.0))
    axes.set(xlim=(0.5, params.days + 0.5), ylim=(0.0, float(most)), xticks=days)
    axes.grid(axis="y", linestyle="--", alpha=0.7)
    axes.legend(loc="upper right", ncols=-(-len(params.metrics) // 3))
    canvas.draw()  # type: ignore[no-untyped-call]
    image: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return image


def _written(column: FloatArray) -> list[str]:
    """Numbers with one digit after the point, or as many as three that count in them need."""
    largest = float(column.max(initial=0.0))
    after_point = 1 if largest >= 1.0 or not largest else 2 - int(np.floor(np.log10(largest)))
    return [f"{value:.{after_point}f}" for value in column.tolist()]
