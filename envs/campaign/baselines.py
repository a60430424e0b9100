"""What an agent is measured against: simple rules, the best of each kind, and the optimal plan.

These are plans of the mean model that follow the day in the observation; they are solved when first
asked for. Where campaigns differ there are also rivals that adapt to each.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.latent import PRIVILEGED_SIZE, latent_from_features
from envs.campaign.limits import fill, nearest
from envs.campaign.params import CHANNELS, METRICS, CampaignParams, FloatArray
from envs.campaign.robust_planner import (
    PARTICLES,
    Particles,
    best_fixed_plan,
    clairvoyant_plans,
    draw_particles,
    replanned,
)


class Policy(Protocol):
    """Anything that decides: the signature of Stable-Baselines3's ``predict``."""

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Observation (size,) or (batch, size) to spend (3,) or (batch, 3) [bu/day], and the state."""


class Planned(NamedTuple):
    """A spend for each day that is settled beforehand.

    Attributes:
        params: The campaign.
        make: Parameters to the plan, (days, 3 channels) [bu/day]; called when the first decision is
            asked for.
    """

    params: CampaignParams
    make: Callable[[CampaignParams], FloatArray]

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """See ``Policy.predict``."""
        return self.make(self.params)[day_of(self.params, observation)], state


class Clairvoyant(NamedTuple):
    """Knows what holds in each campaign, from the privileged columns of its observation: the upper bound."""

    params: CampaignParams

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """See ``Policy.predict``; the plans are made on the first day and kept in the state."""
        batch = np.atleast_2d(observation)
        if state is None or np.any(episode_start):
            latent = latent_from_features(
                self.params, batch[:, -PRIVILEGED_SIZE:].astype(np.float64)
            )
            state = clairvoyant_plans(self.params, latent, best_fixed(self.params))
        spend = state[np.arange(len(batch)), day_of(self.params, batch)]
        return spend.reshape(*observation.shape[:-1], len(CHANNELS)), state


class DailyReplanner(NamedTuple):
    """Plans the rest of the week anew each day for what is still likely: a particle filter that knows prior and noise.

    Attributes:
        params: The campaign.
        particles: Draws of the prior.
        rng: For choosing among them.
    """

    params: CampaignParams
    particles: Particles
    rng: np.random.Generator

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """See ``Policy.predict``."""
        batch = np.atleast_2d(observation)
        days, fixed = day_of(self.params, batch), best_fixed(self.params)
        spend = fixed[days]
        for day in np.unique(days[days > 0]):
            rows = days == day
            past = _past(self.params, batch[rows], day)
            spend[rows] = replanned(self.params, self.particles, past, fixed, self.rng)
        return spend.reshape(*observation.shape[:-1], len(CHANNELS)), state


class RandomSplit(NamedTuple):
    """A split drawn anew each day, uniformly among all splits of what can be spent."""

    params: CampaignParams
    rng: np.random.Generator

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """See ``Policy.predict``; random even where a deterministic action is asked for."""
        shares = self.rng.dirichlet(np.ones(len(CHANNELS)), observation.shape[:-1])
        low, high = (
            limit[day_of(self.params, observation)] for limit in planner.limits_of(self.params)
        )
        return fill(shares, low, high, self.params.daily_budget), state


def baseline_policies(params: CampaignParams, rng: np.random.Generator) -> dict[str, Policy]:
    """The yardsticks of a campaign by name, for environments made with what ``form`` says."""
    policies: dict[str, Policy] = {
        "even split": Planned(params, even_split),
        **{
            f"all {name}": Planned(params, alone)
            for name, alone in zip(CHANNELS, ALONE, strict=True)
        },
        "best constant split": Planned(params, best_constant_split),
        "myopic": Planned(params, myopic),
        "nominal plan" if params.is_drawn else "optimal plan": Planned(params, _optimal),
        "random": RandomSplit(params, rng),
    }
    return policies | (_for_drawn(params, rng) if params.is_drawn else {})


def baseline_env_kwargs(params: CampaignParams) -> dict[str, Any]:
    """Arguments of the environment in which the yardsticks decide."""
    return {"action": "spend"} | (
        {"observation": "history", "privileged": True} if params.is_drawn else {}
    )


def _for_drawn(params: CampaignParams, rng: np.random.Generator) -> dict[str, Policy]:
    """The rivals where channels differ between campaigns: what an expert would use, and the upper bound."""
    replanner: dict[str, Policy] = {
        "daily re-planner": DailyReplanner(params, draw_particles(params, rng, PARTICLES), rng)
    }
    return {
        "best fixed plan": Planned(params, best_fixed),
        **(replanner if params.is_noisy else {}),  # without noise a day or two would tell all
        "clairvoyant": Clairvoyant(params),
    }


@cache
def best_fixed(params: CampaignParams) -> FloatArray:
    """The best plan for the mean over the prior, (days, 3) [bu/day]; it knows how much channels vary."""
    return best_fixed_plan(params, np.random.default_rng(0))


def day_of(params: CampaignParams, observation: NDArray[Any]) -> NDArray[np.int64]:
    """The day to be decided, (...,), from an observation (..., size) of either kind; the last one after the end."""
    if observation.shape[-1] == 1 + len(METRICS):
        return np.minimum(observation[..., 0].astype(np.int64), params.days - 1)
    days = observation[..., : params.days]
    return np.where(days.any(axis=-1), days.argmax(axis=-1), params.days - 1)


def _past(params: CampaignParams, observation: NDArray[Any], day: int) -> FloatArray:
    """Spend [bu/day] and metrics [counts/day] of the days so far, (batch, day, 6), from a history (batch, size)."""
    history = observation[:, params.days : params.days + 6 * day].astype(np.float64)
    past: FloatArray = history.reshape(len(history), day, 6) * params.played_ceiling
    return past


@cache
def even_split(params: CampaignParams) -> FloatArray:
    """The same for every channel, as far as limits allow, (days, 3) [bu/day]."""
    return fill(
        np.ones((params.days, len(CHANNELS))), *planner.limits_of(params), params.daily_budget
    )


@cache
def best_constant_split(params: CampaignParams) -> FloatArray:
    """The best plan with the same spend every day, as near to it as a day's limits allow, (days, 3) [bu/day]."""

    def plans(spend: FloatArray) -> FloatArray:
        every_day = np.broadcast_to(spend[:, np.newaxis], (len(spend), params.days, len(CHANNELS)))
        return nearest(every_day, *planner.limits_of(params), params.daily_budget)

    best = _best_spend(params, lambda spend: planner.expected_engagement(params, plans(spend)))
    chosen: FloatArray = plans(best[np.newaxis])[0]
    return chosen


