"""Spending limits: what makes them impossible, and the ways to stay within them and the budget.

The minimums of a day sum to the budget at most, but for the rounding of decimals.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LIMITS = ("min_spend", "max_spend")
ROUNDING = 1e-9
"""Relative tolerance of every comparison of a sum of spends with the budget."""


def clashes(channels: Sequence[str], days: int, budget: float, least: Any, most: Any) -> list[str]:
    """A sentence for every way in which spending limits cannot be met, each with its remedy.

    Args:
        channels: Their names.
        days: Length of the campaign [days].
        budget: Most that can be spent in a day [bu/day].
        least: What each channel must get, a number for each, or a row of them for each day; None
            for no limit [bu/day].
        most: What each channel may get, in the same form [bu/day].
    """
    faults = [
        f"{name} has {len(rows)} rows for {days} days: "
        f"give a number for each channel, or a row of them for each day"
        for name, rows in (("min_spend", least), ("max_spend", most))
        if rows is not None and np.ndim(rows) > 1 and len(rows) != days
    ]
    return faults or _clashing_days(channels, days, budget, least, most)


def nearest(spend: FloatArray, low: FloatArray, high: FloatArray, budget: float) -> FloatArray:
    """The point within limits and budget that is nearest to a spend: its Euclidean projection.

    Where the budget binds, it is clip(spend - tau, low, high) with the one tau that spends all of
    it, found exactly among the points at which a channel meets one of its limits.

    Args:
        spend: Any finite numbers, (..., channels) [bu/day].
        low: Least spend, (..., channels) [bu/day].
        high: Most spend, (..., channels) [bu/day].
        budget: Most that can be spent in a day [bu/day].
    """
    inside: FloatArray = np.clip(spend, low, high)
    over = inside.sum(axis=-1, keepdims=True) > budget
    # The shift moves tau alone, and keeps small numbers beside huge ones.
    shifted = spend - spend.max(axis=-1, keepdims=True)
    corners = np.concatenate([shifted - high, shifted - low], axis=-1)
    taus = np.sort(corners, axis=-1)  # (..., 2 x channels)
    at_taus = shifted[..., np.newaxis, :] - taus[..., np.newaxis]
    spent = np.clip(at_taus, low[..., np.newaxis, :], high[..., np.newaxis, :]).sum(axis=-1)
    too_many = (spent >= budget).sum(axis=-1, keepdims=True)  # spent falls with tau
    last = np.maximum(too_many - 1, 0)
    tau = np.take_along_axis(taus, last, axis=-1)
    moving = ((shifted - high <= tau) & (tau < shifted - low)).sum(axis=-1, keepdims=True)
    tau = tau + (np.take_along_axis(spent, last, axis=-1) - budget) / np.maximum(moving, 1)
    return np.where(over, np.clip(shifted - tau, low, high), inside)


def fill(shares: FloatArray, low: FloatArray, high: FloatArray, budget: float) -> FloatArray:
    """Allocates the budget by shares above the minimums.

    The surplus of a channel at its maximum goes to the others.

    Args:
        shares: Positive numbers, (..., channels) [1].
        low: Least spend, (..., channels) [bu/day].
        high: Most spend, (..., channels) [bu/day].
        budget: Most that can be spent in a day [bu/day].
    """
    room = high - low
    rest = np.maximum(budget - low.sum(axis=-1, keepdims=True), 0.0)
    extra = np.zeros(np.broadcast_shapes(shares.shape, room.shape))
    full = extra >= room
    for _ in range(shares.shape[-1]):  # every round fills a channel, or is the last
        left = rest - np.where(full, room, 0.0).sum(axis=-1, keepdims=True)
        open_shares = np.where(full, 0.0, shares)
        total = open_shares.sum(axis=-1, keepdims=True)
        extra = np.where(full, room, left * (open_shares / np.where(total > 0, total, 1.0)))
        full = full | (extra >= room)
    return np.clip(low + extra, low, high)


def _clashing_days(
    channels: Sequence[str], days: int, budget: float, least: Any, most: Any
) -> list[str]:
    shape = (days, len(channels))
    low = np.broadcast_to(0.0 if least is None else np.array(least), shape).tolist()
    high = np.broadcast_to(budget if most is None else np.array(most), shape).tolist()
    days_of: dict[str, list[int]] = {}
    for day, (lows, highs) in enumerate(zip(low, high, strict=True), start=1):
        if sum(lows) > budget * (1 + ROUNDING):
            clash = f"minimums sum to {sum(lows):.10g} > {budget:.10g} {{}}"
            days_of.setdefault(f"{clash}: lower them or raise daily_budget", []).append(day)
        for name, lowest, highest in zip(channels, lows, highs, strict=True):
            if most is not None and lowest > highest:
                clash = f"min_spend of {name} is {lowest:.10g} > max_spend {highest:.10g} {{}}"
                days_of.setdefault(f"{clash}: lower it or raise max_spend", []).append(day)
    return [clash.format(_when(numbers, days)) for clash, numbers in days_of.items()]


def _when(numbers: list[int], days: int) -> str:
    if len(numbers) == days:
        return "every day"
    return f"on day{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
