"""Pictures of a delivery: a table of its moves, and its route on a map of the city."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.delivery.city import DIRECTIONS, City, IntArray

WIDTHS = (1.2, 5.0)  # of the slowest and the fastest street [points]
STREET, ROUTE = "#d0d0d0", "#6a3d9a"


def ansi(city: City, route: IntArray, goal: int) -> str:
    """A table of the moves; ``route`` (moves + 1, 2) has the crossings and the clock there."""
    rows = [("minute", "from", "turn", "to", "minutes")]
    for (start, left), (end, arrived) in pairwise(route):
        turn = "none"
        if start != end:
            turn = DIRECTIONS[int((city.end[start] == end).argmax())]
        rows.append((str(left), _name(city, start), turn, _name(city, end), str(arrived - left)))
    minutes = route[-1, 1] - route[0, 1]
    lines = ["".join(cell.rjust(9) for cell in row) for row in rows]
    at, customer = _name(city, route[-1, 0]), _name(city, goal)
    return "\n".join([*lines, f"after {minutes} min at {at}; the customer is at {customer}"]) + "\n"


def rgb_array(city: City, route: IntArray, goal: int) -> NDArray[np.uint8]:
    """The route so far on the map: an image (500, 500, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw_map(axes, city)
    row, column = city.place[route[:, 0]].T
    axes.plot(column, row, color=ROUTE, linewidth=3, zorder=3)
    mark(axes, city, int(route[0, 0]), goal)
    axes.plot(column[-1], row[-1], "o", color=ROUTE, markersize=11, zorder=5)
    minutes = route[-1, 1] - route[0, 1]
    axes.set_title(f"{minutes} min on the way, minute {route[-1, 1]} of the evening")
    canvas.draw()  # type: ignore[no-untyped-call]
    image: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return image


def draw_map(axes: Any, city: City, thin: bool = False) -> None:
    """The streets: the wider the faster when free, or all thin; an arrow where one is one-way."""
    slowest, fastest = city.free[city.is_street].max(), city.free[city.is_street].min()
    for start, direction in np.argwhere(city.is_street):
        end = city.end[start, direction]
        speed = (slowest - city.free[start, direction]) / max(slowest - fastest, 1)
        (y, last_y), (x, last_x) = city.place[[start, end]].T
        width = WIDTHS[0] + speed * (WIDTHS[1] - WIDTHS[0]) * (not thin)
        axes.plot([x, last_x], [y, last_y], color=STREET, linewidth=width, zorder=1)
        if not city.is_street[end, (direction + 2) % len(DIRECTIONS)]:
            middle = ((x + last_x) / 2, (y + last_y) / 2)
            tail = (x + 0.42 * (last_x - x), y + 0.42 * (last_y - y))
            arrow = {"arrowstyle": "-|>", "color": "#707070", "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", middle, tail, arrowprops=arrow, zorder=2)
    rows, columns = city.place.max(axis=0)
    axes.set(xlim=(-0.5, columns + 0.5), ylim=(rows + 0.5, -0.5), aspect="equal")
    axes.axis("off")


def mark(axes: Any, city: City, restaurant: int, customer: int) -> None:
    """Marks the ends of a delivery on the map: R and C."""
    for place, letter in ((restaurant, "R"), (customer, "C")):
        row, column = city.place[place]
        axes.text(
            column,
            row,
            letter,
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            zorder=6,
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "black"},
        )


def _name(city: City, crossing: int) -> str:
    row, column = city.place[crossing].tolist()
    return f"({row}, {column})"
