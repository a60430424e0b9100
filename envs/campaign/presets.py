"""The campaigns that come with the program, and campaigns made by changing their fields."""

import dataclasses
import difflib
from fractions import Fraction
from typing import Any

import numpy as np
from pydantic import ValidationError

from envs.campaign.checks import MOST_NAMES, OBSERVED, PER_CHANNEL, PER_METRIC, PRIOR_WIDTHS, faults
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

    Fields that are 0 for every channel or metric of the preset are 0 for other channels and
    metrics, too; those that are not must be given with them. With ``latent_covariance`` the
    preset's widths of the prior are 0.

    Args:
        preset: A name of ``PRESETS``.
        known: Other keyword arguments of the caller, offered as a correction of a mistyped name.
        **changes: Fields of ``CampaignParams``; array fields take nested lists or arrays.

    Raises:
        ValueError: An unknown preset or field, or a bad value. All faults are named at once.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: unknown; known: {', '.join(sorted(PRESETS))}")
    given = {name: _plain(value) for name, value in changes.items()}
    values = dataclasses.asdict(PRESETS[preset])
    if given.get("latent_covariance") is not None:
        values |= dict.fromkeys(PRIOR_WIDTHS, 0.0)
    values |= given
    unfit = _fit(PRESETS[preset], values, given)
    details: list[Any] = []
    try:
        params = CampaignParams(**values)
        if not unfit:
            return params
    except ValidationError as error:
        details = [fault for fault in error.errors() if fault["loc"]]
    listed = _field_faults(details, known, values)
    if unfit:
        listed.append(
            f"{', '.join(unfit)}: must be given for these channels and metrics "
            f"({', '.join((*values['channels'], *values['metrics']))}), "
            f"those of the {preset} campaign are for other names"
        )
    bad = {str(fault["loc"][0]) for fault in details} | set(unfit)
    raise ValueError("campaign: " + "; ".join([*listed, *faults(values, bad)]))


def _fit(preset: CampaignParams, values: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Fits the preset's zeros to other names; returns what else of it must be given for them.

    Numbers of the preset would be right for other names by chance alone, so none is taken over.
    """
    if not all(_are_names(values[kind]) for kind in ("channels", "metrics")):
        return []
    channels, metrics = len(values["channels"]), len(values["metrics"])
    others: dict[str, tuple[int, ...]] = {}
    if values["channels"] != preset.channels:
        others |= dict.fromkeys(PER_CHANNEL, (channels,))
    if values["metrics"] != preset.metrics:
        others |= dict.fromkeys(PER_METRIC, (metrics,))
    if others:
        others["counts"] = (channels, metrics)
    missing = others.keys() - given
    zeros = {name for name in missing if not np.any(values[name])}
    values.update({name: _plain(np.zeros(others[name])) for name in zeros})
    return [name for name in FIELDS if name in missing - zeros]


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and 0 < len(value) <= MOST_NAMES
        and all(isinstance(name, str) for name in value)
    )


def _plain(value: Any) -> Any:
    """Turns arrays, NumPy scalars and nested lists into the numbers and tuples that are stored."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(_plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def _field_faults(details: list[Any], known: tuple[str, ...], values: dict[str, Any]) -> list[str]:
    """A sentence for each fault that pydantic finds in a field, with the places that share it."""
    places: dict[tuple[str, str], list[str]] = {}
    for fault in details:
        name, *index = fault["loc"]
        if fault["type"] == "unexpected_keyword_argument":
            places[_unknown(name, known), ""] = []
        elif name in LIMITS or fault["type"] in _WHOLE or _is_empty(fault):
            places[f"{name}={values[name]!r}: {_needed(name, values)}", name] = []
        elif fault["type"] != "too_short":  # that is for want of good entries, named themselves
            place = name + "".join(f"[{part}]" for part in _labels(name, index, values))
            shared = places.setdefault((fault["msg"].lower(), name), [])
            shared.append(f"{place}={fault['input']!r}")
    return [
        f"{', '.join(where)}{': ' * bool(where)}{text}{_meaning(name)}"
        for (text, name), where in places.items()
    ]


_WHOLE = {"missing", "too_long", "tuple_type"}  # pydantic's names of faults of a whole list


def _is_empty(fault: Any) -> bool:
    return fault["type"] == "too_short" and not fault["input"]


def _unknown(name: str, known: tuple[str, ...]) -> str:
    former = RENAMED.get(name)
    if former in FIELDS:
        is_list = former in PER_CHANNEL
        return f"{name} is now called {former}{', a number for each channel' * is_list}"
    names = sorted([*FIELDS, *known])
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown parameter {name!r}; {hint}known: {', '.join(names)}"


def _named(field: str) -> tuple[str, ...]:
    """The fields with the names of each axis of a field; none where its places have no name."""
    if field == "counts":
        return ("channels", "metrics")
    if field in PER_METRIC:
        return ("metrics",)
    return ("channels",) if field in (*PER_CHANNEL, *LIMITS, *OBSERVED) else ()


def _labels(field: str, index: list[Any], values: dict[str, Any]) -> list[Any]:
    """Places in a field by the names of channel and metric, where it has one for each."""
    labels = list(index)
    for axis, (kind, place) in enumerate(zip(_named(field), index, strict=False)):
        if _are_names(values[kind]) and place < len(values[kind]):
            labels[axis] = values[kind][place]
    return labels


def _needed(field: str, values: dict[str, Any]) -> str:
    """What a field that holds a list must consist of, in words."""
    if field in {"channels", "metrics"}:
        return f"must be 1 to {MOST_NAMES} names"
    each = [
        f"each of {', '.join(values[kind])}" if _are_names(values[kind]) else f"each {kind[:-1]}"
        for kind in _named(field)
    ]
    if field in LIMITS:  # which of its two shapes was meant is not known
        return f"must be None, a number of 0 or more for {each[0]}, or such a row for each day"
    if field == "counts":
        return f"must be a row for {each[0]} with a number for {each[1]}"
    if field in OBSERVED:
        return f"must be None, or a number of 0 or more for {each[0]}"
    if field == "latent_covariance":
        return "must be None, or rows of numbers"
    return f"must be a number for {each[0]}" if each else "must be 7 numbers"


def _meaning(field: str) -> str:
    """The description of a field without its source, in brackets; none for an unknown field."""
    return f" ({str(FIELDS[field].description).partition(';')[0]})" if field in FIELDS else ""


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
