"""Colours, patterns and markers that tell channels and metrics apart in pictures."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from envs.campaign.params import CampaignParams

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


class Look(NamedTuple):
    """How a channel or metric is drawn."""

    colour: str  # of its bars and lines
    hatch: str = ""  # pattern of its bars
    marker: str = "o"  # of the points on its lines
    dash: str = "-"  # style of its lines


def looks(params: CampaignParams) -> dict[str, Look]:
    """The look of each channel and metric by name; no two channels, or metrics, share theirs."""
    colours = _colours((*params.channels, *params.metrics))
    return {
        name: _look(colours[name], position - PLAIN)
        for names in (params.channels, params.metrics)
        for position, name in enumerate(names)
    }


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