@cache
def myopic(params: CampaignParams) -> FloatArray:
    """Each day what earns most on that day, whatever comes after, (days, 3) [bu/day]."""
    state = model.initial_state()
    plan = []
    for low, high in zip(*planner.limits_of(params), strict=True):

        def within(spend: FloatArray, low: FloatArray = low, high: FloatArray = high) -> FloatArray:
            return nearest(spend, low, high, params.daily_budget)

        def today(
            spend: FloatArray, state: model.State = state, within: Any = within
        ) -> FloatArray:
            return model.engagement(params, model.transition(params, state, within(spend))[0])

        plan.append(within(_best_spend(params, today)))
        _, state = model.transition(params, state, plan[-1])
    return np.stack(plan)


def explanation(params: CampaignParams) -> str:
    """Says in plain words what the best plan is and why."""
    same_every_day = params.limits is None and len(set(params.weekday_factors)) == 1
    if params.is_linear and same_every_day:
        return _linear_explanation(params)
    return _dynamic_explanation(params)


def _alone(channel: int) -> Callable[[CampaignParams], FloatArray]:
    """All on one channel and only the minimums on the others, (days, 3) [bu/day]."""

    @cache
    def plan(params: CampaignParams) -> FloatArray:
        low, high = planner.limits_of(params)
        spend = low.copy()
        left = params.daily_budget - low.sum(axis=-1) + low[:, channel]
        spend[:, channel] = np.minimum(high[:, channel], left)
        return spend

    return plan


ALONE = tuple(_alone(channel) for channel in range(len(CHANNELS)))


