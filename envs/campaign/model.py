"""The campaign as pure functions over leading axes (...), from state and spend to metrics.

The numbers in brackets are those of the seven equations. Forms (1) and (2) are those of Jin et al.
2017, (6) is of Naik, Mantrala and Sawyer 1998, (7) of Nerlove and Arrow 1962, bounded as in Vidale
and Wolfe 1957.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CampaignParams, FloatArray, Latent
from envs.campaign.poisson import poisson


class State(NamedTuple):
    """What a campaign carries from one day to the next.

    Attributes:
        day: Days already played, (...,) [days].
        adstock: A: spend that still works, (..., channels) [bu/day].
        effectiveness: q: what fatigue leaves of a channel's strength, (..., channels), in (0, 1].
        loyalty: G: loyalty of the audience, in [0, 1], (...,) [1].
    """

    day: NDArray[np.int64]
    adstock: FloatArray
    effectiveness: FloatArray
    loyalty: FloatArray


class Response(Protocol):
    """What the effect of a day's spend depends on: ``CampaignParams``, or a batch of them."""

    @property
    def is_linear(self) -> bool:
        """Whether an effect is the spend itself."""

    @property
    def reference_budget(self) -> float:
        """Spend of a full day [bu]."""

    @property
    def building(self) -> Mapping[int, Any]:
        """loyalty_gain of the channels that build loyalty, (...,) [1/day]."""

    @property
    def loyalty_decay(self) -> Any:
        """Share of loyalty that is lost in a day, (...,) [1/day]."""

    @property
    def recovery_array(self) -> FloatArray:
        """fatigue_recovery, (..., channels) [1/day]."""

    @property
    def nominal(self) -> Latent:
        """The nominal latent parameters."""


def initial_state(params: CampaignParams, shape: tuple[int, ...] = ()) -> State:
    """The state before the first day, for a batch of campaigns of the given shape."""
    channels = (*shape, len(params.channels))
    return State(
        day=np.zeros(shape, dtype=np.int64),
        adstock=np.zeros(channels),
        effectiveness=np.ones(channels),
        loyalty=np.zeros(shape),
    )


def transition(
    params: CampaignParams,
    state: State,
    spend: FloatArray,
    latent: Latent | None = None,
    loyalty_levels: FloatArray | None = None,
) -> tuple[FloatArray, State]:
    """Plays one day.

    Today's spend builds loyalty, and tires the audience, for tomorrow only.

    Args:
        params: The campaign.
        state: The state before the day, arrays of shape (...,).
        spend: Budget units put on each channel today, (..., channels) [bu/day].
        latent: The latent parameters of each of these campaigns; None for the nominal ones.
        loyalty_levels: The share of a full day of each channel that builds loyalty, (...,
            channels) [1], where it is chosen; None for that of equation (7).

    Returns:
        The expected metrics of the day, (..., metrics) [counts/day], and the next state.
    """
    effect, after = respond(params, state, spend, latent, loyalty_levels)
    counts = (latent or params.nominal).counts
    metrics = np.einsum("...c,...ck->...k" if counts.ndim > 2 else "...c,ck->...k", effect, counts)
    metrics += params.base_array
    return metrics * params.day_factors.take(state.day, axis=0), after  # (4) what is expected


def respond(
    params: Response,
    state: State,
    spend: FloatArray,
    latent: Latent | None = None,
    loyalty_levels: FloatArray | None = None,
) -> tuple[FloatArray, State]:
    """The effect of a day's spend on the audience, (..., channels) [bu/day], and the next state.

    The arguments are those of ``transition``. A linear campaign takes a short path to the same
    bits, without which a step of its single environment takes 60 % longer.
    """
    day, adstock, effectiveness, loyalty = state
    if latent is None and params.is_linear:
        return spend, State(day + 1, spend, effectiveness, loyalty)
    latent = latent or params.nominal
    adstock = (1.0 - latent.carry_over) * spend + latent.carry_over * adstock  # (1) adstock
    saturated = saturate(latent, adstock)
    lift = 1.0 + latent.loyalty_lift * loyalty[..., np.newaxis]
    effect = saturated * lift * effectiveness  # (3) loyalty lifts, fatigue weakens
    effectiveness = effectiveness * np.exp(-latent.fatigue_rate * spend)  # (6) channels tire
    effectiveness = effectiveness + params.recovery_array * (1.0 - effectiveness)  # (6) recovery
    built: Any = 0.0
    for channel, gain in params.building.items():
        given = None if loyalty_levels is None else loyalty_levels[..., channel]
        level = saturated[..., channel] / params.reference_budget if given is None else given
        built = built + gain * np.minimum(level, 1.0)  # (7) a full day of a channel at most
    gained = built * (1.0 - loyalty)
    loyalty = loyalty + gained - params.loyalty_decay * loyalty  # (7) loyalty is built, and fades
    return effect, State(day + 1, adstock, effectiveness, loyalty)


