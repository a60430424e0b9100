"""What chance decides: how strong the channels of a campaign are, and the noise of its days."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.campaign.model import Noise
from envs.campaign.params import (
    CHANNELS,
    DRAWN,
    METRICS,
    CampaignParams,
    Coefficients,
    FloatArray,
    make_params,
)

KNOWN = ("counts", "inv_half_saturation", "carry_over", "loyalty_lift", "fatigue")
"""Fields of ``CampaignParams`` in which campaigns may differ."""

CHANCE = (*DRAWN, "dispersion", "shock_sd")
"""Fields of ``CampaignParams`` that say how much campaigns differ and how noisy their days are."""

DIFFERING = (*KNOWN, "fresh")
"""The same of ``Coefficients``."""

SPLITS = np.cumsum([9, 3, 3, 1])
TOLD = 17
"""Numbers that ``told`` gives: 9 counts, a channel's three metrics at a time, 3, 3, 1 and 1."""

MOST_TOLD = 100.0  # a channel a hundred times as strong as nominal is not told from a stronger one

MOST_KEPT = 0.95  # of a channel's effect, from one day to the next


def sample_latent(params: CampaignParams, rng: np.random.Generator, count: int) -> Coefficients:
    """Draws what holds in each of some campaigns, arrays (count, ...); what is not drawn has no leading axis."""
    of = params.coefficients
    channels = (count, len(CHANNELS))
    kept = of.carry_over + params.carry_over_range * rng.uniform(-1.0, 1.0, channels)
    kept = np.minimum(np.maximum(kept, 0.0), np.maximum(MOST_KEPT, of.carry_over))
    saturation = np.exp(
        params.inv_half_saturation_log_sd * rng.standard_normal(channels)
    )  # median 1
    return of._replace(
        counts=_factors(params.counts_log_sd, rng, channels)[..., np.newaxis] * of.counts,
        inv_half_saturation=saturation * of.inv_half_saturation,
        fresh=1.0 - kept,
        carry_over=kept,
        loyalty_lift=_factors(params.loyalty_lift_log_sd, rng, (count,)) * of.loyalty_lift,
        fatigue=_factors(params.fatigue_log_sd, rng, (count,)) * of.fatigue,
    )


def sample_noise(params: CampaignParams, rng: np.random.Generator, count: int) -> Noise | None:
    """Draws the noise of every day of some campaigns, arrays (count, days, ...); None where there is none."""
    if not params.is_noisy:
        return None
    shape = (count, params.days, len(METRICS))
    shock, counts = rng.standard_normal(shape[:2]), rng.standard_normal(shape)
    r = params.dispersion
    return Noise(shock, np.ones(shape) if r is None else rng.standard_gamma(r, shape) / r, counts)


def rescale_noise(params: CampaignParams, world: CampaignParams, noise: Noise) -> Noise:
    """Noise that was drawn for another world, so that it brings the same where ``params`` are what is known."""
    if params.shock_sd == world.shock_sd:
        return noise
    drawn = world.shock_sd * noise.shock - world.shock_sd**2 / 2  # the logarithm of z in (5)
    return noise._replace(shock=(drawn + params.shock_sd**2 / 2) / params.shock_sd)


