"""Estimates of latent parameters from the days played: an extended Kalman filter.

The state is four numbers, relative to the nominal ones: the log strength of each channel and log
loyalty_lift. A week says next to nothing about the other latent parameters. What is observed is the
logarithm of the day's metrics. The prior and the noise are those of the parameters, the noise at
least as large as what the filter leaves out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from envs.campaign import model
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray, Latent

Rows = slice | NDArray[np.bool_]

SIZE = 4
OTHERS = SIZE - len(CHANNELS)  # all but the strengths, which only scale what the model gives
STEP = 1e-4


class Belief(NamedTuple):
    """The belief about each campaign of a batch; arrays are changed in place by ``learn``.

    Attributes:
        mean: (count, 4) [1].
        covariance: (count, 4, 4) [1].
        adstock, effectiveness, loyalty: States of the nominal model and of the same with
            loyalty_lift moved a little, (count, 2, ...).
    """

    mean: FloatArray
    covariance: FloatArray
    adstock: FloatArray
    effectiveness: FloatArray
    loyalty: FloatArray


def prior(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the four numbers before the first day, (4,) each."""
    sd = np.array([params.counts_log_sd] * len(CHANNELS) + [params.loyalty_lift_log_sd])
    return -(sd**2) / 2, sd


def start(params: CampaignParams, count: int) -> Belief:
    """The belief before the first day."""
    mean, sd = prior(params)
    state = model.initial_state((count, 1 + OTHERS))
    return Belief(np.tile(mean, (count, 1)), np.tile(np.diag(sd**2), (count, 1, 1)), *state[1:])


def learn(params: CampaignParams, belief: Belief, rows: Rows, day: int, played: FloatArray) -> None:
    """Updates the belief, in place, with a day.

    Args:
        params: The campaign.
        belief: Of the whole batch.
        rows: The campaigns that have played the day.
        day: Its number, from 0.
        played: Its spend [bu/day] and metrics [counts/day], (rows, 6).
    """
    spend, metrics = played[:, :3], played[:, 3:]
    before = model.State(np.full((len(played), 1), day), *(part[rows] for part in belief[2:]))
    effect, after = model.respond(params, before, spend[:, np.newaxis], _moved(params))
    effect = effect * params.day_factors[day]
    for part, new in zip(belief[2:], after[1:], strict=True):
        part[rows] = new
    mean, covariance = belief.mean[rows], belief.covariance[rows]
    expected, slope = _expected(params, mean, effect, day)
    gap, noise = _gap(params, metrics, expected)
    belief.mean[rows], belief.covariance[rows] = _update(mean, covariance, slope, gap, noise)


def _moved(params: CampaignParams) -> Latent:
    """The nominal latent parameters, loyalty_lift at the prior's mean and moved a little, (2,)."""
    lift = prior(params)[0][3] + STEP * np.arange(1 + OTHERS)
    return params.nominal._replace(loyalty_lift=params.nominal.loyalty_lift * np.exp(lift))


def _expected(
    params: CampaignParams, mean: FloatArray, effect: FloatArray, day: int
) -> tuple[FloatArray, FloatArray]:
    """Expected metrics at the mean, (rows, 3), and the slope of their logarithms, (rows, 3, 4)."""
    change = (effect[:, 1:] - effect[:, :1]) / STEP  # (rows, 1, 3 channels)
    shift = np.einsum("nj,njc->nc", mean[:, 3:] - prior(params)[0][3:], change)
    strength, counts = np.exp(mean[:, :3]), params.counts_array
    works = np.maximum(effect[:, 0] + shift, 0.1 * effect[:, 0])  # (rows, 3 channels)
    base = params.base_array * params.day_factors[day]
    expected = np.maximum(np.einsum("nc,ck->nk", strength * works, counts) + base, 1e-6)
    slope = np.empty((len(mean), 3, SIZE))
    slope[:, :, :3] = np.einsum("nc,ck->nkc", strength * works, counts)
    slope[:, :, 3:] = np.einsum("njc,ck->nkj", strength[:, np.newaxis] * change, counts)
    slope /= expected[:, :, np.newaxis]
    return expected, slope


def _gap(
    params: CampaignParams, metrics: FloatArray, expected: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log metrics less the expected ones, (rows, 3), and their covariance (rows, 3, 3)."""
    r = params.dispersion
    bias = (0.0 if r is None else float(special.psi(r)) - np.log(r)) - params.shock_sd**2 / 2
    spread = 0.0 if r is None else special.polygamma(1, r)
    counting = 1.0 / (expected + 0.5) if params.is_noisy else np.zeros_like(expected)
    own = np.maximum(spread + counting, _model_error(params))
    noise = own[:, :, np.newaxis] * np.eye(3) + params.shock_sd**2
    return np.log(metrics + 0.5) - np.log(expected + 0.5) - bias, noise


def _model_error(params: CampaignParams) -> float:
    """Least variance of a day's log metrics about the filter's model [1].

    It stands for what the filter leaves out: the curvature of the logarithm over the prior of the
    strengths, and the other latent parameters, whose elasticity is a half where a channel is half
    saturated.
    """
    curvature = (params.counts_log_sd**2 / 2) ** 2
    others = (params.inv_half_saturation_log_sd**2 + params.fatigue_log_sd**2) / 4
    return 1e-6 + curvature + others + params.carry_over_range**2 / 3


def _update(
    mean: FloatArray, covariance: FloatArray, slope: FloatArray, gap: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The Kalman update: mean (rows, 4) and covariance (rows, 4, 4) after the day."""
    spread = np.einsum("nij,nkj->nik", covariance, slope)  # (rows, 4, 3)
    gain = np.einsum(
        "nik,nkl->nil", spread, np.linalg.inv(np.einsum("nki,nil->nkl", slope, spread) + noise)
    )
    return mean + np.einsum("nik,nk->ni", gain, gap), covariance - np.einsum(
        "nik,njk->nij", gain, spread
    )
