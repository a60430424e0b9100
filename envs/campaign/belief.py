"""Estimates of latent parameters from the days played: an extended Kalman filter.

The state is relative to the nominal campaign: the log strength of each channel, and the log
loyalty_lift of each channel that loyalty lifts. A week says next to nothing about the other latent
parameters, but for what a posterior knows of them together. What is observed is the logarithm of
the day's metrics. The prior and the noise are those of the parameters, the noise at least as large
as what the filter leaves out.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from envs.campaign import model
from envs.campaign.latent import latent_ends, moved
from envs.campaign.params import CampaignParams, FloatArray, Latent

Rows = slice | NDArray[np.bool_]

STEP = 1e-4


class Belief(NamedTuple):
    """The belief about each campaign of a batch; arrays are changed in place by ``learn``.

    Attributes:
        mean: Strengths, then lifts, (count, size) [1].
        covariance: (count, size, size) [1].
        adstock, effectiveness, loyalty: States of the model with the latent parameters of
            ``Prior.moved``, (count, 1 + moving, ...).
    """

    mean: FloatArray
    covariance: FloatArray
    adstock: FloatArray
    effectiveness: FloatArray
    loyalty: FloatArray


class Prior(NamedTuple):
    """What is believed before the first day, and how it moves the latent parameters.

    Attributes:
        mean: (size,) [1].
        covariance: (size, size) [1].
        counts: Change of the log counts with each part of the belief, (channels, metrics, size).
        moving: The parts that move more than counts, their places.
        moved: The latent parameters at the mean, then with one of these moved a little,
            (1 + moving, ...).
        error: Least variance of a day's log metrics about the filter's model, (metrics,) [1].
    """

    mean: FloatArray
    covariance: FloatArray
    counts: FloatArray
    moving: NDArray[np.intp]
    moved: Latent
    error: FloatArray


def prior(params: CampaignParams) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of strengths and lifts before the first day, (size,) each."""
    full = _prior(params)
    return full.mean, np.sqrt(np.diag(full.covariance))


def log_strengths(params: CampaignParams, latent: Latent) -> FloatArray:
    """The log strength of each channel: what the belief is about, (count, channels) [1].

    That of a channel is the mean of its log counts over the nominal ones, weighted by their worth.
    """
    ratio = latent.counts / np.where(params.counts_array > 0, params.counts_array, 1.0)
    logs = np.log(np.where(ratio > 0, ratio, 1.0))
    strengths: FloatArray = (logs * _worth(params)).sum(axis=-1)
    return strengths


def start(params: CampaignParams, count: int) -> Belief:
    """The belief before the first day."""
    known = _prior(params)
    state = model.initial_state(params, (count, 1 + len(known.moving)))
    mean, covariance = np.tile(known.mean, (count, 1)), np.tile(known.covariance, (count, 1, 1))
    return Belief(mean, covariance, *state[1:])


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
    known = _prior(params)
    effect, after = model.respond(params, before, spend[:, np.newaxis], known.moved)
    effect = effect * params.day_factors[day]
    for part, new in zip(belief[2:], after[1:], strict=True):
        part[rows] = new
    mean, covariance = belief.mean[rows], belief.covariance[rows]
    expected, slope = _expected(params, known, mean, effect, day)
    gap, noise = _gap(params, known, metrics, expected)
    belief.mean[rows], belief.covariance[rows] = _update(mean, covariance, slope, gap, noise)


def _lifted(params: CampaignParams) -> NDArray[np.intp]:
    """The channels that loyalty lifts."""
    return np.flatnonzero(params.nominal.loyalty_lift)


@cache
def _prior(params: CampaignParams) -> Prior:
    """The belief before the first day, computed once per parameters and process."""
    return _independent(params) if params.latent_covariance is None else _correlated(params)


def _independent(params: CampaignParams) -> Prior:
    """Strengths and lifts of mean 1, each on its own."""
    channels, lifted = len(params.channels), _lifted(params)
    size = channels + len(lifted)
    sd = np.repeat([params.counts_log_sd, params.loyalty_lift_log_sd], [channels, len(lifted)])
    mean = -(sd**2) / 2
    log_factor = np.zeros((1 + len(lifted), channels))
    log_factor[:, lifted] = mean[channels:]
    log_factor[np.arange(1, 1 + len(lifted)), lifted] += STEP
    return Prior(
        mean=mean,
        covariance=np.diag(sd**2),
        counts=np.repeat(np.eye(channels, size)[:, np.newaxis], len(params.metrics), axis=1),
        moving=np.arange(channels, size),
        moved=params.nominal._replace(
            loyalty_lift=params.nominal.loyalty_lift * np.exp(log_factor)
        ),
        error=np.full(len(params.metrics), _model_error(params)),
    )


def _correlated(params: CampaignParams) -> Prior:
    """Strengths and lifts under ``latent_covariance``, which the others follow by regression.

    What the regression leaves of the other parameters is the error of the filter's model.
    """
    covariance, weights = params.covariance_array, _weights(params)
    states = weights @ covariance @ weights.T
    follow = covariance @ weights.T @ np.linalg.pinv(states, rcond=1e-9, hermitian=True)
    follow[np.abs(follow) < 1e-9] = 0.0  # (rows of the covariance, size)
    counts_size = np.count_nonzero(params.counts_array)
    counts = np.zeros((*params.counts_array.shape, len(states)))
    counts[params.counts_array > 0] = follow[:counts_size]
    moving = np.flatnonzero(follow[counts_size:].any(axis=0))
    steps = np.vstack([np.zeros(len(follow)), STEP * follow.T[moving]])
    left = np.diag(covariance - follow @ states @ follow.T)
    latent = moved(params, steps)
    return Prior(
        mean=np.zeros(len(states)),
        covariance=states,
        counts=counts,
        moving=moving,
        moved=latent._replace(counts=params.nominal.counts),
        error=_error_left(params, np.maximum(left, 0.0), np.diag(states)),
    )


