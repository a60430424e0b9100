"""Pictures of a single campaign: a small table, and the article's daily bars."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model
from envs.campaign.params import CampaignParams, FloatArray

ARTICLE_COLOURS = {
    "likes": "skyblue",
    "comments": "lightgreen",
    "shares": "salmon",
    "posts": "#4c72b0",
    "ads": "#dd8452",
    "rewards": "#55a868",
}
PALETTE = "petroff10"  # ten colours that colour-blind readers tell apart (Petroff 2021)
PLAIN = 6  # channels, and metrics, that differ by colour alone; the others have patterns, too
HATCHES = ("////", "....", "xxxx", "\\\\\\\\", "||||", "----")
MARKERS, DASHES = "sD^vP*", ("--", ":", "-.")
RENDER_MODES = ("ansi", "rgb_array")


class Look(NamedTuple):
    """How a channel or metric is drawn.

    Attributes:
        colour: Of its bars and lines.
        hatch: Pattern of its bars.
        marker: Of the points on its lines.
        dash: Style of its lines.
    """

    colour: str
    hatch: str = ""
    marker: str = "o"
    dash: str = "-"


class Named(Protocol):
    """Whatever has channels and metrics."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Their names."""


def looks(params: Named) -> dict[str, Look]:
    """The look of each channel and metric by name; no two channels, or metrics, share theirs."""
    colours = _colours((*params.channels, *params.metrics))
    return {
        name: _look(colours[name], position - PLAIN)
        for names in (params.channels, params.metrics)
        for position, name in enumerate(names)
    }


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


def _colours(names: Iterable[str]) -> dict[str, str]:
    """The article's colours for its names; for others the palette without what is like those."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex, to_rgb

    palette = np.array(mpl.color_sequences[PALETTE])  # (colours, red green blue)
    own = {name: ARTICLE_COLOURS[name] for name in names if name in ARTICLE_COLOURS}
    like = {int(((palette - to_rgb(colour)) ** 2).sum(axis=1).argmin()) for colour in own.values()}
    free = [to_hex(colour) for i, colour in enumerate(palette) if i not in like]
    others = [name for name in names if name not in own]
    return own | {name: free[i % len(free)] for i, name in enumerate(others)}


def _look(colour: str, beyond: int) -> Look:
    if beyond < 0:
        return Look(colour)
    return Look(colour, HATCHES[beyond], MARKERS[beyond], DASHES[beyond % len(DASHES)])


def _written(column: FloatArray) -> list[str]:
    """Numbers with one digit after the point, or as many as three that count in them need."""
    largest = float(column.max(initial=0.0))
    after_point = 1 if largest >= 1.0 or not largest else 2 - int(np.floor(np.log10(largest)))
    return [f"{value:.{after_point}f}" for value in column.tolist()]
