"""The parameters of a campaign: value, unit, range and source of each, and the presets."""

import dataclasses
import difflib
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from envs.campaign.limits import clashes

CHANNELS = ("posts", "ads", "rewards")
METRICS = ("likes", "comments", "shares")

FloatArray = NDArray[np.float64]

_NonNegative = Annotated[float, Field(ge=0)]
_Kept = Annotated[float, Field(ge=0, lt=1)]
PerChannel = tuple[_NonNegative, _NonNegative, _NonNegative]
PerMetric = tuple[_NonNegative, _NonNegative, _NonNegative]
PerWeekday = tuple[
    _NonNegative, _NonNegative, _NonNegative, _NonNegative, _NonNegative, _NonNegative, _NonNegative
]
Limits = PerChannel | tuple[PerChannel, ...]
LIMITS = ("min_spend", "max_spend")
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
        counts: C, (..., 3 channels, 3 metrics) [counts/bu].
        inv_half_saturation: inv_kappa, (..., 3 channels) [1/bu].
        carry_over: alpha, (..., 3 channels) [1].
        loyalty_lift: lambda, (...,) [1].
        fatigue_rate: omega / B0, (...,) [1/bu].
    """

    counts: FloatArray
    inv_half_saturation: FloatArray
    carry_over: FloatArray
    loyalty_lift: FloatArray
    fatigue_rate: FloatArray


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class CampaignParams:
    """The parameters of a campaign; the defaults are the article's.

    Channels stand in the order posts, ads, rewards; metrics in the order likes, comments, shares.
    """

    days: int = Field(
        default=7, ge=1, le=28, description="length of a campaign [days]; source: the article"
    )
    daily_budget: float = Field(
        default=100.0,
        gt=0,
        le=1e9,
        description="most that can be spent in a day [bu/day]; source: the article",
    )
    counts: tuple[PerMetric, PerMetric, PerMetric] = Field(
        default=((2.0, 0.5, 0.2), (5.0, 1.0, 0.5), (1.0, 0.5, 2.0)),
        description="metrics per unit spent, a row a channel, C [counts/bu]; source: the article",
    )
    metric_weights: PerMetric = Field(
        default=(1.0, 2.0, 3.0),
        description="engagement of one like, comment, share [1/count]; source: the article",
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
        default=(0.0, 0.0, 0.0),
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
        default=(0.0, 0.0, 0.0),
        description=(
            "1 / the spend at which a channel earns half of its most, 0 for a linear response, "
            "inv_kappa [1/bu]; dynamic: posts measured, elasticity .85 (se .05) over 2,212 "
            "page-days of 'Facebook Live Sellers in Thailand'; ads and rewards a choice inside "
            "Meridian's prior"
        ),
    )
    carry_over: tuple[_Kept, _Kept, _Kept] = Field(
        default=(0.0, 0.0, 0.0),
        description=(
            "share of a channel's effect kept until the next day, geometric adstock, alpha [1]; "
            "form: Jin et al. 2017; dynamic: posts measured, a post's half-life of 19 h; ads and "
            "rewards a choice"
        ),
    )
    loyalty_lift: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description=(
            "how much more posts earn with a fully loyal audience, lambda [1]; dynamic: a choice "
            "(fans engage 2.18 times as much per person reached in 'Facebook metrics', which "
            "alone would give 1.2)"
        ),
    )
    loyalty_gain: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "loyalty gained by a day of rewards at the reference budget, rho [1/day]; form: "
            "Nerlove and Arrow 1962, bounded as in Vidale and Wolfe 1957; dynamic: a choice"
        ),
    )
    loyalty_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="loyalty lost in a day, delta [1/day]; form: the same; dynamic: a choice",
    )
    fatigue: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description=(
            "how fast ads tire the audience at the reference budget, omega [1/day]; form: Naik, "
            "Mantrala and Sawyer 1998; dynamic: a choice"
        ),
    )
    fatigue_recovery: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "share of the ads' fatigue that recovers in a day, rec [1/day]; form: the same; "
            "dynamic: a choice"
        ),
    )
    min_spend: Limits | None = Field(
        default=None,
        description=(
            "least that each channel gets in a day, 3 numbers or a row of 3 for every day "
            "[bu/day]; a choice of the user"
        ),
    )
    max_spend: Limits | None = Field(
        default=None,
        description=(
            "most that each channel gets in a day, 3 numbers or a row of 3 for every day "
            "[bu/day]; a choice of the user"
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
        limits = (self.min_spend, self.max_spend)
        faults = clashes(CHANNELS, self.days, self.daily_budget, *limits) or self._dead_ends()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _dead_ends(self) -> list[str]:
        """A sentence where no plan earns any engagement: there would be nothing to decide."""
        if not self.day_factors[:-1].any():
            return [
                f"weekday_factors={self.weekday_factors}: 0 on all {self.days} days of the "
                "campaign, so that nothing can be earned: at least one must be above 0"
            ]
        is_open = np.ones(len(CHANNELS)) if self.limits is None else self.limits[1].max(axis=0) > 0
        earning = (is_open[:, np.newaxis] * self.counts_array).max(axis=0) + self.base_array
        if not ((self.weights_array > 0) & (earning > 0)).any():
            names = ("counts", "base", "metric_weights", "max_spend")
            values = ", ".join(f"{name}={getattr(self, name)}" for name in names)
            return [
                f"{values}: nothing can be earned: a metric of weight above 0 must have a base, "
                "or a count in a channel that may spend, above 0"
            ]
        return []

    @cached_property
    def nominal(self) -> Latent:
        """The latent parameters of a campaign that does not differ from these parameters."""
        return Latent(
            counts=self.counts_array,
            inv_half_saturation=np.array(self.inv_half_saturation),
            carry_over=np.array(self.carry_over),
            loyalty_lift=np.array(self.loyalty_lift),
            fatigue_rate=np.array(self.fatigue / self.reference_budget),
        )

    @cached_property
    def day_factors(self) -> FloatArray:
        """D of every day of the campaign and of the day after it, (days + 1, 1) [1]."""
        weekdays = (self.start_weekday + np.arange(self.days + 1)) % 7
        return np.array(self.weekday_factors)[weekdays, np.newaxis]

    @cached_property
    def is_linear(self) -> bool:
        """Whether every unit spent earns the same, whatever was spent before or beside it."""
        extras = (*self.inv_half_saturation, *self.carry_over, self.loyalty_gain, self.fatigue)
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
        """Least and most spend of every day, each (days, 3) [bu/day]; None without limits."""
        if self.min_spend is None and self.max_spend is None:
            return None
        shape = (self.days, len(CHANNELS))
        low = np.broadcast_to(np.array(self.min_spend or 0.0), shape)
        most = self.daily_budget if self.max_spend is None else np.array(self.max_spend)
        return low, np.broadcast_to(np.minimum(most, self.daily_budget), shape)

    @cached_property
    def counts_array(self) -> FloatArray:
        """C of the model, (3 channels, 3 metrics) [counts/bu]."""
        return np.array(self.counts)

    @cached_property
    def base_array(self) -> FloatArray:
        """Metrics without spend, (3 metrics,) [counts/day]."""
        return np.array(self.base)

    @cached_property
    def weights_array(self) -> FloatArray:
        """Engagement per count, (3 metrics,) [1/count]."""
        return np.array(self.metric_weights)

    @cached_property
    def played_ceiling(self) -> FloatArray:
        """Upper bound of a day's spend [bu/day] and metrics [counts/day], (6,); 1 in place of 0.

        The smaller of two bounds of the metrics: every unit at full strength, carried over in the
        best possible way, and every channel as saturated as the whole budget makes it.
        """
        lift = np.array([1.0 + (self.loyalty_lift if self.loyalty_gain else 0.0), 1.0, 1.0])
        counts = self.counts_array * lift[:, np.newaxis]  # (3 channels, 3 metrics)
        alpha, days_ago = np.array(self.carry_over), np.arange(self.days)[:, np.newaxis]
        carried = (1.0 - alpha) * alpha**days_ago  # (days ago, 3 channels)
        best = (carried[:, :, np.newaxis] * counts).max(axis=1).sum(axis=0)  # (3 metrics,)
        saturation = 1.0 + self.daily_budget * np.array(self.inv_half_saturation)
        saturated = ((self.daily_budget / saturation)[:, np.newaxis] * counts).sum(axis=0)
        most = np.minimum(self.daily_budget * best, saturated)
        metrics = max(self.weekday_factors) * (self.base_array + most)
        return np.array(
            [self.daily_budget] * len(CHANNELS) + [value or 1.0 for value in metrics.tolist()]
        )


FIELDS = CampaignParams.__pydantic_fields__  # type: ignore[attr-defined]

RENAMED = {
    "ad_wear": "fatigue",
    "ad_recovery": "fatigue_recovery",
    "ad_wear_log_sd": "fatigue_log_sd",
    "gain": "shaped",
    "params": "latent",
    "world": "true_params",
}
"""Former names of parameters, rewards and reset options, and those that took their place."""

PRESETS: dict[str, CampaignParams] = {
    "linear": CampaignParams(),
    "dynamic": CampaignParams(
        weekday_factors=(1.00, 1.13, 1.10, 0.96, 0.91, 0.86, 1.04),
        inv_half_saturation=(1 / 280, 1 / 120, 1 / 80),
        carry_over=(0.4, 0.1, 0.3),
        loyalty_lift=3.0,
        loyalty_gain=1.0,
        loyalty_decay=0.05,
        fatigue=0.25,
        fatigue_recovery=0.25,
    ),
}

PRESETS["uncertain"] = dataclasses.replace(
    PRESETS["dynamic"],
    dispersion=10.0,
    shock_sd=0.25,
    counts_log_sd=0.5,
    inv_half_saturation_log_sd=0.3,
    carry_over_range=0.15,
    loyalty_lift_log_sd=0.4,
    fatigue_log_sd=0.4,
)


def make_params(preset: str, known: tuple[str, ...] = (), **changes: Any) -> CampaignParams:
    """Builds the parameters of a preset with some fields changed.

    Args:
        preset: A name of ``PRESETS``.
        known: Other keyword arguments of the caller, offered as a correction of a mistyped name.
        **changes: Fields of ``CampaignParams``; array fields take nested lists or arrays.

    Raises:
        ValueError: An unknown preset or field, or a bad value. All faults are named at once.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: unknown; known: {', '.join(sorted(PRESETS))}")
    plain = {name: _plain(value) for name, value in changes.items()}
    try:
        return dataclasses.replace(PRESETS[preset], **plain)
    except ValidationError as error:
        faults = [_fault(details, known, changes) for details in error.errors()]
        bad = {details["loc"][0] for details in error.errors() if details["loc"]}
    limiting = {"days", "daily_budget", *LIMITS}
    if bad and not bad & limiting:  # fields are checked first: not yet whether limits clash
        values = dataclasses.asdict(PRESETS[preset]) | plain
        faults += clashes(
            CHANNELS, values["days"], values["daily_budget"], *(values[name] for name in LIMITS)
        )
    raise ValueError("campaign: " + "; ".join(dict.fromkeys(faults)))