def _optimal(params: CampaignParams) -> FloatArray:
    return planner.plan(params).spend


def _best_spend(params: CampaignParams, earned: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The spend (3,) [bu/day] that earns most: the best on a grid, then on ever finer ones around it.

    Args:
        params: The campaign.
        earned: Spends (count, 3) [bu/day] to what they earn, (count,) [1].
    """
    budget = params.daily_budget
    step = budget / 20
    whole = np.indices((21,) * len(CHANNELS)).reshape(len(CHANNELS), -1).T  # (21^3, 3)
    grid = step * whole[whole.sum(axis=-1) <= 20]
    around = np.indices((5,) * len(CHANNELS)).reshape(len(CHANNELS), -1).T - 2.0  # (5^3, 3)
    best: FloatArray = grid[earned(grid).argmax()]
    while step > 1e-7 * budget:
        near = np.maximum(best + step * around, 0.0)
        near *= budget / np.maximum(near.sum(axis=-1, keepdims=True), budget)
        found = earned(np.concatenate([best[np.newaxis], near]))
        if found.argmax() == 0:
            step /= 2
        best = np.concatenate([best[np.newaxis], near])[found.argmax()]
    return best


def _linear_explanation(params: CampaignParams) -> str:
    per_unit = np.einsum("ck,k->c", params.counts_array, params.weights_array)
    best = CHANNELS[int(per_unit.argmax())]
    earned = ", ".join(f"{name} {value:g}" for name, value in zip(CHANNELS, per_unit, strict=True))
    return (
        f"All {best} is right here because the response is linear: a unit of budget earns the same engagement "
        f"({earned}) whether it is the first or the hundredth, today or on the last day. Nothing saturates and "
        f"nothing is remembered, so every unit moved to the channel that earns most is a gain, and there is no "
        f"reason to spread. A real channel tires; a campaign that models it has its best plan in between."
    )


def _dynamic_explanation(params: CampaignParams) -> str:
    """A sentence for each effect that the campaign has, with the figures of its optimal plan."""
    plan = planner.plan(params)
    path = planner.trajectory(params, plan.spend)
    first, last = plan.spend[0], plan.spend[-1]
    sentences = [
        f"The best plan earns {plan.engagement:,.1f}. It starts with {_split(first)} and ends with {_split(last)}."
    ]
    if params.is_linear:
        sentences.append(
            "Every unit on a channel earns the same, so each day goes to the one that earns most per unit."
        )
    if any(params.inv_half_saturation):
        sentences.append(
            "Channels saturate: each further unit on the same channel and day earns less than the one before, "
            "so it pays to spread until the next unit is worth the same everywhere."
        )
    if params.loyalty_gain and params.loyalty_lift:
        sentences.append(
            f"Rewards build loyalty, which lifts what posts earn by up to {params.loyalty_lift:.0%} on the days that "
            f"follow: loyalty is {path.loyalty.max():.2f} at its highest (1 is the most). That is an investment, worth "
            f"most while many days are left: rewards get {first[2]:.0f} units on the first day and {last[2]:.0f} on "
            "the last."
        )
    if params.fatigue:
        sentences.append(
            f"Ads tire the audience: their strength falls to {path.freshness.min():.2f} of a fresh ad's. What is spent "
            f"on them early makes later ones weaker, and on the last day nothing is left to spare: ads get "
            f"{first[1]:.0f} units on the first day and {last[1]:.0f} on the last."
        )
    if any(params.carry_over):
        kept = ", ".join(
            f"{name} {share:.0%}" for name, share in zip(CHANNELS, params.carry_over, strict=True)
        )
        sentences.append(
            f"Part of a spend works only on later days (kept from day to day: {kept})."
        )
    if len(set(params.weekday_factors)) > 1:
        sentences.append(
            "Some weekdays earn more than others, and what pays at once is worth most on those."
        )
    if params.limits is not None:
        sentences.append(
            "The least and most that each channel may get hold the plan back on some days."
        )
    return " ".join(sentences)


def _split(spend: FloatArray) -> str:
    return ", ".join(f"{value:.0f} on {name}" for name, value in zip(CHANNELS, spend, strict=True))
