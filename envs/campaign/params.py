"""Every number of a campaign, once: value, unit, range and source, and the presets built from them."""

import dataclasses
import difflib
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

CHANNELS = ("posts", "ads", "rewards")
METRICS = ("likes", "comments", "shares")

FloatArray = NDArray[np.float64]

_NonNegative = Annotated[float, Field(ge=0)]
PerChannel = tuple[_NonNegative, _NonNegative, _NonNegative]
PerMetric = tuple[_NonNegative, _NonNegative, _NonNegative]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class CampaignParams:
    """The parameters of a campaign; the defaults are the article's.

    Channels stand in the order posts, ads, rewards; metrics in the order likes, comments, shares.
    """

    days: int = Field(default=7, ge=1, le=28, description="length of a campaign [days]; source: the article")
    daily_budget: float = Field(
        default=100.0, gt=0, le=1e9, description="most that can be spent in a day [bu/day]; source: the article"
    )
    counts: tuple[PerMetric, PerMetric, PerMetric] = Field(
        default=((2.0, 0.5, 0.2), (5.0, 1.0, 0.5), (1.0, 0.5, 2.0)),
        description="metrics earned per unit spent, a row a channel [counts/bu]; source: the article",
    )
    metric_weights: PerMetric = Field(
        default=(1.0, 2.0, 3.0), description="engagement of one like, comment, share [1/count]; source: the article"
    )
    reward_scale: float = Field(
        default=1.0, gt=0, le=1e9, description="reward = reward_scale x engagement [1]; a choice of the learner"
    )

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
        """The most of a day's spend [bu/day], then metrics [counts/day], (6,); 1 for a metric that nothing earns."""
        metrics = self.daily_budget * self.counts_array.max(axis=0)
        return np.array([self.daily_budget] * len(CHANNELS) + [most or 1.0 for most in metrics.tolist()])


FIELDS = CampaignParams.__pydantic_fields__  # type: ignore[attr-defined]

PRESETS: dict[str, CampaignParams] = {"linear": CampaignParams()}


def make_params(preset: str, known: tuple[str, ...] = (), **changes: Any) -> CampaignParams:
    """Builds the parameters of a preset with some fields changed.

    Args:
        preset: A name of ``PRESETS``.
        known: Other keyword arguments of the caller, to be offered as a correction for a mistyped name.
        **changes: Fields of ``CampaignParams``; array fields take nested lists or arrays.

    Raises:
        ValueError: An unknown preset or field, or a bad value. All faults are named at once.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: unknown; known: {', '.join(sorted(PRESETS))}")
    try:
        return dataclasses.replace(PRESETS[preset], **{name: _plain(value) for name, value in changes.items()})
    except ValidationError as error:
        faults = [_fault(details, known) for details in error.errors()]
    raise ValueError("campaign: " + "; ".join(dict.fromkeys(faults)))


def _plain(value: Any) -> Any:
    """Turns arrays, NumPy scalars and nested lists into the numbers and tuples that are stored."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def _fault(details: Any, known: tuple[str, ...]) -> str:
    """One sentence for one of pydantic's errors: the field, the value, what is allowed."""
    name, *index = details["loc"]
    if details["type"] == "unexpected_keyword_argument":
        names = sorted([*FIELDS, *known])
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"
    place = name + "".join(f"[{i}]" for i in index)
    meaning = FIELDS[name].description
    if details["type"] in {"missing", "too_long", "tuple_type"}:
        return f"{name} needs the shape {_shape(name)}: {meaning}"
    return f"{place}={details['input']!r}: {details['msg'].lower()} ({meaning})"


def _shape(name: str) -> str:
    default = FIELDS[name].default
    return "x".join(str(length) for length in np.shape(default)) or "of one number"
