"""Reads the days already played from a CSV file: a row for each, with the columns that the environment names.

Whatever is wrong is said at once, with row and column as a spreadsheet shows them.
"""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from train.config import InputError, nearest

DAY = "day"
BYTE_ORDER_MARK = "\ufeff"
SEPARATORS = {";": "semicolons", "\t": "tabs"}
PLAIN_CSV = "save it as 'CSV (Comma delimited)', not as 'CSV UTF-8'"
MOST_SHOWN = 200  # more than all the cells of the longest campaign


class History(Protocol):
    """What an environment tells of the days that can be handed to its ``reset``."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What each row consists of, beside its day."""

    @property
    def last_day(self) -> int:
        """The day that ends an episode, from 1."""

    @property
    def decided(self) -> tuple[str, ...]:
        """Those of the columns that a policy decides."""

    @property
    def is_chance(self) -> bool:
        """Whether chance has a part in the days to come."""

    def faults(self, past: NDArray[np.float64]) -> dict[tuple[int, str], str]:
        """What is wrong with days (days so far, columns), by row (from 0) and column."""


Found = dict[tuple[int, str], str]
"""What is wrong, by index of the row below the header and by column."""

WHOLE_ROW = ""  # in the place of a column


class Fault(NamedTuple):
    """Something wrong, and what is expected; ordered as a reader goes through the file."""

    row: int
    column: int
    text: str


class Sheet(NamedTuple):
    """The cells of a file, without blank rows.

    Attributes:
        names: The header.
        rows: Cells by the number of their row, the header's being 1 where nothing stands above it.
    """

    names: list[str]
    rows: dict[int, list[str]]


def read_history(path: Path, history: History) -> NDArray[np.float64]:
    """Reads the days played so far, (days so far, columns of the history).

    Raises:
        InputError: The file cannot be read, or something in it is wrong; all faults are named.
    """
    return parse_history(_bytes(path), str(path), history)


