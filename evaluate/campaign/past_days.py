"""Reads past days from a CSV file, in the forms that spreadsheets and programs write.

Encoding, separator and decimal mark are recognised; whatever is wrong is said at once, with row and
column as a spreadsheet shows them. The columns wanted are arguments; capitals do not matter.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import MAXYEAR, date, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from envs.campaign.params import FloatArray
from envs.campaign.past import Faults
from train.errors import InputError, nearest

DAY, DATE = "day", "date"
SEPARATORS = ",;\t|"
SEPARATOR_LINE = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?[,;\t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
SPACES = " \u00a0\u202f'\u2019"  # group digits by three, as the comma or the point does
WORKBOOK = b"PK\x03\x04"
MOST_SHOWN = 200

Check = Callable[[FloatArray], Faults]
"""What is wrong with values (past days, columns), by row from 0 and column."""


class PastDays(NamedTuple):
    """What a file says.

    Attributes:
        values: (past days, columns).
        first_date: The date of the first day, where the file has dates.
        notices: What was left aside, a sentence each.
    """

    values: FloatArray
    first_date: date | None = None
    notices: tuple[str, ...] = ()


def read_bytes(path: Path) -> bytes:
    """The content of a file of past days.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        hint = nearest(str(path), sorted(path.parent.glob("*.csv")))
        raise InputError(f"past {path}: no such file{hint}; expected a CSV file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"past {path}: cannot be read: {reason}; expected a CSV file") from None


def parse_past(
    data: bytes, where: str, kinds: Mapping[str, Sequence[str]], last_day: int, check: Check
) -> PastDays:
    """Past days out of a CSV file: a row for each, with a ``day`` or a ``date`` and the columns.

    Args:
        data: The content of the file.
        where: Names the file in messages.
        kinds: The columns wanted by what they are (``channels``), for messages; others are left
            aside with a notice.
        last_day: The day that ends an episode, from 1; past days come before it.
        check: Looks at the values; NaN stands for what cannot be read.

    Raises:
        InputError: Something in the file is wrong; all faults are named.
    """
    if data.startswith(WORKBOOK):
        raise InputError(f"past {where}: is a workbook, expected a CSV file: save it as CSV")
    columns = [name for names in kinds.values() for name in names]
    cells, separator, faults = _cells(_decoded(data), (DAY, DATE, *columns))
    wanted = (DATE if DATE in cells and DAY not in cells else DAY, *columns)
    faults |= _header_faults(cells, wanted)
    cells = cells.loc[:, ~cells.columns.duplicated()]
    values, cell_faults = _numbers(cells, wanted, separator)
    days, first = _days(values[:, 0], wanted[0])
    wrong = _order_faults(days, wanted[0], first, last_day) | check(values[:, 1:])
    faults |= {
        (cells.index[row], column): text
        for (row, column), text in (wrong | cell_faults).items()
        if column in cells or column not in wanted
    }
    if faults:
        raise InputError(_message(where, wanted, faults, kinds))
    others = [str(name) for name in cells if name and name not in wanted]
    notice = f"{where}: columns not used: {', '.join(others)}"
    return PastDays(values[:, 1:], first, (notice,) * bool(others))


def _cells(text: str, expected: Sequence[str]) -> tuple[pd.DataFrame, str, Faults]:
    """The cells of a CSV file whose header may have the names expected.

    Returns:
        Text by number of the row and name of the column, as expected or in lower case, blank rows
        left out; the separator; and what is wrong with whole rows.
    """
    spelling = {name.lower(): name for name in expected}
    declared = SEPARATOR_LINE.match(text)
    separator = declared[1] if declared else _separator(text, spelling)
    rows, faults = _rows(text[declared.end() :] if declared else text, separator)
    header = next(iter(rows), 1)
    names = [spelling.get(name.lower(), name.lower()) for name in rows.pop(header, [])]
    for number, cells in rows.items():
        if any(cells[len(names) :]):
            faults[number, ""] = f"{len(cells)} values, expected {len(names)}, one for each column"
    padded = [(cells + [""] * len(names))[: len(names)] for cells in rows.values()]
    index = pd.Index(list(rows), name=header)
    return pd.DataFrame(padded, index=index, columns=names, dtype=object), separator, faults


def _rows(text: str, separator: str) -> tuple[dict[int, list[str]], Faults]:
    """The rows that are not blank by number, as far as they are rows of a CSV file."""
    file = io.StringIO(text, newline="")
    lines = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
    rows: dict[int, list[str]] = {}
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            if any(map(str.strip, line)):
                rows[number] = [cell.strip() for cell in line]
    except csv.Error as error:
        return rows, {(number + 1, ""): f"is not a row of a CSV file ({error}), expected numbers"}
    return rows, {}


def _decoded(data: bytes) -> str:
    """The text: UTF-8 or UTF-16 by its mark, else what Excel writes in Western Europe."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _separator(text: str, expected: Container[str]) -> str:
    """The separator by which the first row has most of the names expected, all in lower case."""
    first = next((line for line in io.StringIO(text) if line.strip()), "").lower()
    columns = {mark: [part.strip(' "\r\n') for part in first.split(mark)] for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: sum(name in expected for name in columns[mark]))


def _header_faults(cells: pd.DataFrame, wanted: Sequence[str]) -> Faults:
    header, names = int(str(cells.index.name)), [str(name) for name in cells]
    if not any(names):
        return {(header, ""): "the file is empty, expected at least the header"}
    if set(names).isdisjoint(wanted):
        return {(header, ""): f"{','.join(names)[:60]!r} is not the header"}
    others = set(names) - set(wanted)
    missing = {
        (header, name): f"is missing{nearest(name, others)}" for name in wanted if name not in names
    }
    twice = [name for name in wanted if names.count(name) > 1]
    return missing | {(header, name): "stands twice, expected once" for name in twice}


def _numbers(
    cells: pd.DataFrame, wanted: Sequence[str], separator: str
) -> tuple[FloatArray, Faults]:
    """The cells as numbers (rows, wanted), NaN where there is none, and what is wrong with them.

    The decimal mark is the one with which most cells are numbers. Where nothing decides, a cell is
    a fault if it is another number with the other mark; a point between commas is a decimal point.
    """
    values = np.full((len(cells), len(wanted)), np.nan)
    faults: Faults = {}
    written = [cell for name in wanted if name in cells and name != DATE for cell in cells[name]]
    point, comma = (sum(_number(cell, mark) is not None for cell in written) for mark in ".,")
    likely = ".," if point == comma else "." if point > comma else ","
    for column, name in enumerate(wanted):
        for row, cell in enumerate(cells.get(name, ())):
            marks = "." if likely == ".," and separator == "," and "," not in cell else likely
            ways = [_ordinal(cell)] if name == DATE else [_number(cell, mark) for mark in marks]
            readings = sorted({way for way in ways if way is not None})
            if len(readings) == 1:
                values[row, column] = readings[0]
            else:
                faults[row, name] = _unread(cell, name, readings)
    return values, faults


def _unread(cell: str, name: str, readings: list[float]) -> str:
    """What is wrong with a cell of the column ``name`` that has no reading, or several."""
    if readings:
        either = " or ".join(f"{reading:.15g}" for reading in readings)
        return f"{cell!r}, must be either {either}, thousands not separated"
    form = "a date such as 2026-03-31" if name == DATE else "a number such as 33.3"
    return f"{repr(cell) if cell else 'is empty'}, must be {form}"


def _form(decimal: str, thousands: str) -> re.Pattern[str]:
    grouped = rf"[1-9][0-9]{{0,2}}(?:[{thousands}{SPACES}][0-9]{{3}})+"
    digits = rf"(?:{grouped}|[0-9]+)(?:[{decimal}][0-9]*)?|[{decimal}][0-9]+"
    return re.compile(rf"[+-]?(?:{digits})(?:[eE][+-]?[0-9]+)?")


FORMS = {".": _form(".", ","), ",": _form(",", ".")}


def _number(cell: str, mark: str) -> float | None:
    """A cell as a number with this decimal mark, its thousands separated or not."""
    if not FORMS[mark].fullmatch(cell):
        return None
    return float(re.sub(f"[^0-9eE+{mark}-]", "", cell).replace(mark, "."))


def _ordinal(cell: str) -> float | None:
    """The number of an ISO date, with or without a time; not of the last year that there is."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return float(moment.toordinal()) if moment.year < MAXYEAR else None


def _days(values: FloatArray, order: str) -> tuple[FloatArray, date | None]:
    """Days from 1, and the date of the first where they are given by date."""
    if order != DATE or not len(values):
        return values, None
    first = None if np.isnan(values[0]) else date.fromordinal(int(values[0]))
    return values - values[0] + 1, first


def _order_faults(days: FloatArray, order: str, first: date | None, last_day: int) -> Faults:
    """What is wrong with the days of the rows; NaN is taken for the day expected."""
    faults: Faults = {}
    expected = 1.0

    def shown(day: float) -> str:
        return f"{date.fromordinal(first.toordinal() + int(day) - 1) if first else f'{day:g}'}"

    for row, day in enumerate(days.tolist()):
        if not np.isnan(day) and day != expected:
            rule = "days start with the first and follow one another"
            faults[row, order] = f"{shown(day)}, must be {shown(expected)}: {rule}"
        elif day >= last_day:
            last = f"before {shown(last_day)}, the last day"
            faults[row, order] = f"{shown(day)}, must be {last}: after it nothing is left to decide"
        expected = 1 + (day if day.is_integer() and day >= 1 else expected)
    return faults


def _message(
    where: str, wanted: Sequence[str], faults: Faults, kinds: Mapping[str, Sequence[str]]
) -> str:
    """All faults, ordered as a reader goes through the file; what is known where a name is not."""
    places = {name: place for place, name in enumerate(("", *wanted))}
    lines = [
        f"  row {row}{f', column {column}' if column else ''}: {faults[row, column]}"
        for row, column in sorted(
            faults, key=lambda place: (place[0], places.get(place[1], len(places)))
        )
    ]
    counted = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
    more = [f"  and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
    expected = f"expected the header {','.join(wanted)} and a row for each past day"
    is_unknown = any(text.startswith("is missing") for text in faults.values())
    known = [f"  {kind}: {', '.join(names)}" for kind, names in kinds.items()] * is_unknown
    return "\n".join([f"past {where}: {counted}; {expected}", *lines[:MOST_SHOWN], *more, *known])
