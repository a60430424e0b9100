"""Every number of a campaign, once: value, unit, range and source, and the presets built from them."""

import dataclasses
import difflib
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
DRAWN = (
    "counts_log_sd",
    "inv_half_saturation_log_sd",
    "carry_over_range",
    "loyalty_lift_log_sd",
    "fatigue_log_sd",
)


class Coefficients(NamedTuple):
    """The parameters as the equations of the model use them: arrays, since NumPy is slower with plain numbers.

    Where campaigns differ, what is drawn anew for each has leading axes (...,) before the shape
    given here.

    Attributes:
        days: Length of the campaign, () [days].
        daily_budget: B, () [bu/day].
        fresh: 1 - alpha: how much of a spend works on its own day, (3 channels,) [1].
        carry_over: alpha: how much of the effect is still there a day later, (3 channels,) [1].
        inv_half_saturation: inv_kappa, (3 channels,) [1/bu].
        loyalty_lift: lambda, () [1].
        counts: C, (3 channels, 3 metrics) [counts/bu].
        base: Metrics without spend, (3 metrics,) [counts/day].
        day_factors: D of every day of the campaign and of the day after it, (days + 1, 1) [1].
        fatigue: -omega / B0, () [1/bu].
        fatigue_recovery: rec, () [1/day].
        reference_budget: B0, () [bu/day].
        loyalty_gain: rho, () [1/day].
        loyalty_decay: delta, () [1/day].
    """

    days: NDArray[np.int64]
    daily_budget: FloatArray
    fresh: FloatArray
    carry_over: FloatArray
    inv_half_saturation: FloatArray
    loyalty_lift: FloatArray
    counts: FloatArray
    base: FloatArray
    day_factors: FloatArray
    fatigue: FloatArray
    fatigue_recovery: FloatArray
    reference_budget: FloatArray
    loyalty_gain: FloatArray
    loyalty_decay: FloatArray


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
        description="metrics earned per unit spent, a row a channel [counts/bu]; source: the article",
    )
    metric_weights: PerMetric = Field(
        default=(1.0, 2.0, 3.0),
        description="engagement of one like, comment, share [1/count]; source: the article",
    )
    reference_budget: float = Field(
        default=100.0,
        gt=0,
        le=1e9,
        description="spend at which ads wear and rewards gain in full, B0 [bu/day]; source: the article's daily budget",
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
            "strength of each weekday, Monday to Sunday, D [1]; dynamic: measured, likes of 500 posts in "
            "'Facebook metrics' (Moro, Rita, Vala 2016), shrunk by half"
        ),
    )
    inv_half_saturation: PerChannel = Field(
        default=(0.0, 0.0, 0.0),
        description=(
            "1 / the spend at which a channel earns half of its most, 0 for a linear response, inv_kappa [1/bu]; "
            "dynamic: posts measured, elasticity .85 (se .05) over 2,212 page-days of 'Facebook Live Sellers in "
            "Thailand'; ads and rewards a choice inside Meridian's prior"
        ),
    )
    carry_over: tuple[_Kept, _Kept, _Kept] = Field(
        default=(0.0, 0.0, 0.0),
        description=(
            "share of a channel's effect kept until the next day, geometric adstock, alpha [1]; dynamic: "
            "posts measured, a post's half-life of 19 h; ads and rewards a choice"
        ),
    )
    loyalty_lift: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description=(
            "how much more posts earn with a fully loyal audience, lambda [1]; dynamic: a choice (fans engage 2.18 "
            "times as much per person reached in 'Facebook metrics', which alone would give 1.2)"
        ),
    )
    loyalty_gain: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="loyalty gained by a day of rewards at the reference budget, rho [1/day]; dynamic: a choice",
    )
    loyalty_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="loyalty lost in a day, delta [1/day]; dynamic: a choice",
    )
    fatigue: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description=(
            "how fast ads tire at the reference budget, omega [1/day]; form: Naik, Mantrala and Sawyer 1998; "
            "dynamic: a choice"
        ),
    )
    fatigue_recovery: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "share of the ads' tiredness that mends in a day, rec [1/day]; form: Naik, Mantrala and Sawyer 1998; "
            "dynamic: a choice"
        ),
    )
    min_spend: Limits | None = Field(
        default=None,
        description=("least that each channel gets in a day [bu/day]; a choice of the user"),
    )
    max_spend: Limits | None = Field(
        default=None,
        description=("most that each channel gets in a day [bu/day]; a choice of the user"),
    )
    dispersion: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description=(
            "size of the negative binomial that a day's counts follow, r [1], None for no such noise; "
            "uncertain: measured, days of paid campaigns have 9.5 to 12.5"
        ),
    )
    shock_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description=(
            "log-sd of the day's shock that all metrics share, sigma_z [1]; uncertain: a choice (likes and shares of "
            "a post move together)"
        ),
    )
    counts_log_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="log-sd of each channel's strength from campaign to campaign, mean kept [1]; uncertain: a choice",
    )
    inv_half_saturation_log_sd: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="log-sd of each channel's inv_half_saturation, median kept [1]; uncertain: a choice",
    )
    carry_over_range: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="how far each channel's carry_over is drawn to either side, uniformly [1]; uncertain: a choice",
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
    def _limits_can_be_met(self) -> Self:
        found = clashes(CHANNELS, self.days, self.daily_budget, self.min_spend, self.max_spend)
        if found:
            raise ValueError("; ".join(found))
        return self

    @cached_property
    def coefficients(self) -> Coefficients:
        """What the equations need of the parameters."""
        weekdays = (self.start_weekday + np.arange(self.days + 1)) % 7
        return Coefficients(
            days=np.array(self.days),
            daily_budget=np.array(self.daily_budget),
            fresh=1.0 - np.array(self.carry_over),
            carry_over=np.array(self.carry_over),
            inv_half_saturation=np.array(self.inv_half_saturation),
            loyalty_lift=np.array(self.loyalty_lift),
            counts=self.counts_array,
            base=np.array(self.base),
            day_factors=np.array(self.weekday_factors)[weekdays, np.newaxis],
            fatigue=np.array(-self.fatigue / self.reference_budget),
            fatigue_recovery=np.array(self.fatigue_recovery),
            reference_budget=np.array(self.reference_budget),
            loyalty_gain=np.array(self.loyalty_gain),
            loyalty_decay=np.array(self.loyalty_decay),
        )

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
        """Whether campaigns differ from each other in what their channels are worth."""
        return any(getattr(self, name) > 0 for name in DRAWN)

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
    def weights_array(self) -> FloatArray:
        """Engagement per count, (3 metrics,) [1/count]."""
        return np.array(self.metric_weights)

    @cached_property
    def played_ceiling(self) -> FloatArray:
        """No day has more: spend [bu/day], then metrics [counts/day], (6,); 1 for a metric that nothing earns.

        Of the metrics two bounds hold, and the smaller is taken: every unit at full strength,
            carried over in the best
        possible way, and every channel as saturated as the whole budget makes it.
        """
        lift = np.array(
            [1.0 + (self.loyalty_lift if self.loyalty_gain else 0.0), 1.0, 1.0]
        )  # (3 channels,)
        counts = self.counts_array * lift[:, np.newaxis]  # (3 channels, 3 metrics)
        alpha = np.array(self.carry_over)
        carried = (1.0 - alpha) * alpha ** np.arange(self.days)[
            :, np.newaxis
        ]  # (days ago, 3 channels)
        unsaturated = self.daily_budget * (carried[:, :, np.newaxis] * counts).max(axis=1).sum(
            axis=0
        )
        saturated = self.daily_budget / (
            1.0 + self.daily_budget * np.array(self.inv_half_saturation)
        )
        most = np.minimum(
            unsaturated, (saturated[:, np.newaxis] * counts).sum(axis=0)
        )  # (3 metrics,)
        metrics = max(self.weekday_factors) * (np.array(self.base) + most)
        return np.array(
            [self.daily_budget] * len(CHANNELS) + [value or 1.0 for value in metrics.tolist()]
        )


FIELDS = CampaignParams.__pydantic_fields__  # type: ignore[attr-defined]

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
        known: Other keyword arguments of the caller, to be offered as a correction for a mistyped
            name.
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
    if bad and not bad & {
        "days",
        "daily_budget",
        *LIMITS,
    }:  # fields come first: clashes have not been looked for yet
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
        names = sorted([*FIELDS, *known])
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"
    place = name + "".join(f"[{i}]" for i in index)
    meaning = FIELDS[name].description
    if (
        name in LIMITS
    ):  # one sentence for the whole value: which of its two shapes was meant is not known
        return f"{name}={changes[name]!r}: must be None, 3 numbers of 0 or more, or a row of 3 a day ({meaning})"
    if details["type"] in {"missing", "too_long", "tuple_type"}:
        return f"{name} needs the shape {_shape(name)}: {meaning}"
    return f"{place}={details['input']!r}: {details['msg'].lower()} ({meaning})"


def _shape(name: str) -> str:
    default = FIELDS[name].default
    return "x".join(str(length) for length in np.shape(default)) or "of one number"
