"""``python -m evaluate.campaign.calibrate DATA``: past days to a campaign of one's own.

Fits the campaign's parameters to the days, and writes a config to train on and a report.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro

from envs.campaign.calibration import Calibration, PastDays, Roles
from envs.campaign.params import CampaignParams
from envs.campaign.posterior import Posterior, campaign_fields, fit
from envs.campaign.presets import make_params
from evaluate.campaign.calibration_report import Fitted, warnings_of, write_report
from evaluate.campaign.domain import params_of
from evaluate.campaign.past_campaigns import Campaigns, read_campaigns
from evaluate.campaign.past_days import read_bytes
from train.config import dump_config, load_config
from train.errors import InputError, nearest
from train.storage.files import write_text

AGENT_VALUES = Path(__file__).parents[2] / "configs" / "uncertain.yaml"
SHAPED_DAY = 6.6  # a day's engagement x reward_scale in the config that the agents' values are of
DIGITS = 5
MADE_BY = "# Fitted to"


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
        Literal["refuse", "zero", "split"],
        tyro.conf.arg(
            help="days missing inside a campaign: refuse them, take them as days without spend "
            "(zero), or let another campaign start after them (split)"
        ),
    ] = "refuse"
    date_order: Annotated[
        Literal["day-first", "month-first"] | None,
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
        return calibrate(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


class Given(NamedTuple):
    """What the user says of the columns.

    Attributes:
        channels, metrics: Columns of the file.
        weights: Engagement of one count of each metric.
        loyalty_from, lifted, tiring: Names of channels.
        unit: What money is called.
        days: Length of the campaigns to come [days].
    """

    channels: tuple[str, ...]
    metrics: tuple[str, ...]
    weights: dict[str, float]
    loyalty_from: tuple[str, ...]
    lifted: tuple[str, ...]
    tiring: tuple[str, ...]
    unit: str
    days: int


def calibrate(args: Args) -> int:
    """Fits, and writes config and report; returns 1 where the computation did not converge.

    Raises:
        InputError: The options or the file are wrong; the message says what is allowed.
    """
    name = args.name or args.data.stem
    config = args.configs_dir / f"{name}.yaml"
    _check_free(config)
    given = _given(args)
    data, where = read_bytes(args.data), str(args.data)
    columns = given.channels, given.metrics
    campaigns = read_campaigns(data, where, *columns, args.gaps, args.date_order)
    budget = _budget(args.budget, campaigns)
    past = PastDays(campaigns.spend, campaigns.metrics, campaigns.weekday, campaigns.starts)
    roles = Roles(
        *(
            tuple(place for place, channel in enumerate(campaigns.channels) if channel in names)
            for names in (given.loyalty_from, given.lifted, given.tiring)
        )
    )
    for line in campaigns.notices:
        print(f"note: {line}")
    print(f"fitting {len(past.spend)} days: {', '.join(campaigns.channels)}", flush=True)
    posterior = fit(Calibration(past, roles, budget), np.random.default_rng(args.seed))
    print(_computation(posterior))
    if not posterior.is_converged:
        print("error: the fit did not converge: nothing is written", file=sys.stderr)
        return 1
    weights = tuple(given.weights[metric] for metric in campaigns.metrics)
    fitted = Fitted(
        posterior=posterior,
        channels=campaigns.channels,
        metrics=campaigns.metrics,
        weights=weights,
        unit=given.unit,
        dates=campaigns.dates,
        notices=campaigns.notices,
    )
    for warning in warnings_of(fitted):
        print(f"warning: {warning.text}")
    report = args.reports_dir / name / "calibration.html"
    write_text(config, _config(fitted, given, budget, where))
    write_report(fitted, report, title=f"Calibration: {name}")
    print(f"config: {config}\nreport: {report}\nnext: make train CONFIG={config}")
    return 0


def _given(args: Args) -> Given:
    like = CampaignParams() if args.like is None else params_of(load_config(args.like).env)
    channels, metrics = args.channels or like.channels, args.metrics or like.metrics
    known = dict(zip(like.metrics, like.metric_weights, strict=True))
    weights = args.weights or tuple(known.get(metric, 1.0) for metric in metrics)
    if len(weights) != len(metrics):
        raise InputError(
            f"--weights: {len(weights)} numbers for {len(metrics)} metrics: give one for each of "
            f"{', '.join(metrics)}"
        )
    roles = {
        "--loyalty-from": (args.loyalty_from, like.loyalty_gain, "rewards"),
        "--lifted": (args.lifted, like.loyalty_lift, "posts"),
        "--tiring": (args.tiring, like.fatigue, "ads"),
    }
    named = {
        option: _role(option, names, channels, like, numbers if args.like else None, article)
        for option, (names, numbers, article) in roles.items()
    }
    return Given(
        channels=channels,
        metrics=metrics,
        weights=dict(zip(metrics, weights, strict=True)),
        loyalty_from=named["--loyalty-from"],
        lifted=named["--lifted"],
        tiring=named["--tiring"],
        unit=args.unit or like.unit,
        days=args.days or like.days,
    )


def _role(
    option: str,
    names: tuple[str, ...] | None,
    channels: tuple[str, ...],
    like: CampaignParams,
    numbers: tuple[float, ...] | None,
    article: str,
) -> tuple[str, ...]:
    """The channels of a role: those named, those of the config that is given, or the article's."""
    if names is None and numbers is not None:
        names = tuple(name for name, number in zip(like.channels, numbers, strict=True) if number)
        return tuple(name for name in names if name in channels)
    for name in names or ():
        if name not in channels:
            raise InputError(
                f"{option} {name}: is not a channel{nearest(name, channels)}; channels: "
                f"{', '.join(channels)}"
            )
    return tuple(name for name in (article,) if name in channels) if names is None else names


