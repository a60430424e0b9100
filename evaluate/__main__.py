"""``python -m evaluate [TARGET ...]``: plays trained runs and baselines and writes the report."""

import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import tyro
from tyro.conf import AvoidSubcommands, Positional

from evaluate.targets import find_target
from train.errors import InputError
from train.parallel import ONE_THREAD


class Args(NamedTuple):
    """Plays trained runs and baselines on the same episodes and writes a report."""

    # configs (the newest finished run of each agent) or folders of runs; the first one
    # leads the report; default: configs/dynamic.yaml
    targets: Positional[tuple[Path, ...]] = ()
    # training seeds to take of each config, or 'all'; default: the newest run alone
    seeds: tuple[str, ...] = ()
    out: Path | None = None  # folder for the report; default: reports/<config>
    title: str | None = None  # heading of the report; default: names the config
    logo: Path | None = None  # picture above the heading: PNG, JPEG, GIF, WebP or SVG
    runs_dir: Path = Path("runs")  # folder of the runs


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        config = (AvoidSubcommands,)
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate", config=config)
        target = find_target(args.targets, args.seeds, args.runs_dir)
        for name in ONE_THREAD:  # small matrices: a second thread would only wait
            os.environ.setdefault(name, "1")
        from evaluate.evaluate import evaluate_runs
        from evaluate.report.page import Brand, lock_report_dir, read_logo

        brand = Brand(args.title, read_logo(args.logo) if args.logo else None)
        out = args.out or Path("reports") / target.name
        command = "python -m evaluate " + shlex.join(arguments)
        with lock_report_dir(out):
            evaluate_runs(target, out, command, brand)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the earlier report, if any, is as it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
