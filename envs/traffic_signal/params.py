"""The parameters of a traffic signal: value, unit, range and source of each."""

import difflib
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

FloatArray = NDArray[np.float64]

STEP = 5  # between two decisions [s]
HOUR = 3600  # [s]
APPROACHES = ("ns", "ew")  # north-south and east-west

_Rate = Annotated[float, Field(ge=0, le=2)]
_Time = Annotated[float, Field(ge=0, le=86_400)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class SignalParams:
    """The parameters of a junction with two approaches; pairs are north-south, then east-west."""

    rates: tuple[_Rate, _Rate] = Field(
        default=(0.15, 0.15), description="arrivals outside rush hours, a, 0 to 2 each [veh/s]"
    )
    rush: tuple[_Rate, _Rate] = Field(
        default=(0.0, 0.0),
        description="what the peak of an approach's rush hour adds, b, 0 to 2 each [veh/s]",
    )
    peaks: tuple[_Time, _Time] = Field(
        default=(5400.0, 12600.0), description="when the rush hours peak, 0 to 86400 each [s]"
    )
    rush_width: float = Field(
        default=1500.0, gt=0, le=86_400, description="standard deviation of a rush hour [s]"
    )
    saturation_flow: float = Field(
        default=0.5, gt=0, le=2, description="what a green approach discharges, s [veh/s]"
    )
    max_green: int = Field(
        default=60, ge=5, le=600, multiple_of=STEP, description="longest green, in steps of 5 [s]"
    )
    detection: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="chance of each waiting vehicle to be seen in a step, p [1]",
    )
    episode: int = Field(
        default=3600,
        ge=STEP,
        le=86_400,
        multiple_of=STEP,
        description="length of an episode, in steps of 5 [s]",
    )
    reward_scale: float = Field(
        default=0.02, gt=0, le=1e6, description="reward of a vehicle-second less of waiting [1]"
    )

    @property
    def steps(self) -> int:
        """Decisions in an episode."""
        return self.episode // STEP

    @property
    def max_green_steps(self) -> int:
        """Longest green in steps."""
        return self.max_green // STEP

    @property
    def is_stationary(self) -> bool:
        """Whether arrivals are the same at all times."""
        return not any(self.rush)


FIELDS: dict[str, FieldInfo] = vars(SignalParams)["__pydantic_fields__"]


def rates_at(params: SignalParams, seconds: ArrayLike) -> FloatArray:
    """Expected arrivals of both approaches at times (...), (..., 2) [veh/s].

    lambda_i(t) = a_i + b_i exp(-((t - peak_i) / width)^2 / 2)
    """
    times = np.asarray(seconds, dtype=np.float64)[..., np.newaxis]
    away = (times - np.array(params.peaks)) / params.rush_width
    rates: FloatArray = np.array(params.rates) + np.array(params.rush) * np.exp(-(away**2) / 2)
    return rates


def make_params(known: tuple[str, ...] = (), **values: Any) -> SignalParams:
    """The parameters from keyword arguments; lists and arrays are taken for pairs.

    Args:
        known: Other arguments of the caller, offered as a correction of a mistyped name.
        **values: Fields of ``SignalParams``.

    Raises:
        ValueError: An unknown name or a bad value. All faults are named at once.
    """
    try:
        return SignalParams(**{name: _plain(value) for name, value in values.items()})
    except ValidationError as error:
        faults = dict.fromkeys(_fault(fault, known) for fault in error.errors())
    raise ValueError(f"traffic signal: {'; '.join(faults)}")


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _fault(fault: Any, known: tuple[str, ...]) -> str:
    """A sentence for a fault that pydantic finds."""
    name, *index = map(str, fault["loc"])
    if name not in FIELDS:
        names = sorted([*FIELDS, *known])
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"
    place = name + "".join(f"[{part}]" for part in index)
    return f"{place}={fault['input']!r}: {fault['msg'].lower()} ({FIELDS[name].description})"


def parameter_table() -> str:
    """The fields as a table in Markdown: default, meaning and unit."""
    rows = [["field", "default", "meaning [unit]"], ["---"] * 3]
    for name, field in FIELDS.items():
        default = str(field.default).strip("()")
        rows.append([name, default, str(field.description)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
