"""What can be wrong with the parameters of a campaign beyond each field alone."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.campaign.limits import LIMITS, ROUNDING, clashes

MOST_NAMES = 12
PER_CHANNEL = (
    "inv_half_saturation",
    "carry_over",
    "loyalty_lift",
    "loyalty_gain",
    "fatigue",
    "fatigue_recovery",
)
PER_METRIC = ("metric_weights", "base")
OBSERVED = ("min_observed_spend", "max_observed_spend")
LATENT_FIELDS = ("counts", "inv_half_saturation", "carry_over", "loyalty_lift", "fatigue")
"""Fields of ``CampaignParams`` in which campaigns may differ, in the order of ``Latent``."""

PRIOR_WIDTHS = (
    "counts_log_sd",
    "inv_half_saturation_log_sd",
    "carry_over_range",
    "loyalty_lift_log_sd",
    "fatigue_log_sd",
)
MOST_VARIANCE = 9.0  # of the logarithm of a latent parameter
RESERVED = frozenset(
    (
        *("campaign", "episode", "seed", "policy", "run", "number", "plan"),
        *("day", "date", "weekday", "step", "sum", "total", "reward", "spend"),
        *("engagement", "expected_engagement", "share_of_optimum"),
        *("episode_metrics", "final_info", "final_obs"),
        *("timesteps", "episodes", "seconds", "steps_per_second", "fps"),
        *("ep_rew_mean", "ep_len_mean", "learning_rate", "explained_variance", "std"),
        *("policy_loss", "value_loss", "entropy_loss"),
    )
)
"""Columns and entries of ``info`` that exist beside channels and metrics."""

TOTAL_SPEND = "spend_"  # opens the name of a channel's total

_NAME = re.compile(r"[^\W_]\w*")
_LONGEST, _LONGEST_UNIT = 40, 20

Values = Mapping[str, Any]


def faults(values: Values, bad: Set[str] = frozenset()) -> list[str]:
    """A sentence for every fault of values that are right one by one, each with its remedy.

    Args:
        values: All fields of ``CampaignParams``.
        bad: Fields that are already known to be wrong, which are left out.
    """
    sizes = {} if bad & {"channels", "metrics"} else _wrong_sizes(values, bad)
    wrong = {*bad, *sizes}
    checks = [check(values) for fields, check in _CHECKS if wrong.isdisjoint(fields)]
    return [fault for found in (*sizes.values(), *checks) for fault in found]


def _wrong_sizes(values: Values, bad: Set[str]) -> dict[str, list[str]]:
    """Sentences about the fields without exactly one number for each channel or metric."""
    places: dict[tuple[str, str, str, int], list[str]] = {}
    for field in ("counts", *PER_CHANNEL, *PER_METRIC, *LIMITS, *OBSERVED):
        if field not in bad:
            for entry, kind, place, listed in _lists(field, values):
                if len(listed) != len(values[kind]):
                    places.setdefault((field, entry, kind, len(listed)), []).append(place)
    found: dict[str, list[str]] = {}
    for (field, entry, kind, count), where in places.items():
        names = values[kind]
        lacks = f"none for {', '.join(names[count:])}" if count < len(names) else "too many"
        found.setdefault(field, []).append(
            f"{field}{_places(where)}: {count} {entry}{'s' * (count != 1)}, {lacks}: must be one "
            f"for each {kind[:-1]}, in the order {', '.join(names)}"
        )
    return found


def _lists(field: str, values: Values) -> Iterator[tuple[str, str, str, Sequence[Any]]]:
    """The lists of a field: of what, for each of which names, where, and the list itself."""
    value = values[field]
    if field == "counts":
        yield "row", "channels", "", value
        for channel, row in zip(values["channels"], value, strict=False):
            yield "number", "metrics", channel, row
    elif field in LIMITS and value is not None and np.ndim(value[:1]) > 1:
        for day, row in enumerate(value, start=1):
            yield "number", "channels", f"day {day}", row
    elif value is not None:
        yield "number", "metrics" if field in PER_METRIC else "channels", "", value


def _places(where: list[str]) -> str:
    return f" of {_listed(where)}" if any(where) else ""


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(places[:3]) + more


def _name_faults(values: Values) -> Iterator[str]:
    """Names that are malformed, taken, or not unique across channels and metrics."""
    seen: dict[str, str] = {}
    for kind in ("channels", "metrics"):
        for name in values[kind]:
            folded, own = name.casefold(), kind[:-1]
            if not _NAME.fullmatch(name) or len(name) > _LONGEST:
                near = re.sub(r"\W+", "_", name).strip("_")[:_LONGEST]
                hint = f"; did you mean {near!r}?" if near else ""
                yield (
                    f"{kind}: {name!r}: must be 1 to {_LONGEST} letters, digits and underscores, "
                    f"the first not an underscore{hint}"
                )
            elif folded.startswith(TOTAL_SPEND):
                yield f"{kind}: {name!r}: must not start with {TOTAL_SPEND!r}, as totals do"
            elif folded in RESERVED:
                yield (
                    f"{kind}: {name!r}: is a column of the results; "
                    f"choose another name, such as {f'{own}_{name}'!r}"
                )
            elif folded in seen:
                yield (
                    f"{kind}: {name!r}: is already the name of a {seen[folded]}; names must "
                    "differ by more than capitals, those of channels from those of metrics, too"
                )
            seen.setdefault(folded, own)


def _unit_faults(values: Values) -> Iterator[str]:
    unit = values["unit"]
    if not (unit.isprintable() and unit.strip() and len(unit) <= _LONGEST_UNIT):
        yield f"unit={unit!r}: must be 1 to {_LONGEST_UNIT} printable characters, such as EUR"


def _gain_faults(values: Values) -> Iterator[str]:
    total = sum(values["loyalty_gain"])
    if total > 1 + ROUNDING:
        gains = zip(values["channels"], values["loyalty_gain"], strict=True)
        parts = " + ".join(f"{gain:g} ({name})" for name, gain in gains if gain)
        yield f"loyalty_gain: {parts} = {total:.10g}: must sum up to 1 or less"


def _limit_faults(values: Values) -> list[str]:
    limits = (values[name] for name in LIMITS)
    return clashes(values["channels"], values["days"], values["daily_budget"], *limits)


def _observed_faults(values: Values) -> Iterator[str]:
    least, most = (values[name] for name in OBSERVED)
    if (least is None) != (most is None):
        yield f"{' and '.join(OBSERVED)}: must be given together, or neither"
    elif least is not None:
        for name, low, high in zip(values["channels"], least, most, strict=True):
            if low > high:
                yield f"min_observed_spend of {name}: {low:g}: must be {high:g}, its most, or less"


def _weekday_faults(values: Values) -> Iterator[str]:
    days, factors = values["days"], values["weekday_factors"]
    if not any(factors[(values["start_weekday"] + day) % 7] for day in range(days)):
        yield (
            f"weekday_factors={factors}: 0 on all {days} days of the campaign, so that nothing can "
            "be earned: at least one must be above 0"
        )


def _weight_faults(values: Values) -> Iterator[str]:
    weights = values["metric_weights"]
    if not any(weights):
        yield (
            f"metric_weights={weights}: all 0, so that nothing can be earned: at least one must be "
            "above 0"
        )


def _earning_faults(values: Values) -> Iterator[str]:
    """Campaigns in which no plan earns any engagement: there would be nothing to decide."""
    weights = np.array(values["metric_weights"])
    channels = len(values["channels"])
    most = (1.0,) * channels if values["max_spend"] is None else values["max_spend"]
    is_open = np.reshape(most, (-1, channels)).max(axis=0) > 0
    earning = (is_open[:, np.newaxis] * np.array(values["counts"])).max(axis=0) + values["base"]
    if weights.any() and not ((weights > 0) & (earning > 0)).any():
        fields = ("counts", "base", "metric_weights", "max_spend")
        yield (
            f"{', '.join(f'{name}={values[name]}' for name in fields)}: nothing can be earned: a "
            "metric of weight above 0 must have a base, or a count in a channel that may spend, "
            "above 0"
        )


def differing(values: Values) -> list[str]:
    """Names of the latent parameters that are not 0, in the order of ``latent_covariance``."""
    axes = (values["channels"], values["metrics"])
    return [
        field + "".join(f"[{axis[place]}]" for axis, place in zip(axes, index, strict=False))
        for field in LATENT_FIELDS
        for index in np.argwhere(np.array(values[field]))
    ]


def _covariance_faults(values: Values) -> Iterator[str]:
    rows, names = values["latent_covariance"], differing(values)
    if rows is None:
        return
    widths = [f"{name}={values[name]:g}" for name in PRIOR_WIDTHS if values[name]]
    if widths:
        yield (
            f"latent_covariance: says alone how campaigns differ: {', '.join(widths)} must be 0 "
            "beside it"
        )
    lengths = {len(row) for row in rows}
    if {len(rows), *lengths} - {len(names)}:
        numbers = " or ".join(map(str, sorted(lengths)))
        counts = {name: np.count_nonzero(values[name]) for name in LATENT_FIELDS}
        parts = ", ".join(f"{count} of {name}" for name, count in counts.items() if count)
        yield (
            f"latent_covariance: {len(rows)} rows{' of ' * bool(numbers)}{numbers}: must be "
            f"{len(names)} rows of {len(names)} numbers, one for each latent parameter that is not "
            f"0: {parts or 'none'}"
        )
    elif rows:
        fault = _wrong_covariance(np.array(rows), names)
        if fault:
            yield f"latent_covariance: {fault}"


def _wrong_covariance(covariance: NDArray[Any], names: list[str]) -> str:
    """What keeps a square matrix from being a covariance; empty where nothing does."""
    least = np.where(np.eye(len(names)), 0.0, -MOST_VARIANCE)
    beyond = np.argwhere((covariance < least) | (covariance > MOST_VARIANCE))
    if len(beyond):
        places = [f"{names[i]} and {names[j]}: {covariance[i, j]:g}" for i, j in beyond]
        return (
            f"{_listed(places)}: must be {-MOST_VARIANCE:g} to {MOST_VARIANCE:g}, a variance 0 or "
            "more"
        )
    unlike = np.abs(covariance - covariance.T)
    if unlike.max() > 1e-9 * np.abs(covariance).max():
        i, j = np.unravel_index(unlike.argmax(), unlike.shape)
        return (
            f"{names[i]} and {names[j]}: {covariance[i, j]:.10g}, but {covariance[j, i]:.10g} the "
            "other way round: must be symmetric"
        )
    least_eigenvalue, greatest = np.linalg.eigvalsh(covariance)[[0, -1]]
    if least_eigenvalue < -1e-6 * greatest:
        return (
            f"its least eigenvalue is {least_eigenvalue:.3g}: must be 0 or more (positive "
            "semi-definite), but for rounding"
        )
    return ""


_CHECKS: tuple[tuple[tuple[str, ...], Callable[[Values], Iterable[str]]], ...] = (
    (("channels", "metrics"), _name_faults),
    (("unit",), _unit_faults),
    (("channels", "loyalty_gain"), _gain_faults),
    (("channels", "days", "daily_budget", *LIMITS), _limit_faults),
    (("channels", *OBSERVED), _observed_faults),
    (("days", "start_weekday", "weekday_factors"), _weekday_faults),
    (("metric_weights",), _weight_faults),
    (("channels", "metrics", "counts", "max_spend", *PER_METRIC), _earning_faults),
    (
        ("channels", "metrics", *LATENT_FIELDS, *PRIOR_WIDTHS, "latent_covariance"),
        _covariance_faults,
    ),
)
"""The fields that a check needs, and the check."""
