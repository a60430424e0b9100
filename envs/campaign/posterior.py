"""Draws from the posterior of a campaign's parameters, with checks of how they were computed.

Sequential Monte Carlo (pocoMC) leads from a wide t distribution around the likeliest point to the
posterior; independent runs of it, which have to agree, are the check.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from envs.campaign.calibration import Calibration, curvature, mode
from envs.campaign.params import FloatArray

RUNS = 2
DRAWS = 1_000  # of each run
EFFECTIVE, ACTIVE, FIRST = 256, 128, 4096  # particles; first: those from the t distribution
STARTS = 3
START_SD = 0.5  # prior standard deviations
FREEDOM = 8  # degrees of freedom of the t distribution
LEAST_CURVATURE = 0.5  # the prior's is 1
SPREAD = 1.5  # of the t distribution, so that it reaches where the posterior has long tails
MOST_R_HAT, LEAST_EFFECTIVE = 1.05, 400
POLLED = 0.5  # seconds
FIRST_BETA = 1e-3  # about where the way to the posterior starts


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
        return _diagnostic("rhat", self.chains)

    @cached_property
    def effective(self) -> FloatArray:
        """How many independent draws would tell the mean as well, (size,)."""
        return _diagnostic("ess", self.chains)

    @property
    def is_converged(self) -> bool:
        """Whether the runs agree on every parameter."""
        agree = self.r_hat.max() <= MOST_R_HAT
        return bool(agree and self.effective.min() >= LEAST_EFFECTIVE)


def _diagnostic(name: str, chains: FloatArray) -> FloatArray:
    """A diagnostic of ArviZ for each parameter of chains (runs, draws, size), (size,)."""
    import arviz_stats.base

    stats: Any = vars(arviz_stats.base)["array_stats"]  # it does not say what it exports
    value: FloatArray = getattr(stats, name)(chains, chain_axis=0, draw_axis=1)
    return value


def fit(
    calibration: Calibration,
    rng: np.random.Generator,
    processes: int = RUNS,
    on_progress: Callable[[float], object] = bool,
) -> Posterior:
    """Draws from the posterior.

    Args:
        calibration: What is fitted to what.
        rng: Seeds the runs.
        processes: How many runs are computed at a time; 1 for all in this process.
        on_progress: Told twice a second which share is done, roughly.
    """
    starts = START_SD * rng.standard_normal((STARTS, calibration.size))
    starts[0] = 0.0
    with threadpool_limits(1, user_api="blas"):
        center = mode(calibration, list(starts))
        values, vectors = np.linalg.eigh(curvature(calibration, center))
    factor = SPREAD * vectors / np.sqrt(np.maximum(values, LEAST_CURVATURE))
    run = partial(_run, calibration, center, factor)
    seeds = rng.integers(2**31, size=RUNS).tolist()
    if processes == 1:
        return Posterior(calibration, np.stack([run(seed) for seed in seeds]))
    context = multiprocessing.get_context("spawn")
    done = context.Array("d", RUNS)
    with ProcessPoolExecutor(min(processes, RUNS), context, _share_progress, (done,)) as pool:
        chains = [pool.submit(run, seed, place) for place, seed in enumerate(seeds)]
        while wait(chains, POLLED).not_done:
            on_progress(float(np.mean(done[:])))
        return Posterior(calibration, np.stack([chain.result() for chain in chains]))


def campaign_fields(posterior: Posterior) -> dict[str, Any]:
    """The fields of a ``CampaignParams`` that the past days tell of.

    Each parameter has its posterior mean, of logarithms or logits, as nominal value;
    ``latent_covariance`` holds how those that may differ between campaigns vary together.
    """
    calibration, draws = posterior.calibration, posterior.draws
    covariance = np.cov(_latent_numbers(calibration, draws).T)
    return fields_at(calibration, draws.mean(axis=0)) | {"latent_covariance": covariance}


def fields_at(calibration: Calibration, point: FloatArray) -> dict[str, Any]:
    """The parameters at a point (size,), as fields of a ``CampaignParams``."""
    values = calibration.values(point)
    latent, gain = values.nominal, np.zeros(calibration.past.spend.shape[1])
    for channel, number in values.building.items():
        gain[channel] = number
    return {
        "counts": latent.counts,
        "base": values.base,
        "weekday_factors": values.weekday,
        "inv_half_saturation": latent.inv_half_saturation,
        "carry_over": latent.carry_over,
        "loyalty_lift": latent.loyalty_lift,
        "loyalty_gain": gain,
        "loyalty_decay": float(values.loyalty_decay),
        "fatigue": latent.fatigue_rate * calibration.reference_budget,
        "fatigue_recovery": values.recovery_array,
        "dispersion": float(values.dispersion),
        "shock_sd": float(values.shock_sd),
    }


def _latent_numbers(calibration: Calibration, points: FloatArray) -> FloatArray:
    """Logarithms of the latent parameters at points (count, size), logits of carry_over."""
    numbers = calibration.scale * points
    ends = np.cumsum([block.median.size for block in calibration.blocks])[:-1]
    names = [block.name for block in calibration.blocks]
    parts = dict(zip(names, np.split(numbers, ends, axis=1), strict=True))
    parts["half_saturation"] = -parts["half_saturation"]
    drawn = ("counts", "half_saturation", "carry_over", "loyalty_lift", "fatigue")
    return np.hstack([parts[name] for name in drawn if name in parts])


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


_done: Any = None  # which share of each run is computed, in the processes of the pool


def _share_progress(done: Any) -> None:
    global _done  # noqa: PLW0603 - how a pool hands its processes something shared
    _done = done


def _run(
    calibration: Calibration, center: FloatArray, factor: FloatArray, seed: int, place: int = 0
) -> FloatArray:
    """Draws (draws, size) of one run."""
    import pocomc

    rng = np.random.default_rng(seed)
    reference: Any = Reference(center, factor, rng)

    def gain(points: FloatArray) -> FloatArray:
        if _done is not None and sampler.pbar is not None:
            _done[place] = _share(sampler.pbar.info)
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
        n_prior=FIRST,
        n_steps=calibration.size,
    )
    with threadpool_limits(1, user_api="blas"):
        sampler.run(n_total=DRAWS, n_evidence=0, progress=False)
    points, weights, *_ = sampler.posterior()
    drawn: FloatArray = points[rng.choice(len(points), DRAWS, p=weights / weights.sum())]
    return drawn


def _share(info: dict[str, float]) -> float:
    """Which share of a run is done: half of it leads to the posterior, half draws from it."""
    beta = max(info.get("beta", 0.0), FIRST_BETA)
    drawn = info.get("ESS", 0.0) / DRAWS if beta >= 1.0 else 0.0
    return float(1.0 - np.log(beta) / np.log(FIRST_BETA) + min(drawn, 1.0)) / 2
