"""Past days for calibration: every form that people have, and every fault of a file."""

import contextlib
import csv
import io
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.campaign import past_days
from evaluate.campaign.past_campaigns import Campaigns, read_campaigns
from train.errors import InputError

CHANNELS, METRICS = ("search", "video"), ("clicks", "orders")
HEADER = ["date", *CHANNELS, *METRICS]
FIRST = date(2026, 3, 1)  # a Sunday
DAYS = np.array([[1234.5 + day, 99.25 * day, 1200 + 300 * day, day] for day in range(20)])

Cells = Callable[[float], str]


def read(data: bytes | str, **options: Any) -> Campaigns:
    data = data if isinstance(data, bytes) else data.encode()
    return read_campaigns(data, "past.csv", CHANNELS, METRICS, **options)


def refused(data: bytes | str, **options: Any) -> list[str]:
    """The lines of the message about a file."""
    with pytest.raises(InputError) as caught:
        read(data, **options)
    return str(caught.value).splitlines()


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = HEADER, mark: str = ",") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=mark, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


def dated(
    form: str = "%Y-%m-%d",
    days: Sequence[int] = range(20),
    number: Cells = "{:.10g}".format,
    mark: str = ",",
) -> str:
    """A row for each of these days after the first."""
    return table(
        [
            [(FIRST + timedelta(day)).strftime(form), *map(number, DAYS[day % 20].tolist())]
            for day in days
        ],
        mark=mark,
    )


def grouped(thousands: str, decimal: str, before: str = "", after: str = "") -> Cells:
    marks = str.maketrans({",": thousands, ".": decimal})
    return lambda value: f"{before}{f'{value:,.2f}'.translate(marks)}{after}"


SAME: dict[str, bytes | str] = {
    "ISO": dated(),
    "compact": dated("%Y%m%d"),
    "year first": dated("%Y/%m/%d"),
    "with times": dated("%Y-%m-%d 00:00:00"),
    "day first": dated("%d/%m/%Y"),
    "month first": dated("%m/%d/%Y"),
    "month first, times": dated("%m/%d/%Y 0:00"),
    "points, two digits": dated("%d.%m.%y"),
    "spaces": dated("%d. %m. %Y"),
    "dashes": dated("%m-%d-%y"),
    "no zeros": dated("%-d.%-m.%Y"),
    "BOM, CRLF": dated().replace("\n", "\r\n").encode("utf-8-sig"),
    "UTF-16": dated(mark="\t").encode("utf-16"),
    "declared": "sep=;\n" + dated(mark=";"),
    "German": dated("%d.%m.%Y", number=grouped(".", ","), mark=";"),
    "German euros": dated(number=grouped(".", ",", after="\u00a0€"), mark=";"),
    "French": dated("%d/%m/%Y", number=grouped("\u202f", ","), mark=";"),
    "Swiss": dated("%d.%m.%Y", number=grouped("'", ".", before="CHF "), mark=";"),
    "thin spaces": dated(number=grouped("\u2009", ".")),
    "English": dated(number=grouped(",", ".")),
    "dollars": dated(number=grouped(",", ".", before="$")).replace("$0.00", " $-   "),
    "Canadian": dated(number=grouped(",", ".", before="CA$ ")),
    "Swedish": dated(number=grouped(" ", ",", after=" kr"), mark=";"),
    "code in the cell": dated(number=grouped(",", ".", before="EUR ")),
    "code after": dated(number=grouped("", ".", after="EUR")),
    "capitals": dated().replace("search", " SEARCH ").replace("date", "Date"),
    "latin-1": dated(number=grouped(".", ",", after=" £"), mark=";").encode("cp1252"),
}


@pytest.mark.parametrize("data", SAME.values(), ids=SAME)
def test_all_forms_give_the_same_days(data: bytes | str) -> None:
    past = read(data)
    np.testing.assert_array_equal(past.spend, DAYS[:, :2])
    np.testing.assert_array_equal(past.metrics, DAYS[:, 2:])
    assert past.dates is not None
    assert past.dates.tolist() == [FIRST + timedelta(day) for day in range(20)]
    assert past.weekday.tolist() == [day.weekday() for day in past.dates.tolist()]
    assert past.starts.tolist() == [True] + [False] * 19
    assert (past.names, past.channels, past.metric_names) == (("days",), CHANNELS, METRICS)
    assert past.notices == ()


