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
World = Callable[[Calibration, FloatArray, np.random.Generator], FloatArray]
"""A calibration and a point of it to the expected metrics of its days, (days, metrics)."""


class History(NamedTuple):
    """Past days, and the truth that they come from.

    Attributes:
        calibration: What can be fitted to the days.
        origin: The calibration from whose prior the truth was drawn: scaled by other counts.
        truth: A point of ``origin``.
        world: What brought the days.
    """

    calibration: Calibration
    origin: Calibration
    truth: FloatArray
    world: World


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


def flighted(rng: np.random.Generator, days: int, channels: int) -> FloatArray:
    """Splits that change every day, most of the budget on one or two channels or on none."""
    return BUDGET * rng.dirichlet(np.full(channels + 1, 0.3), days)[:, :channels]


SPLITS: dict[str, Split] = {split.__name__: split for split in (varied, flighted, constant)}


def modelled(origin: Calibration, truth: FloatArray, _: np.random.Generator) -> FloatArray:
    """The world of the model."""
    return origin.expected(truth)[0]


def trend(origin: Calibration, truth: FloatArray, _: np.random.Generator) -> FloatArray:
    """All grows, from .7 to 1.3 of what the model says."""
    mean, _values = origin.expected(truth)
    return mean * np.linspace(0.7, 1.3, len(mean))[:, np.newaxis]


def promotions(origin: Calibration, truth: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Every fourth week, from a random day on, brings half as much again."""
    mean, _values = origin.expected(truth)
    days = (np.arange(len(mean)) + rng.integers(28)) % 28
    return mean * np.where(days < 7, 1.5, 1.0)[:, np.newaxis]


def delayed(origin: Calibration, truth: FloatArray, _: np.random.Generator) -> FloatArray:
    """What is earned comes two days later."""
    mean, _values = origin.expected(truth)
    return np.concatenate([mean[:1], mean[:1], mean[:-2]])


def simulated(
    origin: Calibration, truth: FloatArray, saturated: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Expected metrics (days, metrics) by the model's equations, written once more.

    Args:
        origin: What truth means, and the days, all of one campaign.
        truth: A point.
        saturated: Adstock over half-saturation to the response over half-saturation.
    """
    values, past = origin.values(truth), origin.past
    channels = past.spend.shape[1]
    gain = np.array([values.building.get(channel, 0.0) for channel in range(channels)])
    latent, half = values.nominal, 1.0 / values.nominal.inv_half_saturation
    adstock, fresh, loyalty, mean = np.zeros(channels), np.ones(channels), 0.0, []
    for spend, weekday in zip(past.spend, past.weekday, strict=True):
        adstock = (1.0 - latent.carry_over) * spend + latent.carry_over * adstock
        response = half * saturated(adstock / half)
        effect = response * (1.0 + latent.loyalty_lift * loyalty) * fresh
        mean.append(values.weekday[weekday] * (values.base + effect @ latent.counts))
        fresh = fresh * np.exp(-latent.fatigue_rate * spend)
        fresh = fresh + values.recovery_array * (1.0 - fresh)
        built = min(float(gain @ np.minimum(response / values.reference_budget, 1.0)), 1.0)
        loyalty += (1.0 - loyalty) * built - float(values.loyalty_decay) * loyalty
    return np.array(mean)


def logistic(origin: Calibration, truth: FloatArray, _: np.random.Generator) -> FloatArray:
    """Channels saturate by a logistic curve: as steep at first, and as high, but sooner."""
    return simulated(origin, truth, np.tanh)


WORLDS: dict[str, World] = {
    world.__name__: world for world in (modelled, logistic, delayed, trend, promotions)
}


def history(
    rng: np.random.Generator,
    days: int,
    split: Split = varied,
    channels: int = 3,
    metrics: int = 3,
    roles: Roles = ROLES,
    world: World = modelled,
) -> History:
    """Days of one campaign from Monday on, with counts that chance made of a drawn truth.

    Args:
        rng: Draws spends, truth and counts.
        days: How many.
        split: Draws the spends.
        channels: How many.
        metrics: How many, at most four.
        roles: Which channels do what.
        world: What the days are expected to bring.
    """
    spend = split(rng, days, channels)
    weekday, starts = np.arange(days) % 7, np.arange(days) == 0
    usual = np.tile(COUNTS[:metrics], (days, 1))
    origin = Calibration(PastDays(spend, usual, weekday, starts), roles, BUDGET)
    truth = rng.standard_normal(origin.size)
    counts = counted(origin, truth, rng, world)
    days_seen = PastDays(spend, counts, weekday, starts)
    return History(Calibration(days_seen, roles, BUDGET), origin, truth, world)


def counted(
    origin: Calibration,
    truth: FloatArray,
    rng: np.random.Generator,
    world: World = modelled,
) -> FloatArray:
    """Counts that chance makes of a truth on the days of a calibration, (days, metrics)."""
    mean, values = world(origin, truth, rng), origin.values(truth)
    shock = np.exp(values.shock_sd * rng.standard_normal((len(mean), 1)) - values.shock_sd**2 / 2)
    heterogeneity = rng.gamma(values.dispersion, 1.0 / values.dispersion, mean.shape)
    return rng.poisson(mean * shock * heterogeneity).astype(float)