def parse_true_params(params: CampaignParams, fields: Any) -> CampaignParams:
    """The parameters with what truly holds instead of what they say.

    Args:
        params: What is known of the campaigns.
        fields: A mapping of fields of ``KNOWN`` or ``CHANCE`` to their values.

    Raises:
        ValueError: No mapping, an unknown field, a bad value, or noise in campaigns that have none.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(
            f"reset: true_params: must be a mapping of fields to values; got {fields!r}"
        )
    world = _changed(params, dict(fields), "true_params", (*KNOWN, *CHANCE))
    for name, least in (("dispersion", params.is_noisy), ("shock_sd", params.shock_sd > 0)):
        if getattr(world, name) != getattr(params, name) and not least:
            raise ValueError(
                f"reset: true_params: {name}={fields[name]!r}: the noise of these campaigns has no such part"
            )
    return world


def parse_latent(params: CampaignParams, fields: Any, count: int) -> Coefficients:
    """What holds in campaigns whose draws are given.

    Args:
        params: What all campaigns have in common.
        fields: Fields of ``CampaignParams`` in which campaigns may differ, one mapping for all or
            one for each.
        count: How many campaigns.

    Raises:
        ValueError: A field is unknown or does not differ between campaigns, a bad value, or too few
            mappings.
    """
    given = [fields] * count if isinstance(fields, Mapping) else fields
    if (
        not isinstance(given, Sequence)
        or len(given) != count
        or not all(isinstance(one, Mapping) for one in given)
    ):
        raise ValueError(
            f"reset: latent: must be a mapping of fields to values, or {count} of them; got {fields!r}"
        )
    return stack([_changed(params, dict(one), "latent", KNOWN).coefficients for one in given])


def stack(truths: list[Coefficients]) -> Coefficients:
    """One batch of the coefficients of single campaigns: what may be drawn gets a leading axis (count, ...)."""
    return truths[0]._replace(
        **{name: np.stack([getattr(latent, name) for latent in truths]) for name in DIFFERING}
    )


def told(params: CampaignParams, latent: Coefficients | None, count: int) -> FloatArray:
    """What holds in each campaign as numbers around one: ratios to the nominal values, (count, 17); see ``TOLD``."""
    columns = [
        _ratio(getattr(latent or params.coefficients, name), getattr(params.coefficients, name))
        for name in KNOWN
    ]
    return np.concatenate(
        [np.broadcast_to(part, (count, part.shape[-1])) for part in columns], axis=1
    )


def understood(params: CampaignParams, numbers: FloatArray) -> Coefficients:
    """What ``told`` was told of, from its numbers (count, 17)."""
    of, parts = (
        params.coefficients,
        dict(zip(KNOWN, np.split(numbers, SPLITS, axis=1), strict=True)),
    )
    found = {
        name: getattr(of, name) * part.reshape(-1, *getattr(of, name).shape)
        for name, part in parts.items()
    }
    return of._replace(**found, fresh=1.0 - found["carry_over"])


def take(latent: Coefficients, rows: Any) -> Coefficients:
    """The coefficients of some campaigns of a batch."""
    return each(latent, lambda part: part[rows])


def each(latent: Coefficients, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Coefficients:
    """The coefficients with every array that differs between campaigns changed."""
    return latent._replace(**{name: change(getattr(latent, name)) for name in DIFFERING})


def replaced(
    params: CampaignParams,
    old: Coefficients | None,
    rows: NDArray[np.bool_],
    new: Coefficients | None,
) -> Coefficients | None:
    """The coefficients of a batch with those of the rows that the mask marks replaced, in place; None is nominal."""
    if old is None and new is None:
        return None
    whole, part = (
        old or _nominal(params, len(rows)),
        new or _nominal(params, int(np.count_nonzero(rows))),
    )
    for name in DIFFERING:
        getattr(whole, name)[rows] = getattr(part, name)
    return whole


def _nominal(params: CampaignParams, count: int) -> Coefficients:
    """The nominal coefficients for each of some campaigns, arrays (count, ...)."""
    return each(params.coefficients, lambda part: np.repeat(part[np.newaxis], count, axis=0))


def _changed(
    params: CampaignParams, fields: dict[str, Any], option: str, known: tuple[str, ...]
) -> CampaignParams:
    for name in fields:
        if name not in known:
            raise ValueError(
                f"reset: {option}: {name!r} does not differ between campaigns; known: {', '.join(known)}"
            )
    checked = make_params("linear", **fields)
    return dataclasses.replace(params, **{name: getattr(checked, name) for name in fields})


def _ratio(value: FloatArray, nominal: FloatArray) -> FloatArray:
    """Values over the nominal ones, flat, (count or 1, size); 1 where the nominal one is 0."""
    ratio = np.divide(
        value,
        nominal,
        out=np.ones(np.broadcast_shapes(value.shape, nominal.shape)),
        where=nominal != 0,
    )
    return ratio.reshape(-1, max(nominal.size, 1))


def _factors(log_sd: float, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Log-normal factors of mean 1."""
    factors: FloatArray = np.exp(log_sd * rng.standard_normal(shape) - log_sd**2 / 2)
    return factors
