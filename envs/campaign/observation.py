"""The kinds of observation: their bounds, and how a day is written into them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign import belief
from envs.campaign.belief import Rows
from envs.campaign.params import CampaignParams, FloatArray

Observations = NDArray[np.float32]
RANDOM_ROOM = 10.0
BELIEF_BOUND = 8.0


class Observation(NamedTuple):
    """A kind of observation: functions over a batch that is kept from day to day.

    Attributes:
        bounds: Parameters to the lowest and highest observation, each (size,).
        write: Writes into observations (batch, size), at the given rows, what one more day has
            brought: ``write(params, memory, observations, rows, day, played)`` with the number of
            the day, from 0, and played (rows, channels + metrics), the day's spend [bu/day] and
            metrics [counts/day] of those rows.
        first: Parameters to the observation before the first day, (size,).
        memory: Parameters and size of the batch to what is kept beside the observations: a tuple of
            arrays (batch, ...), changed in place by ``write``.
    """

    bounds: Callable[[CampaignParams], tuple[Observations, Observations]]
    write: Callable[[CampaignParams, Any, Observations, Rows, int, FloatArray], None]
    first: Callable[[CampaignParams], Observations]
    memory: Callable[[CampaignParams, int], tuple[FloatArray, ...]]


def _no_memory(_: CampaignParams, __: int) -> tuple[FloatArray, ...]:
    return ()


def _day_bounds(params: CampaignParams) -> tuple[Observations, Observations]:
    return np.zeros(params.days, np.float32), np.ones(params.days, np.float32)


def _day_first(params: CampaignParams) -> Observations:
    first = np.zeros(params.days, np.float32)
    first[0] = 1.0
    return first


def _day_write(
    params: CampaignParams, _: Any, observations: Observations, rows: Rows, day: int, __: FloatArray
) -> None:
    """Moves the one-hot day on; what the day has brought is not observed."""
    _next_day(params, observations, rows, day)


def _history_bounds(params: CampaignParams) -> tuple[Observations, Observations]:
    day = [1.0] * len(params.channels) + [_most(params)] * len(params.metrics)
    high = np.append(np.ones(params.days), np.tile(day, params.days)).astype(np.float32)
    return np.zeros_like(high), high


def _history_first(params: CampaignParams) -> Observations:
    first = _history_bounds(params)[0]
    first[0] = 1.0
    return first


def _history_write(
    params: CampaignParams,
    _: Any,
    observations: Observations,
    rows: Rows,
    day: int,
    played: FloatArray,
) -> None:
    """Moves the one-hot day on and writes the day's shares of the budget and scaled metrics."""
    _next_day(params, observations, rows, day)
    size = played.shape[-1]
    start = params.days + size * day
    observations[rows, start : start + size] = np.minimum(
        played / params.played_ceiling, _most(params)
    )


def _totals_bounds(params: CampaignParams) -> tuple[Observations, Observations]:
    most = _most(params) * params.days * params.played_ceiling[len(params.channels) :]
    high = np.array([params.days, *most], np.float32)
    room = np.float32(1.001)  # for the rounding of the sums
    return np.zeros_like(high), high * room


def _totals_first(params: CampaignParams) -> Observations:
    return np.zeros(1 + len(params.metrics), np.float32)


def _totals_write(
    params: CampaignParams,
    _: Any,
    observations: Observations,
    rows: Rows,
    day: int,
    played: FloatArray,
) -> None:
    """Counts the day and adds its metrics to the article's running totals."""
    observations[rows, 0] = day + 1
    observations[rows, 1:] += played[:, len(params.channels) :]
    if params.is_noisy or params.is_drawn:
        np.minimum(observations, _totals_bounds(params)[1], out=observations)


def _belief_bounds(params: CampaignParams) -> tuple[Observations, Observations]:
    high = np.full(len(_belief_first(params)), BELIEF_BOUND, np.float32)
    high[: params.days] = 1.0
    low = -high
    low[: params.days] = 0.0
    return low, high


def _belief_first(params: CampaignParams) -> Observations:
    features = _belief_features(params, belief.start(params, 1), slice(None))[0]
    return np.append(_day_first(params), features.astype(np.float32))


def _belief_write(
    params: CampaignParams,
    memory: Any,
    observations: Observations,
    rows: Rows,
    day: int,
    played: FloatArray,
) -> None:
    """Moves the one-hot day on and writes the belief after the day."""
    _next_day(params, observations, rows, day)
    beliefs = belief.Belief(*memory)
    belief.learn(params, beliefs, rows, day, played)
    observations[rows, params.days :] = _belief_features(params, beliefs, rows)


def _belief_features(params: CampaignParams, beliefs: belief.Belief, rows: Rows) -> FloatArray:
    """The nominal state, then means and standard deviations in those of the prior, (rows, ...)."""
    mean, sd = belief.prior(params)
    scale = np.where(sd > 0, sd, 1.0)
    state = [
        beliefs.adstock[rows, 0] / params.daily_budget,
        beliefs.effectiveness[rows, 0][:, params.nominal.fatigue_rate > 0],
        beliefs.loyalty[rows, :1],
    ]
    learned = (beliefs.mean[rows] - mean) / scale
    variance = np.einsum("nii->ni", beliefs.covariance[rows])
    deviation = np.sqrt(np.maximum(variance, 0.0)) / scale
    values: FloatArray = np.concatenate([*state, learned, deviation], axis=1)
    return np.clip(values, -BELIEF_BOUND, BELIEF_BOUND)


def _next_day(params: CampaignParams, observations: Observations, rows: Rows, day: int) -> None:
    observations[rows, day] = 0.0
    if day + 1 < params.days:
        observations[rows, day + 1] = 1.0


def _most(params: CampaignParams) -> float:
    """Bound of the metrics over the ceiling of the nominal campaign; beyond it they are clipped."""
    return RANDOM_ROOM if params.is_noisy or params.is_drawn else 1.0


OBSERVATIONS: dict[str, Observation] = {
    "history": Observation(_history_bounds, _history_write, _history_first, _no_memory),
    "totals": Observation(_totals_bounds, _totals_write, _totals_first, _no_memory),
    "day": Observation(_day_bounds, _day_write, _day_first, _no_memory),
    "belief": Observation(_belief_bounds, _belief_write, _belief_first, belief.start),
}
