"""A campaign as a smooth nonlinear program: coordinates, constraints, and exact derivatives.

Gradients are the complex-step derivatives of each day alone, and the chain rule through the days,
so that the formulas stand in the model alone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model
from envs.campaign.params import CampaignParams, FloatArray

TINY = 1e-30  # far below rounding: nothing is subtracted, so there is nothing to cancel


def derivatives(
    params: CampaignParams, spend: FloatArray, levels: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Engagement (...,) [1] and its gradient by the spends, and by any loyalty levels after them.

    Each number that a day starts from is nudged alone, all days at once; the chain rule goes back
    through the days.

    Args:
        params: The campaign.
        spend: Plans, (..., days, channels) [bu/day].
        levels: Loyalty levels, (..., days, channels that build loyalty) [1], where they are chosen.

    Returns:
        Engagement and gradient, (..., days, channels, and the levels if any).
    """
    built = None if levels is None else _every_channel(params, levels)
    metrics, states = model.rollout(params, spend, loyalty_levels=built)
    total: FloatArray = model.engagement(params, metrics).sum(axis=-1)
    day, adstock, effectiveness, loyalty = map(np.stack, zip(*states[:-1], strict=True))
    chosen = spend if levels is None else np.concatenate([spend, levels], axis=-1)
    given = [np.moveaxis(chosen, -2, 0), adstock, effectiveness, loyalty[..., np.newaxis]]
    numbers = np.concatenate(given, axis=-1)  # (days, ..., numbers)
    size, channels, choices = numbers.shape[-1], len(params.channels), chosen.shape[-1]
    matters = np.concatenate([np.ones(choices, dtype=bool), _lasting(params)])
    nudge = (-1j * TINY) * np.eye(size)[matters].reshape(-1, *(1,) * (spend.ndim - 1), size)
    nudged: Any = numbers + nudge  # complex: the model takes any number
    ends = np.cumsum([choices, channels, channels])
    choice, worked, left, fans = np.split(nudged, ends, axis=-1)
    if levels is not None:
        built = _every_channel(params, choice[..., channels:])
    state = model.State(day, worked, left, fans[..., 0])
    earned, after = model.transition(params, state, choice[..., :channels], loyalty_levels=built)
    now = model.engagement(params, earned).imag / -TINY  # (numbers, days, ...)
    later = [*np.moveaxis(after.adstock, -1, 0), *np.moveaxis(after.effectiveness, -1, 0)]
    after_it = np.stack([*later, after.loyalty])[matters[choices:]]
    slopes = after_it.imag / -TINY  # (leading to, numbers, days, ...)
    worth = np.zeros((len(now), *total.shape))
    gradient = np.empty((len(day), *total.shape, choices))
    for past in range(len(day) - 1, -1, -1):
        carried = slopes[:, :, past] * worth[choices:, np.newaxis]
        worth = now[:, past] + carried.sum(axis=0)
        gradient[past] = np.moveaxis(worth[:choices], 0, -1)
    return total, np.moveaxis(gradient, 0, -2)


def _lasting(params: CampaignParams) -> NDArray[np.bool_]:
    """Which adstocks, effectivenesses and loyalty a day can change for the next, (numbers,)."""
    latent = params.nominal
    can_build = bool(any(params.loyalty_gain))
    return np.concatenate([latent.carry_over > 0, latent.fatigue_rate > 0, [can_build]])


def _every_channel(params: CampaignParams, levels: NDArray[Any]) -> NDArray[Any]:
    """Loyalty levels of all channels, (..., channels) [1], from those that build loyalty."""
    every = np.zeros((*levels.shape[:-1], len(params.channels)), dtype=levels.dtype)
    every[..., list(params.building)] = levels
    return every


def full_days(params: CampaignParams) -> FloatArray:
    """Spend of a full day of each channel, day after day, (channels,) [bu/day].

    Infinite for channels that build no loyalty, or can never have a full day.
    """
    left = 1.0 / params.reference_budget - params.nominal.inv_half_saturation
    reaches = (left > 0) & (np.array(params.loyalty_gain) > 0)
    return np.where(reaches, 1.0 / np.where(reaches, left, 1.0), np.inf)


