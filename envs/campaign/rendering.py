"""Pictures of a single campaign: a small table, and the article's daily bars."""

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model
from envs.campaign.params import CHANNELS, METRICS, CampaignParams, FloatArray

METRIC_COLOURS = {"likes": "skyblue", "comments": "lightgreen", "shares": "salmon"}
RENDER_MODES = ("ansi", "rgb_array")


def ansi(params: CampaignParams, spend: FloatArray, metrics: FloatArray) -> str:
    """A table of the days played: spend (days, 3) [bu/day], metrics (days, 3) [counts/day]."""
    header = ["day", *CHANNELS, *METRICS, "engagement"]
    table = np.column_stack([spend, metrics, model.engagement(params, metrics)])
    lines = ["".join(f"{name:>11}" for name in header)]
    labels = [*map(str, range(1, len(table) + 1)), "total"]
    for label, values in zip(labels, [*table, table.sum(axis=0)], strict=True):
        lines.append(f"{label:>11}" + "".join(f"{value:>11.1f}" for value in values))
    return "\n".join(lines) + "\n"


def rgb_array(params: CampaignParams, metrics: FloatArray) -> NDArray[np.uint8]:
    """The metrics of the days played, (days, 3) [counts/day], as bars: an image (400, 800, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    days = np.arange(1, len(metrics) + 1)
    for offset, name, values in zip((-0.25, 0.0, 0.25), METRICS, metrics.T, strict=True):
        axes.bar(days + offset, values, 0.25, label=name, color=METRIC_COLOURS[name])
    axes.set(
        xlabel="day", ylabel="metric [counts/day]", title=f"Day {len(metrics)} of {params.days}"
    )
    axes.set_xlim(0.5, params.days + 0.5)
    ceiling = float(params.played_ceiling[len(CHANNELS) :].max())
    axes.set_ylim(0.0, max(ceiling, float(metrics.max(initial=0.0))))
    axes.set_xticks(np.arange(1, params.days + 1))
    axes.grid(axis="y", linestyle="--", alpha=0.7)
    axes.legend(loc="upper right")
    canvas.draw()  # type: ignore[no-untyped-call]
    image: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return image
