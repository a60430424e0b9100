"""The parameters of a campaign: value, unit, range and source of each."""

import dataclasses
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from envs.campaign.checks import MOST_NAMES, faults

FloatArray = NDArray[np.float64]


_NonNegative = Annotated[float, Field(ge=0)]
_UpToOne = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_NAMES)]
PerChannel = tuple[_NonNegative, ...]
PerMetric = tuple[_NonNegative, ...]
PerWeekday = tuple[
    _NonNegative, _NonNegative, _NonNegative, _NonNegative, _NonNegative, _NonNegative, _NonNegative
]
Limits = PerChannel | tuple[PerChannel, ...]
PRIOR_WIDTHS = (
    "counts_log_sd",
    "inv_half_saturation_log_sd",
    "carry_over_range",
    "loyalty_lift_log_sd",
    "fatigue_log_sd",
)


class Latent(NamedTuple):
    """The parameters that may differ between campaigns, arrays with leading axes (...,).

    Attributes:
        counts: C, (..., channels, metrics) [counts/bu].
        inv_half_saturation: inv_kappa, (..., channels) [1/bu].
        carry_over: alpha, (..., channels) [1].
        loyalty_lift: lambda, (..., channels) [1].
        fatigue_rate: omega / B0, (..., channels) [1/bu].
    """

    counts: FloatArray
    inv_half_saturation: FloatArray
    carry_over: FloatArray
    loyalty_lift: FloatArray
    fatigue_rate: FloatArray


