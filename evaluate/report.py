"""Charts, tables and where they come from, written into one folder: the report, the pictures and the numbers."""

import base64
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib.image
import pandas as pd
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from evaluate.rollouts import Results
from train.config import InputError
from train.play import percent


class Chart(NamedTuple):
    """A picture of the report.

    Attributes:
        name: Stem of its file.
        caption: What to read from it.
        alternative: Its content in words, for those who cannot see it.
    """

    name: str
    caption: str
    alternative: str
    figure: Figure


class Report(NamedTuple):
    """Everything that the page shows.

    Attributes:
        title: Heading.
        result: The result in one sentence.
        explanation: Why the best plan is the best; none where the environment does not say.
        table: A row per policy.
        charts: In the order of the page.
        provenance: How it was made, label to text.
    """

    title: str
    result: str
    explanation: str | None
    table: pd.DataFrame
    charts: list[Chart]
    provenance: dict[str, str]


def summary(results: Results) -> pd.DataFrame:
    """A row per policy in the order played: mean over seeds and campaigns, worst seed, number of seeds."""
    metrics = [name for name in results.campaigns.columns if name not in {"policy", "seed", "campaign"}]
    seeds = results.campaigns.groupby(["policy", "seed"], dropna=False, sort=False, as_index=False)[metrics].mean()
    by_policy = seeds.groupby("policy", sort=False)
    table = by_policy[metrics].mean()
    worst = "share_of_optimum" if "share_of_optimum" in metrics else metrics[0]
    return table.assign(worst_seed=by_policy[worst].min(), seeds=by_policy["seed"].nunique())


def write(out: Path, report: Report, results: Results, table: pd.DataFrame) -> None:
    """Writes the report; what stood in the folder before is replaced only when all of the new is there.

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=out) as name:
            new = Path(name)
            _write_files(new, report, results, table)
            for path in sorted(new.iterdir()):
                if path.is_dir() and (out / path.name).is_dir():
                    shutil.rmtree(out / path.name)
                os.replace(path, out / path.name)
    except OSError as error:
        raise InputError(f"reports folder {out}: cannot be written: {error.strerror or error}") from error


def _write_files(folder: Path, report: Report, results: Results, table: pd.DataFrame) -> None:
    pictures = {chart.name: _png(chart.figure) for chart in report.charts}
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    results.days.to_csv(folder / "results.csv", index=False)
    numbers = {"policies": {policy: _plain(row) for policy, row in table.iterrows()}}
    (folder / "summary.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(_html(report, pictures), encoding="utf-8")
    _write_tensorboard(folder / "tensorboard", table, pictures)


def _write_tensorboard(folder: Path, table: pd.DataFrame, pictures: dict[str, bytes]) -> None:
    """The numbers of each policy as a run of its own, and the charts as pictures."""
    for policy, row in table.iterrows():
        with SummaryWriter(str(folder / str(policy).replace("/", "-"))) as writer:
            for name, value in _plain(row).items():
                writer.add_scalar(f"evaluation/{name}", value, 0)
    with SummaryWriter(str(folder / "charts")) as writer:
        for name, picture in pictures.items():
            image = matplotlib.image.imread(io.BytesIO(picture))
            writer.add_image(f"evaluation/{name}", image, 0, dataformats="HWC")


def _html(report: Report, pictures: dict[str, bytes]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    sources = {
        name: f"data:image/png;base64,{base64.b64encode(picture).decode()}" for name, picture in pictures.items()
    }
    head, rows = _shown(report.table)
    return environment.get_template("report.html.jinja").render(report=report, sources=sources, head=head, rows=rows)


def _shown(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The table as it is shown, head and rows: numbers with the digits that mean something, nothing that is nothing."""
    total, shares = str(table.columns[0]), "share_of_optimum" in table
    several = bool((table["seeds"] > 1).any())
    head = [
        "policy",
        total,
        *(["share of the optimum"] if shares else []),
        *(["seeds", "worst seed"] if several else []),
    ]
    rows = []
    for policy, row in table.iterrows():
        cells = [str(policy), f"{row[total]:,.1f}", *([percent(row["share_of_optimum"])] if shares else [])]
        if several:
            worst = percent(row["worst_seed"]) if shares else f"{row['worst_seed']:,.1f}"
            cells += [f"{row['seeds']:.0f}", worst] if row["seeds"] else ["", ""]
        rows.append(cells)
    return head, rows


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _plain(row: "pd.Series[Any]") -> dict[str, float]:
    numbers = {str(name): float(value) for name, value in row.items() if name != "worst_seed"}
    return numbers | {"seeds": int(numbers["seeds"]), "worst_seed": float(row["worst_seed"])}
