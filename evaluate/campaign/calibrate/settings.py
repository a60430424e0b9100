"""What the user says of past days: which columns are channels and metrics, and what they do."""

from collections.abc import Sequence
from typing import NamedTuple

from envs.campaign.calibration import Roles
from envs.campaign.params import CampaignParams
from envs.campaign.presets import make_params
from train.errors import InputError, nearest

ARTICLE = {"--loyalty-from": "rewards", "--lifted": "posts", "--tiring": "ads"}


class Settings(NamedTuple):
    """What the columns of a file are, and what holds for the campaigns to come.

    Attributes:
        channels, metrics: Columns of the file.
        weights: Engagement of one count of each metric, by its name [1].
        roles: Names of the channels that build loyalty, that it lifts, and that tire.
        unit: What money is called.
        days: Length of the campaigns to come [days].
    """

    channels: tuple[str, ...]
    metrics: tuple[str, ...]
    weights: dict[str, float]
    roles: tuple[tuple[str, ...], ...]
    unit: str
    days: int

    def roles_among(self, channels: Sequence[str]) -> Roles:
        """The roles by number among the channels that are fitted."""
        return Roles(
            *(
                tuple(place for place, name in enumerate(channels) if name in names)
                for names in self.roles
            )
        )


def settings_of(
    like: CampaignParams | None,
    channels: tuple[str, ...],
    metrics: tuple[str, ...],
    weights: tuple[float, ...],
    roles: dict[str, tuple[str, ...] | None],
    unit: str | None,
    days: int | None,
) -> Settings:
    """What is given, and for the rest what holds in another campaign or in the article's.

    Args:
        like: The other campaign.
        channels: Empty for those of the other campaign.
        metrics: The same.
        weights: Of the metrics; empty for those of the other campaign, and 1 for unknown names.
        roles: Names of channels by option, in the order of ``ARTICLE``; None where not given.
        unit: None for that of the other campaign.
        days: The same [days].

    Raises:
        InputError: Another number of weights than of metrics, or a role of an unknown channel.
    """
    known = like or CampaignParams()
    channels, metrics = channels or known.channels, metrics or known.metrics
    worth = dict(zip(known.metrics, known.metric_weights, strict=True))
    weights = weights or tuple(worth.get(metric, 1.0) for metric in metrics)
    if len(weights) != len(metrics):
        raise InputError(
            f"--weights: {len(weights)} numbers for {len(metrics)} metrics: give one for each of "
            f"{', '.join(metrics)}"
        )
    usual = _usual_roles(like)
    named = tuple(
        tuple(name for name in usual[option] if name in channels)
        if names is None
        else _checked(option, names, channels)
        for option, names in roles.items()
    )
    by_name = dict(zip(metrics, weights, strict=True))
    settings = Settings(channels, metrics, by_name, named, unit or known.unit, days or known.days)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Refuses what no campaign can have, before anything is fitted; other numbers are 1."""
    channels, metrics = settings.channels, settings.metrics
    try:
        make_params(
            "linear",
            channels=channels,
            metrics=metrics,
            metric_weights=tuple(settings.weights.get(metric, 1.0) for metric in metrics),
            counts=((1.0,) * len(metrics),) * len(channels),
            unit=settings.unit,
            days=settings.days,
        )
    except ValueError as error:
        raise InputError(f"calibrate: {error}") from None


def _usual_roles(like: CampaignParams | None) -> dict[str, tuple[str, ...]]:
    """The channels of each role in another campaign, or in the article's."""
    if like is None:
        return {option: (name,) for option, name in ARTICLE.items()}
    numbers = (like.loyalty_gain, like.loyalty_lift, like.fatigue)
    return {
        option: tuple(name for name, number in zip(like.channels, row, strict=True) if number)
        for option, row in zip(ARTICLE, numbers, strict=True)
    }


def _checked(option: str, names: tuple[str, ...], channels: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in channels:
            hint = f"{nearest(name, channels)}; channels: {', '.join(channels)}"
            raise InputError(f"{option} {name}: is not a channel{hint}")
    return names
