"""What can be wrong with the parameters of a campaign beyond each field alone."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

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
    if bad & {"channels", "metrics"}:
        return []
    shapes = list(_shape_faults(values, bad))
    listed = [
        *_name_faults(values),
        *([] if "unit" in bad else _unit_faults(values)),
        *(fault for _, fault in shapes),
    ]
    wrong = {*bad, *(name for name, _ in shapes)}
    if not wrong & {"loyalty_gain"}:
        listed += _gain_faults(values)
    if not wrong & {"days", "daily_budget", *LIMITS}:
        limits = (values[name] for name in LIMITS)
        listed += clashes(values["channels"], values["days"], values["daily_budget"], *limits)
    needed = {"days", "start_weekday", "weekday_factors", "counts", "max_spend", *PER_METRIC}
    return listed or ([] if wrong & needed else _dead_ends(values))


def _name_faults(values: Values) -> Iterator[str]:
    """Names that are malformed, taken, or not unique across channels and metrics."""
    seen: dict[str, str] = {}
    for field in ("channels", "metrics"):
        for name in values[field]:
            folded, place = name.casefold(), f"{field}: {name!r}"
            if not _NAME.fullmatch(name) or len(name) > _LONGEST:
                near = re.sub(r"\W+", "_", name).strip("_")[:_LONGEST]
                hint = f"; did you mean {near!r}?" if near else ""
                yield (
                    f"{place} must be letters, digits and underscores, at most {_LONGEST}, and not "
                    f"start with an underscore{hint}"
                )
            elif folded in RESERVED or folded.startswith(TOTAL_SPEND):
                yield (
                    f"{place} is taken by a column of the program; taken are "
                    f"{', '.join(sorted(RESERVED))} and all that starts with {TOTAL_SPEND}"
                )
            elif folded in seen:
                yield (
                    f"{place} is already the name of a {seen[folded]}; channels and metrics need "
                    "different names, capitals aside"
                )
            seen.setdefault(folded, field[:-1])


def _unit_faults(values: Values) -> Iterator[str]:
    unit = values["unit"]
    if isinstance(unit, str) and not (
        unit.isprintable() and 0 < len(unit.strip()) <= _LONGEST_UNIT
    ):
        yield f"unit={unit!r}: must be 1 to {_LONGEST_UNIT} characters, such as EUR"


def _shape_faults(values: Values, bad: Set[str]) -> Iterator[tuple[str, str]]:
    """Fields that do not have a number for each channel or metric, with what is missing."""
    channels, metrics = values["channels"], values["metrics"]
    for name in (*PER_CHANNEL, *PER_METRIC):
        if name not in bad:
            sized = ("channel", channels) if name in PER_CHANNEL else ("metric", metrics)
            yield from _counted(name, values[name], *sized)
    if "counts" not in bad:
        yield from _counted("counts", values["counts"], "channel", channels, "rows")
        for channel, row in zip(channels, values["counts"], strict=False):
            what = f"numbers in the row of {channel}"
            yield from _counted("counts", row, "metric", metrics, what)
    for name in LIMITS:
        if name not in bad and values[name] is not None:
            yield from _limit_faults(name, values[name], channels)


def _limit_faults(name: str, rows: Any, channels: Sequence[str]) -> Iterator[tuple[str, str]]:
    if np.ndim(rows[0]) == 0 if rows else True:
        yield from _counted(name, rows, "channel", channels)
        return
    for number, row in enumerate(rows, 1):
        yield from _counted(name, row, "channel", channels, f"numbers on day {number}")


def _counted(
    field: str, numbers: Sequence[Any], kind: str, names: Sequence[str], what: str = "numbers"
) -> Iterator[tuple[str, str]]:
    if len(numbers) == len(names):
        return
    missing = ", ".join(names[len(numbers) :])
    lacks = f"none for {missing}" if missing else f"{len(numbers) - len(names)} too many"
    yield (
        field,
        f"{field}: {len(numbers)} {what} for {len(names)} {kind}s, {lacks}; give one for each "
        f"{kind}, in the order {', '.join(names)}",
    )


def _gain_faults(values: Values) -> Iterator[str]:
    total = sum(values["loyalty_gain"])
    if total > 1 + ROUNDING:
        gains = zip(values["channels"], values["loyalty_gain"], strict=True)
        parts = " + ".join(f"{gain:g} ({name})" for name, gain in gains if gain)
        yield f"loyalty_gain: {parts} = {total:.10g}: the sum over the channels must be 1 or less"


def _dead_ends(values: Values) -> list[str]:
    """A sentence where no plan earns any engagement: there would be nothing to decide."""
    days, factors = values["days"], values["weekday_factors"]
    if not any(factors[(values["start_weekday"] + day) % 7] for day in range(days)):
        return [
            f"weekday_factors={factors}: 0 on all {days} days of the campaign, so that nothing can "
            "be earned: at least one must be above 0"
        ]
    weights = np.array(values["metric_weights"])
    if not weights.any():
        return [
            f"metric_weights={values['metric_weights']}: all 0, so that nothing can be earned: at "
            "least one must be above 0"
        ]
    most = 1.0 if values["max_spend"] is None else np.array(values["max_spend"])
    is_open = np.broadcast_to(most, (days, len(values["channels"]))).max(axis=0) > 0
    earning = (is_open[:, np.newaxis] * np.array(values["counts"])).max(axis=0) + values["base"]
    if ((weights > 0) & (earning > 0)).any():
        return []
    named = ", ".join(f"{name}={values[name]}" for name in ("counts", "base", *LIMITS[1:]))
    return [
        f"{named}, metric_weights={values['metric_weights']}: nothing can be earned: a metric of "
        "weight above 0 must have a base, or a count in a channel that may spend, above 0"
    ]
