"""Planning where the channels' strength is not known: for many campaigns at once, each with several possible truths.

It serves three yardsticks: the best fixed plan (one plan for the whole prior), the plan of the
    clairvoyant (who knows
the draw), and the daily re-planner, a particle filter that knows the prior and the noise and plans
the rest of the week anew each day for the mean over what is still likely.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from envs.campaign import model, planner
from envs.campaign.latent import map_latent, sample_latent, select
from envs.campaign.limits import nearest
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray, Latent

PARTICLES = 5_000  # with 2,000 a hundredth of the gap less is closed than with 20,000
POSSIBLE = 20_000  # of one campaign: after a week some leave a hundredth of them that count
CHUNK = 50  # campaigns at a time: what their particles need fits into memory
SCENARIOS = 48  # that a day's plan is made for; with 16 a fiftieth of the gap less is closed
DAILY_ITERATIONS = 40
KNOWN_ITERATIONS = (
    80  # the worst of 1,000 campaigns then ends within 4e-5 of its optimum, with 40 within 4e-3
)
FIXED_ITERATIONS = 60
FIXED_SCENARIOS = 2_000
NUDGE = 1e-5  # of the daily budget
FIRST_STEP = 0.15  # of the daily budget
MEMORY = 0.9
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


class Scenarios(NamedTuple):
    """What may hold in each of some campaigns, all on the same day, and how each campaign would then stand.

    Attributes:
        latent: Latent parameters with leading axes (campaigns, truths).
        state: Arrays (campaigns, truths, ...).
    """

    latent: Latent
    state: model.State


class Particles(NamedTuple):
    """Truths drawn from the prior: what a particle filter weighs by how well they explain the days played."""

    latent: Latent
    size: int


def at_start(latent: Latent, campaigns: int, truths: int) -> Scenarios:
    """CampaignBatch before their first day, from coefficients (campaigns x truths, ...) or (truths, ...) for all alike."""
    shaped = map_latent(latent, lambda part: part.reshape(-1, truths, *part.shape[1:]))
    return Scenarios(shaped, model.initial_state((campaigns, truths)))


def best_plans(
    params: CampaignParams, scenarios: Scenarios, start: FloatArray, iterations: int
) -> FloatArray:
    """The plans that earn most over the days left, in the mean over the truths of each campaign.

    Projected gradient ascent with momentum; each day's step is scaled by the size of its own
    gradient, and falls linearly to nothing.

    Args:
        params: What all campaigns have in common.
        scenarios: What may hold, and where the campaigns stand.
        start: Where to begin, (campaigns, days left, 3 channels) [bu/day].
        iterations: How many steps to take.

    Returns:
        Plans (campaigns, days left, 3 channels) [bu/day].
    """
    low, high = (limit[-start.shape[1] :] for limit in planner.limits_of(params))
    plans, best = start, start
    most = np.full(len(start), -np.inf)
    near = 1e-6 * params.daily_budget
    direction, size = np.zeros_like(start), np.zeros((*start.shape[:2], 1))
    for i in range(iterations + 1):
        earned, gradient = _value_and_gradient(params, scenarios, plans)
        better = earned > most
        most, best = (
            np.where(better, earned, most),
            np.where(better[:, np.newaxis, np.newaxis], plans, best),
        )
        gradient = _along(gradient, plans <= low + near, plans >= high - near)
        direction = MEMORY * direction + (1.0 - MEMORY) * gradient
        size = MEMORY * size + (1.0 - MEMORY) * (gradient**2).sum(axis=-1, keepdims=True)
        step = FIRST_STEP * params.daily_budget * (1.0 - i / iterations)
        ahead = plans + step * direction / np.sqrt(size + 1e-300)
        plans = nearest(
            ahead + params.daily_budget, low, high, params.daily_budget
        )  # the nearest that spends it all
    return best


def best_fixed_plan(params: CampaignParams, rng: np.random.Generator) -> FloatArray:
    """The plan (days, 3) [bu/day] that earns most in the mean over the prior: it knows how channels vary, no draw."""
    truths = at_start(sample_latent(params, rng, FIXED_SCENARIOS), 1, FIXED_SCENARIOS)
    best: FloatArray = best_plans(
        params, truths, planner.plan(params).spend[np.newaxis], FIXED_ITERATIONS
    )[0]
    return best


def best_plan_after(
    params: CampaignParams, past: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """The fixed plan (days left, 3) [bu/day] that earns most in the mean over what is likely.

    Args:
        params: The campaign.
        past: Spend [bu/day] and metrics [counts/day] of the past days, (past days, 6).
        rng: For drawing what is likely after them.
    """
    particles = draw_particles(params, rng, POSSIBLE)
    weights, state = weigh(params, particles, past[np.newaxis])
    likely = resample(particles, weights, state, FIXED_SCENARIOS, rng)
    start = planner.plan(params).spend[np.newaxis, len(past) :]
    best: FloatArray = best_plans(params, likely, start, FIXED_ITERATIONS)[0]
    return best


def clairvoyant_plans(params: CampaignParams, latent: Latent, fixed: FloatArray) -> FloatArray:
    """The best plan of every campaign whose latent (campaigns, ...) is known, (campaigns, days, 3) [bu/day]."""
    scenarios = at_start(latent, len(latent.loyalty_lift), 1)
    start = np.repeat(fixed[np.newaxis], len(latent.loyalty_lift), axis=0)
    return best_plans(params, scenarios, start, KNOWN_ITERATIONS)


def replanned(
    params: CampaignParams,
    particles: Particles,
    past: FloatArray,
    fixed: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Today's spend (campaigns, 3) [bu/day] of the plan that is best for what is still likely.

    Args:
        params: What all campaigns have in common.
        particles: Draws of the prior.
        past: Spend [bu/day] and metrics [counts/day] of the days so far, (campaigns, days so far,
            6).
        fixed: The plan to start from, (days, 3) [bu/day].
        rng: For choosing the few truths that the plan is made for.
    """
    spends = []
    for some in np.array_split(past, -(-len(past) // CHUNK)):
        scenarios = resample(particles, *weigh(params, particles, some), SCENARIOS, rng)
        start = np.repeat(fixed[np.newaxis, some.shape[1] :], len(some), axis=0)
        spends.append(best_plans(params, scenarios, start, DAILY_ITERATIONS)[:, 0])
    return np.concatenate(spends)


def draw_particles(params: CampaignParams, rng: np.random.Generator, count: int) -> Particles:
    """Draws the particles."""
    return Particles(sample_latent(params, rng, count), count)


def weigh(
    params: CampaignParams, particles: Particles, past: FloatArray
) -> tuple[FloatArray, model.State]:
    """How likely each particle is after what was played.

    Args:
        params: What all campaigns have in common.
        particles: The truths to weigh.
        past: Spend [bu/day] and metrics [counts/day] of the days so far, (campaigns, days, 6).

    Returns:
        Weights (campaigns, particles), each row summing to 1, and the states (campaigns, particles,
        ...) today.
    """
    state = model.initial_state((len(past), particles.size))
    likelihood = np.zeros((len(past), particles.size))
    for day in range(past.shape[1]):
        spend, metrics = past[:, day, np.newaxis, :3], past[:, day, np.newaxis, 3:]
        mean, state = model.transition(
            params, state, np.broadcast_to(spend, (*likelihood.shape, 3)), particles.latent
        )
        likelihood += _log_likelihood(params, metrics, mean)
    weights: FloatArray = special.softmax(likelihood, axis=-1)
    return weights, state


def sample_posterior(
    params: CampaignParams, rng: np.random.Generator, count: int, past: FloatArray
) -> Latent:
    """What may hold in a campaign after the days played, (days, 6), drawn ``count`` times, arrays (count, ...)."""
    particles = draw_particles(params, rng, POSSIBLE)
    weights, state = weigh(params, particles, past[np.newaxis])
    return select(resample(particles, weights, state, count, rng).latent, 0)


def resample(
    particles: Particles,
    weights: FloatArray,
    state: model.State,
    count: int,
    rng: np.random.Generator,
) -> Scenarios:
    """A few equally likely truths a campaign in place of many weighted ones: systematic resampling."""
    places = (np.arange(count) + rng.uniform(size=(len(weights), 1))) / count
    total = np.cumsum(weights, axis=-1)
    chosen = np.stack(
        [np.searchsorted(row, place) for row, place in zip(total, places, strict=True)]
    )
    chosen = np.minimum(chosen, particles.size - 1)
    rows = np.arange(len(weights))[:, np.newaxis]
    return Scenarios(
        select(particles.latent, chosen), model.State(*(part[rows, chosen] for part in state))
    )


def _log_likelihood(params: CampaignParams, metrics: FloatArray, mean: FloatArray) -> FloatArray:
    """Log-probability of the metrics (..., 3) where these are expected, but for a constant, (...,): equation (5).

    The shared shock is integrated out by Gauss-Hermite quadrature, the Gamma exactly: a negative
    binomial is left.
    """
    log_shock = params.shock_sd * NODES - params.shock_sd**2 / 2  # (nodes,)
    least, y, r = np.maximum(mean, 1e-9), metrics, params.dispersion
    rate = least[..., np.newaxis, :] * np.exp(log_shock)[:, np.newaxis]  # (..., nodes, 3)
    less = (
        np.einsum("...nk->...n", rate)
        if r is None
        else np.einsum("...k,...nk->...n", y + r, np.log(rate + r))
    )
    logs = np.einsum("...k->...", y)[..., np.newaxis] * log_shock - less  # (..., nodes)
    mixed = special.logsumexp(logs, b=NODE_WEIGHTS, axis=-1)
    total: FloatArray = mixed + np.einsum("...k,...k->...", y, np.log(least))
    return total


def _value_and_gradient(
    params: CampaignParams, scenarios: Scenarios, plans: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean engagement over the truths, (campaigns,) [1], and its slope (campaigns, days, 3) [1/bu].

    Forward differences, a row for each number of the plan: three times as fast as complex numbers,
        and good enough for
    an ascent that keeps the plan with the most value.
    """
    days = plans.shape[1]
    step = NUDGE * params.daily_budget
    nudges = step * np.eye(
        1 + days * len(CHANNELS), days * len(CHANNELS), -1
    )  # the first row is the plan itself
    nudged = plans[:, np.newaxis] + nudges.reshape(-1, days, len(CHANNELS))
    earned = _earned(params, scenarios, nudged[:, np.newaxis]).mean(
        axis=1
    )  # (campaigns, 1 + days x 3)
    return earned[:, 0], ((earned[:, 1:] - earned[:, :1]) / step).reshape(plans.shape)


def _along(
    gradient: FloatArray, at_low: NDArray[np.bool_], at_high: NDArray[np.bool_]
) -> FloatArray:
    """The part of a gradient (..., 3) that keeps each day's total and does not push against a limit."""
    excess = gradient - gradient.mean(axis=-1, keepdims=True)
    free = ~((at_low & (excess < 0)) | (at_high & (excess > 0)))
    mean = (gradient * free).sum(axis=-1, keepdims=True) / np.maximum(
        free.sum(axis=-1, keepdims=True), 1
    )
    return np.where(free, gradient - mean, 0.0)


def _earned(params: CampaignParams, scenarios: Scenarios, plans: FloatArray) -> FloatArray:
    """Engagement over the days left (campaigns, truths, ...) [1] of plans (campaigns, 1 or truths, ..., days, 3)."""
    inner = [1] * (plans.ndim - 4)

    def spaced(part: NDArray[Any]) -> NDArray[Any]:
        return part.reshape(*part.shape[:2], *inner, *part.shape[2:])

    latent, state = map_latent(scenarios.latent, spaced), model.State(*map(spaced, scenarios.state))
    return model.engagement_to_go(params, state, plans, latent)
