"""The campaign as pure functions over leading axes (...): state and spend in, expected metrics and next state out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CampaignParams, FloatArray

ONE_DAY = np.array(1, dtype=np.int64)


class State(NamedTuple):
    """What a campaign carries from one day to the next.

    Attributes:
        day: Days already played, (...,) [days].
    """

    day: NDArray[np.int64]


def initial_state(shape: tuple[int, ...] = ()) -> State:
    """The state before the first day, for a batch of campaigns of the given shape."""
    return State(day=np.zeros(shape, dtype=np.int64))


def transition(params: CampaignParams, state: State, spend: FloatArray) -> tuple[FloatArray, State]:
    """Plays one day.

    Args:
        params: The campaign.
        state: Where it stands, arrays of shape (...,).
        spend: Budget units put on each channel today, (..., 3 channels) [bu/day].

    Returns:
        The expected metrics of the day, (..., 3 metrics) [counts/day], and the next state.
    """
    metrics = np.einsum("...c,ck->...k", spend, params.counts_array)  # (4): every unit earns C, whatever came before
    return metrics, State(day=state.day + ONE_DAY)


def engagement(params: CampaignParams, metrics: FloatArray) -> FloatArray:
    """The weighted sum of the metrics, (...,) [1/day]: likes + 2 comments + 3 shares in the article."""
    total: FloatArray = np.add.reduce(metrics * params.weights_array, axis=-1)
    return total


def optimum(params: CampaignParams) -> float:
    """The most engagement that a campaign can earn [1].

    In closed form: without memory or saturation each day is best spent on the channel that earns most per unit.
    """
    per_unit = np.einsum("ck,k->c", params.counts_array, params.weights_array)
    return float(params.days * params.daily_budget * per_unit.max())
