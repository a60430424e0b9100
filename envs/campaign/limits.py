"""Spending limits: what makes them impossible, and the ways to stay within them and the budget.

Low and high are the least and the most that may be spent; their minimums never sum to more than the
budget.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def clashes(channels: Sequence[str], days: int, budget: float, least: Any, most: Any) -> list[str]:
    """A sentence for every way in which spending limits cannot be met, each with its mend.

    Args:
        channels: Their names.
        days: Length of the campaign [days].
        budget: Most that can be spent in a day [bu/day].
        least: What each channel must get, a number for each, or a row of them for each day; None
            for no limit [bu/day].
        most: What each channel may get, in the same form [bu/day].
    """
    given = [
        (name, np.array(rows))
        for name, rows in (("min_spend", least), ("max_spend", most))
        if rows is not None
    ]
    wrong = [
        f"{name} has {len(rows)} rows for {days} days: give 3 numbers for all days, or a row for each"
        for name, rows in given
        if rows.ndim > 1 and len(rows) != days
    ]
    return wrong or _clashing_days(channels, days, budget, least, most)


def nearest(spend: FloatArray, low: FloatArray, high: FloatArray, budget: float) -> FloatArray:
    """The point within limits and budget that is nearest to a spend: its Euclidean projection.

    Where the budget binds, it is clip(spend - tau, low, high) with the one tau that spends all of
    it, found exactly among the points at which a channel meets one of its limits.

    Args:
        spend: Any finite numbers, (..., 3 channels) [bu/day].
        low: Least spend, (..., 3 channels) [bu/day].
        high: Most spend, (..., 3 channels) [bu/day].
        budget: Most that can be spent in a day [bu/day].
    """
    inside: FloatArray = np.clip(spend, low, high)
    over = inside.sum(axis=-1, keepdims=True) > budget
    shifted = spend - spend.max(
        axis=-1, keepdims=True
    )  # changes tau alone, and keeps small numbers beside huge ones
    meets = np.sort(
        np.concatenate([shifted - high, shifted - low], axis=-1), axis=-1
    )  # (..., 6) values of tau
    spread = np.clip(
        shifted[..., np.newaxis, :] - meets[..., np.newaxis],
        low[..., np.newaxis, :],
        high[..., np.newaxis, :],
    )
    spent = spread.sum(axis=-1)  # (..., 6), falling
    last = np.maximum(
        (spent >= budget).sum(axis=-1, keepdims=True) - 1, 0
    )  # the last point that spends too much
    tau = np.take_along_axis(meets, last, axis=-1)
    moving = ((shifted - high <= tau) & (tau < shifted - low)).sum(axis=-1, keepdims=True)
    tau = tau + (np.take_along_axis(spent, last, axis=-1) - budget) / np.maximum(moving, 1)
    return np.where(over, np.clip(shifted - tau, low, high), inside)


def fill(shares: FloatArray, low: FloatArray, high: FloatArray, budget: float) -> FloatArray:
    """The minimums, plus the rest of what can be spent by shares; what a full channel leaves goes to the others.

    Args:
        shares: Positive numbers, (..., 3 channels) [1].
        low: Least spend, (..., 3 channels) [bu/day].
        high: Most spend, (..., 3 channels) [bu/day].
        budget: Most that can be spent in a day [bu/day].
    """
    room = high - low
    rest = budget - low.sum(axis=-1, keepdims=True)
    given = np.zeros(np.broadcast_shapes(shares.shape, room.shape))
    full = given >= room
    for _ in range(shares.shape[-1]):  # every round fills a channel, or is the last
        left = rest - np.where(full, room, 0.0).sum(axis=-1, keepdims=True)
        open_shares = np.where(full, 0.0, shares)
        total = open_shares.sum(axis=-1, keepdims=True)
        given = np.where(full, room, left * (open_shares / np.where(total > 0, total, 1.0)))
        full = full | (given >= room)
    return np.clip(low + given, low, high)


def _clashing_days(
    channels: Sequence[str], days: int, budget: float, least: Any, most: Any
) -> list[str]:
    shape = (days, len(channels))
    low = np.broadcast_to(0.0 if least is None else np.array(least), shape).tolist()
    high = np.broadcast_to(budget if most is None else np.array(most), shape).tolist()
    found: dict[str, list[int]] = {}
    for day, (lows, highs) in enumerate(zip(low, high, strict=True), start=1):
        if sum(lows) > budget:
            clash = (
                f"minimums sum to {sum(lows):g} > {budget:g} {{}}: lower them or raise daily_budget"
            )
            found.setdefault(clash, []).append(day)
        for name, lowest, highest in zip(channels, lows, highs, strict=True):
            if most is not None and lowest > highest:
                clash = f"min_spend of {name} is {lowest:g} > max_spend {highest:g} {{}}: lower it or raise max_spend"
                found.setdefault(clash, []).append(day)
    return [clash.format(_when(numbers, days)) for clash, numbers in found.items()]


def _when(numbers: list[int], days: int) -> str:
    if len(numbers) == days:
        return "every day"
    return f"on day{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