def _none_of(field: str) -> Any:
    """Default of a field: 0 for each channel or metric."""
    return lambda values: (0.0,) * len(values[field])


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class CampaignParams:
    """The parameters of a campaign; the defaults are the article's.

    Numbers of channels and metrics stand in the order of ``channels`` and ``metrics``; those that
    are left out are 0 for each. A budget unit [bu] is whatever ``unit`` says.
    """

    channels: Names = Field(
        default=("posts", "ads", "rewards"),
        description=(
            f"names of the channels: letters, digits and underscores; 1 to {MOST_NAMES} [text]; "
            "source: the article"
        ),
    )
    metrics: Names = Field(
        default=("likes", "comments", "shares"),
        description=(
            f"names of the metrics: letters, digits and underscores; 1 to {MOST_NAMES} [text]; "
            "source: the article"
        ),
    )
    unit: str = Field(
        default="budget units",
        description=(
            "what a budget unit [bu] is called in charts, report and plan: EUR, USD, ... [text]; a "
            "choice of the user"
        ),
    )

    days: int = Field(
        default=7, ge=1, le=28, description="length of a campaign [days]; source: the article"
    )
    daily_budget: float = Field(
        default=100.0,
        gt=0,
        le=1e9,
        description="most that can be spent in a day [bu/day]; source: the article",
    )
    counts: tuple[PerMetric, ...] = Field(
        default=((2.0, 0.5, 0.2), (5.0, 1.0, 0.5), (1.0, 0.5, 2.0)),
        description="metrics per unit spent, a row a channel, C [counts/bu]; source: the article",
    )
    metric_weights: PerMetric = Field(
        default=(1.0, 2.0, 3.0),
        description="engagement of one count of each metric [1/count]; source: the article",
    )
    reference_budget: float = Field(
        default=100.0,
        gt=0,
        le=1e9,
        description=(
            "spend that fatigue and loyalty_gain refer to, B0 [bu/day]; "
            "source: the article's daily budget"
        ),
    )
    base: PerMetric = Field(
        default_factory=_none_of("metrics"),
        description="metrics of a day without spend [counts/day]; a choice, for calibration",
    )
    start_weekday: int = Field(
        default=0,
        ge=0,
        le=6,
        description="weekday of the first day, 0 = Monday [1]; a choice of the user",
    )
    weekday_factors: PerWeekday = Field(
        default=(1.0,) * 7,
        description=(
            "strength of each weekday, Monday to Sunday, D [1]; dynamic: measured, likes of 500 "
            "posts in 'Facebook metrics' (Moro, Rita, Vala 2016), shrunk by half"
        ),
    )
    inv_half_saturation: PerChannel = Field(
        default_factory=_none_of("channels"),
        description=(
            "1 / the spend at which a channel earns half of its most, 0 for a linear response, "
            "inv_kappa [1/bu]; dynamic: posts measured, elasticity .85 (se .05) over 2,212 "
            "page-days of 'Facebook Live Sellers in Thailand'; ads and rewards a choice inside "
            "Meridian's prior"
        ),
    )
    carry_over: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        default_factory=_none_of("channels"),
        description=(
            "share of a channel's effect kept until the next day, geometric adstock, alpha [1]; "
            "form: Jin et al. 2017; dynamic: posts measured, a post's half-life of 19 h; ads and "
            "rewards a choice"
        ),
    )
    loyalty_lift: tuple[Annotated[float, Field(ge=0, le=1000)], ...] = Field(
        default_factory=_none_of("channels"),
        description=(
            "how much more a channel earns with a fully loyal audience, lambda [1]; dynamic: a "
            "choice (fans engage 2.18 times as much per person reached in 'Facebook metrics', "
            "which alone would give 1.2)"
        ),
    )
    loyalty_gain: tuple[_UpToOne, ...] = Field(
        default_factory=_none_of("channels"),
        description=(
            "loyalty gained by a day of a channel at the reference budget, at most 1 for all "
            "together, rho [1/day]; form: Nerlove and Arrow 1962, bounded as in Vidale and Wolfe "
            "1957; dynamic: a choice"
        ),
    )
    loyalty_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="loyalty lost in a day, delta [1/day]; form: the same; dynamic: a choice",
    )
    fatigue: tuple[Annotated[float, Field(ge=0, le=100)], ...] = Field(
        default_factory=_none_of("channels"),
        description=(
            "how fast a channel tires the audience at the reference budget, omega [1/day]; form: "
            "Naik, Mantrala and Sawyer 1998; dynamic: a choice"
        ),
    )
    fatigue_recovery: tuple[_UpToOne, ...] = Field(
        default_factory=_none_of("channels"),
        description=(
            "share of a channel's fatigue that recovers in a day, rec [1/day]; form: the same; "
            "dynamic: a choice"
        ),
    )
    min_spend: Limits | None = Field(
        default=None,
        description=(
            "least that each channel gets, for all days or a row for each day [bu/day]; a choice "
            "of the user"
        ),
    )
    max_spend: Limits | None = Field(
        default=None,
        description=(
            "most that each channel gets, for all days or a row for each day [bu/day]; a choice "
            "of the user"
        ),
    )
    dispersion: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description=(
            "size of the negative binomial that a day's counts follow, r [1], None for no such "
            "noise; uncertain: measured, days of paid campaigns have 9.5 to 12.5, organic 1.5 to 2"
        ),
    )
    shock_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description=(
            "log-sd of the day's shock that all metrics share, sigma_z [1]; uncertain: a choice "
            "(likes and shares of a post in 'Facebook metrics' have a log-correlation of .88)"
        ),
    )
    counts_log_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description=(
            "log-sd of each channel's strength, one draw for all its counts, mean kept [1]; "
            "uncertain: a choice"
        ),
    )
    inv_half_saturation_log_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description=(
            "log-sd of each channel's inv_half_saturation, median kept [1]; uncertain: a choice"
        ),
    )
    carry_over_range: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "half-width of the uniform prior on each channel's carry_over, clipped to 0 and .95 "
            "[1]; uncertain: a choice"
        ),
    )
    loyalty_lift_log_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="log-sd of loyalty_lift, mean kept [1]; uncertain: a choice",
    )
    fatigue_log_sd: float = Field(
        default=0.0, ge=0, le=3, description="log-sd of fatigue, mean kept [1]; uncertain: a choice"
    )
    reward_scale: float = Field(
        default=1.0,
        gt=0,
        le=1e9,
        description="reward = reward_scale x engagement [1]; a choice of the learner",
    )

    @model_validator(mode="after")
    def _can_be_played(self) -> Self:
        found = faults(dataclasses.asdict(self))
        if found:
            raise ValueError("; ".join(found))
        return self

    @cached_property
    def nominal(self) -> Latent:
        """The latent parameters of a campaign that does not differ from these parameters."""
        return Latent(
            counts=self.counts_array,
            inv_half_saturation=np.array(self.inv_half_saturation),
            carry_over=np.array(self.carry_over),
            loyalty_lift=np.array(self.loyalty_lift),
            fatigue_rate=np.array(self.fatigue) / self.reference_budget,
        )

    @cached_property
    def day_factors(self) -> FloatArray:
        """D of every day of the campaign and of the day after it, (days + 1, 1) [1]."""
        weekdays = (self.start_weekday + np.arange(self.days + 1)) % 7
        return np.array(self.weekday_factors)[weekdays, np.newaxis]

    @cached_property
    def is_linear(self) -> bool:
        """Whether every unit spent earns the same, whatever was spent before or beside it."""
        extras = (*self.inv_half_saturation, *self.carry_over, *self.loyalty_gain, *self.fatigue)
        return not any(extras)

    @cached_property
    def is_noisy(self) -> bool:
        """Whether a day's metrics are counts drawn around what is expected, equation (5)."""
        return self.dispersion is not None or self.shock_sd > 0

    @cached_property
    def is_drawn(self) -> bool:
        """Whether latent parameters are drawn for each campaign."""
        return any(getattr(self, name) > 0 for name in PRIOR_WIDTHS)

    @cached_property
    def limits(self) -> tuple[FloatArray, FloatArray] | None:
        """Least and most spend of every day, (days, channels) [bu/day]; None without limits."""
        if self.min_spend is None and self.max_spend is None:
            return None
        shape = (self.days, len(self.channels))
        low = np.broadcast_to(np.array(self.min_spend or 0.0), shape)
        most = self.daily_budget if self.max_spend is None else np.array(self.max_spend)
        return low, np.broadcast_to(np.minimum(most, self.daily_budget), shape)

    @cached_property
    def counts_array(self) -> FloatArray:
        """C of the model, (channels, metrics) [counts/bu]."""
        return np.array(self.counts)

    @cached_property
    def base_array(self) -> FloatArray:
        """Metrics without spend, (metrics,) [counts/day]."""
        return np.array(self.base)

    @cached_property
    def weights_array(self) -> FloatArray:
        """Engagement per count, (metrics,) [1/count]."""
        return np.array(self.metric_weights)

    @cached_property
    def building(self) -> dict[int, float]:
        """Rho of the channels that build loyalty, by number [1/day]."""
        return {channel: gain for channel, gain in enumerate(self.loyalty_gain) if gain}

    @cached_property
    def recovery_array(self) -> FloatArray:
        """rec, (channels,) [1/day]."""
        return np.array(self.fatigue_recovery)

    @cached_property
    def played_ceiling(self) -> FloatArray:
        """Upper bound of a day's spend [bu/day] and metrics [counts/day], 1 in place of 0.

        (channels + metrics,).

        The smaller of two bounds of the metrics: every unit at full strength, carried over in the
        best possible way, and every channel as saturated as the whole budget makes it.
        """
        lift = 1.0 + np.array(self.loyalty_lift) * any(self.loyalty_gain)
        counts = self.counts_array * lift[:, np.newaxis]  # (channels, metrics)
        alpha, days_ago = np.array(self.carry_over), np.arange(self.days)[:, np.newaxis]
        carried = (1.0 - alpha) * alpha**days_ago  # (days ago, channels)
        best = (carried[:, :, np.newaxis] * counts).max(axis=1).sum(axis=0)  # (metrics,)
        saturation = 1.0 + self.daily_budget * np.array(self.inv_half_saturation)
        saturated = ((self.daily_budget / saturation)[:, np.newaxis] * counts).sum(axis=0)
        most = np.minimum(self.daily_budget * best, saturated)
        metrics = max(self.weekday_factors) * (self.base_array + most)
        return np.array(
            [self.daily_budget] * len(self.channels) + [value or 1.0 for value in metrics.tolist()]
        )


FIELDS = CampaignParams.__pydantic_fields__  # type: ignore[attr-defined]
