"""Reads the past days of campaigns from a CSV file, for calibration.

The file is read as past days of one campaign are; on top of that it may hold several campaigns,
start on any day, write dates in other forms and leave days out.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.campaign.params import FloatArray
from envs.campaign.past import Faults, number_faults
from evaluate.campaign.past_days import (
    DATE,
    DAY,
    currency_of,
    decoded,
    header_faults,
    message_of,
    ordinal,
    read_cells,
    read_numbers,
)
from train.errors import InputError

CAMPAIGN = "campaign"
LEAST_DAYS, MOST_DAYS = 14, 20_000
LONGEST_GAP = 366  # a longer one is rather a wrong date than days without spend
MOST_SHOWN = 20
MONDAY = 1  # the number of a Monday among dates
EPOCH = date(1970, 1, 1).toordinal()
TIME = r"(?:[T ]+[0-9]{1,2}:[0-9]{2}.*)?"
WRITTEN_DATE = re.compile(rf"([0-9]+)([-/.])\s*([0-9]+)\2\s*([0-9]+)\.?{TIME}")

Gaps = Literal["refuse", "zero", "split"]
DateOrder = Literal["day-first", "month-first"]
DATE_ORDERS: tuple[DateOrder, ...] = ("day-first", "month-first")


@dataclass(frozen=True, eq=False)
class Campaigns:
    """Days of one or more campaigns, each campaign's in order.

    Attributes:
        names: Of the campaigns, one for each start.
        channels: Names of the channels on which something was spent.
        metric_names: Names of the metrics of which something was counted.
        spend: (days, channels), in the file's money.
        metrics: (days, metrics) [counts/day].
        weekday: 0 = Monday, (days,); without dates each campaign is taken to start on a Monday.
        starts: Which days are the first of a campaign, (days,).
        dates: (days,), where the file has dates.
        notices: What was left aside or taken for granted, a sentence each.
    """

    names: tuple[str, ...]
    channels: tuple[str, ...]
    metric_names: tuple[str, ...]
    spend: FloatArray
    metrics: FloatArray
    weekday: NDArray[np.int64]
    starts: NDArray[np.bool_]
    dates: NDArray[np.datetime64] | None
    notices: tuple[str, ...] = ()

    @property
    def has_dates(self) -> bool:
        """Whether the weekdays are those of dates."""
        return self.dates is not None


class _Table(NamedTuple):
    """The rows of a file, sorted by campaign and otherwise as they stand.

    Attributes:
        rows: Number of each in the file, from 1.
        names: Of the campaigns.
        campaign: Index of each row's campaign.
        days: The number of its day or date; NaN where it cannot be read.
        values: (rows, channels + metrics).
        order: What the days are given by, a day or a date.
    """

    rows: NDArray[np.int64]
    names: tuple[str, ...]
    campaign: NDArray[np.int64]
    days: FloatArray
    values: FloatArray
    order: str

    @property
    def steps(self) -> FloatArray:
        """Days from the row before to each but the first; infinite where a campaign starts."""
        return np.where(np.diff(self.campaign) == 0, np.diff(self.days), np.inf)

    def shown(self, day: float) -> str:
        """A day as a reader knows it."""
        return f"{date.fromordinal(int(day))}" if self.order == DATE else f"{day:.15g}"


def read_campaigns(
    data: bytes,
    where: str,
    channels: Sequence[str],
    metrics: Sequence[str],
    gaps: Gaps = "refuse",
    date_order: DateOrder | None = None,
) -> Campaigns:
    """Campaigns out of a CSV file: a row for each day, with a ``date`` or a ``day``.

    Args:
        data: The content of the file.
        where: Names the file in messages.
        channels: Columns of money spent.
        metrics: Columns of counts.
        gaps: What days are that are missing inside a campaign: a fault, days without spend and
            counts, or the end of one campaign and the start of another.
        date_order: Of day and month, where the dates do not tell.

    Raises:
        InputError: Something in the file is wrong; all faults are named.
    """
    kinds = {"channels": channels, "metrics": metrics}
    columns = (*channels, *metrics)
    cells, separator, faults = read_cells(decoded(data, where), (CAMPAIGN, DATE, DAY, *columns))
    order = DAY if DAY in cells and DATE not in cells else DATE
    wanted = ((CAMPAIGN,) if CAMPAIGN in cells else ()) + (order, *columns)
    if len(cells) > MOST_DAYS:
        raise InputError(
            f"past {where}: has {len(cells):,} days, at most {MOST_DAYS:,} can be fitted; a row is "
            "a day of all channels: days long ago can be left out"
        )
    faults |= header_faults(cells, wanted)
    header = int(str(cells.index.name))
    if (header, DATE) in faults and DATE not in cells:
        faults[header, DATE] += f"; a column {DAY!r} serves as well"
    cells = cells.loc[:, ~cells.columns.duplicated()]
    table, cell_faults = _table(cells, columns, order, separator, date_order)
    faults |= cell_faults | _order_faults(table, is_one=CAMPAIGN not in cells)
    missing, gap_faults = _gaps(table, gaps)
    if any(column in (CAMPAIGN, order) for _, column in faults):
        missing, gap_faults = [], {}  # only what is in order has gaps
    faults |= gap_faults
    if faults:
        advice = _advice(missing) if missing and gaps == "refuse" else ""
        raise InputError(message_of(where, wanted, faults, kinds, MOST_SHOWN) + advice)
    if len(cells) < LEAST_DAYS:
        raise InputError(
            f"past {where}: has {len(cells)} days, at least {LEAST_DAYS} are needed to learn from; "
            "all that is known without them is the prior, by which every channel earns the same "
            "for its usual spend, so that an even split is as good as any"
        )
    others = [str(name) for name in cells if name and name not in wanted]
    notices = [f"columns not used: {', '.join(others)}"] * bool(others)
    notices += [*_gap_notices(missing, gaps), *_count_notices(table, metrics)]
    if gaps == "zero":
        table = _filled(table)
    return _campaigns(table, where, channels, metrics, notices)


def _table(
    cells: pd.DataFrame,
    columns: Sequence[str],
    order: str,
    separator: str,
    date_order: DateOrder | None,
) -> tuple[_Table, Faults]:
    """The rows of a file, and what is wrong with cells by number of the row and column."""
    numbers = columns if order == DATE else (*columns, DAY)
    values, unread = read_numbers(cells, numbers, separator)
    faults = number_faults(columns, values[:, : len(columns)])
    days, written = values[:, -1], [str(cell) for cell in cells.get(DATE, ())]
    if order == DATE:
        days, date_faults = _read_dates(written, len(cells), date_order)
        unread |= date_faults
    else:
        is_whole = np.isnan(days) | (np.isfinite(days) & (days == np.trunc(days)))
        for row in np.flatnonzero(~is_whole).tolist():
            faults[row, DAY] = f"{days[row]:g}, must be a whole number"
        days = np.where(is_whole, days, np.nan)
    named = [str(cell) for cell in cells.get(CAMPAIGN, ["days"] * len(cells))]
    for row in (row for row, name in enumerate(named) if not name):
        faults[row, CAMPAIGN] = "is empty, must be the name of a campaign"
    faults |= _currency_faults(cells, columns) | unread
    campaign, names = pd.factorize(np.array(named, dtype=object))
    rows = cells.index.to_numpy(dtype=np.int64)
    sort = np.argsort(campaign, kind="stable")
    table = _Table(rows[sort], tuple(names), campaign[sort], days[sort], values[sort], order)
    table = table._replace(values=table.values[:, : len(columns)])
    return table, {
        (int(rows[row]), column): text for (row, column), text in faults.items() if column in cells
    }


def _currency_faults(cells: pd.DataFrame, columns: Sequence[str]) -> Faults:
    """Amounts in another currency than most."""
    written = {
        (row, name): currency
        for name in columns
        for row, cell in enumerate(cells.get(name, ()))
        if (currency := currency_of(cell)[0])
    }
    most = Counter(written.values()).most_common(1)
    return {
        place: f"is in {currency}, others are in {most[0][0]}: expected one currency"
        for place, currency in written.items()
        if currency != most[0][0]
    }


def _read_dates(
    written: Sequence[str], count: int, order: DateOrder | None
) -> tuple[FloatArray, Faults]:
    """The numbers of dates, NaN where there is none, and what is wrong with them by row from 0."""
    if not written:
        return np.full(count, np.nan), {}
    ways = {way: np.array([_date(cell, way) for cell in written], float) for way in DATE_ORDERS}
    unread = {way: np.isnan(days) for way, days in ways.items()}
    best = min(ways, key=lambda way: unread[way].sum()) if order is None else order
    days = ways[best]
    faults: Faults = {}
    for row in np.flatnonzero(unread[best]).tolist():
        cell = repr(written[row]) if written[row] else "is empty"
        rule = "a date such as 2026-03-31"
        if not all(rows[row] for rows in unread.values()):
            rule = f"{best}, as " + ("--date-order says" if order else "other dates are")
        faults[row, DATE] = f"{cell}, must be {rule}"
    by_day, by_month = ways.values()
    differ = np.flatnonzero((by_day != by_month) & ~np.isnan(by_day + by_month)).tolist()
    if differ and not order and len({rows.sum() for rows in unread.values()}) == 1:
        either = " or ".join(f"{date.fromordinal(int(way[differ[0]]))}" for way in ways.values())
        choice = " or ".join(DATE_ORDERS)
        text = f"is it {either}? Write dates so, or pass --date-order {choice}"
        faults[differ[0], DATE] = f"{written[differ[0]]!r}, {text}"
        days = np.full(count, np.nan)
    return days, faults


def _date(cell: str, order: DateOrder) -> float | None:
    """The number of a date whose year comes first, or last after day and month in this order."""
    known = ordinal(cell)
    found = WRITTEN_DATE.fullmatch(cell)
    if known is not None or not found:
        return known
    first, _, second, third = found.groups()
    if len(first) == 4:
        year, month, day = first, second, third
    elif len(third) in (2, 4):
        year = third if len(third) == 4 else f"20{third}"
        day, month = (first, second) if order == "day-first" else (second, first)
    else:
        return None
    try:
        return float(date(int(year), int(month), int(day)).toordinal())
    except ValueError:
        return None


def _order_faults(table: _Table, is_one: bool) -> Faults:
    """Days that stand twice or before an earlier one, by number of the row."""
    faults: Faults = {}
    seen: dict[tuple[int, float], int] = {}
    hint = f"; a column {CAMPAIGN!r} tells campaigns apart" * is_one
    steps = [np.inf, *table.steps.tolist()]
    places = zip(table.campaign.tolist(), table.days.tolist(), strict=True)
    for index, (place, row) in enumerate(zip(places, table.rows.tolist(), strict=True)):
        day = place[1]
        if not np.isnan(day) and seen.setdefault(place, row) != row:
            text = f"{table.shown(day)}, stands in row {seen[place]} already, expected once{hint}"
            faults[row, table.order] = text
        elif steps[index] < 0:
            before = table.shown(table.days[index - 1])
            faults[row, table.order] = f"{table.shown(day)}, must come before {before}"
    return faults


def _gaps(table: _Table, gaps: Gaps) -> tuple[list[str], Faults]:
    """Days missing inside campaigns: each gap in words, and those that are faults."""
    steps = table.steps
    missing, faults = [], {}
    for index in np.flatnonzero((steps > 1) & np.isfinite(steps)).tolist():
        first, last = table.days[index] + 1, table.days[index + 1] - 1
        count = last - first + 1
        dates = table.shown(first) + f" to {table.shown(last)}" * bool(count > 1)
        missing.append(f"{dates} ({_days(count)})")
        if gaps == "refuse" or (gaps == "zero" and count > LONGEST_GAP):
            limit = f", must be {LONGEST_GAP} or fewer to be taken as days of 0" * (gaps == "zero")
            text = f"{_days(count)} missing before {table.shown(last + 1)}: {dates}{limit}"
            faults[int(table.rows[index + 1]), table.order] = text
    return missing, faults


def _days(count: float) -> str:
    return "1 day" if count == 1 else f"{count:,.0f} days"


def _advice(missing: Sequence[str]) -> str:
    gaps = "1 gap" if len(missing) == 1 else f"{len(missing):,} gaps"
    return (
        f"\n  {gaps} in all: pass --gaps zero if nothing was spent and counted then, or "
        "--gaps split to start another campaign after each"
    )


def _gap_notices(missing: Sequence[str], gaps: Gaps) -> list[str]:
    meaning = {"zero": "days without spend and counts", "split": "the end of a campaign"}
    more = f" and {len(missing) - 3:,} more" * (len(missing) > 3)
    listed = f"{', '.join(missing[:3])}{more}"
    return [f"days missing, taken as {meaning[gaps]}: {listed}"] if missing else []


def _count_notices(table: _Table, metrics: Sequence[str]) -> list[str]:
    counts = table.values[:, -len(metrics) :]
    broken = (counts != np.trunc(counts)).sum(axis=0).tolist()
    listed = [f"{name} on {_days(n)}" for name, n in zip(metrics, broken, strict=True) if n]
    return [f"counts that are not whole: {', '.join(listed)}"] if listed else []


def _filled(table: _Table) -> _Table:
    """The table with a row of zeros for each day that is missing inside a campaign."""
    steps = table.steps
    advance = np.where(np.isfinite(steps), steps, 1).astype(np.int64)
    row = np.repeat(np.arange(len(table.days)), [*advance, 1])
    added = np.arange(len(row)) - np.searchsorted(row, row)
    return table._replace(
        rows=table.rows[row],
        campaign=table.campaign[row],
        days=table.days[row] + added,
        values=np.where(added[:, np.newaxis] == 0, table.values[row], 0.0),
    )


def _campaigns(
    table: _Table, where: str, channels: Sequence[str], metrics: Sequence[str], notices: list[str]
) -> Campaigns:
    """The campaigns of a table without faults; another one starts after days missing."""
    starts = np.array([True, *(table.steps != 1)])
    spend, counts = np.split(table.values, [len(channels)], axis=1)
    spent_on, spend, unspent = _used("channel", channels, spend, where)
    counted, counts, uncounted = _used("metric", metrics, counts, where)
    opening = table.days[np.searchsorted(table.campaign, table.campaign)]
    origin = MONDAY if table.order == DATE else opening
    dates = (table.days - EPOCH).astype(np.int64).astype("datetime64[D]")
    return Campaigns(
        names=_names(table, starts),
        channels=spent_on,
        metric_names=counted,
        spend=spend,
        metrics=counts,
        weekday=((table.days - origin) % 7).astype(np.int64),
        starts=starts,
        dates=dates if table.order == DATE else None,
        notices=tuple(f"{where}: {notice}" for notice in (*notices, *unspent, *uncounted)),
    )


def _used(
    kind: str, names: Sequence[str], values: FloatArray, where: str
) -> tuple[tuple[str, ...], FloatArray, list[str]]:
    """Names and values of the columns that are not 0 throughout, and what is said of the others."""
    used = np.any(values != 0, axis=0)
    if not used.any():
        raise InputError(f"past {where}: every {kind} is 0 on every day, so nothing is learnt")
    left_out = [name for name, some in zip(names, used, strict=True) if not some]
    notices = [f"left out, as it is 0 on every day: {kind} {name}" for name in left_out]
    return tuple(name for name in names if name not in left_out), values[:, used], notices


def _names(table: _Table, starts: NDArray[np.bool_]) -> tuple[str, ...]:
    """The campaigns' names; a part after days missing is named by its first day too."""
    is_part = np.array([False, *np.isfinite(table.steps)])
    return tuple(
        table.names[table.campaign[row]]
        + f" from {table.shown(table.days[row])}" * bool(is_part[row])
        for row in np.flatnonzero(starts).tolist()
    )