@given(data=st.data())
def test_drawn_days_read_back(data: st.DataObject) -> None:
    draw = data.draw
    amounts = st.integers(0, 10**9).map(lambda cents: cents / 100)
    count = draw(st.integers(14, 40))
    days = draw(st.lists(st.tuples(*[amounts] * 4), min_size=count, max_size=count))
    days[0] = (1.0, 2.0, 3.0, 4.0)  # none is 0 throughout
    first = draw(st.dates(date(2000, 1, 1), date(2099, 1, 1)))
    form = draw(st.sampled_from(["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%m-%d-%Y"]))
    marks = draw(st.sampled_from([",.", "'.", " .", ".,", "\u00a0,", "\u202f,"]))
    before, after = draw(st.sampled_from([("", ""), ("€ ", ""), ("", " EUR"), ("US$", "")]))
    number = grouped(marks[0], marks[1], before, after)
    order = draw(st.permutations([*HEADER, "note"]))
    dates = [first + timedelta(day) for day in range(count)]
    rows = [
        dict(zip(HEADER, [day.strftime(form), *map(number, row)], strict=True)) | {"note": "1;2"}
        for day, row in zip(dates, days, strict=True)
    ]
    text = table(
        [[row[name] for name in order] for row in rows], order, draw(st.sampled_from(",;\t|"))
    )
    past = read(text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))))
    np.testing.assert_array_equal(np.hstack([past.spend, past.metrics]), days)
    assert past.dates is not None
    assert past.dates.tolist() == dates


def test_numbers_that_can_be_two_are_refused() -> None:
    rows = [[FIRST + timedelta(day), "1,234", "5", "6", "7"] for day in range(20)]
    lines = refused(table(rows, mark=";"))
    assert lines[1] == (
        "  row 2, column search: '1,234', must be either 1.234 or 1234, thousands not separated"
    )
    rows[19][1] = "1,234.5"
    assert read(table(rows, mark=";")).spend[0].tolist() == [1234, 5]
    rows[19][1] = "1,5"
    assert read(table(rows, mark=";")).spend[0].tolist() == [1.234, 5]


TWO = [  # two campaigns of twelve days, in months that could be days
    [name, f"{day:02}/{month:02}/2026", day, month, 5, 6]
    for name, month in (("spring", 3), ("late spring", 5))
    for day in range(1, 13)
]


def test_an_order_that_nothing_settles_is_asked_for() -> None:
    text = table(TWO, ["campaign", *HEADER])
    assert refused(text)[1:] == [
        "  row 2, column date: '01/03/2026', is it 2026-03-01 or 2026-01-03? "
        "Write dates so, or pass --date-order day-first or month-first"
    ]
    past = read(text, date_order="day-first")
    assert past.dates is not None
    assert [str(day) for day in past.dates[[0, 1, 12]]] == [
        "2026-03-01",
        "2026-03-02",
        "2026-05-01",
    ]
    past = read(text, date_order="month-first", gaps="split")
    assert past.dates is not None
    assert [str(day) for day in past.dates[[0, 1, 12]]] == [
        "2026-01-03",
        "2026-02-03",
        "2026-01-05",
    ]


def test_a_date_against_the_order_is_named() -> None:
    rest = "must be day-first, as other dates are"
    data = dated("%d/%m/%Y").replace("15/03/2026", "3/15/2026")
    assert refused(data)[1:] == [f"  row 16, column date: '3/15/2026', {rest}"]
    lines = refused(dated("%m/%d/%Y"), date_order="day-first")
    assert lines[1].endswith("'03/13/2026', must be day-first, as --date-order says")


