"""The parameters of a campaign after past days: priors, likelihood, and draws from the posterior.

Every parameter has a logarithm or logit with a normal prior; ``PRIORS`` has them with their
sources. The expected counts are those of the model, the noise is that of equation (5).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from envs.campaign import model
from envs.campaign.params import FloatArray, Latent

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(3)  # around each day's likeliest shock
NEWTON_STEPS, LONGEST_STEP = 2, 2.0
LEAST_MEAN = 1e-9  # [counts/day]
MOST_ROWS, CHUNK = 512, 16_000  # points, and numbers of their metrics, at a time: fits the cache
SLOPE_STEP, CURVE_STEP = 1e-5, 1e-3  # prior standard deviations


class Prior(NamedTuple):
    """The prior of a parameter: its logarithm or logit is normal.

    Attributes:
        is_share: Whether the logit is normal, not the logarithm.
        median: Its median, in the unit that ``unit`` says.
        sd: Standard deviation of the logarithm or logit [1].
        unit: What the median is a multiple of.
        source: Where median and sd come from.
    """

    is_share: bool
    median: float
    sd: float
    unit: str
    source: str


PRIORS = {
    "counts": Prior(
        False,
        1.0,
        1.0,
        "mean count of the metric / (channels x the channel's median spend)",
        "scaled by the data, as in PyMC-Marketing; Meridian's prior of the return has log-sd .9",
    ),
    "half_saturation": Prior(
        False,
        0.75,
        0.7,
        "the channel's median spend",
        "Meridian: normal(.8, .8) between .1 and 10, in units of the median spend",
    ),
    "carry_over": Prior(True, 0.25, 1.2, "1", "PyMC-Marketing: Beta(1, 3)"),
    "loyalty_lift": Prior(False, 1.0, 0.8, "1", "a choice"),
    "loyalty_gain": Prior(True, 0.3, 1.2, "1 / channels that build loyalty", "a choice"),
    "loyalty_decay": Prior(True, 0.1, 1.0, "1", "a choice"),
    "fatigue": Prior(False, 0.15, 0.8, "1", "a choice; form: Naik, Mantrala and Sawyer 1998"),
    "fatigue_recovery": Prior(True, 0.25, 1.0, "1", "a choice; form: the same"),
    "base": Prior(False, 0.3, 1.0, "mean count of the metric", "a choice"),
    "weekday": Prior(
        False, 1.0, 0.15, "1", "likes of 500 posts in 'Facebook metrics': sd .09 after shrinkage"
    ),
    "dispersion": Prior(
        False, 10.0, 0.8, "1", "days of paid campaigns 9.5 to 12.5, of organic ones 1.5 to 2"
    ),
    "shock_sd": Prior(False, 0.2, 0.7, "1", "a choice"),
}


class Roles(NamedTuple):
    """Which channels do what to the audience, by number.

    Attributes:
        building: Those that build loyalty.
        lifted: Those that loyalty lifts.
        tiring: Those that tire.
    """

    building: tuple[int, ...] = ()
    lifted: tuple[int, ...] = ()
    tiring: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class PastDays:
    """Days of one or more campaigns, in order.

    Attributes:
        spend: (days, channels) [bu/day].
        metrics: (days, metrics) [counts/day].
        weekday: 0 = Monday, (days,).
        starts: Which days are the first of a campaign, (days,).
    """

    spend: FloatArray
    metrics: FloatArray
    weekday: NDArray[np.int64]
    starts: NDArray[np.bool_]

    @cached_property
    def usual_spend(self) -> FloatArray:
        """Median of each channel's spends above 0, (channels,) [bu/day]."""
        return np.array([np.median(spend[spend > 0]) for spend in self.spend.T])

    @cached_property
    def usual_metrics(self) -> FloatArray:
        """Mean of each metric, (metrics,) [counts/day]."""
        mean: FloatArray = self.metrics.mean(axis=0)
        return mean


