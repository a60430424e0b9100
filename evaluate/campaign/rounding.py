"""How spends and counts of any size are written, from hundredths of a unit to a billion of them."""

import math
from decimal import Decimal

import numpy as np

from envs.campaign.params import FloatArray

COUNTING = 4  # digits that count in the largest number
MOST_DIGITS = 9  # of the largest day's sum: the precision of limits and budget
NEAR = 1e-6  # of a unit of the last digit: no more than rounding

Limit = FloatArray | float
"""A limit of each part of a split, (days, channels), or one for all [bu/day]."""


def grouped(number: str) -> str:
    """A written number with its thousands separated."""
    return f"{Decimal(number):,f}"


def written(split: FloatArray, low: Limit = 0.0, high: Limit = np.inf) -> list[list[str]]:
    """Splits (days, channels) as ``rounded`` makes them, in as many digits as they have."""
    digits = places(split, low, high)
    return [[f"{part:.{digits}f}" for part in day] for day in rounded(split, low, high)]


def rounded(split: FloatArray, low: Limit = 0.0, high: Limit = np.inf) -> FloatArray:
    """Splits in few digits that can be spent as they stand.

    A day's sum is not more than before, and every part (days, channels) [bu/day] stays within its
    limits; what is cut off goes to the parts that lose most.
    """
    digits = places(split, low, high)
    exact, least, most, totals = _in_units(split, low, high, digits)
    parts = np.clip(np.floor(exact + NEAR), least, most)
    for day, missing in enumerate(totals - parts.sum(axis=1)):
        sign = np.sign(missing)
        for _ in range(int(abs(missing))):
            can_move = (parts < most if sign > 0 else parts > least)[day]
            if can_move.any():
                lost = np.where(can_move, sign * (exact - parts)[day], -np.inf)
                parts[day, lost.argmax()] += sign
    decimals: FloatArray = parts / 10.0**digits + 0.0  # not -0
    return decimals


def places(split: FloatArray, low: Limit = 0.0, high: Limit = np.inf) -> int:
    """Digits after the point: four count in the largest sum, more where limits need them."""
    largest, counting = float(split.sum(axis=1).max()) * (1 + NEAR), 1
    if largest > 1e-12:
        counting = COUNTING - 1 - math.floor(math.log10(largest))
    for digits in range(max(counting, 0), counting + MOST_DIGITS - COUNTING):
        _, least, most, totals = _in_units(split, low, high, digits)
        if (least <= most).all() and (least.sum(axis=1) <= totals).all():
            return digits
    return max(counting + MOST_DIGITS - COUNTING, 0)


def _in_units(split: FloatArray, low: Limit, high: Limit, digits: int) -> tuple[FloatArray, ...]:
    """Parts, least and most (days, channels) and sums (days,), in units of the last digit."""
    units = 10.0**digits
    least = np.broadcast_to(np.ceil(low * units - NEAR), split.shape)
    most = np.broadcast_to(np.floor(high * units + NEAR), split.shape)
    return split * units, least, most, np.floor(split.sum(axis=1) * units + NEAR)
