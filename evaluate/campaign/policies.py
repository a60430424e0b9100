"""The campaign's baselines as policies, and a channel agent's probabilities as a split."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign import baselines, planner
from envs.campaign.latent import latent_from_features, privileged_size, sample_latent
from envs.campaign.params import CampaignParams, FloatArray, Latent
from envs.campaign.presets import PRESETS
from envs.campaign.robust_planner import PARTICLES, clairvoyant_plans, replan
from evaluate.domain import Probabilities
from evaluate.results import BaselineNames

OPTIMAL, BEST_FOUND, NOMINAL = "optimal plan", "best plan found", "nominal plan"
BEST_FIXED, REPLANNER, CLAIRVOYANT = "best fixed plan", "daily re-planner", "clairvoyant"
NAMES = BaselineNames(
    optimum=OPTIMAL,
    best_fixed=BEST_FIXED,
    clairvoyant=CLAIRVOYANT,
    replanner=REPLANNER,
    planners=(OPTIMAL, BEST_FOUND, NOMINAL, BEST_FIXED, REPLANNER, CLAIRVOYANT),
    gap_ends=(
        f"The {BEST_FIXED} knows how campaigns differ, but not what this one is like; the "
        f"{CLAIRVOYANT} knows the latent parameters of each campaign, and no policy earns more. "
        "Policies that adapt stand between the two."
    ),
)

Plan = Callable[[CampaignParams], FloatArray]
"""The campaign to what is spent each day, (days, channels) [bu/day]."""
Decision = Callable[[NDArray[Any], NDArray[np.int64], Any], tuple[FloatArray, Any]]
"""Observations (batch, size), days (batch,) and state to spends (batch, channels) and state."""


class SpendPolicy(NamedTuple):
    """A policy as Stable-Baselines3 plays it, from a function of observation, day and state.

    Observations start with the day one-hot, as those of the kinds ``day`` and ``history`` do.
    """

    days: int  # of the campaign
    decide: Decision

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Observation (size,) or (batch, size) to spend (..., channels) [bu/day], and the state.

        After the last day it answers as on the last. The state is dropped where an episode starts.
        """
        batch = np.atleast_2d(observation)
        day = batch[:, : self.days]
        days = np.where(day.any(axis=1), day.argmax(axis=1), self.days - 1)
        spend, state = self.decide(batch, days, None if np.any(episode_start) else state)
        return spend.reshape(*observation.shape[:-1], -1), state


def baseline_policies(params: CampaignParams, seed: int) -> dict[str, SpendPolicy]:
    """The baselines of a campaign by name, for environments made with ``baseline_env_kwargs``.

    A plan is solved when it is first played. Each baseline that draws has a generator of its own.
    """
    random, replanner = np.random.default_rng(seed).spawn(2)
    plans: dict[str, Plan] = {
        "even split": baselines.even_split,
        **{
            f"all {name}": partial(baselines.alone, channel=i)
            for i, name in enumerate(params.channels)
        },
        "best constant split": baselines.best_constant_split,
        "myopic": baselines.myopic,
        best_name(params): baselines.best_found,
    }
    policies = {name: planned(params, plan) for name, plan in plans.items()}
    policies["random"] = SpendPolicy(
        params.days, lambda _, days, state: (baselines.random_split(params, days, random), state)
    )
    return policies | (_adaptive_policies(params, replanner) if params.is_drawn else {})


def baseline_env_kwargs(params: CampaignParams) -> dict[str, Any]:
    """Arguments of the environment in which the baselines decide."""
    if params.is_drawn:
        return {"action": "spend", "observation": "history", "privileged": True}
    return {"action": "spend", "observation": "day", "privileged": False}


def best_name(params: CampaignParams) -> str:
    """What the planner's plan is called: the optimum only where that is confirmed."""
    if params.is_drawn:
        return NOMINAL
    return OPTIMAL if is_optimum_confirmed(params) else BEST_FOUND


def is_optimum_confirmed(params: CampaignParams) -> bool:
    """Whether the planner's plan is the optimum beyond what its check proves.

    The check proves a local optimum. Where the response is linear that is the optimum; for the
    presets an independent search found nothing better (``tests/benchmarks/fuzz_planner.py``).
    """
    is_preset = dataclasses.replace(params, reward_scale=1.0) in PRESETS.values()
    is_known = is_preset or params.is_linear
    return is_known and planner.plan(params).check.is_supported


def planned(params: CampaignParams, make: Plan) -> SpendPolicy:
    """Plays a plan, which is made when it is first asked for."""
    return SpendPolicy(params.days, lambda _, days, state: (make(params)[days], state))


def mixed(params: CampaignParams, probabilities: Probabilities) -> SpendPolicy:
    """Splits the budget by a channel agent's probabilities, instead of picking the likeliest."""

    def decide(observation: NDArray[Any], _: Any, state: Any) -> tuple[FloatArray, Any]:
        shares = probabilities(observation).astype(np.float64)
        return params.daily_budget * shares, state

    return SpendPolicy(params.days, decide)


def _adaptive_policies(params: CampaignParams, rng: np.random.Generator) -> dict[str, SpendPolicy]:
    """Where channels differ between campaigns: what an expert would use, and the upper bound."""
    policies = {BEST_FIXED: planned(params, baselines.best_fixed)}
    if params.is_noisy:  # without noise a day or two would reveal all
        decide = partial(_replan_daily, params, sample_latent(params, rng, PARTICLES), rng)
        policies[REPLANNER] = SpendPolicy(params.days, decide)
    return policies | {CLAIRVOYANT: SpendPolicy(params.days, partial(_clairvoyant, params))}


def _replan_daily(
    params: CampaignParams,
    particles: Latent,
    rng: np.random.Generator,
    observation: NDArray[Any],
    days: NDArray[np.int64],
    state: Any,
) -> tuple[FloatArray, Any]:
    """Plans the days left again each day, for what a particle filter holds likely."""
    fixed, size = baselines.best_fixed(params), len(params.played_ceiling)
    spend = fixed[days]
    for day in np.unique(days[days > 0]):
        rows = days == day
        history = observation[rows, params.days : params.days + size * day].astype(np.float64)
        past = history.reshape(len(history), day, size) * params.played_ceiling  # spends, metrics
        spend[rows] = replan(params, particles, past, fixed, rng)
    return spend, state


def _clairvoyant(
    params: CampaignParams, observation: NDArray[Any], days: NDArray[np.int64], state: Any
) -> tuple[FloatArray, Any]:
    """Plans on the first day with the latent parameters that the privileged columns hold."""
    if state is None:
        features = observation[:, -privileged_size(params) :].astype(np.float64)
        latent = latent_from_features(params, features)
        state = clairvoyant_plans(params, latent, baselines.best_fixed(params))
    return state[np.arange(len(days)), days], state