def test_campaigns_may_be_mixed_in_a_file() -> None:
    rows = [
        [name, FIRST + timedelta(day + shift), day + shift + 1, 1, 2, 3]
        for day in range(10)
        for name, shift in (("b", 0), ("a, too", 30), ("b2", 3))
    ]
    past = read(table(rows, ["Campaign", *HEADER]))
    assert past.names == ("b", "a, too", "b2")
    assert np.flatnonzero(past.starts).tolist() == [0, 10, 20]
    assert past.spend[:, 0].tolist() == [*range(1, 11), *range(31, 41), *range(4, 14)]
    assert past.weekday[[0, 10, 20]].tolist() == [6, 1, 2]


def test_weekdays_without_dates_count_from_a_campaigns_first_day() -> None:
    days = (5, 6, 7, 8, 9, 10, 11, 12, 14)
    rows = [[name, day + more, 1, 2, 3, 4] for name, more in (("a", 0), ("b", 4)) for day in days]
    past = read(table(rows, ["campaign", "day", *HEADER[1:]]), gaps="split")
    assert not past.has_dates
    assert past.dates is None
    assert past.weekday.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 2] * 2
    assert past.names == ("a", "a from 14", "b", "b from 18")


def test_dates_come_before_days_where_a_file_has_both() -> None:
    rows = [[day, FIRST + timedelta(day), 1, 2, 3, 4] for day in range(14)]
    past = read(table(rows, ["day", *HEADER]))
    assert past.has_dates
    assert past.notices == ("past.csv: columns not used: day",)


HOLED = [*range(9), 12, *range(14, 20)]


def test_days_missing_are_refused_with_their_dates() -> None:
    assert refused(dated(days=HOLED))[1:] == [
        "  row 11, column date: 3 days missing before 2026-03-13: 2026-03-10 to 2026-03-12",
        "  row 12, column date: 1 day missing before 2026-03-15: 2026-03-14",
        "  2 gaps in all: pass --gaps zero if nothing was spent and counted then, or --gaps split "
        "to start another campaign after each",
    ]


def test_days_missing_can_be_days_of_zero() -> None:
    past = read(dated(days=HOLED), gaps="zero")
    expected = DAYS.copy()
    expected[[9, 10, 11, 13]] = 0
    np.testing.assert_array_equal(np.hstack([past.spend, past.metrics]), expected)
    assert past.dates is not None
    assert past.dates.tolist() == [FIRST + timedelta(day) for day in range(20)]
    assert past.weekday.tolist() == [day.weekday() for day in past.dates.tolist()]
    assert past.starts.sum() == 1
    assert past.notices == (
        "past.csv: days missing, taken as days without spend and counts: "
        "2026-03-10 to 2026-03-12 (3 days), 2026-03-14 (1 day)",
    )


def test_days_missing_can_end_a_campaign() -> None:
    past = read(dated(days=HOLED), gaps="split")
    np.testing.assert_array_equal(np.hstack([past.spend, past.metrics]), DAYS[HOLED])
    assert np.flatnonzero(past.starts).tolist() == [0, 9, 10]
    assert past.names == ("days", "days from 2026-03-13", "days from 2026-03-15")
    assert past.weekday.tolist() == [(6 + day) % 7 for day in HOLED]
    assert "taken as the end of a campaign: 2026-03-10 to" in past.notices[0]


def test_zeros_do_not_fill_more_than_a_year() -> None:
    days = [*range(20), 386, 753 + 1]
    (line,) = refused(dated(days=days), gaps="zero")[1:]
    assert line == (
        "  row 23, column date: 367 days missing before 2028-03-24: 2027-03-23 to 2028-03-23, "
        "must be 366 or fewer to be taken as days of 0"
    )
    assert len(read(dated(days=days[:-1]), gaps="zero").spend) == 387


def test_what_is_0_throughout_is_left_out_and_said() -> None:
    rows = [[FIRST + timedelta(day), 0, 1, 2.5 * day, 0] for day in range(14)]
    past = read(table(rows))
    assert (past.channels, past.metric_names) == (("video",), ("clicks",))
    assert past.spend.tolist() == [[1]] * 14
    assert past.metrics[:, 0].tolist() == [2.5 * day for day in range(14)]
    assert past.notices == (
        "past.csv: counts that are not whole: clicks on 7 days",
        "past.csv: left out, as it is 0 on every day: channel search",
        "past.csv: left out, as it is 0 on every day: metric orders",
    )


