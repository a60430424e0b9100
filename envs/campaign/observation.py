"""What the agent sees of a campaign: bounds of the observation and how a day is written into it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CHANNELS, METRICS, CampaignParams, FloatArray

Observations = NDArray[np.float32]
Rows = slice | NDArray[np.bool_]


class Observation(NamedTuple):
    """One kind of observation: two functions over a batch that is kept from day to day.

    Attributes:
        bounds: Parameters to the lowest and highest observation, each (size,).
        write: Writes into observations (batch, size), at the given rows, what one more day has brought:
            ``write(params, observations, rows, day, played)`` with the number of the day, from 0, and
            played (rows, 6), the day's spend [bu/day] and metrics [counts/day] of those rows.
        first: Parameters to the observation before the first day, (size,).
    """

    bounds: Callable[[CampaignParams], tuple[Observations, Observations]]
    write: Callable[[CampaignParams, Observations, Rows, int, FloatArray], None]
    first: Callable[[CampaignParams], Observations]


def _history_bounds(params: CampaignParams) -> tuple[Observations, Observations]:
    size = 7 * params.days
    return np.zeros(size, np.float32), np.ones(size, np.float32)


def _history_first(params: CampaignParams) -> Observations:
    first = np.zeros(7 * params.days, np.float32)
    first[0] = 1.0
    return first


def _history_write(
    params: CampaignParams,
    observations: Observations,
    rows: Rows,
    day: int,
    played: FloatArray,
) -> None:
    """Moves the one-hot day on and fills the day's six numbers: shares of the budget, then scaled metrics."""
    observations[rows, day] = 0.0
    if day + 1 < params.days:
        observations[rows, day + 1] = 1.0
    start = params.days + 6 * day
    observations[rows, start : start + 6] = played / params.played_ceiling


def _totals_bounds(params: CampaignParams) -> tuple[Observations, Observations]:
    high = np.array([params.days, *(params.days * params.played_ceiling[len(CHANNELS) :])], np.float32)
    return np.zeros(1 + len(METRICS), np.float32), high * np.float32(1.001)  # room for the rounding of the sums


def _totals_first(_: CampaignParams) -> Observations:
    return np.zeros(1 + len(METRICS), np.float32)


def _totals_write(_: CampaignParams, observations: Observations, rows: Rows, day: int, played: FloatArray) -> None:
    """Counts the day and adds its metrics to the article's running totals."""
    observations[rows, 0] = day + 1
    observations[rows, 1:] += played[:, len(CHANNELS) :]


OBSERVATIONS: dict[str, Observation] = {
    "history": Observation(_history_bounds, _history_write, _history_first),
    "totals": Observation(_totals_bounds, _totals_write, _totals_first),
}
