"""What chance decides: the latent parameters of each campaign, and the noise of its days."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.campaign.checks import LATENT_FIELDS, PRIOR_WIDTHS
from envs.campaign.model import Noise
from envs.campaign.params import CampaignParams, FloatArray, Latent
from envs.campaign.presets import make_params

SPARSE_FIELDS = ("loyalty_lift", "fatigue")
"""Those of them in which a channel that has 0 has it in every campaign."""

PRIVILEGED_BOUND = 100.0  # privileged features are clipped to it

MOST_CARRY_OVER = 0.95


def sample_latent(params: CampaignParams, rng: np.random.Generator, count: int) -> Latent:
    """Samples the latent parameters of some campaigns from the prior, arrays (count, ...).

    With ``latent_covariance`` that is a joint distribution; without it they are independent.
    """
    if params.latent_covariance is not None:
        normal = rng.standard_normal((count, len(params.covariance_root)))
        return moved(params, np.einsum("nj,jk->nk", normal, params.covariance_root))
    nominal, channels = params.nominal, (count, len(params.channels))
    carry_over = nominal.carry_over + params.carry_over_range * rng.uniform(-1.0, 1.0, channels)
    most = np.maximum(MOST_CARRY_OVER, nominal.carry_over)
    saturation = np.exp(params.inv_half_saturation_log_sd * rng.standard_normal(channels))
    strength = _factors(params.counts_log_sd, rng, channels)
    lift = _scaled(params.loyalty_lift_log_sd, rng, count, nominal.loyalty_lift)
    fatigue = _scaled(params.fatigue_log_sd, rng, count, nominal.fatigue_rate)
    return Latent(
        counts=strength[..., np.newaxis] * nominal.counts,
        inv_half_saturation=saturation * nominal.inv_half_saturation,  # median kept
        carry_over=np.minimum(np.maximum(carry_over, 0.0), most),
        loyalty_lift=lift,
        fatigue_rate=fatigue,
    )


def moved(params: CampaignParams, distance: FloatArray) -> Latent:
    """The latent parameters at a distance from the nominal ones, arrays (count, ...).

    Args:
        params: The nominal parameters.
        distance: In logarithms, in logits for carry_over, (count, rows of ``latent_covariance``).
    """
    every = np.zeros((len(distance), params.is_differing.size))
    every[:, params.is_differing] = distance
    changes = _unraveled(params, every)
    values = [part * np.exp(change) for part, change in zip(params.nominal, changes, strict=True)]
    latent, alpha = Latent(*values), params.nominal.carry_over
    carry_over = latent.carry_over / (1.0 + alpha * np.expm1(changes.carry_over))
    most = np.maximum(MOST_CARRY_OVER, alpha)
    return latent._replace(carry_over=np.minimum(carry_over, most))


def sample_noise(params: CampaignParams, rng: np.random.Generator, count: int) -> Noise | None:
    """Samples the noise of all days, arrays (count, days, ...); None without noise."""
    if not params.is_noisy:
        return None
    shape = (count, params.days, len(params.metrics))
    shock, counts = rng.standard_normal(shape[:2]), rng.standard_normal(shape)
    r = params.dispersion
    return Noise(shock, np.ones(shape) if r is None else rng.standard_gamma(r, shape) / r, counts)


def rescale_noise(params: CampaignParams, true_params: CampaignParams, noise: Noise) -> Noise:
    """Noise sampled with ``true_params``, rescaled so that ``params`` give the same counts."""
    if params.shock_sd == true_params.shock_sd:
        return noise
    log_shock = true_params.shock_sd * noise.shock - true_params.shock_sd**2 / 2  # log z of (5)
    return noise._replace(shock=(log_shock + params.shock_sd**2 / 2) / params.shock_sd)


def parse_true_params(params: CampaignParams, fields: Any) -> CampaignParams:
    """The parameters that campaigns are truly drawn from, where they are not the assumed ones.

    Args:
        params: The assumed parameters.
        fields: A mapping of fields to their true values: those of ``LATENT_FIELDS``,
            ``PRIOR_WIDTHS``, ``latent_covariance``, ``dispersion`` and ``shock_sd``.

    Raises:
        ValueError: Not a mapping, an unknown field, a bad value, or noise in campaigns without it.
    """
    is_mapping = isinstance(fields, Mapping)
    if not is_mapping:
        raise ValueError(
            f"reset: true_params: must be a mapping of fields to values; got {fields!r}"
        )
    noise = {"dispersion": params.is_noisy, "shock_sd": params.shock_sd > 0}
    known = (*LATENT_FIELDS, *PRIOR_WIDTHS, "latent_covariance", *noise)
    true_params = _changed(params, fields, "true_params", known)
    for name, is_part in noise.items():
        if getattr(true_params, name) != getattr(params, name) and not is_part:
            raise ValueError(
                f"reset: true_params: {name}={fields[name]!r}: "
                "the noise of these campaigns has no such part"
            )
    return true_params


def parse_latent(params: CampaignParams, fields: Any, count: int) -> Latent:
    """Latent parameters that are given instead of sampled, arrays (count, ...).

    Args:
        params: The nominal parameters.
        fields: Fields of ``LATENT_FIELDS`` to their values, one mapping for all campaigns or one
            for each; other fields are nominal.
        count: Number of campaigns.

    Raises:
        ValueError: An unknown field, a bad value, or too few mappings.
    """
    mappings = [fields] * count if isinstance(fields, Mapping) else fields
    if (
        not isinstance(mappings, Sequence)
        or len(mappings) != count
        or not all(isinstance(mapping, Mapping) for mapping in mappings)
    ):
        raise ValueError(
            "reset: latent: must be a mapping of fields to values, "
            f"or {count} of them; got {fields!r}"
        )
    return batch_latent([_given_latent(params, mapping) for mapping in mappings])


def batch_latent(campaigns: list[Latent]) -> Latent:
    """A batch of single campaigns' latent parameters, arrays (count, ...)."""
    return Latent(*map(np.stack, zip(*campaigns, strict=True)))


