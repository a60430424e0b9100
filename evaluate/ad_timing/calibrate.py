"""``python -m evaluate.ad_timing.calibrate DATA``: past sessions to a config of one's own."""

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import tyro

from evaluate.ad_timing.domain import params_of
from evaluate.ad_timing.fit import NAMES, Fitted, fit
from evaluate.ad_timing.sections import with_k
from train.config import dump_config, load_config
from train.errors import InputError
from train.storage.files import write_text

COLUMNS = ("session", "item", "ad", "left")


class Args(NamedTuple):
    """Fits the chances of leaving to past sessions, and writes a config to train on."""

    data: Annotated[
        Path,
        tyro.conf.Positional,
        tyro.conf.arg(
            help="CSV file with a row for each item: session, item (from 1), ad (1 where an ad "
            "came before it), left (1 where the user left at the ad or after the item)"
        ),
    ]
    config: Annotated[Path, tyro.conf.arg(help="config whose other values hold here, too")] = Path(
        "configs/ad_timing.yaml"
    )
    name: Annotated[
        str | None, tyro.conf.arg(help="name of the new config; default: the file's")
    ] = None
    configs_dir: Annotated[Path, tyro.conf.arg(help="folder of the config")] = Path("configs")


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate.ad_timing.calibrate")
        return calibrate(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def calibrate(args: Args) -> int:
    """Fits, prints the estimates and writes the config.

    Raises:
        InputError: The file or the config cannot be used; the message says why.
    """
    like = load_config(args.config)
    if params_of(like.env).users != "alike":
        raise InputError(f"config {args.config}: users must be alike to be fitted")
    config = args.configs_dir / f"{args.name or args.data.stem}.yaml"
    if config.exists():
        raise InputError(f"config {config}: exists; name another with --name")
    fitted = fit(read_sessions(args.data))
    print(f"{fitted.items:,} items; estimates with 95% intervals:")
    print("\n".join(_lines(fitted)))
    values = {name: float(f"{value:.4g}") for name, value in zip(NAMES, fitted.values, strict=True)}
    kwargs = like.env.kwargs | values | {"f": 0.0}
    made = like.model_copy(update={"env": like.env.model_copy(update={"kwargs": kwargs})})
    write_text(config, dump_config(made))
    print(f"config: {config}\nnext: make train CONFIG={config}")
    return 0


def read_sessions(path: Path) -> pd.DataFrame:
    """The sessions of a file with k, the items since the start or the last ad.

    Raises:
        InputError: It cannot be read, or a row is not what it should be.
    """
    try:
        rows = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}; must have {list(COLUMNS)}")
    if rows.empty:
        raise InputError(f"{path}: has no rows")
    for name in ("ad", "left"):
        _check(path, rows[name].isin([0, 1]), f"{name} must be 0 or 1")
    expected = rows.groupby("session").cumcount() + 1
    _check(path, rows["item"] == expected, "item must count 1, 2, 3 within its session")
    is_last = ~rows.duplicated("session", keep="last")
    _check(path, is_last | (rows["left"] == 0), "a session cannot go on after left = 1")
    named = rows.rename(columns={"session": "episode", "item": "step"})
    return with_k(named.assign(policy="users", seed=0))


def _check(path: Path, is_good: "pd.Series[bool]", rule: str) -> None:
    if not is_good.all():
        raise InputError(f"{path}: row {int(np.argmin(is_good)) + 2}: {rule}")


def _lines(fitted: Fitted) -> list[str]:
    return [
        f"  {name:4} {value:8.4f}  ({value - 1.96 * error:.4f} to {value + 1.96 * error:.4f}; "
        f"standard error {error:.4f})"
        for name, value, error in zip(NAMES, fitted.values, fitted.errors, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
