"""Where a plan spends what no past day did, in a campaign that was calibrated with past days."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from envs.campaign.params import CampaignParams, FloatArray
from evaluate.report.wording import in_text, listed

PESSIMISTIC = 0.05  # share of the campaigns that are still possible that earn less
SLACK = 0.005  # of the daily budget: so much beyond the past days is not worth a word


class Unobserved(NamedTuple):
    """A channel that gets more, or less, than on any past day.

    Attributes:
        channel: Its name.
        days: On which days of the campaign, from 1.
        spend: The spend furthest from the past days' [bu/day].
        low, high: Least and most of the past days [bu/day].
    """

    channel: str
    days: tuple[int, ...]
    spend: float
    low: float
    high: float


def unobserved(params: CampaignParams, spend: FloatArray, first_day: int = 1) -> list[Unobserved]:
    """Channels of a plan (days, channels) [bu/day] that leave what past days spent.

    Args:
        params: The campaign; nothing is found where it was not calibrated.
        spend: The plan.
        first_day: Number of its first day.
    """
    if params.min_observed_spend is None or params.max_observed_spend is None:
        return []
    slack = SLACK * params.daily_budget
    rows = zip(
        params.channels, spend.T, params.min_observed_spend, params.max_observed_spend, strict=True
    )
    found = []
    for name, days, low, high in rows:
        for beyond, furthest in (
            (days < low - slack, days.min()),
            (days > high + slack, days.max()),
        ):
            if beyond.any():
                numbers = tuple((np.flatnonzero(beyond) + first_day).tolist())
                found.append(Unobserved(name, numbers, float(furthest), low, high))
    return found


def warning_of(
    params: CampaignParams, spend: FloatArray, earned: FloatArray, first_day: int = 1
) -> str:
    """What has to be said of a plan that leaves what past days spent; empty where it does not.

    Args:
        params: The campaign.
        spend: The plan, (days, channels) [bu/day].
        earned: Expected engagement of those days in each campaign that is possible, (campaigns,).
        first_day: Number of the plan's first day.
    """
    found = unobserved(params, spend, first_day)
    if not found:
        return ""
    places = listed([_in_words(each, params.unit) for each in found])
    low = float(np.quantile(earned, PESSIMISTIC))
    return (
        f"No past day spent so on {places}: what is earned there rests on the form of the "
        f"response curve alone. If the fit is wrong, these days may earn {in_text(low)} instead of "
        f"{in_text(float(earned.mean()))} (in one of twenty campaigns that are still possible they "
        "earn less)."
    )


def _in_words(each: Unobserved, unit: str) -> str:
    which = "up to" if each.spend > each.high else "down to"
    spend, low, high = map(in_text, (each.spend, each.low, each.high))
    return (
        f"{each.channel} on {_days(each.days)} ({which} {spend} {unit}, past days {low} to {high})"
    )


def _days(days: Sequence[int]) -> str:
    """Days in words, those that follow each other as a range."""
    parts = [f"{first}" if first == last else f"{first} to {last}" for first, last in _runs(days)]
    return f"day{'s' * (len(days) > 1)} {listed(parts)}"


def _runs(days: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of days that follow each other."""
    for _, run in groupby(enumerate(days), key=lambda place: place[1] - place[0]):
        numbers = [day for _, day in run]
        yield numbers[0], numbers[-1]
