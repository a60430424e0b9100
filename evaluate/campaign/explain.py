"""Why a budget is split as it is: what stands behind a plan, and the best plan in plain words."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.params import CHANNELS, CampaignParams, FloatArray
from evaluate.campaign.policies import best_name, is_optimum_confirmed

NEAR = 0.005  # of the daily budget counts as standing at a limit
LINEAR = (
    "Every unit on a channel earns the same, so each day goes to the one that earns most per unit."
)
SATURATED = (
    "Channels saturate: each further unit on the same channel and day earns less than the one "
    "before, so it pays to spread until the next unit is worth the same everywhere."
)
WEEKDAYS = "Some weekdays earn more than others, and what pays at once is worth most on those."
LIMITED = "The least and most that each channel may get hold the plan back on some days."


class PlanDiagnostics(NamedTuple):
    """What stands behind a plan; each has a row for every day.

    Attributes:
        loyalty: At the start of the day, (days,) [1].
        effectiveness: What fatigue leaves of the ads' strength, at the start too, (days,) [1].
        marginal_engagement: What one more unit is worth over the rest of the campaign, (days,
            channels) [1/bu].
        active_constraint: The limit that a spend stands at, or nothing, (days, channels): ``at 0``,
            ``at min``, ``at max``, or ``all`` where the whole budget is on one channel.
    """

    loyalty: FloatArray
    effectiveness: FloatArray
    marginal_engagement: FloatArray
    active_constraint: NDArray[np.str_]

    @property
    def is_limited(self) -> bool:
        """Whether spending limits hold the plan back anywhere."""
        return bool(np.isin(self.active_constraint, ["at min", "at max"]).any())


def plan_diagnostics(params: CampaignParams, spend: FloatArray) -> PlanDiagnostics:
    """What stands behind a plan (days, channels) [bu/day] in the nominal campaign."""
    _, states = model.rollout(params, spend)
    _, _, effectiveness, loyalty = map(np.array, zip(*states[:-1], strict=True))
    marginal = planner.engagement_and_gradient(params, spend)[1]
    return PlanDiagnostics(loyalty, effectiveness, marginal, _active_constraint(params, spend))


def how_sure(params: CampaignParams) -> str:
    """What is proved of the best plan, in a few sentences."""
    check = planner.plan(params).check
    residual = f"{check.residual:.0e}" if check.residual > 0 else "0"
    text = (
        f"The {best_name(params)} is stationary to {residual} of its engagement, and "
        f"{check.found_by} of the planner's {check.starts} starts reached it."
    )
    if not check.is_supported:
        return f"{text} There may well be a better one, so shares of it may be too high."
    if not is_optimum_confirmed(params):
        return f"{text} That proves a local optimum; there may be a better one elsewhere."
    if params.is_linear:
        return f"{text} As the response is linear, no plan is better."
    return f"{text} That proves a local optimum; an independent search found no better one."


def explanation(params: CampaignParams) -> str:
    """Says in plain words what the best plan is and why."""
    same_every_day = params.limits is None and len(set(params.weekday_factors)) == 1
    if params.is_linear and same_every_day:
        return _linear_explanation(params)
    return " ".join(_effects(params))


def _active_constraint(params: CampaignParams, spend: FloatArray) -> NDArray[np.str_]:
    low, high = planner.limits_of(params)
    near = NEAR * params.daily_budget
    least = np.where(low > 0, "at min", "at 0")
    most = np.where(high < params.daily_budget, "at max", "all")
    return np.where(spend <= low + near, least, np.where(spend >= high - near, most, ""))


def _linear_explanation(params: CampaignParams) -> str:
    per_unit = np.einsum("ck,k->c", params.counts_array, params.weights_array)
    best = CHANNELS[int(per_unit.argmax())]
    earned = ", ".join(f"{name} {value:g}" for name, value in zip(CHANNELS, per_unit, strict=True))
    return (
        f"Spending all on {best} is right here because the response is linear: a unit of budget "
        f"earns the same engagement ({earned}) whether it is the first or the hundredth, today or "
        "on the last day. Nothing saturates and nothing carries over, so every unit moved to the "
        "channel that earns most is a gain, and there is no reason to spread. A real channel "
        "saturates; a campaign that models it has its best plan in between."
    )


def _effects(params: CampaignParams) -> Iterator[str]:
    """A sentence for each effect that the campaign has, with the figures of its best plan."""
    plan = planner.plan(params)
    behind = plan_diagnostics(params, plan.spend)
    yield (
        f"The {best_name(params)} earns {plan.engagement:,.1f}. It starts with "
        f"{_split(plan.spend[0])} and ends with {_split(plan.spend[-1])}."
    )
    if params.is_linear:
        yield LINEAR
    if any(params.inv_half_saturation):
        yield SATURATED
    yield from _audience(params, plan.spend, behind)
    if any(params.carry_over):
        shares = zip(CHANNELS, params.carry_over, strict=True)
        kept = ", ".join(f"{name} {share:.0%}" for name, share in shares)
        yield f"Part of a spend works only on later days (kept from day to day: {kept})."
    if len(set(params.weekday_factors)) > 1:
        yield WEEKDAYS
    if behind.is_limited:
        yield LIMITED


def _audience(params: CampaignParams, spend: FloatArray, behind: PlanDiagnostics) -> Iterator[str]:
    """What rewards and ads do to the audience under a plan."""
    first, last = spend[0], spend[-1]
    if params.loyalty_gain and params.loyalty_lift:
        yield (
            "Rewards build loyalty, which lifts what posts earn by up to "
            f"{params.loyalty_lift:.0%} on the days that follow: loyalty is "
            f"{behind.loyalty.max():.2f} at its highest (1 is the most). That is an investment, "
            f"worth most while many days are left: rewards get {first[2]:.0f} units on the first "
            f"day and {last[2]:.0f} on the last."
        )
    if params.fatigue:
        yield (
            f"Ads tire the audience: their strength falls to {behind.effectiveness.min():.2f} of "
            "what it is at first. What is spent on them early makes later ones weaker, and on the "
            f"last day there is nothing left to save them for: ads get {first[1]:.0f} units on the "
            f"first day and {last[1]:.0f} on the last."
        )


def _split(spend: FloatArray) -> str:
    return ", ".join(f"{value:.0f} on {name}" for name, value in zip(CHANNELS, spend, strict=True))