def _weights(params: CampaignParams) -> FloatArray:
    """Strengths and lifts from the rows of ``latent_covariance``, (size, rows)."""
    lifted, worth = _lifted(params), _worth(params)
    channels, size = len(worth), params.is_differing.size
    weights = np.zeros((channels + len(lifted), size))
    for channel in range(channels):
        start = channel * len(params.metrics)
        weights[channel, start : start + len(params.metrics)] = worth[channel]
    first_lift = size - 2 * channels
    weights[channels + np.arange(len(lifted)), first_lift + lifted] = 1.0
    return weights[:, params.is_differing]


def _worth(params: CampaignParams) -> FloatArray:
    """What each count of a channel is worth, as shares of all of them, (channels, metrics) [1]."""
    counts = params.counts_array
    worth = counts * params.weights_array
    worth = np.where(worth.sum(axis=1, keepdims=True) > 0, worth, counts)
    total: FloatArray = worth.sum(axis=1, keepdims=True)
    shares: FloatArray = worth / np.maximum(total, np.finfo(np.float64).tiny)
    return shares


def _expected(
    params: CampaignParams, known: Prior, mean: FloatArray, effect: FloatArray, day: int
) -> tuple[FloatArray, FloatArray]:
    """Expected metrics at the mean, (rows, metrics), and the slopes of their logarithms.

    The slopes are (rows, metrics, size).
    """
    change = (effect[:, 1:] - effect[:, :1]) / STEP  # (rows, moving, channels)
    shift = np.einsum("nj,njc->nc", (mean - known.mean)[:, known.moving], change)
    works = np.maximum(effect[:, 0] + shift, 0.1 * effect[:, 0])  # (rows, channels)
    strength = np.exp(np.einsum("nj,ckj->nck", mean, known.counts))
    earned = strength * works[..., np.newaxis] * params.counts_array
    base = params.base_array * params.day_factors[day]
    expected = np.maximum(np.einsum("nck->nk", earned) + base, 1e-6)
    slope = np.zeros((*expected.shape, mean.shape[1]))
    for channel, follow in enumerate(known.counts):  # faster than a sum over three axes
        slope += earned[:, channel, :, np.newaxis] * follow
    moves = change[..., np.newaxis] * strength[:, np.newaxis]  # (rows, moving, channels, metrics)
    slope[:, :, known.moving] += np.einsum("njck,ck->nkj", moves, params.counts_array)
    slope /= expected[:, :, np.newaxis]
    return expected, slope


def _gap(
    params: CampaignParams, known: Prior, metrics: FloatArray, expected: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log metrics less the expected ones, (rows, metrics), and their covariance."""
    r = params.dispersion
    bias = (0.0 if r is None else float(special.psi(r)) - np.log(r)) - params.shock_sd**2 / 2
    spread = _spread(params)
    counting = 1.0 / (expected + 0.5) if params.is_noisy else np.zeros_like(expected)
    own = np.maximum(spread + counting, known.error)
    noise = own[:, :, np.newaxis] * np.eye(len(params.metrics)) + params.shock_sd**2
    return np.log(metrics + 0.5) - np.log(expected + 0.5) - bias, noise


def _spread(params: CampaignParams) -> float:
    """Variance of the logarithm of a day's heterogeneity [1]."""
    return 0.0 if params.dispersion is None else float(special.polygamma(1, params.dispersion))


def _model_error(params: CampaignParams) -> float:
    """Least variance of a day's log metrics about the filter's model [1].

    It stands for what the filter leaves out: the curvature of the logarithm over the prior of the
    strengths, and the other latent parameters, whose elasticity is a half where a channel is half
    saturated.
    """
    curvature = (params.counts_log_sd**2 / 2) ** 2
    others = (params.inv_half_saturation_log_sd**2 + params.fatigue_log_sd**2) / 4
    return 1e-6 + curvature + others + params.carry_over_range**2 / 3


def _error_left(params: CampaignParams, left: FloatArray, strengths: FloatArray) -> FloatArray:
    """The same of each metric, (metrics,), from the variances that the regression leaves.

    The noise of a day is added, as what is left lasts for the whole campaign.

    Args:
        params: The campaign.
        left: Of the rows of ``latent_covariance``.
        strengths: Variances of strengths, then lifts.
    """
    every = np.zeros(params.is_differing.size)
    every[params.is_differing] = left
    nominal, parts = params.nominal, np.split(every, latent_ends(params))
    alpha = nominal.carry_over
    others = (parts[1] + parts[4]) / 4 + parts[2] * (alpha * (1.0 - alpha)) ** 2
    curvature = (strengths[: len(alpha)] / 2) ** 2
    own = parts[0].reshape(nominal.counts.shape) + (others + curvature)[:, np.newaxis]
    total = np.maximum(nominal.counts.sum(axis=0), np.finfo(np.float64).tiny)
    error: FloatArray = 1e-6 + _spread(params) + (own * nominal.counts / total).sum(axis=0)
    return error


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
