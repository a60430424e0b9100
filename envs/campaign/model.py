"""The campaign as pure functions over leading axes (...), from state and spend to metrics.

The numbers in brackets are those of the seven equations. Forms (1) and (2) are those of Jin et al.
2017, (6) is of Naik, Mantrala and Sawyer 1998, (7) of Nerlove and Arrow 1962, bounded as in Vidale
and Wolfe 1957.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CHANNELS, CampaignParams, FloatArray, Latent
from envs.campaign.poisson import poisson


class State(NamedTuple):
    """What a campaign carries from one day to the next.

    Attributes:
        day: Days already played, (...,) [days].
        adstock: A: spend that still works, (..., 3 channels) [bu/day].
        effectiveness: q: what fatigue leaves of the ads' strength, in (0, 1], (...,) [1].
        loyalty: G: loyalty of the audience, in [0, 1], (...,) [1].
    """

    day: NDArray[np.int64]
    adstock: FloatArray
    effectiveness: FloatArray
    loyalty: FloatArray


def initial_state(shape: tuple[int, ...] = ()) -> State:
    """The state before the first day, for a batch of campaigns of the given shape."""
    return State(
        day=np.zeros(shape, dtype=np.int64),
        adstock=np.zeros((*shape, len(CHANNELS))),
        effectiveness=np.ones(shape),
        loyalty=np.zeros(shape),
    )


def transition(
    params: CampaignParams,
    state: State,
    spend: FloatArray,
    latent: Latent | None = None,
    reward_level: FloatArray | None = None,
) -> tuple[FloatArray, State]:
    """Plays one day.

    Today's rewards raise loyalty, and today's ads tire the audience, for tomorrow only.

    Args:
        params: The campaign.
        state: The state before the day, arrays of shape (...,).
        spend: Budget units put on each channel today, (..., 3 channels) [bu/day].
        latent: The latent parameters of each of these campaigns; None for the nominal ones.
        reward_level: The share of a full reward day that builds loyalty, (...,) [1], where it is
            chosen; None for that of equation (7).

    Returns:
        The expected metrics of the day, (..., 3 metrics) [counts/day], and the next state.
    """
    effect, after = respond(params, state, spend, latent, reward_level)
    counts = (latent or params.nominal).counts
    metrics = np.einsum("...c,...ck->...k" if counts.ndim > 2 else "...c,ck->...k", effect, counts)
    metrics += params.base_array
    return metrics * params.day_factors.take(state.day, axis=0), after  # (4) what is expected


def respond(
    params: CampaignParams,
    state: State,
    spend: FloatArray,
    latent: Latent | None = None,
    reward_level: FloatArray | None = None,
) -> tuple[FloatArray, State]:
    """The effect of a day's spend on the audience, (..., 3 channels) [bu/day], and the next state.

    The arguments are those of ``transition``. A linear campaign takes a short path to the same
    bits, without which a step of its single environment takes 60 % longer.
    """
    day, adstock, effectiveness, loyalty = state
    if latent is None and params.is_linear:
        return spend, State(day + 1, spend, effectiveness, loyalty)
    latent = latent or params.nominal
    adstock = (1.0 - latent.carry_over) * spend + latent.carry_over * adstock  # (1) adstock
    saturated = saturate(latent, adstock)
    effect = saturated.copy()
    effect[..., 0] *= 1.0 + latent.loyalty_lift * loyalty  # (3) a loyal audience lifts posts
    effect[..., 1] *= effectiveness  # (3) fatigue weakens ads
    effectiveness = effectiveness * np.exp(-latent.fatigue_rate * spend[..., 1])  # (6) ads tire
    effectiveness = effectiveness + params.fatigue_recovery * (1.0 - effectiveness)  # (6) recovery
    if reward_level is None:  # (7) a full day of rewards at most
        reward_level = np.minimum(saturated[..., 2] / params.reference_budget, 1.0)
    gained = params.loyalty_gain * (1.0 - loyalty) * reward_level
    loyalty = loyalty + gained - params.loyalty_decay * loyalty  # (7) loyalty is built, and fades
    return effect, State(day + 1, adstock, effectiveness, loyalty)


def saturate(latent: Latent, adstock: FloatArray) -> FloatArray:
    """The response of each channel to its adstock, (..., 3 channels) [bu/day]."""
    return adstock / (1.0 + adstock * latent.inv_half_saturation)  # (2) saturation


class Noise(NamedTuple):
    """The noise of a day's metrics, drawn beforehand, so that policies can be compared on the same.

    Attributes:
        shock: n, standard normal, shared by the metrics, (...,) [1].
        heterogeneity: g, mean 1, (..., 3 metrics) [1].
        quantile: Quantile of the Poisson distribution as a standard normal number, (..., 3
            metrics) [1].
    """

    shock: FloatArray
    heterogeneity: FloatArray
    quantile: FloatArray


def observed(params: CampaignParams, expected: FloatArray, noise: Noise | None) -> FloatArray:
    """The metrics (..., 3) [counts/day] that the noise makes of the expected ones."""
    if noise is None:
        return expected
    shock = np.exp(params.shock_sd * noise.shock - params.shock_sd**2 / 2)  # (5) z
    mean = expected * shock[..., np.newaxis] * noise.heterogeneity
    return poisson(mean, noise.quantile)  # (5) counts


def rollout(
    params: CampaignParams,
    spend: FloatArray,
    latent: Latent | None = None,
    reward_levels: FloatArray | None = None,
) -> tuple[FloatArray, list[State]]:
    """Plays whole campaigns.

    Args:
        params: The campaign.
        spend: A plan, or a batch of them, (..., days, 3 channels) [bu/day].
        latent: As in ``transition``.
        reward_levels: The reward level of each day, (..., days) [1]; None as in ``transition``.

    Returns:
        The expected metrics, (..., days, 3 metrics) [counts/day], and the states: before each day
        and after the last.
    """
    states = [initial_state(spend.shape[:-2])]
    metrics = []
    for day in range(spend.shape[-2]):
        level = None if reward_levels is None else reward_levels[..., day]
        earned, state = transition(params, states[-1], spend[..., day, :], latent, level)
        metrics.append(earned)
        states.append(state)
    return np.stack(metrics, axis=-2), states


def engagement_to_go(
    params: CampaignParams, state: State, plans: FloatArray, latent: Latent | None = None
) -> FloatArray:
    """Expected engagement of the days left, (...,) [1].

    Args:
        params: The campaign.
        state: The state before those days, arrays of shape (...,); all on the same day.
        plans: Spend of the days left, (..., days left, 3 channels) [bu/day].
        latent: As in ``transition``.
    """
    total: FloatArray = np.zeros(1)
    for day in range(plans.shape[-2]):
        metrics, state = transition(params, state, plans[..., day, :], latent)
        total = total + engagement(params, metrics)
    return total


def engagement(params: CampaignParams, metrics: FloatArray) -> FloatArray:
    """Weighted sum of the metrics, (...,) [1/day]; likes + 2 comments + 3 shares in the article."""
    total: FloatArray = np.add.reduce(metrics * params.weights_array, axis=-1)
    return total
