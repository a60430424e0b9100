"""Planning where campaigns differ: for many at once, each with several scenarios of what may hold.

It serves three baselines: the best fixed plan (one for the whole prior), the plan of the
clairvoyant (who knows the latent parameters), and the daily re-planner: a particle filter that
knows the prior and the noise and replans the days left for the mean over what is still likely.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from envs.campaign import model, planner
from envs.campaign.latent import map_latent, sample_latent, select
from envs.campaign.limits import nearest
from envs.campaign.params import CampaignParams, FloatArray, Latent

PARTICLES = 5_000  # with 2,000 a hundredth of the gap less is closed than with 20,000
POSTERIOR_PARTICLES = 20_000  # of one campaign: after a week a hundredth of them may count
CHUNK = 50  # campaigns at a time: what their particles need fits into memory
SCENARIOS = 48  # that a day's plan is made for; with 16 a fiftieth of the gap less is closed
DAILY_ITERATIONS = 40
CLAIRVOYANT_ITERATIONS = 80  # 4e-5 of the optimum is lost on average, 1.5e-3 in the worst of 60
FIXED_ITERATIONS = 60
FIXED_SCENARIOS = 2_000
NUDGE = 1e-5  # of the daily budget
FIRST_STEP = 0.15  # of the daily budget
MOMENTUM = 0.9
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


class Scenarios(NamedTuple):
    """Equally likely latent parameters of campaigns on the same day, and where each would stand.

    Attributes:
        latent: Latent parameters with leading axes (campaigns, scenarios).
        state: Arrays (campaigns, scenarios, ...).
    """

    latent: Latent
    state: model.State


def at_start(params: CampaignParams, latent: Latent, campaigns: int, scenarios: int) -> Scenarios:
    """Campaigns before their first day, from latent parameters (campaigns x scenarios, ...)."""
    shape = (campaigns, scenarios)
    shaped = map_latent(latent, lambda values: values.reshape(*shape, *values.shape[1:]))
    return Scenarios(shaped, model.initial_state(params, shape))


def best_plans(
    params: CampaignParams, scenarios: Scenarios, start: FloatArray, iterations: int
) -> FloatArray:
    """The plans that earn most over the days left, in the mean over each campaign's scenarios.

    ``ascend`` from the plans ``start`` (campaigns, days left, channels) [bu/day].
    """
    low, high = (limit[-start.shape[1] :] for limit in planner.limits_of(params))
    slope = partial(_value_and_gradient, params, scenarios)
    return ascend(slope, start, low, high, params.daily_budget, iterations)


def ascend(
    slope: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
    budget: float,
    iterations: int,
) -> FloatArray:
    """The best plans found on the way up from those of some campaigns.

    Projected gradient ascent with momentum; each day's step is scaled by the size of its own
    gradient, and falls linearly to nothing.

    Args:
        slope: What plans (campaigns, days, channels) [bu/day] earn, (campaigns,) [1], and its
            gradient, as the plans [1/bu].
        start: A plan for each campaign, (campaigns, days, channels) [bu/day].
        low: Least spend, (days, channels) [bu/day].
        high: Most spend, (days, channels) [bu/day].
        budget: Most that can be spent in a day [bu/day].
        iterations: How many steps are taken.
    """
    plans, best, most = start, start, np.full(len(start), -np.inf)
    near = 1e-6 * budget
    direction, size = np.zeros_like(start), np.zeros((*start.shape[:2], 1))
    for i in range(iterations + 1):
        value, gradient = slope(plans)
        better = value > most
        most = np.where(better, value, most)
        best = np.where(better[:, np.newaxis, np.newaxis], plans, best)
        gradient = _feasible_part(gradient, plans <= low + near, plans >= high - near)
        direction = MOMENTUM * direction + (1.0 - MOMENTUM) * gradient
        size = MOMENTUM * size + (1.0 - MOMENTUM) * (gradient**2).sum(axis=-1, keepdims=True)
        step = FIRST_STEP * budget * (1.0 - i / iterations)
        ahead = plans + step * direction / np.sqrt(size + 1e-300)
        ahead += budget  # so that the nearest plan spends it all
        plans = nearest(ahead, low, high, budget)
    return best


def best_fixed_plan(
    params: CampaignParams, rng: np.random.Generator, past: FloatArray | None = None
) -> FloatArray:
    """The plan (days left, channels) [bu/day] that earns most in the mean over what is likely.

    That is the posterior after the past days, (past days, channels + metrics), or the prior.
    """
    if past is None:
        prior, played = sample_latent(params, rng, FIXED_SCENARIOS), 0
        likely = at_start(params, prior, 1, FIXED_SCENARIOS)
    else:
        likely, played = _posterior(params, rng, FIXED_SCENARIOS, past), len(past)
    start = planner.plan(params).spend[np.newaxis, played:]
    plan: FloatArray = best_plans(params, likely, start, FIXED_ITERATIONS)[0]
    return plan


def clairvoyant_plans(params: CampaignParams, latent: Latent, fixed: FloatArray) -> FloatArray:
    """The best plan of each campaign whose latent parameters (campaigns, ...) are known.

    Starts from the plan ``fixed`` (days, channels); returns (campaigns, days, channels) [bu/day].
    """
    campaigns = len(latent.loyalty_lift)
    start = np.repeat(fixed[np.newaxis], campaigns, axis=0)
    return best_plans(params, at_start(params, latent, campaigns, 1), start, CLAIRVOYANT_ITERATIONS)


def replan(
    params: CampaignParams,
    particles: Latent,
    past: FloatArray,
    fixed: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Today's spend (campaigns, channels) [bu/day] of the plan that is best for what is likely.

    Arguments are those of ``importance_weights``; the ascent starts from the plan ``fixed`` (days,
    channels) [bu/day], and ``rng`` chooses the few scenarios that the plan is made for.
    """
    spends = []
    for some in np.array_split(past, -(-len(past) // CHUNK)):
        weights, state = importance_weights(params, particles, some)
        scenarios = resample(particles, weights, state, SCENARIOS, rng)
        start = np.repeat(fixed[np.newaxis, some.shape[1] :], len(some), axis=0)
        spends.append(best_plans(params, scenarios, start, DAILY_ITERATIONS)[:, 0])
    return np.concatenate(spends)


def importance_weights(
    params: CampaignParams, particles: Latent, past: FloatArray
) -> tuple[FloatArray, model.State]:
    """How likely each particle is after the past days.

    Args:
        params: What all campaigns have in common.
        particles: Latent parameters drawn from the prior, (particles, ...).
        past: Spend [bu/day] and metrics [counts/day], (campaigns, past days, channels + metrics).

    Returns:
        Weights (campaigns, particles), each row summing to 1, and the states today, arrays
        (campaigns, particles, ...).
    """
    shape, channels = (len(past), len(particles.loyalty_lift)), len(params.channels)
    state = model.initial_state(params, shape)
    log_likelihood = np.zeros(shape)
    for today in past.swapaxes(0, 1)[:, :, np.newaxis]:  # (campaigns, 1, channels + metrics)
        spend, metrics = np.split(today, [channels], axis=-1)
        spend = np.broadcast_to(spend, (*shape, channels))
        mean, state = model.transition(params, state, spend, particles)
        log_likelihood += _log_likelihood(params, metrics, mean)
    weights: FloatArray = special.softmax(log_likelihood, axis=-1)
    return weights, state


def sample_posterior(
    params: CampaignParams, rng: np.random.Generator, count: int, past: FloatArray
) -> Latent:
    """Samples a campaign's latent parameters after its past days, arrays (count, ...).

    The past days are spend [bu/day] and metrics [counts/day], (past days, channels + metrics).
    """
    return select(_posterior(params, rng, count, past).latent, 0)


def resample(
    particles: Latent,
    weights: FloatArray,
    state: model.State,
    count: int,
    rng: np.random.Generator,
) -> Scenarios:
    """A few equally likely scenarios in place of many weighted particles: systematic resampling.

    Weights and states are those that ``importance_weights`` gives the particles.
    """
    places = (np.arange(count) + rng.uniform(size=(len(weights), 1))) / count
    total = np.cumsum(weights, axis=-1)
    rows = zip(total, places, strict=True)
    chosen = np.stack([np.searchsorted(row, place) for row, place in rows])
    chosen = np.minimum(chosen, weights.shape[1] - 1)
    campaigns = np.arange(len(weights))[:, np.newaxis]
    return Scenarios(
        select(particles, chosen), model.State(*(part[campaigns, chosen] for part in state))
    )


def _posterior(
    params: CampaignParams, rng: np.random.Generator, count: int, past: FloatArray
) -> Scenarios:
    """Scenarios (1, count) of a campaign after its past days (past days, channels + metrics)."""
    particles = sample_latent(params, rng, POSTERIOR_PARTICLES)
    weights, state = importance_weights(params, particles, past[np.newaxis])
    return resample(particles, weights, state, count, rng)


def _log_likelihood(params: CampaignParams, metrics: FloatArray, mean: FloatArray) -> FloatArray:
    """Log-probability of metrics (..., metrics) with these means, but for a constant, (...,) [1].

    Equation (5): the shared shock is integrated out by Gauss-Hermite quadrature, the Gamma exactly,
    which leaves a negative binomial.
    """
    log_shock = params.shock_sd * NODES - params.shock_sd**2 / 2  # (nodes,)
    least, y, r = np.maximum(mean, 1e-9), metrics, params.dispersion
    rate = least[..., np.newaxis, :] * np.exp(log_shock)[:, np.newaxis]  # (..., nodes, metrics)
    if r is None:
        less = np.einsum("...nk->...n", rate)
    else:
        less = np.einsum("...k,...nk->...n", y + r, np.log(rate + r))
    logs = np.einsum("...k->...", y)[..., np.newaxis] * log_shock - less  # (..., nodes)
    mixed = special.logsumexp(logs, b=NODE_WEIGHTS, axis=-1)
    total: FloatArray = mixed + np.einsum("...k,...k->...", y, np.log(least))
    return total


def _value_and_gradient(
    params: CampaignParams, scenarios: Scenarios, plans: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean engagement over the scenarios, (campaigns,) [1], and its slope (as the plans) [1/bu].

    Forward differences, a row for each number of the plan, which plays from its own day on: three
    times as fast as complex numbers, and good enough for an ascent that keeps the plan with the
    most value.
    """

    def repeatable(values: NDArray[Any]) -> NDArray[Any]:
        return values[:, :, np.newaxis]  # (campaigns, scenarios, 1 for the rows, ...)

    step = NUDGE * params.daily_budget
    nudge = step * np.eye(plans.shape[-1])
    latent = map_latent(scenarios.latent, repeatable)
    state = model.State(*map(repeatable, scenarios.state))
    earned: FloatArray = np.zeros(1)
    nudged_earned = np.empty_like(plans)
    for day in range(plans.shape[1]):
        left = plans[:, np.newaxis, np.newaxis, day:]  # (campaigns, 1, 1, days left, channels)
        nudged = np.repeat(left, len(nudge), axis=2)
        nudged[..., 0, :] += nudge
        total = model.engagement_to_go(params, state, nudged, latent, earned)
        nudged_earned[:, day] = total.mean(axis=1)
        metrics, state = model.transition(params, state, left[..., 0, :], latent)
        earned = earned + model.engagement(params, metrics)
    value = earned.mean(axis=1)[:, 0]
    return value, (nudged_earned - value[:, np.newaxis, np.newaxis]) / step


def _feasible_part(
    gradient: FloatArray, at_low: NDArray[np.bool_], at_high: NDArray[np.bool_]
) -> FloatArray:
    """The part of a gradient (..., channels) that keeps a day's total and the limits."""
    excess = gradient - gradient.mean(axis=-1, keepdims=True)
    free = ~((at_low & (excess < 0)) | (at_high & (excess > 0)))
    count = np.maximum(free.sum(axis=-1, keepdims=True), 1)
    mean = (gradient * free).sum(axis=-1, keepdims=True) / count
    return np.where(free, gradient - mean, 0.0)