def _check_free(config: Path) -> None:
    """Raises ``InputError`` where a config would be overwritten that was not fitted."""
    if config.is_file() and not config.read_text(encoding="utf-8").startswith(MADE_BY):
        raise InputError(
            f"{config}: exists and was not written by a calibration: choose another --name"
        )


def _budget(asked: float | None, campaigns: Campaigns) -> float:
    """What can be spent in a day; the most that there was, or what is asked for.

    Raises:
        InputError: More was spent on some day than is asked for.
    """
    most = float(campaigns.spend.sum(axis=1).max())
    if asked is not None and asked < most * (1 - 1e-9):
        raise InputError(
            f"--budget {asked:g}: {most:g} was spent on one day: must be that or more, so that the "
            "days are days of the campaign"
        )
    return most if asked is None else asked


def _computation(posterior: Posterior) -> str:
    runs, draws, size = posterior.chains.shape
    return (
        f"{size} parameters, {runs} runs of {draws:,} draws: R-hat at most "
        f"{posterior.r_hat.max():.3f}, effective draws at least {posterior.effective.min():,.0f}"
    )


def _config(fitted: Fitted, given: Given, budget: float, where: str) -> str:
    """The config to train on, with the agents' values of ``configs/uncertain.yaml``."""
    kwargs: dict[str, Any] = {
        "channels": fitted.channels,
        "metrics": fitted.metrics,
        "unit": given.unit,
        "days": given.days,
        "daily_budget": budget,
        "reference_budget": budget,
        "metric_weights": fitted.weights,
        **campaign_fields(fitted.posterior),
    }
    plain = {name: _rounded(value) for name, value in kwargs.items()}
    params = make_params("uncertain", **plain)
    earned = float(fitted.posterior.calibration.past.metrics.mean(axis=0) @ fitted.weights)
    values = load_config(AGENT_VALUES)
    env = values.env.model_copy(
        update={
            "kwargs": values.env.kwargs | plain | {"reward_scale": _rounded(SHAPED_DAY / earned)}
        }
    )
    agent = values.a2c.model_copy(update={"n_steps": params.days}) if values.a2c else None
    days = len(fitted.posterior.calibration.past.spend)
    head = (
        f"{MADE_BY} {days} days of {where}. Nominal values are posterior medians;\n"
        "# latent_covariance is how the latent parameters vary together. The report beside it\n"
        "# says how sure that is.\n"
    )
    return head + dump_config(values.model_copy(update={"env": env, "a2c": agent}))


def _rounded(value: Any) -> Any:
    """Numbers with a few significant digits, as plain Python."""
    if isinstance(value, np.ndarray):
        return [_rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}")
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    sys.exit(main())
