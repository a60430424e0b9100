"""Draws from the posterior of a campaign's parameters, with checks of how they were computed.

Sequential Monte Carlo (pocoMC) leads from a wide t distribution around the likeliest point to the
posterior; independent runs of it, which have to agree, are the check.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from envs.campaign.calibration import Calibration, curvature, mode
from envs.campaign.params import FloatArray

RUNS = 2
DRAWS = 1_000  # of each run
EFFECTIVE, ACTIVE = 256, 128  # particles
STARTS = 3
START_SD = 0.5  # prior standard deviations
FREEDOM = 8  # degrees of freedom of the t distribution
LEAST_CURVATURE = 0.5  # the prior's is 1
MOST_R_HAT, LEAST_EFFECTIVE = 1.05, 400


@dataclass(frozen=True, eq=False)
class Posterior:
    """Equally likely draws of the parameters after past days.

    Attributes:
        calibration: What was fitted to what.
        chains: Draws of each run, (runs, draws, size): points of the calibration.
    """

    calibration: Calibration
    chains: FloatArray

    @cached_property
    def draws(self) -> FloatArray:
        """The draws of all runs, (runs x draws, size)."""
        return self.chains.reshape(-1, self.chains.shape[-1])

    @cached_property
    def r_hat(self) -> FloatArray:
        """How much wider the draws of all runs are than those of each, (size,) [1]."""
        from arviz_stats.base import array_stats

        r_hat: FloatArray = array_stats.rhat(self.chains, chain_axis=0, draw_axis=1)
        return r_hat

    @cached_property
    def effective(self) -> FloatArray:
        """How many independent draws would tell the mean as well, (size,)."""
        from arviz_stats.base import array_stats

        size: FloatArray = array_stats.ess(self.chains, chain_axis=0, draw_axis=1)
        return size

    @property
    def is_converged(self) -> bool:
        """Whether the runs agree on every parameter."""
        agree = self.r_hat.max() <= MOST_R_HAT
        return bool(agree and self.effective.min() >= LEAST_EFFECTIVE)


def fit(calibration: Calibration, rng: np.random.Generator, processes: int = RUNS) -> Posterior:
    """Draws from the posterior."""
    starts = START_SD * rng.standard_normal((STARTS, calibration.size))
    starts[0] = 0.0
    with threadpool_limits(1, user_api="blas"):
        center = mode(calibration, list(starts))
        values, vectors = np.linalg.eigh(curvature(calibration, center))
        factor = vectors / np.sqrt(np.maximum(values, LEAST_CURVATURE))
    run = partial(_run, calibration, center, factor)
    seeds = [int(seed) for seed in rng.integers(2**31, size=RUNS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, RUNS), context) as pool:
        return Posterior(calibration, np.stack(list(pool.map(run, seeds))))


def campaign_fields(posterior: Posterior) -> dict[str, Any]:
    """The fields of a ``CampaignParams`` that the past days tell of.

    Each parameter has its median as nominal value; ``latent_covariance`` holds how those that may
    differ between campaigns vary together.
    """
    calibration = posterior.calibration
    center = posterior.draws.mean(axis=0)
    values = calibration.values(center)
    weekday = calibration.values(posterior.draws).weekday.mean(axis=0)
    latent = values.latent
    return {
        "counts": latent.counts,
        "base": values.base,
        "weekday_factors": weekday,
        "inv_half_saturation": latent.inv_half_saturation,
        "carry_over": latent.carry_over,
        "loyalty_lift": latent.loyalty_lift,
        "loyalty_gain": values.gain_array,
        "loyalty_decay": float(values.loyalty_decay),
        "fatigue": latent.fatigue_rate * calibration.reference_budget,
        "fatigue_recovery": values.recovery_array,
        "dispersion": float(values.dispersion),
        "shock_sd": float(values.shock_sd),
        "latent_covariance": _latent_covariance(posterior),
    }


def _latent_covariance(posterior: Posterior) -> FloatArray:
    """Covariance of the latent parameters' logarithms, and of the logits of carry_over."""
    calibration = posterior.calibration
    numbers = calibration.scale * posterior.draws
    ends = np.cumsum([block.median.size for block in calibration.blocks])[:-1]
    names = [block.name for block in calibration.blocks]
    parts = dict(zip(names, np.split(numbers, ends, axis=1), strict=True))
    parts["half_saturation"] = -parts["half_saturation"]
    drawn = ("counts", "half_saturation", "carry_over", "loyalty_lift", "fatigue")
    covariance: FloatArray = np.cov(np.hstack([parts[name] for name in drawn if name in parts]).T)
    return covariance


@dataclass(eq=False)
class Reference:
    """A multivariate t distribution, in the form in which pocoMC takes a prior.

    Attributes:
        center: (size,).
        factor: (size, size).
        rng: Draws the first particles.
    """

    center: FloatArray
    factor: FloatArray
    rng: np.random.Generator

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return len(self.center)

    @property
    def bounds(self) -> FloatArray:
        """Least and most of each parameter, (size, 2)."""
        return np.tile([-np.inf, np.inf], (self.dim, 1))

    def rvs(self, size: int = 1) -> FloatArray:
        """Draws (count, size)."""
        normal = self.rng.standard_normal((size, self.dim))
        narrow = np.sqrt(self.rng.chisquare(FREEDOM, (size, 1)) / FREEDOM)
        draws: FloatArray = self.center + (normal / narrow) @ self.factor.T
        return draws

    def logpdf(self, points: FloatArray) -> FloatArray:
        """Log-density of points (count, size), but for a constant, (count,)."""
        scaled = np.linalg.solve(self.factor, (points - self.center).T)
        square = np.square(scaled).sum(axis=0)
        density: FloatArray = -(FREEDOM + self.dim) / 2 * np.log1p(square / FREEDOM)
        return density


def _run(calibration: Calibration, center: FloatArray, factor: FloatArray, seed: int) -> FloatArray:
    """Draws (draws, size) of one run."""
    import pocomc
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    reference: Any = Reference(center, factor, rng)

    def gain(points: FloatArray) -> FloatArray:
        density: FloatArray = calibration.log_posterior(points) - reference.logpdf(points)
        return density

    sampler = pocomc.Sampler(
        reference,
        gain,
        vectorize=True,
        n_effective=EFFECTIVE,
        n_active=ACTIVE,
        precondition=False,
        random_state=seed,
    )
    with threadpool_limits(1, user_api="blas"):
        sampler.run(n_total=DRAWS, n_evidence=0, progress=False)
    points, weights, *_ = sampler.posterior()
    drawn: FloatArray = points[rng.choice(len(points), DRAWS, p=weights / weights.sum())]
    return drawn
