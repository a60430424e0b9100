"""What a campaign fitted to past days says, in draws from its posterior: earnings and parameters.

Engagement is the weighted sum of the metrics; a band leaves out 5 % of the draws at either end.
"""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from envs.campaign import model
from envs.campaign.calibration import Calibration, PastDays, Values, effects
from envs.campaign.params import FloatArray
from envs.campaign.posterior import Posterior

BAND = 0.9
QUANTILES = (1 - BAND) / 2, 0.5, (1 + BAND) / 2
MOST_DRAWS = 1_000  # for bands of every day
BASE = "base"  # what comes without spend


@dataclass(frozen=True, eq=False)
class Fitted:
    """A campaign fitted to past days, with the names of its parts.

    Attributes:
        posterior: Draws of its parameters.
        channels: Their names.
        metrics: Their names.
        weights: What one count of each metric is worth, (metrics,).
        unit: What money is counted in.
        dates: Date of each past day, where they are known.
        notices: What has to be said of the data, a sentence each.
    """

    posterior: Posterior
    channels: tuple[str, ...]
    metrics: tuple[str, ...]
    weights: tuple[float, ...]
    unit: str
    dates: tuple[date, ...] | None = None
    notices: tuple[str, ...] = ()

    @property
    def calibration(self) -> Calibration:
        """What was fitted."""
        return self.posterior.calibration

    @property
    def past(self) -> PastDays:
        """What happened."""
        return self.calibration.past

    @property
    def sources(self) -> tuple[str, ...]:
        """What engagement comes from: each channel, and what comes without spend."""
        return (*self.channels, BASE)

    @cached_property
    def points(self) -> FloatArray:
        """Draws for bands of every day, (draws, size)."""
        draws = self.posterior.draws
        return draws[:: -(-len(draws) // MOST_DRAWS)]

    @cached_property
    def values(self) -> Values:
        """The parameters at ``points``."""
        return self.calibration.values(self.points)

    @cached_property
    def expected(self) -> FloatArray:
        """Expected metrics of the past days, (draws, days, metrics) [counts/day]."""
        return self.calibration.expected(self.points)[0]

    @cached_property
    def strength(self) -> FloatArray:
        """Engagement of the first unit on each channel, (draws, channels) [1/bu]."""
        strength: FloatArray = self.values.nominal.counts @ np.array(self.weights)
        return strength

    @cached_property
    def contributions(self) -> FloatArray:
        """Expected engagement of the past days by ``sources``, (draws, days, sources) [1/day].

        A channel's is what its own effect earned on that day; an effect that loyalty lifts is that
        of the channel that is lifted.
        """
        values, past = self.values, self.past
        earned = effects(values, past.spend, past.starts) * self.strength[:, np.newaxis, :]
        base = np.broadcast_to(
            (values.base @ np.array(self.weights))[:, np.newaxis], earned[..., 0].shape
        )
        factors = values.weekday[:, past.weekday]
        return np.concatenate([earned, base[..., np.newaxis]], axis=-1) * factors[..., np.newaxis]

    @cached_property
    def shares(self) -> FloatArray:
        """Share of each of the ``sources`` in all expected engagement, (draws, sources) [1]."""
        total = self.contributions.sum(axis=1)
        share: FloatArray = total / total.sum(axis=-1, keepdims=True)
        return share

    def response(self, spend: FloatArray) -> FloatArray:
        """Engagement of an average day of steady spend (..., channels), (draws, ..., channels) [1].

        Loyalty and fatigue are left out.
        """
        inverse, strength = (
            part.reshape(len(part), *(1,) * (spend.ndim - 1), -1)
            for part in (self.values.nominal.inv_half_saturation, self.strength)
        )
        latent = self.values.nominal._replace(inv_half_saturation=inverse)
        earned: FloatArray = model.saturate(latent, spend) * strength
        return earned

    @cached_property
    def slope(self) -> FloatArray:
        """What one more unit at usual spend earns of what the first does, (draws, channels) [1]."""
        inverse = self.values.nominal.inv_half_saturation
        slope: FloatArray = (1.0 + self.past.usual_spend * inverse) ** -2.0
        return slope

    @cached_property
    def marginal(self) -> FloatArray:
        """Engagement of one more unit a day at usual spend, (draws, channels) [1/bu].

        The slope of ``response`` at the median of the spends above 0.
        """
        marginal: FloatArray = self.strength * self.slope
        return marginal

    @cached_property
    def sd(self) -> FloatArray:
        """Posterior standard deviation of each parameter over that of its prior, (size,) [1].

        Of the logarithms or logits.
        """
        sd: FloatArray = self.posterior.draws.std(axis=0)
        return sd


class Range(NamedTuple):
    """Median and band over draws, arrays (...,) without the axis of the draws."""

    low: FloatArray
    middle: FloatArray
    high: FloatArray


def range_of(draws: FloatArray) -> Range:
    """Median and band of draws (draws, ...)."""
    return Range(*np.quantile(draws, QUANTILES, axis=0))


class Parameter(NamedTuple):
    """A number of the campaign before and after the past days.

    Attributes:
        block: Name of its prior.
        places: What it belongs to: a channel and a metric, a weekday, or nothing.
        position: Its place in a point.
        before: Prior median and band, in its own unit.
        after: Those of the posterior.
        sd: Posterior standard deviation over the prior's, of its logarithm or logit [1].
    """

    block: str
    places: tuple[str, ...]
    position: int
    before: Range
    after: Range
    sd: float

    @property
    def narrowed(self) -> float:
        """By which share the standard deviation became smaller; 0 where it did not [1]."""
        return max(0.0, 1.0 - self.sd)


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def parameters_of(fitted: Fitted, rng: np.random.Generator) -> list[Parameter]:
    """All parameters in the order of a point."""
    draws = fitted.posterior.draws
    before = _ranges(fitted, _prior_points(draws.shape, rng))
    after = _ranges(fitted, draws)
    places = [
        (block.name, names)
        for block in fitted.calibration.blocks
        for names in places_of(fitted, block.name)
    ]
    return [
        Parameter(name, names, i, Range(*before[:, i]), Range(*after[:, i]), float(fitted.sd[i]))
        for i, (name, names) in enumerate(places)
    ]


def places_of(fitted: Fitted, block: str) -> list[tuple[str, ...]]:
    """What each number of a block of parameters belongs to, in their order."""
    channels, roles = fitted.channels, fitted.calibration.roles
    some = {
        "loyalty_lift": roles.lifted,
        "loyalty_gain": roles.building,
        "fatigue": roles.tiring,
        "fatigue_recovery": roles.tiring,
    }
    if block == "counts":
        return [(channel, metric) for channel in channels for metric in fitted.metrics]
    if block in some:
        return [(channels[channel],) for channel in some[block]]
    names = {"base": fitted.metrics, "weekday": WEEKDAYS}
    if block in ("half_saturation", "carry_over"):
        return [(channel,) for channel in channels]
    return [(name,) for name in names[block]] if block in names else [()]


def _ranges(fitted: Fitted, points: FloatArray) -> FloatArray:
    """Quantiles of the parameters at points, as the model takes them, (quantiles, size)."""
    found = fitted.calibration.parameters(points)
    found["weekday"] = found["weekday"] / found["weekday"].mean(axis=-1, keepdims=True)
    if "loyalty_gain" in found:
        found["loyalty_gain"] = found["loyalty_gain"] / len(fitted.calibration.roles.building)
    flat = np.concatenate([part.reshape(len(points), -1) for part in found.values()], axis=1)
    quantiles: FloatArray = np.quantile(flat, QUANTILES, axis=0)
    return quantiles


def _prior_points(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Points from the prior (count, size): in each column every quantile once."""
    grid = special.ndtri((np.arange(shape[0]) + 0.5) / shape[0])
    return rng.permuted(np.tile(grid, (shape[1], 1)), axis=1).T