def repeat_latent(latent: Latent, count: int) -> Latent:
    """A batch of campaigns with the same latent parameters, arrays (count, ...)."""
    return map_latent(latent, lambda values: np.repeat(values[np.newaxis], count, axis=0))


def map_latent(latent: Latent, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Latent:
    """The latent parameters with each array changed."""
    return Latent(*map(change, latent))


def select(latent: Latent, rows: Any) -> Latent:
    """The latent parameters of some campaigns of a batch."""
    return map_latent(latent, lambda values: values[rows])


def assign_rows(
    params: CampaignParams, old: Latent | None, rows: NDArray[np.bool_], new: Latent | None
) -> Latent | None:
    """A batch of latent parameters with the rows of a mask replaced, in place; None is nominal."""
    if old is None and new is None:
        return None
    old = old or repeat_latent(params.nominal, len(rows))
    for values, replacements in zip(old, new or params.nominal, strict=True):
        values[rows] = replacements
    return old


def privileged_size(params: CampaignParams) -> int:
    """Number of privileged features."""
    return int(np.count_nonzero(_is_privileged(params)))


def privileged_features(params: CampaignParams, latent: Latent | None, count: int) -> FloatArray:
    """The latent parameters of each campaign as features, (count, ``privileged_size``).

    They are ratios to the nominal values; where a nominal value is 0, the values themselves. Lifts
    and fatigue that are nominally 0 are left out: they are so in every campaign that is drawn.
    """
    latent = latent or repeat_latent(params.nominal, count)
    features = [
        (values / np.where(nominal, nominal, 1.0)).reshape(count, -1)
        for values, nominal in zip(latent, params.nominal, strict=True)
    ]
    return np.concatenate(features, axis=1)[:, _is_privileged(params)]


def latent_from_features(params: CampaignParams, features: FloatArray) -> Latent:
    """The inverse of ``privileged_features``, from (count, ``privileged_size``)."""
    every = np.zeros((len(features), _is_privileged(params).size))
    every[:, _is_privileged(params)] = features
    parts = zip(params.nominal, _unraveled(params, every), strict=True)
    return Latent(*(np.where(nominal, nominal, 1.0) * part for nominal, part in parts))


def latent_ends(params: CampaignParams) -> list[int]:
    """Where the flat fields of ``Latent`` end in a row of them all, but for the last."""
    ends: list[int] = np.cumsum([values.size for values in params.nominal])[:-1].tolist()
    return ends


def _unraveled(params: CampaignParams, every: FloatArray) -> Latent:
    """A number for each latent parameter, (count, all of them), in the form of ``Latent``."""
    parts = zip(params.nominal, np.split(every, latent_ends(params), axis=1), strict=True)
    return Latent(*(part.reshape(-1, *nominal.shape) for nominal, part in parts))


def _is_privileged(params: CampaignParams) -> NDArray[np.bool_]:
    """Which latent parameters are features: all but lifts and fatigue that are nominally 0."""
    *others, lift, fatigue = params.nominal
    shown = [np.ones(values.size, dtype=bool) for values in others]
    return np.concatenate([*shown, lift > 0, fatigue > 0])


def _given_latent(params: CampaignParams, fields: Mapping[str, Any]) -> Latent:
    """The nominal latent parameters but for the given fields of one campaign."""
    drawn = dataclasses.replace(params, latent_covariance=None)  # it need not fit what is given
    with_base = {"base": (1.0,) * len(params.metrics)}  # so that its channels may earn nothing
    return _changed(drawn, fields, "latent", LATENT_FIELDS, **with_base).nominal


def _changed(
    params: CampaignParams,
    fields: Mapping[str, Any],
    option: str,
    known: tuple[str, ...],
    **others: Any,
) -> CampaignParams:
    """The parameters with the fields of a reset option, and others, in place of theirs."""
    for name in fields:
        if name not in known:
            raise ValueError(
                f"reset: {option}: {name!r} does not differ between campaigns; "
                f"known: {', '.join(known)}"
            )
    values = dataclasses.asdict(params) | others
    if fields.get("latent_covariance") is not None:
        values |= dict.fromkeys(PRIOR_WIDTHS, 0.0)
    changed = make_params("linear", **(values | {"latent_covariance": None} | dict(fields)))
    if params.latent_covariance is not None and "latent_covariance" not in fields:
        values = dataclasses.asdict(changed) | {"latent_covariance": _refitted(params, changed)}
        changed = make_params("linear", **values)
    for name in set(SPARSE_FIELDS) & set(fields):
        for channel, now, then in zip(
            params.channels, getattr(params, name), getattr(changed, name), strict=True
        ):
            if then and not now:
                raise ValueError(
                    f"reset: {option}: {name} of {channel} is {then:g}: must be 0, as it is in all "
                    "campaigns of this environment"
                )
    return changed


def _refitted(params: CampaignParams, changed: CampaignParams) -> FloatArray:
    """The covariance without the rows of what has become 0; what was 0 is certain."""
    old, new = params.is_differing, changed.is_differing
    every = np.zeros((old.size, old.size))
    every[np.ix_(old, old)] = params.covariance_array
    kept: FloatArray = every[np.ix_(new, new)]
    return kept


def _factors(log_sd: float, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Log-normal factors of mean 1."""
    factors: FloatArray = np.exp(log_sd * rng.standard_normal(shape) - log_sd**2 / 2)
    return factors


def _scaled(log_sd: float, rng: np.random.Generator, count: int, nominal: FloatArray) -> FloatArray:
    """Nominal numbers (channels,) times log-normal factors, (count, channels).

    Only the channels that are not 0 draw.
    """
    values = np.zeros((count, len(nominal)))
    some = nominal > 0
    values[:, some] = _factors(log_sd, rng, (count, int(some.sum()))) * nominal[some]
    return values