def saturate(latent: Latent, adstock: FloatArray) -> FloatArray:
    """The response of each channel to its adstock, (..., channels) [bu/day]."""
    return adstock / (1.0 + adstock * latent.inv_half_saturation)  # (2) saturation


class Noise(NamedTuple):
    """The noise of a day's metrics, drawn beforehand, so that policies can be compared on the same.

    Attributes:
        shock: n, standard normal, shared by the metrics, (...,) [1].
        heterogeneity: g, mean 1, (..., metrics) [1].
        quantile: Quantile of the Poisson distribution as a standard normal number, (...,
            metrics) [1].
    """

    shock: FloatArray
    heterogeneity: FloatArray
    quantile: FloatArray


def observed(params: CampaignParams, expected: FloatArray, noise: Noise | None) -> FloatArray:
    """The metrics (..., metrics) [counts/day] that the noise makes of the expected ones."""
    if noise is None:
        return expected
    shock = np.exp(params.shock_sd * noise.shock - params.shock_sd**2 / 2)  # (5) z
    mean = expected * shock[..., np.newaxis] * noise.heterogeneity
    return poisson(mean, noise.quantile)  # (5) counts


def rollout(
    params: CampaignParams,
    spend: FloatArray,
    latent: Latent | None = None,
    loyalty_levels: FloatArray | None = None,
) -> tuple[FloatArray, list[State]]:
    """Plays whole campaigns.

    Args:
        params: The campaign.
        spend: A plan, or a batch of them, (..., days, channels) [bu/day].
        latent: As in ``transition``.
        loyalty_levels: Those of each day, (..., days, channels) [1]; None as in ``transition``.

    Returns:
        The expected metrics, (..., days, metrics) [counts/day], and the states: before each day
        and after the last.
    """
    states = [initial_state(params, spend.shape[:-2])]
    metrics = []
    for day in range(spend.shape[-2]):
        levels = None if loyalty_levels is None else loyalty_levels[..., day, :]
        earned, state = transition(params, states[-1], spend[..., day, :], latent, levels)
        metrics.append(earned)
        states.append(state)
    return np.stack(metrics, axis=-2), states


def engagement_to_go(
    params: CampaignParams,
    state: State,
    plans: FloatArray,
    latent: Latent | None = None,
    earned: FloatArray | float = 0.0,
) -> FloatArray:
    """Expected engagement of the days left, and what was ``earned`` before, (...,) [1].

    Args:
        params: The campaign.
        state: The state before those days, arrays of shape (...,); all on the same day.
        plans: Spend of the days left, (..., days left, channels) [bu/day].
        latent: As in ``transition``.
        earned: Engagement of the days before, (...,) [1].
    """
    so_far: FloatArray = np.asarray(earned, dtype=np.float64)
    for day in range(plans.shape[-2]):
        metrics, state = transition(params, state, plans[..., day, :], latent)
        so_far = so_far + engagement(params, metrics)
    return so_far


def engagement(params: CampaignParams, metrics: FloatArray) -> FloatArray:
    """Weighted sum of the metrics, (...,) [1/day]; likes + 2 comments + 3 shares in the article."""
    return total(metrics * params.weights_array)


def total(values: FloatArray) -> FloatArray:
    """The sum over the last axis, (...,): for a few numbers twice as fast as a reduction.

    It adds in the same order in a batch of any size, and so has the same bits.
    """
    result: FloatArray = values[..., 0]
    for index in range(1, values.shape[-1]):
        result = result + values[..., index]
    return result