def faulty(column: int, cells: dict[int, str], header: Sequence[str] = HEADER) -> str:
    """Fourteen good days but for some cells of a column, by day."""
    rows: list[list[object]] = [[FIRST + timedelta(day), 1, 2, 3, 4] for day in range(14)]
    for day, cell in cells.items():
        rows[day][column] = cell
    return table(rows, header)


AGAIN = "expected once; a column 'campaign' tells campaigns apart"
FAULTS: dict[str, tuple[bytes | str, list[str]]] = {
    "empty": ("", ["row 1: the file is empty, expected at least the header"]),
    "not a table": ("hello\n", ["row 1: 'hello' is not the header"]),
    "absent": (
        faulty(1, {}, ["date", "serch", *HEADER[2:]]),
        [
            "row 1, column search: is missing (did you mean 'serch'?)",
            "channels: search, video",
            "metrics: clicks, orders",
        ],
    ),
    "no date": (
        faulty(1, {}, ["Dat", *HEADER[1:]]),
        [
            "row 1, column date: is missing (did you mean 'dat'?); a column 'day' serves as well",
            "channels: search, video",
            "metrics: clicks, orders",
        ],
    ),
    "twice": (
        faulty(1, {}, ["date", "search", "search", "Video", "video"]),
        [
            "row 1, column search: stands twice, expected once",
            "row 1, column video: stands twice, expected once",
            "row 1, column clicks: is missing",
            "row 1, column orders: is missing",
            "channels: search, video",
            "metrics: clicks, orders",
        ],
    ),
    "numbers": (
        faulty(1, {0: "x", 1: "", 2: "-1", 3: "nan", 4: "1e999", 5: "1e13", 6: "3%"}),
        [
            "row 2, column search: 'x', must be a number such as 33.3",
            "row 3, column search: is empty, must be a number such as 33.3",
            "row 4, column search: -1, must be a finite number from 0 to 1e+12",
            "row 5, column search: 'nan', must be a number such as 33.3",
            "row 6, column search: inf, must be a finite number from 0 to 1e+12",
            "row 7, column search: 1e+13, must be a finite number from 0 to 1e+12",
            "row 8, column search: '3%', must be a number such as 33.3",
        ],
    ),
    "counts": (
        faulty(3, {3: "-2", 5: "many"}),
        [
            "row 5, column clicks: -2, must be a finite number from 0 to 1e+12",
            "row 7, column clicks: 'many', must be a number such as 33.3",
        ],
    ),
    "currencies": (
        faulty(1, {2: "EUR 3", 3: "4 EUR", 4: "$5"}),
        ["row 6, column search: is in $, others are in EUR: expected one currency"],
    ),
    "dates": (
        faulty(0, {3: "2026-02-30", 4: "", 5: "soon", 6: "32.3.2026", 7: "1/2-2026"}),
        [
            "row 5, column date: '2026-02-30', must be a date such as 2026-03-31",
            "row 6, column date: is empty, must be a date such as 2026-03-31",
            "row 7, column date: 'soon', must be a date such as 2026-03-31",
            "row 8, column date: '32.3.2026', must be a date such as 2026-03-31",
            "row 9, column date: '1/2-2026', must be a date such as 2026-03-31",
        ],
    ),
    "order": (
        faulty(0, {5: "2026-03-05", 9: "2026-02-20"}),
        [
            f"row 7, column date: 2026-03-05, stands in row 6 already, {AGAIN}",
            "row 11, column date: 2026-02-20, must come before 2026-03-09",
        ],
    ),
    "days": (
        faulty(0, {day: str(day) for day in range(14)} | {4: "4.5", 6: "x"}, ["day", *HEADER[1:]]),
        [
            "row 6, column day: 4.5, must be a whole number",
            "row 8, column day: 'x', must be a number such as 33.3",
        ],
    ),
    "campaigns": (
        table(
            [["" if day == 3 else "a", day, 1, 2, 3, 4] for day in (1, 2, 3, 4)],
            ["campaign", "day", *HEADER[1:]],
        ),
        ["row 4, column campaign: is empty, must be the name of a campaign"],
    ),
    "a day of a campaign": (
        table([["a", day, 1, 2, 3, 4] for day in (1, 2, 2)], ["campaign", "day", *HEADER[1:]]),
        ["row 4, column day: 2, stands in row 3 already, expected once"],
    ),
    "long row": (
        faulty(4, {}).replace("3,4\n", "3,4,5\n", 1),
        ["row 2: 6 values, expected 5, one for each column"],
    ),
    "many": (
        table([[FIRST + timedelta(day), "x", "y", 1, 1] for day in range(1000)]),
        [
            f"row {row}, column {column}: '{cell}', must be a number such as 33.3"
            for row in range(2, 12)
            for column, cell in (("search", "x"), ("video", "y"))
        ]
        + ["and 1980 more"],
    ),
}


