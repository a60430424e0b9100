"""What past days cannot tell of a campaign, and what to do about it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from envs.campaign.params import FloatArray
from evaluate.campaign.calibrate.fitted import WEEKDAYS, Fitted, places_of
from evaluate.report.wording import listed

LEAST_MOVED = 0.05  # of the budget, on an average day
MOST_TOGETHER = 0.9  # correlation
LEAST_VARIATION = 0.1  # standard deviation over mean
MOST_SD = 0.9  # of the prior's

BLOCKS = {
    "counts": "strength",
    "half_saturation": "half-saturation",
    "carry_over": "carry-over",
    "loyalty_lift": "lift by loyalty",
    "loyalty_gain": "loyalty gained",
    "loyalty_decay": "loyalty lost",
    "fatigue": "fatigue",
    "fatigue_recovery": "recovery from fatigue",
    "base": "base",
    "weekday": "weekday factor",
    "dispersion": "dispersion",
    "shock_sd": "shared shock",
}
"""What the parameters are called, by the name of their prior."""


class Caveat(NamedTuple):
    """Something that past days cannot tell.

    Attributes:
        kind: ``split``, ``together``, ``steady``, ``weekday`` or ``prior``.
        text: What, and what to do about it.
    """

    kind: str
    text: str


def warnings_of(fitted: Fitted) -> tuple[Caveat, ...]:
    """All that the past days of a fitted campaign cannot tell."""
    is_untold = is_split_untold(fitted)
    found = {
        "split": _split(fitted) if is_untold else (),
        "together": () if is_untold else _together(fitted),
        "steady": _steady(fitted),
        "weekday": _weekday(fitted),
        "prior": _prior(fitted),
    }
    return tuple(Caveat(kind, text) for kind, texts in found.items() for text in texts)


def is_split_untold(fitted: Fitted) -> bool:
    """Whether the split of the budget hardly ever changed, so that these days cannot tell it."""
    return len(fitted.channels) > 1 and moved(fitted.past.spend) < LEAST_MOVED


def moved(spend: FloatArray) -> float:
    """Share of the budget that an average day puts elsewhere than the mean split [1].

    Args:
        spend: (days, channels) [bu/day]; days without spend do not count.
    """
    total = spend.sum(axis=1, keepdims=True)
    split = (spend / np.where(total > 0, total, 1.0))[total[:, 0] > 0]
    if not len(split):
        return 0.0
    return float(np.abs(split - split.mean(axis=0)).sum(axis=1).mean() / 2)


def _split(fitted: Fitted) -> Iterator[str]:
    share = moved(fitted.past.spend)
    yield (
        f"These days do not tell how to split the budget: on an average day {share:.1%} of it went "
        "elsewhere than usual. Which channel earned what is what was believed before. Vary the "
        "split: for two to four weeks put clearly more on one channel on some days and on another "
        "on others."
    )


def _together(fitted: Fitted) -> Iterator[str]:
    """Groups of channels each of which moved with another of the group."""
    spend = fitted.past.spend
    varying = np.flatnonzero(spend.std(axis=0) > 1e-9 * spend.mean(axis=0))
    if len(varying) < 2:
        return
    groups: list[set[int]] = [{int(channel)} for channel in varying]
    pairs = varying[np.argwhere(np.triu(np.corrcoef(spend[:, varying].T) > MOST_TOGETHER, 1))]
    for pair in pairs.tolist():
        joined = set.union(*(group for group in groups if group & set(pair)))
        groups = [group for group in groups if not group & joined] + [joined]
    for group in groups:
        if len(group) > 1:
            names = listed([fitted.channels[channel] for channel in sorted(group)])
            yield (
                f"The spends on {names} always rose and fell together (correlation above "
                f"{MOST_TOGETHER:.1f}): what they earn together is told, which of them earned it "
                "is not. Raise one of them on days on which another is low."
            )


def _steady(fitted: Fitted) -> Iterator[str]:
    names = [
        name
        for name, spend in zip(fitted.channels, fitted.past.spend.T, strict=True)
        if spend[spend > 0].std() < LEAST_VARIATION * spend[spend > 0].mean()
    ]
    if names:
        yield (
            f"On days with spend, that on {listed(names)} hardly varied (by less than "
            f"{LEAST_VARIATION:.0%}): how soon more of it earns less is not told. Spend half as "
            "much on some days and twice as much on others."
        )


def _weekday(fitted: Fitted) -> Iterator[str]:
    names = [name for day, name in enumerate(WEEKDAYS) if day not in fitted.past.weekday]
    if names:
        yield (
            f"No day was a {' or a '.join(names)}: what such a day brings is taken from the prior. "
            "Add days on which the campaign ran then."
        )


def _prior(fitted: Fitted) -> Iterator[str]:
    """The parameters of which nothing was learned, by block."""
    parts, position = [], 0
    for block in fitted.calibration.blocks:
        places = places_of(fitted, block.name)
        is_prior = fitted.sd[position : position + len(places)] > MOST_SD
        position += len(places)
        names = [" to ".join(place) for place, same in zip(places, is_prior, strict=True) if same]
        if names:
            which = " of all" if len(names) == len(places) > 1 else f" of {listed(names)}"
            title = BLOCKS[block.name]
            parts.append(title + (which if any(names) else ""))
    if parts:
        yield (
            f"Of some numbers hardly anything was learned, they are what was believed before: "
            f"{'; '.join(parts)}. Plans should not hang on them; more days, and spends further "
            "from the usual ones, tell more."
        )
