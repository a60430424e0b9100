"""Estimates of latent parameters from the days played: an extended Kalman filter.

The state is relative to the nominal campaign: the log strength of each channel, and the log
loyalty_lift of each channel that loyalty lifts. A week says next to nothing about the other latent
parameters. What is observed is the logarithm of the day's metrics. The prior and the noise are
those of the parameters, the noise at least as large as what the filter leaves out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from envs.campaign import model
from envs.campaign.params import CampaignParams, FloatArray, Latent

Rows = slice | NDArray[np.bool_]

STEP = 1e-4


class Belief(NamedTuple):
    """The belief about each campaign of a batch; arrays are changed in place by ``learn``.

    Attributes:
        mean: Strengths, then lifts, (count, size) [1].
        covariance: (count, size, size) [1].
        adstock, effectiveness, loyalty: States of the nominal model and of the same with one
            loyalty_lift moved a little, (count, 1 + lifts, ...).
    """

    mean: FloatArray
    covariance: FloatArray
    adstock: FloatArray
    effectiveness: FloatArray
    loyalty: FloatArray


def prior(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of strengths and lifts before the first day, (size,) each."""
    strengths = [params.counts_log_sd] * len(params.channels)
    sd = np.array(strengths + [params.loyalty_lift_log_sd] * len(_lifted(params)))
    return -(sd**2) / 2, sd


def start(params: CampaignParams, count: int) -> Belief:
    """The belief before the first day."""
    mean, sd = prior(params)
    state = model.initial_state(params, (count, 1 + len(_lifted(params))))
    return Belief(np.tile(mean, (count, 1)), np.tile(np.diag(sd**2), (count, 1, 1)), *state[1:])


def learn(params: CampaignParams, belief: Belief, rows: Rows, day: int, played: FloatArray) -> None:
    """Updates the belief, in place, with a day.

    Args:
        params: The campaign.
        belief: Of the whole batch.
        rows: The campaigns that have played the day.
        day: Its number, from 0.
        played: Its spend [bu/day] and metrics [counts/day], (rows, channels + metrics).
    """
    spend, metrics = np.split(played, [len(params.channels)], axis=1)
    before = model.State(np.full((len(played), 1), day), *(part[rows] for part in belief[2:]))
    effect, after = model.respond(params, before, spend[:, np.newaxis], _moved(params))
    effect = effect * params.day_factors[day]
    for part, new in zip(belief[2:], after[1:], strict=True):
        part[rows] = new
    mean, covariance = belief.mean[rows], belief.covariance[rows]
    expected, slope = _expected(params, mean, effect, day)
    gap, noise = _gap(params, metrics, expected)
    belief.mean[rows], belief.covariance[rows] = _update(mean, covariance, slope, gap, noise)


def _lifted(params: CampaignParams) -> NDArray[np.intp]:
    """The channels that loyalty lifts."""
    return np.flatnonzero(params.nominal.loyalty_lift)


def _moved(params: CampaignParams) -> Latent:
    """The nominal latent parameters, lifts at the prior's mean and one of them moved a little.

    ``loyalty_lift`` is (1 + lifts, channels): nothing moved, then one after the other.
    """
    lifted = _lifted(params)
    log_factor = np.zeros((1 + len(lifted), len(params.channels)))
    log_factor[:, lifted] = prior(params)[0][len(params.channels) :]
    log_factor[np.arange(1, 1 + len(lifted)), lifted] += STEP
    return params.nominal._replace(loyalty_lift=params.nominal.loyalty_lift * np.exp(log_factor))


def _expected(
    params: CampaignParams, mean: FloatArray, effect: FloatArray, day: int
) -> tuple[FloatArray, FloatArray]:
    """Expected metrics at the mean, (rows, metrics), and the slopes of their logarithms.

    The slopes are (rows, metrics, size).
    """
    channels = len(params.channels)
    change = (effect[:, 1:] - effect[:, :1]) / STEP  # (rows, lifts, channels)
    shift = np.einsum("nj,njc->nc", mean[:, channels:] - prior(params)[0][channels:], change)
    strength, counts = np.exp(mean[:, :channels]), params.counts_array
    works = np.maximum(effect[:, 0] + shift, 0.1 * effect[:, 0])  # (rows, channels)
    base = params.base_array * params.day_factors[day]
    expected = np.maximum(np.einsum("nc,ck->nk", strength * works, counts) + base, 1e-6)
    slope = np.empty((*expected.shape, mean.shape[1]))
    slope[:, :, :channels] = np.einsum("nc,ck->nkc", strength * works, counts)
    slope[:, :, channels:] = np.einsum("njc,ck->nkj", strength[:, np.newaxis] * change, counts)
    slope /= expected[:, :, np.newaxis]
    return expected, slope


def _gap(
    params: CampaignParams, metrics: FloatArray, expected: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log metrics less the expected ones, (rows, metrics), and their covariance."""
    r = params.dispersion
    bias = (0.0 if r is None else float(special.psi(r)) - np.log(r)) - params.shock_sd**2 / 2
    spread = 0.0 if r is None else special.polygamma(1, r)
    counting = 1.0 / (expected + 0.5) if params.is_noisy else np.zeros_like(expected)
    own = np.maximum(spread + counting, _model_error(params))
    noise = own[:, :, np.newaxis] * np.eye(len(params.metrics)) + params.shock_sd**2
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
    """The Kalman update: mean (rows, size) and covariance (rows, size, size) after the day."""
    spread = np.einsum("nij,nkj->nik", covariance, slope)  # (rows, size, metrics)
    gain = np.einsum(
        "nik,nkl->nil", spread, np.linalg.inv(np.einsum("nki,nil->nkl", slope, spread) + noise)
    )
    return mean + np.einsum("nik,nk->ni", gain, gap), covariance - np.einsum(
        "nik,njk->nij", gain, spread
    )