def parse_history(data: bytes, where: str, history: History) -> NDArray[np.float64]:
    """Reads the content of such a file, (days so far, columns of the history); ``where`` names it in messages.

    Raises:
        InputError: Something in it is wrong; all faults are named.
    """
    wanted = (DAY, *history.columns)
    text, faults = _decoded(data)
    sheet, more = _sheet(text, wanted)
    faults += more
    if set(sheet.names).isdisjoint(wanted):
        raise InputError(_message(where, faults, wanted))
    table, found = _numbers(sheet, wanted)
    found |= _checked(table, sheet.names, history, found)
    rows, places = list(sheet.rows), [WHOLE_ROW, *wanted]
    for (index, column), wrong in found.items():
        place = places.index(column) if column in places else len(places)
        faults.append(
            Fault(rows[index], place, f", column {column}: {wrong}" if column else f": {wrong}")
        )
    if faults:
        raise InputError(_message(where, faults, wanted))
    return table[:, 1:]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        known = [str(other) for other in sorted(path.parent.glob("*.csv"))]
        raise InputError(
            f"history {path}: no such file{nearest(str(path), known)}; expected a CSV file"
        ) from None
    except IsADirectoryError:
        raise InputError(f"history {path}: is a folder, expected a CSV file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"history {path}: cannot be read: {reason}; expected a CSV file") from None


def _decoded(data: bytes) -> tuple[str, list[Fault]]:
    """The text as far as there is one; a byte that is none stands in it by its number."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace"), [
            Fault(1, 0, f": is UTF-16, expected UTF-8: {PLAIN_CSV}")
        ]
    faults = []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        faults.append(
            Fault(
                row,
                0,
                f": the byte 0x{data[error.start]:02x} is no text in UTF-8, expected plain numbers",
            )
        )
        text = data.decode("utf-8", errors="backslashreplace")
    if text.startswith(BYTE_ORDER_MARK):
        faults.append(
            Fault(1, 0, f": the file starts with a byte-order mark, expected none: {PLAIN_CSV}")
        )
    return text.removeprefix(BYTE_ORDER_MARK), faults


def _sheet(text: str, wanted: Sequence[str]) -> tuple[Sheet, list[Fault]]:
    """The cells, and what is wrong with the file as a whole or its header."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in SEPARATORS if mark in first and "," not in first), ",")
    faults = []
    if separator != ",":
        faults.append(
            Fault(1, 0, f": columns are separated by {SEPARATORS[separator]}, expected commas")
        )
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    rows: dict[int, list[str]] = {}
    try:
        for number, line in enumerate(lines, start=1):
            cells = [cell.strip() for cell in line]
            if any(cells):
                rows[number] = cells
    except csv.Error as error:
        faults.append(
            Fault(
                len(rows) + 1,
                0,
                f": is no row of a CSV file ({error}), expected numbers between commas",
            )
        )
    if not rows:
        return Sheet([], {}), faults or [
            Fault(1, 0, ": the file is empty, expected at least the header")
        ]
    number = next(iter(rows))
    names = _without_blanks(rows.pop(number), 0)
    return Sheet(names, rows), faults + _header_faults(number, names, wanted)


def _header_faults(row: int, names: list[str], wanted: Sequence[str]) -> list[Fault]:
    if set(names).isdisjoint(wanted):
        return [
            Fault(
                row, 0, f": {','.join(names)[:60]!r} is not the header, expected {','.join(wanted)}"
            )
        ]
    faults = [Fault(row, 0, f", column {name}: is missing") for name in wanted if name not in names]
    for place, name in enumerate(names, start=1):
        if name not in wanted:
            faults.append(
                Fault(
                    row,
                    place,
                    f", column {name!r}: is unknown{nearest(name, wanted)}, expected no such column",
                )
            )
        elif name in names[: place - 1]:
            faults.append(Fault(row, place, f", column {name}: stands twice, expected once"))
    return faults


def _numbers(sheet: Sheet, wanted: Sequence[str]) -> tuple[NDArray[np.float64], Found]:
    """The cells as numbers (rows, columns wanted), NaN where there is none, and what is wrong with them."""
    table = np.full((len(sheet.rows), len(wanted)), np.nan)
    found: Found = {}
    for index, line in enumerate(sheet.rows.values()):
        cells = _without_blanks(line, len(sheet.names))
        if len(cells) != len(sheet.names):
            found[index, WHOLE_ROW] = (
                f"{len(cells)} values, expected {len(sheet.names)}, one for each column"
            )
            continue
        for name, cell in zip(sheet.names, cells, strict=True):
            if name not in wanted:
                continue
            try:
                table[index, wanted.index(name)] = float(cell)
            except ValueError:
                shown = repr(cell) if cell else "is empty"
                found[index, name] = f"{shown}, must be a number such as 33.3, with a decimal point"
    return table, found


def _checked(
    table: NDArray[np.float64], names: Sequence[str], history: History, found: Found
) -> Found:
    """What is wrong with the numbers (rows, day and columns), but for what was found wrong before."""
    wrong = _day_faults(table[:, 0].tolist(), history.last_day) | history.faults(table[:, 1:])
    absent = {DAY, *history.columns} - set(names)
    return {
        (index, column): text
        for (index, column), text in wrong.items()
        if column not in absent and not {(index, column), (index, WHOLE_ROW)} & found.keys()
    }


def _day_faults(days: Sequence[float], last_day: int) -> Found:
    """What is wrong with the days of the rows; a day that is no number is taken for the one expected."""
    found: Found = {}
    previous, seen = 0.0, set[float]()
    for index, day in enumerate(days):
        expected = previous + 1
        readable = day.is_integer() and day >= 1
        if not readable:
            found[index, DAY] = f"{day:g}, must be a whole number of 1 or more"
        elif day >= last_day:
            found[index, DAY] = (
                f"{day:g}, must be before {last_day}, the last day: after it nothing is left to decide"
            )
        elif day in seen:
            found[index, DAY] = f"{day:g} is repeated, must be {expected:g}: each day stands once"
        elif day < previous:
            found[index, DAY] = (
                f"{day:g} comes after {previous:g}, must come before: days stand in order"
            )
        elif day > expected:
            found[index, DAY] = (
                f"{day:g}, must be {expected:g}: days start with 1 and none is left out"
            )
        seen.add(day)
        previous = max(previous, day) if readable else expected
    return found


def _without_blanks(cells: list[str], least: int) -> list[str]:
    """The cells without blank ones at the end, where there are more than ``least``."""
    while len(cells) > least and not cells[-1]:
        cells = cells[:-1]
    return cells


def _message(where: str, faults: list[Fault], wanted: Sequence[str]) -> str:
    counted = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    lines = [f"  row {fault.row}{fault.text}" for fault in sorted(faults)]
    more = [f"  and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
    expected = f"expected the header {','.join(wanted)} and a row for each past day"
    return "\n".join([f"history {where}: {counted}; {expected}", *lines[:MOST_SHOWN], *more])
