"""``python -m evaluate.campaign.calibrate DATA``: past days to a campaign of one's own.

Fits the campaign's parameters to the days, and writes a config to train on and a report.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from tqdm import tqdm

from envs.campaign.calibration import Calibration, PastDays
from envs.campaign.posterior import Posterior, fit
from evaluate.campaign.calibrate.config import check_free, config_of
from evaluate.campaign.calibrate.fitted import Fitted
from evaluate.campaign.calibrate.report import write_report
from evaluate.campaign.calibrate.settings import Settings, settings_of
from evaluate.campaign.calibrate.trial import ahead_of, propose, trial_csv
from evaluate.campaign.calibrate.trial_report import TRIAL, conclusion_of
from evaluate.campaign.calibrate.untold import warnings_of
from evaluate.campaign.domain import params_of
from evaluate.campaign.past_campaigns import Campaigns, DateOrder, Gaps, read_campaigns
from evaluate.campaign.past_days import read_bytes
from train.config import load_config
from train.errors import InputError
from train.storage.files import write_text

LIBRARIES = ("pocomc", "arviz_stats")  # that the fit alone needs


class Args(NamedTuple):
    """Fits a campaign to past days: writes a config to train on, and a report on how sure it is."""

    data: Annotated[
        Path,
        tyro.conf.Positional,
        tyro.conf.arg(
            help="CSV file with a row for each past day: date (or day), then the spend on each "
            "channel and each metric by its name; 'campaign' where it has several"
        ),
    ]
    name: Annotated[
        str | None, tyro.conf.arg(help="name of the config and report; default: the file's")
    ] = None
    like: Annotated[
        Path | None,
        tyro.conf.arg(help="config whose names, weights, roles, unit and days hold here, too"),
    ] = None
    channels: Annotated[tuple[str, ...], tyro.conf.arg(help="columns of the channels' spend")] = ()
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(help="columns of the metrics")] = ()
    weights: Annotated[
        tuple[float, ...], tyro.conf.arg(help="what one count of each metric is worth")
    ] = ()
    loyalty_from: Annotated[
        tuple[str, ...] | None, tyro.conf.arg(help="channels that build loyalty")
    ] = None
    lifted: Annotated[
        tuple[str, ...] | None, tyro.conf.arg(help="channels that a loyal audience lifts")
    ] = None
    tiring: Annotated[
        tuple[str, ...] | None, tyro.conf.arg(help="channels that tire the audience")
    ] = None
    unit: Annotated[str | None, tyro.conf.arg(help="what money is called, such as EUR")] = None
    budget: Annotated[
        float | None,
        tyro.conf.arg(help="what can be spent in a day from now on; default: the most there was"),
    ] = None
    days: Annotated[
        int | None, tyro.conf.arg(help="length of the campaigns to come [days]; default: 7")
    ] = None
    gaps: Annotated[
        Gaps,
        tyro.conf.arg(
            help="days missing inside a campaign: refuse them, take them as days without spend "
            "(zero), or let another campaign start after them (split)"
        ),
    ] = "refuse"
    date_order: Annotated[
        DateOrder | None,
        tyro.conf.arg(help="how to read dates such as 3/4/2026, where the file does not settle it"),
    ] = None
    seed: Annotated[int, tyro.conf.arg(help="random seed of the fit")] = 0
    configs_dir: Annotated[Path, tyro.conf.arg(help="folder of the config")] = Path("configs")
    reports_dir: Annotated[Path, tyro.conf.arg(help="folder of the report")] = Path("reports")


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate.campaign.calibrate")
        _check_installed()
        return calibrate(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _check_installed() -> None:
    """Asks for ``LIBRARIES``.

    Raises:
        InputError: One is missing.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not installed: make calibrate, or pip install -r "
            "requirements-calibrate.txt"
        )


def calibrate(args: Args) -> int:
    """Fits, and writes config and report; returns 1 where the computation did not converge.

    Raises:
        InputError: The options or the file are wrong; the message says what is allowed.
    """
    settings = _settings(args)
    name = args.name or args.data.stem
    config, report = args.configs_dir / f"{name}.yaml", args.reports_dir / name / "calibration.html"
    check_free(config)
    columns = settings.channels, settings.metrics
    where = str(args.data)
    campaigns = read_campaigns(read_bytes(args.data), where, *columns, args.gaps, args.date_order)
    budget = _budget(args.budget, campaigns)
    for line in campaigns.notices:
        print(f"note: {line}")
    posterior = _fit(campaigns, settings, budget, args.seed)
    print(_computation(posterior))
    if not posterior.is_converged:
        print("error: the fit did not converge: nothing is written", file=sys.stderr)
        return 1
    fitted = _fitted(posterior, campaigns, settings)
    for caveat in warnings_of(fitted):
        print(f"warning: {caveat.text}")
    ahead = ahead_of(fitted, settings.days, budget)
    trials = propose(fitted, ahead, np.random.default_rng(args.seed))
    print(f"what to try next: {conclusion_of(fitted, trials)}")
    for file in (config, report):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_text(config, config_of(fitted, settings.days, budget, where))
    trial = report.with_name(TRIAL)
    write_text(trial, trial_csv(fitted, trials))
    write_report(fitted, report, title=f"Calibration: {name}", trials=trials)
    print(f"config: {config}\nreport: {report}\ntrial: {trial}\nnext: make train CONFIG={config}")
    return 0


def _settings(args: Args) -> Settings:
    like = None if args.like is None else params_of(load_config(args.like).env)
    roles = {
        "--loyalty-from": args.loyalty_from,
        "--lifted": args.lifted,
        "--tiring": args.tiring,
    }
    return settings_of(like, args.channels, args.metrics, args.weights, roles, args.unit, args.days)


def _fit(campaigns: Campaigns, settings: Settings, budget: float, seed: int) -> Posterior:
    """The posterior, with a bar that shows how far its computation is."""
    past = PastDays(campaigns.spend, campaigns.metrics, campaigns.weekday, campaigns.starts)
    calibration = Calibration(past, settings.roles_among(campaigns.channels), budget)
    names = ", ".join(campaigns.channels)
    print(f"fitting {calibration.size} parameters to {len(past.spend):,} days of {names}")
    with tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:
        return fit(
            calibration,
            np.random.default_rng(seed),
            on_progress=lambda share: bar.update(100 * share - bar.n),
        )


def _fitted(posterior: Posterior, campaigns: Campaigns, settings: Settings) -> Fitted:
    dates = None if campaigns.dates is None else tuple(campaigns.dates.tolist())
    return Fitted(
        posterior=posterior,
        channels=campaigns.channels,
        metrics=campaigns.metric_names,
        weights=tuple(settings.weights[metric] for metric in campaigns.metric_names),
        unit=settings.unit,
        dates=dates,
        notices=campaigns.notices,
    )


def _budget(asked: float | None, campaigns: Campaigns) -> float:
    """What a day may spend: the most that one did, or what is asked for.

    Raises:
        InputError: A day spent more than is asked for.
    """
    most = float(campaigns.spend.sum(axis=1).max())
    if asked is not None and asked < most * (1 - 1e-9):
        raise InputError(
            f"--budget {asked:g}: {most:g} was spent on one day: must be that or more, so that the "
            "days are days of the campaign"
        )
    return most if asked is None else asked


def _computation(posterior: Posterior) -> str:
    runs, draws, _ = posterior.chains.shape
    return (
        f"{runs} runs of {draws:,} draws: R-hat at most {posterior.r_hat.max():.3f}, effective "
        f"draws at least {posterior.effective.min():,.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
