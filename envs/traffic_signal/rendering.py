"""Pictures of a junction: a few lines of text, and a plan seen from above."""

import numpy as np
from numpy.typing import NDArray

from envs.traffic_signal.model import State
from envs.traffic_signal.params import STEP

NAMES = ("north-south", "east-west")
MOST_DRAWN = 30  # vehicles of an approach


def ansi(state: State) -> str:
    """The time, and for each approach its light and its queue, a mark for each vehicle."""
    lines = [f"{_clock(state)}, green for {int(state.green) * STEP} s"]
    for approach, (name, queue) in enumerate(zip(NAMES, state.queues.tolist(), strict=True)):
        light = "red" if approach != state.phase else "green" if state.green else "clearing"
        marks = "o" * min(queue, MOST_DRAWN) + "..." * (queue > MOST_DRAWN)
        lines.append(f"{name:<12}{light:<9}{queue:>4} {marks}".rstrip())
    return "\n".join(lines) + "\n"


def rgb_array(state: State) -> NDArray[np.uint8]:
    """The two roads with their queues and lights from above: an image (400, 400, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-20, 20), ylim=(-20, 20), xticks=[], yticks=[], facecolor="#dfe8d8")
    axes.axvspan(-2, 2, color="#8c8c8c")
    axes.axhspan(-2, 2, color="#8c8c8c")
    for approach, queue in enumerate(state.queues.tolist()):
        colour = "#d62728" if approach != state.phase else "#2ca02c" if state.green else "#ffbf00"
        places = -4.0 - np.arange(min(queue, MOST_DRAWN)) * 15.5 / MOST_DRAWN
        across = np.ones_like(places)
        x, y = ((-across, -places), (places, -across))[approach]
        axes.plot(x, y, "s", color="#1f3b73", markersize=5)
        light = ((-1.0, 2.6), (-2.6, -1.0))[approach]
        axes.plot(*light, "o", color=colour, markersize=11, markeredgecolor="black")
        where = ((3.0, 10.0), (-19.0, -4.5))[approach]
        axes.annotate(f"{NAMES[approach]}: {queue}", where, fontsize=11)
    axes.annotate(_clock(state), (4.0, -18.5), fontsize=11)
    canvas.draw()  # type: ignore[no-untyped-call]
    image: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return image


def _clock(state: State) -> str:
    """The time since the episode began: 1:05:30."""
    seconds = int(state.step) * STEP
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
