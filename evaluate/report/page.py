"""The report's data, and its folder: the page, the pictures and the numbers, written at once."""

import base64
import contextlib
import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib.image
import pandas as pd
import PIL.Image
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from train.errors import InputError
from train.storage.files import lock

LOGO_KINDS = ("png", "jpeg", "gif", "webp", "svg+xml")
LOGO_BYTES = 500_000

Numbers = dict[str, dict[str, Any]]  # by policy


class Chart(NamedTuple):
    """A picture of the report."""

    name: str  # stem of its file
    caption: str  # what to read from it
    alternative: str  # its content in words, for those who cannot see it
    figure: Figure


Row = list[tuple[str, str]]
"""Cells of a table, each under its head: ``[("policy", "a2c"), ("seed", "0")]``."""


class Table(NamedTuple):
    """Rows of text under a head."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    copy_as: str | None = None  # file name for download as CSV; none where it is only to be read

    @property
    def csv(self) -> str:
        """The table as comma-separated values, its numbers as programs read them."""
        lines = io.StringIO()
        rows = [[_as_number(cell) for cell in row] for row in self.rows]
        csv.writer(lines, lineterminator="\n").writerows([self.head, *rows])
        return lines.getvalue()


def _as_number(cell: str) -> str:
    """A number without thousands separators and with a plain minus; other text as it is."""
    if not re.fullmatch(r"[-+\N{MINUS SIGN}]?[\d,.]+%?", cell):
        return cell
    return cell.replace(",", "").replace("\N{MINUS SIGN}", "-")


def table(caption: str, rows: list[Row], copy_as: str | None = None) -> Table:
    """A table of rows that share their heads."""
    head = [name for name, _ in rows[0]]
    return Table(caption, head, [[cell for _, cell in row] for row in rows], copy_as)


class Section(NamedTuple):
    """A part of the page: its text, then tables, then pictures."""

    title: str
    text: list[str]
    tables: list[Table]
    charts: list[Chart]


class Brand(NamedTuple):
    """Whose report it is: a title of their own, and a logo as the address of its data."""

    title: str | None = None
    logo: str | None = None


class Report(NamedTuple):
    """Everything that the page shows."""

    title: str
    logo: str | None  # a picture as a data: address
    result: str  # in a sentence or two
    sections: list[Section]
    provenance: dict[str, str]  # how it was made, label to text

    @property
    def charts(self) -> list[Chart]:
        """Every picture of the page."""
        return [chart for section in self.sections for chart in section.charts]


@contextmanager
def lock_report_dir(out: Path) -> Iterator[None]:
    """Locks a report's folder for one evaluation; removes a folder that is still empty afterwards.

    Raises:
        InputError: Another evaluation has it, or it cannot be written.
    """
    busy = (
        f"reports folder {out}: another evaluation is writing into it; wait for it, or name "
        "another with --out"
    )
    held = contextlib.ExitStack()
    try:
        out.mkdir(parents=True, exist_ok=True)
        held.enter_context(lock(out, busy))
    except OSError as error:
        raise InputError(f"reports folder {out}: cannot be written: {error.strerror}") from error
    with held:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                out.rmdir()


def read_logo(path: Path) -> str:
    """A picture file as a ``data:`` address.

    Raises:
        InputError: It does not exist, is too large, or is not a picture that browsers show.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"logo {path}: cannot be read: {error.strerror}") from None
    if len(content) > LOGO_BYTES:
        raise InputError(
            f"logo {path}: takes {len(content):,} bytes, at most {LOGO_BYTES:,} fit into the report"
        )
    try:
        with PIL.Image.open(io.BytesIO(content)) as picture:
            kind = str(picture.format).lower()
            picture.load()
    except (OSError, ValueError, SyntaxError):
        kind = "svg+xml" if b"<svg" in content[:1000] else ""
    if kind not in LOGO_KINDS:
        raise InputError(
            f"logo {path}: is not a picture of a kind that browsers show: {', '.join(LOGO_KINDS)}"
        )
    return _data_address(kind, content)


def _data_address(kind: str, picture: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def write(
    out: Path, report: Report, steps: pd.DataFrame, means: pd.DataFrame, statistics: Numbers
) -> None:
    """Writes the report; what stood in the folder is replaced when all of the new is there.

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=out) as name:
            new, old = Path(name) / "new", Path(name) / "old"
            new.mkdir()
            old.mkdir()
            _write_files(new, report, steps, means, statistics)
            _swap(new, out, old)
    except OSError as error:
        raise InputError(
            f"reports folder {out}: cannot be written: {error.strerror or error}"
        ) from error


def _swap(new: Path, out: Path, old: Path) -> None:
    """Puts every file of ``new`` into ``out``, or, if anything stops it, what was there before."""
    placed: list[str] = []
    try:
        for path in sorted(new.iterdir()):
            placed.append(path.name)
            if (out / path.name).exists():
                os.replace(out / path.name, old / path.name)
            os.replace(path, out / path.name)
    except BaseException:
        for name in placed:
            if (old / name).exists():
                if (out / name).is_dir():
                    shutil.rmtree(out / name)
                os.replace(old / name, out / name)
        raise


def _write_files(
    folder: Path, report: Report, steps: pd.DataFrame, means: pd.DataFrame, statistics: Numbers
) -> None:
    pictures = {chart.name: png(chart.figure) for chart in report.charts}
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    steps.to_csv(folder / "results.csv", index=False)
    numbers = {"policies": means.to_dict("index"), "statistics": statistics}
    (folder / "summary.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(_html(report, pictures), encoding="utf-8")
    _write_tensorboard(folder / "tensorboard", means, pictures)


def _write_tensorboard(folder: Path, means: pd.DataFrame, pictures: dict[str, bytes]) -> None:
    """The numbers of each policy as a run of its own, and the charts as pictures."""
    for policy, row in means.to_dict("index").items():
        with SummaryWriter(str(folder / str(policy).replace("/", "-"))) as writer:
            for name, value in row.items():
                writer.add_scalar(f"evaluation/{name}", value, 0)
    with SummaryWriter(str(folder / "charts")) as writer:
        for name, picture in pictures.items():
            image = matplotlib.image.imread(io.BytesIO(picture))
            writer.add_image(f"evaluation/{name}", image, 0, dataformats="HWC")


def _html(report: Report, pictures: dict[str, bytes]) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    sources = {name: _data_address("png", picture) for name, picture in pictures.items()}
    return environment.get_template("report.html.jinja").render(report=report, sources=sources)


def png(figure: Figure) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
