"""What campaigns may be made with, the spaces that follow from it, and the options of a reset."""

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.batched import check_choice
from envs.campaign.allocation import ALLOCATIONS, LOGIT_BOUND
from envs.campaign.latent import (
    PRIVILEGED_BOUND,
    parse_latent,
    parse_true_params,
    privileged_size,
)
from envs.campaign.observation import OBSERVATIONS
from envs.campaign.params import CampaignParams, FloatArray, Latent
from envs.campaign.past import check_past
from envs.campaign.presets import RENAMED

REWARDS = ("observed", "expected", "shaped")
RESET_OPTIONS = ("latent", "true_params", "past")
KWARGS = ("action", "observation", "privileged", "reward", "render_mode")


class ResetOptions(NamedTuple):
    """What a reset takes as given.

    Attributes:
        latent: Latent parameters (count, ...); None samples them.
        true_params: The parameters to sample from; None for the assumed ones.
        past: Spend [bu/day] and metrics [counts/day] of the days played so far, (days so far,
            channels + metrics).
    """

    latent: Latent | None = None
    true_params: CampaignParams | None = None
    past: FloatArray = np.zeros((0, 0))


def parse_options(
    params: CampaignParams, options: dict[str, Any] | None, count: int
) -> ResetOptions:
    """Reads the options of ``reset`` for ``count`` campaigns.

    Raises:
        ValueError: A bad value; the message names it and what is allowed.
    """
    if not options:
        return ResetOptions()
    true_params = options.get("true_params")
    return ResetOptions(
        latent=parse_latent(params, options["latent"], count) if "latent" in options else None,
        true_params=parse_true_params(params, true_params) if "true_params" in options else None,
        past=check_past(params, options.get("past", ())),
    )


def check_choices(
    params: CampaignParams, action: str, observation: str, privileged: bool, reward: str
) -> None:
    """Raises ``ValueError`` for an unknown choice, or one that does not fit."""
    check_choice("campaign", "action", action, tuple(ALLOCATIONS))
    check_choice("campaign", "observation", observation, tuple(OBSERVATIONS))
    check_choice("campaign", "privileged", privileged, (False, True))
    today = RENAMED.get(str(reward))
    if today in REWARDS:
        raise ValueError(f"campaign: reward={reward!r} is now called {today!r}")
    check_choice("campaign", "reward", reward, REWARDS)
    if action == "channel" and params.limits is not None:
        raise ValueError(
            "campaign: action='channel' puts the whole budget on one channel, which min_spend and "
            "max_spend forbid: use 'logits' or 'spend', or leave the limits out"
        )


def action_space(params: CampaignParams, action: str) -> spaces.Space[Any]:
    """The space of a kind of action."""
    if action == "channel":
        return spaces.Discrete(len(params.channels))
    low, high = (-LOGIT_BOUND, LOGIT_BOUND) if action == "logits" else (0.0, params.daily_budget)
    return spaces.Box(low, high, (len(params.channels),), np.float32)


def observation_space(
    params: CampaignParams, observation: str, privileged: bool
) -> spaces.Space[Any]:
    """The space of a kind of observation, with or without privileged columns."""
    low, high = OBSERVATIONS[observation].bounds(params)
    bounds = np.full(privileged_size(params) * privileged, PRIVILEGED_BOUND, np.float32)
    return spaces.Box(np.append(low, 0 * bounds), np.append(high, bounds), dtype=np.float32)