def _plain(value: Any) -> Any:
    """Turns arrays, NumPy scalars and nested lists into the numbers and tuples that are stored."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def _fault(details: Any, known: tuple[str, ...], changes: dict[str, Any]) -> str:
    """One sentence for one of pydantic's errors: the field, the value, what is allowed."""
    if not details["loc"]:
        return str(details["ctx"]["error"])
    name, *index = details["loc"]
    if details["type"] == "unexpected_keyword_argument":
        if RENAMED.get(name) in FIELDS:
            return f"{name} is now called {RENAMED[name]}"
        names = sorted([*FIELDS, *known])
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"
    place = name + "".join(f"[{i}]" for i in index)
    meaning = FIELDS[name].description
    if name in LIMITS:  # which of its two shapes was meant is not known
        return (
            f"{name}={changes[name]!r}: must be None, 3 numbers of 0 or more, "
            f"or a row of 3 a day ({meaning})"
        )
    if details["type"] in {"missing", "too_long", "tuple_type"}:
        return f"{name}={changes[name]!r}: needs the shape {_shape(name)} ({meaning})"
    return f"{place}={details['input']!r}: {details['msg'].lower()} ({meaning})"


def _shape(name: str) -> str:
    default = FIELDS[name].default
    return "x".join(str(length) for length in np.shape(default)) or "of one number"


def parameter_table() -> str:
    """The fields as a table in Markdown: their value in every preset, meaning, unit and source."""
    rows = [["field", *PRESETS, "meaning [unit]; source"], ["---"] * (len(PRESETS) + 2)]
    for name, field in FIELDS.items():
        values = [_written(getattr(params, name)) for params in PRESETS.values()]
        rows.append([name, *values, str(field.description)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ("; " if isinstance(value[0], tuple) else ", ").join(map(_written, value))
    if value is None or float(f"{value:g}") == value:
        return "none" if value is None else f"{value:g}"
    return str(Fraction(value).limit_denominator(1000))
