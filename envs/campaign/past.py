"""Past days: what each consists of, and what can be wrong with it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CampaignParams, FloatArray

SPENT_ROUNDING = 1e-6  # a written sum may be rounded
MOST = 1e12  # no real day has more, and observations are float32

Faults = dict[tuple[int, str], str]
"""What is wrong, and what is expected, by row (from 0) and column, or several columns."""


def columns(params: CampaignParams) -> tuple[str, ...]:
    """The columns of a day: its channels, then its metrics."""
    return (*params.channels, *params.metrics)


def check_past(params: CampaignParams, rows: Any) -> FloatArray:
    """The past days of a campaign as numbers, (past days, channels + metrics).

    Each is a row of the spends [bu/day] and then the metrics [counts/day].

    Raises:
        ValueError: Another shape, too many days, a number that is negative or not finite, or more
            than the budget.
    """
    names = columns(params)
    try:
        past = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        past = np.full(1, np.nan)  # of no use either
    if past.size == 0:
        past = np.zeros((0, len(names)))
    if past.shape[1:] != (len(names),):
        raise ValueError(
            f"reset: past={rows!r}: must be a row of {len(names)} numbers for each day: "
            f"{', '.join(names)}"
        )
    if len(past) >= params.days:
        raise ValueError(
            f"reset: past has {len(past)} days, must be fewer than the {params.days} of a campaign"
        )
    faults = past_faults(params, past)
    if faults:
        listed = [f"day {row + 1}, {column}: {text}" for (row, column), text in faults.items()]
        raise ValueError(f"reset: past: {'; '.join(listed)}")
    return past


def number_faults(names: Sequence[str], past: FloatArray) -> Faults:
    """What is wrong with numbers of past days (past days, names), by row and column."""
    return {
        (row, names[column]): f"{past[row, column]:g}, must be a finite number from 0 to {MOST:g}"
        for row, column in np.argwhere(~_is_possible(past)).tolist()
    }


def past_faults(params: CampaignParams, past: FloatArray) -> Faults:
    """What is wrong with past days (past days, channels + metrics), by row and column."""
    faults = number_faults(columns(params), past)
    channels = len(params.channels)
    budget = params.daily_budget
    spent = np.where(_is_possible(past), past, 0.0)[:, :channels].sum(axis=1)
    rule = f"must be {budget:,.10g} or less, the day's budget"
    for row in np.flatnonzero(spent > budget * (1 + SPENT_ROUNDING)).tolist():
        faults[row, " + ".join(params.channels)] = f"{spent[row]:,.10g} {params.unit} spent, {rule}"
    return faults


def _is_possible(past: FloatArray) -> NDArray[np.bool_]:
    return np.isfinite(past) & (past >= 0) & (past <= MOST)