@pytest.mark.parametrize(("data", "expected"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_named_by_row_and_column(data: bytes | str, expected: list[str]) -> None:
    first, *lines = refused(data)
    assert first.startswith("past past.csv: ")
    assert "expected the header " in first
    assert len(lines) == len(expected), lines
    assert ("tells campaigns apart" in "".join(lines)) == (AGAIN in "".join(expected))
    for line, start in zip(lines, expected, strict=True):
        assert line.strip().startswith(start)


WHOLE: dict[str, tuple[bytes | str, str]] = {
    "short": (
        dated(days=range(13)),
        "has 13 days, at least 14 are needed to learn from; "
        "all that is known without them is the prior, by which every channel earns the same for "
        "its usual spend, so that an even split is as good as any",
    ),
    "header": (
        dated(days=[]),
        "has 0 days, at least 14 are needed to learn from; "
        "all that is known without them is the prior, by which every channel earns the same for "
        "its usual spend, so that an even split is as good as any",
    ),
    "long": (
        dated(days=range(20_001)),
        "has 20,001 days, at most 20,000 can be fitted; a row is a day of all channels: days long "
        "ago can be left out",
    ),
    "no spend": (
        table([[FIRST + timedelta(day), 0, 0, 1, 1] for day in range(14)]),
        "every channel is 0 on every day, so nothing is learnt",
    ),
    "no counts": (
        table([[FIRST + timedelta(day), 1, 1, 0, 0] for day in range(14)]),
        "every metric is 0 on every day, so nothing is learnt",
    ),
    "xlsx": (b"PK\x03\x04...", "is a workbook, expected a CSV file: save it as CSV"),
    "xls": (b"\xd0\xcf\x11\xe0...", "is a workbook, expected a CSV file: save it as CSV"),
    "binary": (b"date\0,search", "is not text, expected a CSV file: save it as CSV"),
}


@pytest.mark.parametrize(("data", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_file_of_no_use_is_refused_as_a_whole(data: bytes | str, expected: str) -> None:
    assert refused(data) == [f"past past.csv: {expected}"]


def test_a_large_file_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    size = "past past.csv: is 123.5 MB large, must be 100 MB or less"
    assert refused(bytes(123_456_789)) == [size]
    monkeypatch.setattr(past_days, "MOST_BYTES", len(dated()))
    assert len(read(dated()).spend) == 20
    assert "large" in refused(dated() + "\n")[0]


@given(
    data=st.sampled_from(list(SAME.values())),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), max_size=5
    ),
    gaps=st.sampled_from(["refuse", "zero", "split"]),
)
def test_any_bytes_give_campaigns_or_a_message(
    data: bytes | str, changes: list[tuple[float, int, bytes]], gaps: str
) -> None:
    data = data if isinstance(data, bytes) else data.encode()
    for place, cut, new in changes:
        at = int(place * len(data))
        data = data[:at] + new + data[at + cut :]
    with contextlib.suppress(InputError):
        past = read(data, gaps=gaps)
        assert len(past.spend) == len(past.metrics) == len(past.weekday) == len(past.starts)
        assert len(past.names) == past.starts.sum()
