"""The campaign as pure functions over leading axes (...): state and spend in, metrics and next state out.

The numbers in brackets are those of the seven equations. Forms (1) and (2) are those of Jin et al.
2017, (6) is of Naik, Mantrala and Sawyer 1998, (7) of Nerlove and Arrow 1962, bounded as in Vidale
and Wolfe 1957.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CHANNELS, CampaignParams, Coefficients, FloatArray
from envs.campaign.poisson import poisson

ONE_DAY = np.array(1, dtype=np.int64)
ONE = np.array(1.0)


class State(NamedTuple):
    """What a campaign carries from one day to the next.

    Attributes:
        day: Days already played, (...,) [days].
        carry_over: A: spend that still works, (..., 3 channels) [bu/day].
        freshness: q: strength of ads, in (0, 1], (...,) [1].
        loyalty: G: loyalty of the audience, in [0, 1], (...,) [1].
    """

    day: NDArray[np.int64]
    carry_over: FloatArray
    freshness: FloatArray
    loyalty: FloatArray


def initial_state(shape: tuple[int, ...] = ()) -> State:
    """The state before the first day, for a batch of campaigns of the given shape."""
    return State(
        day=np.zeros(shape, dtype=np.int64),
        carry_over=np.zeros((*shape, len(CHANNELS))),
        freshness=np.ones(shape),
        loyalty=np.zeros(shape),
    )


def transition(
    params: CampaignParams,
    state: State,
    spend: FloatArray,
    latent: Coefficients | None = None,
    reward_level: FloatArray | None = None,
) -> tuple[FloatArray, State]:
    """Plays one day.

    Today's rewards raise loyalty, and today's ads tire the audience, for tomorrow only.

    Args:
        params: The campaign.
        state: Where it stands, arrays of shape (...,).
        spend: Budget units put on each channel today, (..., 3 channels) [bu/day].
        latent: What holds in each of these campaigns, where they differ; else the coefficients of
            ``params``.
        reward_level: The share of a full reward day that builds loyalty, (...,) [1], where it is
            chosen; else that of equation (7).

    Returns:
        The expected metrics of the day, (..., 3 metrics) [counts/day], and the next state.
    """
    of = latent or params.coefficients
    day, carry_over, freshness, loyalty = state
    if latent is None and params.is_linear:
        effect = carry_over = (
            spend  # what (1) to (3) give then, to the last bit; (6) and (7) change nothing
        )
    else:
        carry_over = of.fresh * spend + of.carry_over * carry_over  # (1) adstock
        saturated = saturate(of, carry_over)
        effect = saturated.copy()
        effect[..., 0] *= ONE + of.loyalty_lift * loyalty  # (3) a loyal audience lifts posts
        effect[..., 1] *= freshness  # (3) tired ads earn less
        freshness = freshness * np.exp(of.fatigue * spend[..., 1])  # (6) ads tire
        freshness = freshness + of.fatigue_recovery * (ONE - freshness)  # (6) the tiredness mends
        if reward_level is None:  # (7) at most a full day of rewards
            reward_level = np.minimum(saturated[..., 2] / of.reference_budget, ONE)
        gain = of.loyalty_gain * (ONE - loyalty) * reward_level
        loyalty = loyalty + gain - of.loyalty_decay * loyalty  # (7) loyalty
    metrics = np.einsum(
        "...c,...ck->...k" if of.counts.ndim > 2 else "...c,ck->...k", effect, of.counts
    )
    metrics += of.base
    metrics *= of.day_factors.take(day, axis=0)  # (4) what is expected
    return metrics, State(day + ONE_DAY, carry_over, freshness, loyalty)


def saturate(coefficients: Coefficients, carry_over: FloatArray) -> FloatArray:
    """What spend that still works (..., 3 channels) brings about, (..., 3 channels) [bu/day]."""
    return carry_over / (ONE + carry_over * coefficients.inv_half_saturation)  # (2) saturation


class Noise(NamedTuple):
    """The chance in a day's metrics, drawn beforehand, so that several policies can meet the same.

    Attributes:
        shock: n, standard normal, shared by the metrics, (...,) [1].
        heterogeneity: g, mean 1, (..., 3 metrics) [1].
        quantile: Standard normal: which quantile of the Poisson distribution comes, (..., 3
            metrics) [1].
    """

    shock: FloatArray
    heterogeneity: FloatArray
    quantile: FloatArray


def observed(params: CampaignParams, expected: FloatArray, noise: Noise | None) -> FloatArray:
    """The metrics that come, (..., 3) [counts/day], where these are expected; without noise just those."""
    if noise is None:
        return expected
    shock = np.exp(params.shock_sd * noise.shock - params.shock_sd**2 / 2)  # (5) z
    return poisson(
        expected * shock[..., np.newaxis] * noise.heterogeneity, noise.quantile
    )  # (5) counts


def rollout(
    params: CampaignParams,
    spend: FloatArray,
    latent: Coefficients | None = None,
    reward_levels: FloatArray | None = None,
) -> tuple[FloatArray, list[State]]:
    """Plays whole campaigns.

    Args:
        params: The campaign.
        spend: A plan, or a batch of them, (..., days, 3 channels) [bu/day].
        latent: As in ``transition``.
        reward_levels: As in ``transition``, (..., days) [1].

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
    params: CampaignParams, state: State, plans: FloatArray, latent: Coefficients | None = None
) -> FloatArray:
    """Expected engagement of the days left, (...,) [1].

    Args:
        params: The campaign.
        state: Where it stands, arrays of shape (...,); all on the same day.
        plans: Spend of the days left, (..., days left, 3 channels) [bu/day].
        latent: As in ``transition``.
    """
    total: FloatArray = np.zeros(1)
    for day in range(plans.shape[-2]):
        metrics, state = transition(params, state, plans[..., day, :], latent)
        total = total + engagement(params, metrics)
    return total


def engagement(params: CampaignParams, metrics: FloatArray) -> FloatArray:
    """The weighted sum of the metrics, (...,) [1/day]: likes + 2 comments + 3 shares in the article."""
    total: FloatArray = np.add.reduce(metrics * params.weights_array, axis=-1)
    return total
