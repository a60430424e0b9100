"""From an agent's action to the day's spend: budget units per channel, within the budget."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.campaign.limits import fill, nearest
from envs.campaign.model import total
from envs.campaign.params import CampaignParams, FloatArray

Day = NDArray[np.int64] | int

LOGIT_BOUND = 10.0  # a share below exp(-20) is as good as nothing, and within a learner's reach


def spend_from_logits(
    params: CampaignParams, action: Any, shape: tuple[int, ...], day: Day = 0
) -> FloatArray:
    """Softmax shares of the whole daily budget; logits beyond the bound are clipped to it.

    With spending limits the shares are of what the minimums leave; the surplus of a channel at its
    maximum goes to the others.
    """
    logits = _numbers(params, action, shape, "logits")
    weights: FloatArray = np.exp(np.minimum(np.maximum(logits, -LOGIT_BOUND), LOGIT_BOUND))
    if params.limits is not None:
        return fill(weights, *_on(params.limits, day), params.daily_budget)
    return params.daily_budget * (weights / total(weights)[..., np.newaxis])


def spend_from_spend(
    params: CampaignParams, action: Any, shape: tuple[int, ...], day: Day = 0
) -> FloatArray:
    """Budget units as they are; a sum over the daily budget is scaled down, as in the article.

    With spending limits it is the nearest point within them and the budget.
    """
    spend = _numbers(params, action, shape, "spend")
    if (spend < 0).any():
        raise ValueError(
            f"action spend={spend[spend < 0][0]}: must be 0 or more [bu/day] "
            f"in every channel ({', '.join(params.channels)})"
        )
    if params.limits is not None:
        return nearest(spend, *_on(params.limits, day), params.daily_budget)
    # A factor of exactly 1 within the budget.
    factor = params.daily_budget / np.maximum(total(spend), params.daily_budget)
    return spend * factor[..., np.newaxis]


def spend_from_channel(
    params: CampaignParams, action: Any, shape: tuple[int, ...], _: Day = 0
) -> FloatArray:
    """The whole daily budget on the channel of that index; not with spending limits."""
    if params.limits is not None:
        raise ValueError(
            "action channel: a whole budget on one channel "
            "leaves no room for min_spend and max_spend"
        )
    channel: NDArray[Any] = np.asarray(action)
    if channel.shape != shape:
        raise ValueError(f"action channel: shape {channel.shape}, must be {shape}")
    alone, is_whole = np.eye(len(params.channels)), channel.dtype.kind in "iu"
    if not is_whole or (channel < 0).any() or (channel >= len(alone)).any():
        allowed = ", ".join(f"{index} ({name})" for index, name in enumerate(params.channels))
        raise ValueError(f"action channel={action}: must be a whole number, {allowed}")
    spend: FloatArray = params.daily_budget * alone[channel]
    return spend


Allocation = Callable[[CampaignParams, Any, tuple[int, ...], Day], FloatArray]
"""Parameters, action, batch shape (...,) and days (...,) or a day to the spend [bu/day]."""

ALLOCATIONS: dict[str, Allocation] = {
    "logits": spend_from_logits,
    "spend": spend_from_spend,
    "channel": spend_from_channel,
}


def _on(limits: tuple[FloatArray, FloatArray], day: Day) -> tuple[FloatArray, FloatArray]:
    """Least and most spend of given days, (..., channels) [bu/day]; after the last, those of it."""
    low, high = limits
    index = np.minimum(day, len(low) - 1)
    return low[index], high[index]


def _numbers(params: CampaignParams, action: Any, batch: tuple[int, ...], kind: str) -> FloatArray:
    shape = (*batch, len(params.channels))
    try:
        numbers: FloatArray = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"action {kind}={action!r}: must be an array of numbers of shape {shape}"
        ) from error
    if numbers.shape != shape:
        raise ValueError(
            f"action {kind}: shape {numbers.shape}, must be {shape}, "
            f"a number for each of {', '.join(params.channels)}"
        )
    if np.count_nonzero(np.isfinite(numbers)) != numbers.size:
        raise ValueError(
            f"action {kind}={numbers[~np.isfinite(numbers)][0]}: every number must be finite"
        )
    return numbers