class Block(NamedTuple):
    """A parameter with a number for each of its places.

    Attributes:
        name: That of its prior.
        shape: How many numbers it has.
        median: Prior median, (numbers,).
    """

    name: str
    shape: tuple[int, ...]
    median: FloatArray


class Values(NamedTuple):
    """Values of all parameters, with leading axes (...,).

    Attributes:
        nominal: Those that may differ between campaigns.
        building: Channels that build loyalty: loyalty_gain of each, (...,) [1/day].
        recovery_array: (..., channels) [1/day].
        loyalty_decay: (...,) [1/day].
        reference_budget: [bu/day].
        base: (..., metrics) [counts/day].
        weekday: (..., 7) [1].
        dispersion, shock_sd: (...,) [1].
    """

    nominal: Latent
    building: dict[int, FloatArray]
    recovery_array: FloatArray
    loyalty_decay: FloatArray
    reference_budget: float
    base: FloatArray
    weekday: FloatArray
    dispersion: FloatArray
    shock_sd: FloatArray
    is_linear: bool = False


@dataclass(frozen=True, eq=False)
class Calibration:
    """The posterior of a campaign's parameters, as a function of points.

    A point is one number for each parameter: how many prior standard deviations its logarithm or
    logit is above its prior median; the prior of a point is standard normal.

    Attributes:
        past: What happened.
        roles: Which channels do what.
        reference_budget: Spend that loyalty and fatigue refer to [bu/day].
    """

    past: PastDays
    roles: Roles
    reference_budget: float

    @cached_property
    def blocks(self) -> list[Block]:
        """The parameters in the order of a point."""
        return [
            Block(name, shape, np.broadcast_to(PRIORS[name].median * scale, shape).ravel())
            for name, shape, scale in self._shapes()
        ]

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        past, (building, lifted, tiring) = self.past, self.roles
        channels, metrics = past.spend.shape[1], past.metrics.shape[1]
        strength = past.usual_metrics / (channels * past.usual_spend[:, np.newaxis])
        yield "counts", (channels, metrics), strength
        yield "half_saturation", (channels,), past.usual_spend
        yield "carry_over", (channels,), 1.0
        if building and lifted:
            yield "loyalty_lift", (len(lifted),), 1.0
            yield "loyalty_gain", (len(building),), 1.0
            yield "loyalty_decay", (1,), 1.0
        if tiring:
            yield "fatigue", (len(tiring),), 1.0
            yield "fatigue_recovery", (len(tiring),), 1.0
        yield "base", (metrics,), past.usual_metrics
        yield "weekday", (7,), 1.0
        yield "dispersion", (1,), 1.0
        yield "shock_sd", (1,), 1.0

    @cached_property
    def location(self) -> FloatArray:
        """Prior medians as logarithms or logits, (size,)."""
        medians = [
            special.logit(block.median) if PRIORS[block.name].is_share else np.log(block.median)
            for block in self.blocks
        ]
        return np.concatenate(medians)

    @cached_property
    def scale(self) -> FloatArray:
        """Prior standard deviations of logarithms or logits, (size,) [1]."""
        return np.concatenate(
            [np.full(block.median.size, PRIORS[block.name].sd) for block in self.blocks]
        )

    @property
    def size(self) -> int:
        """How many numbers a point has."""
        return len(self.location)

    def parameters(self, points: FloatArray) -> dict[str, FloatArray]:
        """The parameters at points (..., size) by name, each (..., *shape)."""
        numbers = self.location + self.scale * points
        ends = np.cumsum([block.median.size for block in self.blocks])[:-1]
        parts = zip(self.blocks, np.split(numbers, ends, axis=-1), strict=True)
        return {
            block.name: (special.expit if PRIORS[block.name].is_share else np.exp)(part).reshape(
                *points.shape[:-1], *block.shape
            )
            for block, part in parts
        }

    def values(self, points: FloatArray) -> Values:
        """The parameters at points (..., size), as the model takes them."""
        found = self.parameters(points)
        channels = (*points.shape[:-1], self.past.spend.shape[1])
        building, lifted, tiring = map(list, self.roles)
        lift, fatigue, recovery = (np.zeros(channels) for _ in range(3))
        gain: dict[int, FloatArray] = {}
        decay = np.zeros(channels[:-1])
        if "loyalty_lift" in found:
            gains = np.moveaxis(found["loyalty_gain"] / len(building), -1, 0)
            gain = dict(zip(building, gains, strict=True))
            lift[..., lifted] = found["loyalty_lift"]
            decay = found["loyalty_decay"][..., 0]
        if tiring:
            fatigue[..., tiring] = found["fatigue"]
            recovery[..., tiring] = found["fatigue_recovery"]
        latent = Latent(
            counts=found["counts"],
            inv_half_saturation=1.0 / found["half_saturation"],
            carry_over=found["carry_over"],
            loyalty_lift=lift,
            fatigue_rate=fatigue / self.reference_budget,
        )
        weekday = found["weekday"]
        return Values(
            nominal=latent,
            building=gain,
            recovery_array=recovery,
            loyalty_decay=decay,
            reference_budget=self.reference_budget,
            base=found["base"],
            weekday=weekday / weekday.mean(axis=-1, keepdims=True),
            dispersion=found["dispersion"][..., 0],
            shock_sd=found["shock_sd"][..., 0],
        )

    def log_posterior(self, points: FloatArray) -> FloatArray:
        """Log-density of points (count, size) but for a constant, (count,)."""
        chunks = np.array_split(points, -(-len(points) // MOST_ROWS))
        prior: FloatArray = -0.5 * np.square(points).sum(axis=-1)
        return np.concatenate([self._log_likelihood(chunk) for chunk in chunks]) + prior

    def _log_likelihood(self, points: FloatArray) -> FloatArray:
        mean, values = self.expected(points)
        days, metrics = self.past.metrics.shape
        step = max(1, CHUNK // (len(points) * metrics))
        parts = [
            _log_likelihood(self.past.metrics[day : day + step], mean[:, day : day + step], values)
            for day in range(0, days, step)
        ]
        total: FloatArray = np.sum(parts, axis=0)
        return total

    def expected(self, points: FloatArray) -> tuple[FloatArray, Values]:
        """Expected metrics of the past days at points, (..., days, metrics), and their values."""
        values, past = self.values(points), self.past
        return expected_metrics(values, past.spend, past.weekday, past.starts), values


def expected_metrics(
    values: Values, spend: FloatArray, weekday: NDArray[np.int64], starts: NDArray[np.bool_]
) -> FloatArray:
    """Expected metrics of days of spend at values (...,), (..., days, metrics) [counts/day].

    Args:
        values: The parameters, with leading axes (...,).
        spend: (..., days, channels) [bu/day].
        weekday: 0 = Monday, (days,).
        starts: Which days are the first of a campaign, (days,).
    """
    effect = effects(values, spend, starts)
    earned = np.einsum("...dc,...ck->...dk", effect, values.nominal.counts)
    brought: FloatArray = earned + values.base[..., np.newaxis, :]
    brought *= values.weekday[..., weekday, np.newaxis]
    return brought


def effects(values: Values, spend: FloatArray, starts: NDArray[np.bool_]) -> FloatArray:
    """Effects of days of spend (..., days, channels) [bu/day] at values (...,), of that shape."""
    days, channels = spend.shape[-2:]
    shape = np.broadcast_shapes(values.nominal.carry_over.shape[:-1], spend.shape[:-2])
    effect = np.empty((*shape, days, channels))
    state = first = model.State(
        np.zeros(shape, dtype=np.int64),
        np.zeros((*shape, channels)),
        np.ones((*shape, channels)),
        np.zeros(shape),
    )
    for day in range(days):
        before = first if starts[day] else state
        effect[..., day, :], state = model.respond(values, before, spend[..., day, :])
    return effect


def mode(calibration: Calibration, starts: Sequence[FloatArray]) -> FloatArray:
    """The likeliest point (size,) that L-BFGS reaches from some starts (size,)."""
    steps = np.vstack([np.zeros(calibration.size), SLOPE_STEP * np.eye(calibration.size)])

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        density = calibration.log_posterior(point + steps)
        return -density[0], (density[0] - density[1:]) / SLOPE_STEP

    ends = [optimize.minimize(loss, start, jac=True, method="L-BFGS-B") for start in starts]
    best: FloatArray = min(ends, key=lambda end: float(end.fun)).x
    return best


def curvature(calibration: Calibration, point: FloatArray) -> FloatArray:
    """Negative second derivatives of the log-density at a point, (size, size)."""
    step = CURVE_STEP * np.eye(calibration.size)
    row, column = np.triu_indices(calibration.size)
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    corners = np.concatenate([point + a * step[row] + b * step[column] for a, b in signs])
    density = calibration.log_posterior(corners).reshape(len(signs), -1)
    second = (density[0] - density[1] - density[2] + density[3]) / (4.0 * CURVE_STEP**2)
    matrix = np.zeros((calibration.size, calibration.size))
    matrix[row, column] = matrix[column, row] = -second
    return matrix


def _log_likelihood(metrics: FloatArray, mean: FloatArray, values: Values) -> FloatArray:
    """Log-probability of metrics (days, metrics) with means (..., days, metrics), (...,) [1].

    Equation (5): the Gamma is integrated exactly, which leaves a negative binomial; the shared
    shock by Gauss-Hermite quadrature around its likeliest value, which Newton's method finds.
    """
    r = values.dispersion[..., np.newaxis, np.newaxis]
    sd = values.shock_sd[..., np.newaxis]  # (..., 1)
    mean, trials = np.maximum(mean, LEAST_MEAN), metrics + r
    log_mean, counted = np.log(mean), metrics.sum(axis=-1)

    # A start from what each metric says on its own: its log ratio, by how sure that is.
    sure = metrics * r / trials  # 1 / (1 / metrics + 1 / r)
    ratio = np.log(metrics + 0.5) - log_mean
    shock = sd * _sum(sure * ratio) / (1.0 + sd**2 * _sum(sure))
    for _ in range(NEWTON_STEPS):
        share = _share(mean, sd * shock - sd**2 / 2, r)
        slope = sd * (counted - _sum(trials * share)) - shock
        curve = sd**2 * _sum(trials * share * (1.0 - share)) + 1.0
        shock = shock + np.clip(slope / curve, -LONGEST_STEP, LONGEST_STEP)
    width = 1.0 / np.sqrt(curve)
    logs = []
    for node in NODES:
        at = shock + width * node
        log_factor = sd * at - sd**2 / 2
        rate = mean * np.exp(log_factor)[..., np.newaxis]
        less = _sum(trials * np.log(rate + r))
        logs.append(counted * log_factor - less - at**2 / 2 + node**2 / 2)
    weights = NODE_WEIGHTS.reshape(-1, *(1,) * shock.ndim)
    days = special.logsumexp(np.stack(logs), axis=0, b=weights) + np.log(width)
    constant = special.gammaln(trials) - special.gammaln(r) + r * np.log(r) + metrics * log_mean
    total: FloatArray = days.sum(axis=-1) + constant.sum(axis=(-2, -1))
    return total


def _share(mean: FloatArray, log_factor: FloatArray, r: FloatArray) -> FloatArray:
    rate = mean * np.exp(log_factor)[..., np.newaxis]
    share: FloatArray = rate / (rate + r)
    return share


def _sum(values: FloatArray) -> FloatArray:
    """The sum over metrics, (...,)."""
    total: FloatArray = np.einsum("...k->...", values)
    return total