@dataclass(frozen=True, eq=False)
class Program:
    """The campaign as a smooth nonlinear program, in coordinates in which solvers do well.

    A spend is solved for as effort, its logarithm beyond where the channel bends. Where a full day
    of a channel that builds loyalty is within reach, loyalty has a kink there: the levels m of
    these channels on each day are then coordinates of their own, m <= 1 and m <= effect / B0. That
    is smooth, and exact on days on which loyalty is worth gaining; on others, where more of it
    today leaves less tomorrow, m is what the spend makes it. A point is the efforts (days x
    channels) and then the levels (days x building channels), if any.

    Attributes:
        params: The campaign.
        low: Least spend of each day and channel, (days, channels) [bu/day].
        high: Most spend, in the same form.
    """

    params: CampaignParams
    low: FloatArray
    high: FloatArray

    @cached_property
    def building(self) -> NDArray[np.intp]:
        """The channels whose loyalty levels are coordinates, (building,)."""
        matters = bool(any(self.params.loyalty_lift))
        is_near = bool((full_days(self.params) <= self.params.daily_budget).any())
        return np.array(list(self.params.building) if matters and is_near else [], dtype=np.intp)

    @cached_property
    def has_kink(self) -> bool:
        """Whether some day can have a full day of a channel that builds loyalty, or more."""
        return self.building.size > 0

    @cached_property
    def curve(self) -> FloatArray:
        """1 / the spend where each channel bends, (channels,) [1/bu]; nearly 0 for a line."""
        nominal, kinks = self.params.nominal, np.zeros(len(self.params.channels))
        kinks[self.building] = 1.0 / self.params.reference_budget
        bends = np.maximum(np.maximum(nominal.fatigue_rate, kinks), nominal.inv_half_saturation)
        return np.maximum(bends, 1e-6 / self.params.daily_budget)

    @cached_property
    def length(self) -> FloatArray:
        """Logarithm of the whole budget, by which efforts are divided, (channels,) [1]."""
        return np.log1p(self.curve * self.params.daily_budget)

    @cached_property
    def bounds(self) -> FloatArray:
        """Least and most of each coordinate, (coordinates, 2) [1]."""
        efforts = [self._effort(limit).ravel() for limit in (self.low, self.high)]
        levels = np.tile([0.0, 1.0], (self.params.days * self.building.size, 1))
        return np.concatenate([np.stack(efforts, axis=1), levels])

    @cached_property
    def kept(self) -> FloatArray:
        """How much of each day's spend works on each day, (building, on day, of day) [1]."""
        pulses = np.eye(self.params.days)[..., np.newaxis] * self._unit[:, np.newaxis, np.newaxis]
        _, states = model.rollout(self.params, pulses)  # (building, of day, on day)
        adstocks = np.stack([state.adstock for state in states[1:]], axis=1)
        kept: FloatArray = np.einsum("bijc,bc->bij", adstocks, self._unit)
        return kept

    @cached_property
    def _has_full_days(self) -> NDArray[np.bool_]:
        """Where a channel can have a full day for loyalty, (days, building)."""
        has: NDArray[np.bool_] = self._levels(self.high)[0] >= 1.0
        return has

    @cached_property
    def _unit(self) -> FloatArray:
        """A unit on each channel that builds loyalty, (building, channels)."""
        unit: FloatArray = np.eye(len(self.params.channels))[self.building]
        return unit

    def point(self, spend: FloatArray) -> FloatArray:
        """The coordinates of a plan (days, channels) [bu/day]."""
        effort = self._effort(spend).ravel()
        if not self.has_kink:
            return effort
        return np.concatenate([effort, np.minimum(self._levels(spend)[0], 1.0).ravel()])

    def spend(self, point: FloatArray) -> FloatArray:
        """The plan (days, channels) [bu/day] at a point."""
        channels = len(self.params.channels)
        effort = point[: channels * self.params.days].reshape(-1, channels)
        spend: FloatArray = np.expm1(self.length * effort) / self.curve
        return spend

    def gains(self, spend: FloatArray) -> NDArray[np.bool_]:
        """Where in a plan (days, channels) [bu/day] loyalty is worth gaining, (days, building)."""
        if not self.has_kink:
            return np.zeros((self.params.days, 0), dtype=bool)
        levels = np.minimum(self._levels(spend)[0], 1.0)
        by_level = derivatives(self.params, spend, levels)[1][:, len(self.params.channels) :]
        gains: NDArray[np.bool_] = (by_level >= 0.0) & self._has_full_days
        return gains

    def engagement(self, point: FloatArray, free: NDArray[np.bool_]) -> tuple[float, FloatArray]:
        """What the plan at a point earns [1], and its gradient (coordinates,) [1].

        Args:
            point: Efforts and levels, (coordinates,) [1].
            free: Where the level is a coordinate of its own, (days, building).
        """
        spend, channels = self.spend(point), len(self.params.channels)
        if not self.has_kink:
            total, gradient = derivatives(self.params, spend)
            return float(total), (gradient * self._slope(spend)).ravel()
        reached, slopes = self._levels(spend)
        chosen = point[spend.size :].reshape(free.shape)
        levels = np.where(free, chosen, np.minimum(reached, 1.0))
        total, gradient = derivatives(self.params, spend, levels)
        by_level = gradient[:, channels:]
        follows = np.where(free | (reached >= 1.0), 0.0, by_level)
        for place, channel in enumerate(self.building):
            gradient[:, channel] += follows[:, place] @ slopes[place]
        by_effort = (gradient[:, :channels] * self._slope(spend)).ravel()
        return float(total), np.concatenate([by_effort, np.where(free, by_level, 0.0).ravel()])

    def slack(self, point: FloatArray) -> FloatArray:
        """What each day leaves of its budget, and effect above its level, (constraints,) [1]."""
        spend = self.spend(point)
        money: FloatArray = 1.0 - spend.sum(axis=1) / self.params.daily_budget
        if not self.has_kink:
            return money
        return np.concatenate([money, self._levels(spend)[0].ravel() - point[spend.size :]])

    def slack_slopes(self, point: FloatArray) -> FloatArray:
        """Derivatives of the slack, (constraints, coordinates) [1]."""
        spend, days = self.spend(point), self.params.days
        slope = self._slope(spend)
        share = np.ones(spend.shape[1])
        spent: FloatArray = np.kron(np.eye(days), share) * slope.ravel()
        money = -spent / self.params.daily_budget
        if not self.has_kink:
            return money
        levels = days * self.building.size
        by_spend = np.einsum("bij,bc->ibjc", self._levels(spend)[1], self._unit)
        by_effort = (by_spend * slope).reshape(levels, spend.size)
        return np.block([[money, np.zeros((days, levels))], [by_effort, -np.eye(levels)]])

    def _effort(self, spend: FloatArray) -> FloatArray:
        effort: FloatArray = np.log1p(self.curve * spend) / self.length
        return effort

    def _slope(self, spend: FloatArray) -> FloatArray:
        return self.length * (1.0 / self.curve + spend)

    def _levels(self, spend: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects as shares of a full day, (days, building), and (building, days, days) slopes.

        The slopes are by the channel's spend on each day [1/bu].
        """
        carried: Any = np.zeros(spend.shape, dtype=complex)
        working = np.einsum("bij,jb->ib", self.kept, spend[:, self.building])
        carried[:, self.building] = working + 1j * TINY
        effect = model.saturate(self.params.nominal, carried)[:, self.building]
        level = effect / self.params.reference_budget
        slopes: FloatArray = (level.imag / TINY).T[..., np.newaxis] * self.kept
        return level.real, slopes
