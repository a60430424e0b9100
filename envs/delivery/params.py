"""The parameters of a city and its deliveries: value, unit, range and source of each."""

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Self

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

_Blocks = Annotated[int, Field(ge=2, le=10)]
_Minutes = Annotated[int, Field(ge=1, le=30)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class DeliveryParams:
    """The parameters of a city and of the deliveries in it; the city itself is drawn from them.

    The values are round numbers of a bicycle on blocks of 500 m, a choice and not measured.
    """

    rows: _Blocks = Field(default=6, description="crossings from north to south; 2 to 10 [1]")
    columns: _Blocks = Field(default=6, description="crossings from west to east; 2 to 10 [1]")
    city_seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="random seed that the city and the held-out pairs are drawn from [1]"
    )
    avenues: Annotated[int, Field(ge=0, le=12)] = Field(
        default=2, description="avenues from north to south, and as many from west to east [1]"
    )
    one_way: _Share = Field(default=0.15, description="share of streets that are one-way [1]")
    slow: _Share = Field(default=0.1, description="share of streets with roadworks [1]")
    avenue_minutes: _Minutes = Field(default=2, description="a block of an avenue, free [min]")
    street_minutes: _Minutes = Field(default=3, description="a block of another street, free [min]")
    slow_minutes: _Minutes = Field(default=5, description="a block with roadworks, free [min]")
    jam_minutes: _Minutes = Field(default=4, description="what a jam adds to a block [min]")
    dead_end_minutes: _Minutes = Field(
        default=5, description="lost by turning where there is no street [min]"
    )
    avenue_jam: _Share = Field(default=0.2, description="chance of a jam on an avenue [1]")
    street_jam: _Share = Field(default=0.15, description="chance of a jam on another street [1]")
    avenue_rush: _Share = Field(
        default=0.5, description="added to it on an avenue at the peak of the rush hour [1]"
    )
    street_rush: _Share = Field(
        default=0.2, description="added to it on another street at the peak of the rush hour [1]"
    )
    evening: Annotated[int, Field(ge=1, le=600)] = Field(
        default=180, description="minutes of the evening; traffic stays as it is after them [min]"
    )
    last_order: Annotated[int, Field(ge=0, le=600)] = Field(
        default=120, description="latest start of a delivery, minutes into the evening [min]"
    )
    rush_peak: Annotated[int, Field(ge=0, le=600)] = Field(
        default=75, description="peak of the rush hour, minutes into the evening [min]"
    )
    rush_width: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="standard deviation of the rush hour [min]"
    )
    promise: Annotated[float, Field(ge=1, le=3)] = Field(
        default=1.0, description="promised time over the usual time, rounded up to minutes [1]"
    )
    late_penalty: _Weight = Field(
        default=1.0, description="cost of a minute past the promised time, beside its own [1]"
    )
    held_out: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="share of the pairs of restaurant and customer held out [1]"
    )
    least_blocks: Annotated[int, Field(ge=1, le=22)] = Field(
        default=3, description="least distance of restaurant and customer [blocks]"
    )
    most_moves: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=60, description="moves after which a delivery is cut (truncated) [moves]"
    )
    reward_scale: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="factor of the reward, which is minus minutes [1]"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(_faults(self))
        if found:
            raise ValueError("; ".join(found))
        return self


FIELDS: dict[str, Any] = DeliveryParams.__pydantic_fields__  # type: ignore[attr-defined]


def make_params(known: tuple[str, ...] = (), **changes: Any) -> DeliveryParams:
    """The default parameters with some fields changed.

    Args:
        known: Other keyword arguments of the caller, offered as a correction of a mistyped name.
        **changes: Fields of ``DeliveryParams``.

    Raises:
        ValueError: An unknown field or a bad value. All faults are named at once.
    """
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in changes.items()
    }
    try:
        return DeliveryParams(**plain)
    except ValidationError as error:
        listed = [_sentence(fault, known) for fault in error.errors()]
    raise ValueError("delivery: " + "; ".join(listed))


def parameter_table() -> str:
    """The fields as a table in Markdown: default, meaning and unit."""
    rows = [(name, f"{field.default:g}", field.description) for name, field in FIELDS.items()]
    head = ("field", "default", "meaning [unit]"), ("---",) * 3
    return "\n".join(f"| {' | '.join(row)} |" for row in (*head, *rows))


def _sentence(fault: Any, known: tuple[str, ...]) -> str:
    """A fault that pydantic finds, with the meaning of the field or the nearest name."""
    if not fault["loc"]:
        return str(fault["ctx"]["error"])
    name = fault["loc"][0]
    if name in FIELDS:
        return f"{name}={fault['input']!r}: {fault['msg'].lower()} ({FIELDS[name].description})"
    names = sorted([*FIELDS, *known])
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"


def _faults(params: DeliveryParams) -> Iterator[str]:
    """A sentence for every fault of values that are right one by one."""
    apart = params.rows + params.columns - 2
    if params.least_blocks > apart:
        yield (
            f"least_blocks={params.least_blocks}: must be {apart} or less, as far as crossings of "
            f"{params.rows} x {params.columns} are apart"
        )
    fewest = min(params.rows, params.columns)
    if params.avenues > fewest:
        yield (
            f"avenues={params.avenues}: must be {fewest} or less, as many as there are rows and "
            "columns"
        )
