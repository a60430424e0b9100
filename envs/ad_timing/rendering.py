"""Pictures of a single session: a line of signs, and a strip of cells."""

import numpy as np
from numpy.typing import NDArray

CELL, WIDTH = 8, 50  # pixels, cells in a row
AHEAD, ITEM, AD, SKIPPED = (235, 235, 235), (76, 114, 176), (221, 132, 82), (90, 90, 90)


def ansi(shown: NDArray[np.bool_], watched: int, value: float) -> str:
    """A sign for each decision: ``A`` an ad and ``.`` none; then the totals."""
    signs = "".join("A" if ad else "." for ad in shown.tolist())
    return f"{signs}\n{watched} items, {int(shown.sum())} ads, value {value:.2f}\n"


def rgb_array(shown: NDArray[np.bool_], watched: int, max_items: int) -> NDArray[np.uint8]:
    """A cell for each item: blue, orange after an ad, dark where the ad drove the user away."""
    colours = np.full((-(-max_items // WIDTH) * WIDTH, 3), AHEAD, np.uint8)
    colours[: len(shown)] = np.where(shown[:, np.newaxis], AD, ITEM)
    colours[watched : len(shown)] = SKIPPED  # the last one alone
    cells = colours.reshape(-1, WIDTH, 3)
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)
