"""Past days of campaigns whose truth is drawn from the prior of a calibration."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from envs.campaign.calibration import Calibration, PastDays, Roles
from envs.campaign.params import FloatArray

BUDGET = 100.0
ROLES = Roles((2,), (0,), (1,))  # the article's
COUNTS = (300.0, 60.0, 90.0, 20.0)  # by which the prior of a truth is scaled [counts/day]

Split = Callable[[np.random.Generator, int, int], FloatArray]
Distortion = Callable[[FloatArray, np.random.Generator], FloatArray]


class History(NamedTuple):
    """Past days, and the truth that they come from.

    Attributes:
        calibration: What can be fitted to the days.
        origin: The calibration from whose prior the truth was drawn: scaled by other counts.
        truth: A point of ``origin``.
    """

    calibration: Calibration
    origin: Calibration
    truth: FloatArray


def varied(rng: np.random.Generator, days: int, channels: int) -> FloatArray:
    """Splits that change every day, (days, channels) [bu/day]; a part of the budget is kept."""
    return BUDGET * rng.dirichlet(np.ones(channels + 1), days)[:, :channels]


def constant(rng: np.random.Generator, days: int, channels: int) -> FloatArray:
    """The same split every day, (days, channels) [bu/day]."""
    return np.tile(BUDGET * rng.dirichlet(np.full(channels, 3.0)), (days, 1))


def wandering(rng: np.random.Generator, days: int, channels: int) -> FloatArray:
    """A habit: splits that wander around one that is liked, (days, channels) [bu/day]."""
    logs, wander = np.log(rng.dirichlet(np.full(channels, 3.0))), np.zeros(channels)
    rows = []
    for _ in range(days):
        wander = 0.8 * wander + 0.3 * rng.standard_normal(channels)
        shares = np.exp(logs + wander)
        rows.append(BUDGET * shares / shares.sum())
    return np.array(rows)


def history(
    rng: np.random.Generator,
    days: int,
    split: Split = varied,
    channels: int = 3,
    metrics: int = 3,
    roles: Roles = ROLES,
    distort: Distortion | None = None,
) -> History:
    """Days of one campaign from Monday on, with counts that chance made of a drawn truth.

    Args:
        rng: Draws spends, truth and counts.
        days: How many.
        split: Draws the spends.
        channels: How many.
        metrics: How many, at most four.
        roles: Which channels do what.
        distort: What a world outside the model makes of the expected metrics (days, metrics).
    """
    spend = split(rng, days, channels)
    weekday, starts = np.arange(days) % 7, np.arange(days) == 0
    usual = np.tile(COUNTS[:metrics], (days, 1))
    origin = Calibration(PastDays(spend, usual, weekday, starts), roles, BUDGET)
    truth = rng.standard_normal(origin.size)
    counts = counted(origin, truth, rng, distort)
    return History(
        Calibration(PastDays(spend, counts, weekday, starts), roles, BUDGET), origin, truth
    )


def counted(
    origin: Calibration,
    truth: FloatArray,
    rng: np.random.Generator,
    distort: Distortion | None = None,
) -> FloatArray:
    """Counts that chance makes of a truth on the days of a calibration, (days, metrics)."""
    mean, values = origin.expected(truth)
    mean = mean if distort is None else distort(mean, rng)
    shock = np.exp(values.shock_sd * rng.standard_normal((len(mean), 1)) - values.shock_sd**2 / 2)
    heterogeneity = rng.gamma(values.dispersion, 1.0 / values.dispersion, mean.shape)
    return rng.poisson(mean * shock * heterogeneity).astype(float)
