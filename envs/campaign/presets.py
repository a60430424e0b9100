"""The campaigns that come with the program, and campaigns made by changing their fields."""

import dataclasses
import difflib
from fractions import Fraction
from typing import Any

import numpy as np
from pydantic import ValidationError

from envs.campaign.checks import MOST_NAMES, PER_CHANNEL, PER_METRIC, faults
from envs.campaign.limits import LIMITS
from envs.campaign.params import FIELDS, CampaignParams

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
        loyalty_lift=(3.0, 0.0, 0.0),
        loyalty_gain=(0.0, 0.0, 1.0),
        loyalty_decay=0.05,
        fatigue=(0.0, 0.25, 0.0),
        fatigue_recovery=(0.0, 0.25, 0.0),
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

    What is 0 for every channel or metric of the preset is so for other channels and metrics, too.

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
    values = dataclasses.asdict(PRESETS[preset]) | plain
    missing = _resize(values, plain)
    try:
        return CampaignParams(**values)
    except ValidationError as error:
        details = [fault for fault in error.errors() if fault["loc"]]
    listed = [_fault(fault, known, values) for fault in details]
    if missing:
        listed.append(
            f"{', '.join(missing)}: missing for channels {_listed(values['channels'])} and metrics "
            f"{_listed(values['metrics'])}; those of the {preset} campaign are of another size"
        )
    bad = {str(fault["loc"][0]) for fault in details} | set(missing)
    raise ValueError("campaign: " + "; ".join([*listed, *faults(values, bad)]))


def _resize(values: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Gives zeros of a preset the size of other channels and metrics; returns what does not fit."""
    names = (values["channels"], values["metrics"])
    if not all(isinstance(kind, tuple) and kind for kind in names):
        return []
    sizes = tuple(map(len, names))
    is_other = "counts" not in given and np.shape(values["counts"]) != sizes
    missing = ["counts"] if is_other else []
    for size, fields in zip(sizes, (PER_CHANNEL, PER_METRIC), strict=True):
        for name in set(fields) - set(given):
            if not any(values[name]):
                values[name] = (0.0,) * size
            elif len(values[name]) != size:
                missing.append(name)
    return [name for name in FIELDS if name in missing]


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))


def _plain(value: Any) -> Any:
    """Turns arrays, NumPy scalars and nested lists into the numbers and tuples that are stored."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def _fault(details: Any, known: tuple[str, ...], values: dict[str, Any]) -> str:
    """One sentence for one of pydantic's errors: the field, the value, what is allowed."""
    name, *index = details["loc"]
    if details["type"] == "unexpected_keyword_argument":
        return _unknown(name, known)
    meaning = FIELDS[name].description
    if name in LIMITS:  # which of its two shapes was meant is not known
        return (
            f"{name}={values[name]!r}: must be None, a number of 0 or more for each channel, or a "
            f"row of them for each day ({meaning})"
        )
    if details["type"] in {"missing", "too_long", "too_short", "tuple_type"}:
        return f"{name}={values[name]!r}: needs {_shape(name)} ({meaning})"
    place = name + "".join(f"[{part}]" for part in _labels(name, index, values))
    return f"{place}={details['input']!r}: {details['msg'].lower()} ({meaning})"


def _unknown(name: Any, known: tuple[str, ...]) -> str:
    if RENAMED.get(name) in FIELDS:
        return f"{name} is now called {RENAMED[name]}"
    names = sorted([*FIELDS, *known])
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"


def _labels(name: str, index: list[Any], values: dict[str, Any]) -> list[Any]:
    """Places in a field by the names of channel and metric, where it has one for each."""
    if name == "counts" or name in PER_CHANNEL:
        kinds: tuple[str, ...] = ("channels", "metrics")
    elif name in PER_METRIC:
        kinds = ("metrics",)
    else:
        return index
    return [
        values[kind][place] if place < len(values[kind]) else place
        for kind, place in zip(kinds, index, strict=False)
    ]


def _shape(name: str) -> str:
    """What a field must consist of, in words."""
    if name in {"channels", "metrics"}:
        return f"1 to {MOST_NAMES} names"
    if name == "counts":
        return "a row for each channel, with a number for each metric"
    if name in PER_CHANNEL or name in PER_METRIC:
        return f"a number for each {'channel' if name in PER_CHANNEL else 'metric'}"
    return f"{len(FIELDS[name].default)} numbers"


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
    if value is None or isinstance(value, str):
        return value or "none"
    if float(f"{value:g}") == value:
        return f"{value:g}"
    return str(Fraction(value).limit_denominator(1000))
