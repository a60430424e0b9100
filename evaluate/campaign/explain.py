"""Why a budget is split as it is: what stands behind a plan, and the best plan in plain words."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.params import CampaignParams, FloatArray
from evaluate.campaign.policies import best_name, is_optimum_confirmed
from evaluate.report import wording

NAMED = 5  # channels in a sentence about a day's spend
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


class Roles(NamedTuple):
    """The places of channels by what they do to the audience."""

    building: tuple[int, ...]  # those that build loyalty; none where it would lift nothing
    lifted: tuple[int, ...]  # those that loyalty lifts; none where nothing builds it
    tiring: tuple[int, ...]  # those that the audience tires of


def roles_of(params: CampaignParams) -> Roles:
    """Which channels build loyalty, are lifted by it, and tire; a single day has no tomorrow."""
    if params.days == 1:
        return Roles((), (), ())
    building, lifted, tiring = (
        tuple(channel for channel, value in enumerate(values) if value > 0)
        for values in (params.loyalty_gain, params.loyalty_lift, params.fatigue)
    )
    return Roles(building if lifted else (), lifted if building else (), tiring)


class PlanDiagnostics(NamedTuple):
    """What stands behind a plan; loyalty (days,), all else (days, channels).

    ``marginal_engagement`` is what one more unit is worth over the rest of the campaign;
    ``active_constraint`` the limit that a spend stands at, or nothing: ``at 0``, ``at min``,
    ``at max``, or ``all`` where the whole budget is on one channel.
    """

    params: CampaignParams
    loyalty: FloatArray  # at the start of the day [1]
    effectiveness: FloatArray  # what fatigue leaves of a channel's strength by then [1]
    marginal_engagement: FloatArray  # [1/bu]
    active_constraint: NDArray[np.str_]

    @property
    def audience(self) -> dict[str, FloatArray]:
        """Loyalty, and the effectiveness of each channel that tires, by what it is, (days,) [1]."""
        roles, names = roles_of(self.params), self.params.channels
        loyalty = {"loyalty": self.loyalty} if roles.building else {}
        tiring = {f"effectiveness of {names[c]}": self.effectiveness[:, c] for c in roles.tiring}
        return loyalty | tiring


def plan_diagnostics(params: CampaignParams, spend: FloatArray) -> PlanDiagnostics:
    """What stands behind a plan (days, channels) [bu/day] in the nominal campaign."""
    _, states = model.rollout(params, spend)
    _, _, effectiveness, loyalty = map(np.array, zip(*states[:-1], strict=True))
    marginal = planner.engagement_and_gradient(params, spend)[1]
    low, high = planner.limits_of(params)
    near = NEAR * params.daily_budget
    least = np.where(low > 0, "at min", "at 0")
    most = np.where(high < params.daily_budget, "at max", "all")
    active = np.where(spend <= low + near, least, np.where(spend >= high - near, most, ""))
    return PlanDiagnostics(params, loyalty, effectiveness, marginal, active)


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


def _linear_explanation(params: CampaignParams) -> str:
    per_unit = (params.counts_array @ params.weights_array).tolist()
    earned_by = dict(zip(params.channels, per_unit, strict=True))
    best = max(earned_by, key=earned_by.__getitem__)
    earned = ", ".join(f"{name} {wording.short(value)}" for name, value in earned_by.items())
    return (
        f"Spending all on {best} is right here because the response is linear: each "
        f"{wording.one_of(params.unit)} earns the same engagement ({earned}) whether it is the "
        "first or the hundredth, today or on the last day. Nothing saturates and nothing carries "
        "over, so every unit moved to the channel that earns most is a gain, and there is no "
        "reason to spread. A real channel saturates; a campaign that models it has its best plan "
        "in between."
    )


def _effects(params: CampaignParams) -> Iterator[str]:
    """A sentence for each effect that the campaign has, with the figures of its best plan."""
    plan = planner.plan(params)
    behind = plan_diagnostics(params, plan.spend)
    yield (
        f"The {best_name(params)} earns {wording.totals(plan.engagement).number(plan.engagement)}. "
        f"It starts with {_split(params, plan.spend[0])} and ends with "
        f"{_split(params, plan.spend[-1])}."
    )
    if params.is_linear:
        yield LINEAR
    if any(params.inv_half_saturation):
        yield SATURATED
    yield from _audience(params, plan.spend, behind)
    if any(params.carry_over):
        shares = zip(params.channels, params.carry_over, strict=True)
        kept = ", ".join(f"{name} {share:.0%}" for name, share in shares if share)
        yield f"Part of a spend works only on later days (kept from day to day: {kept})."
    if len(set(params.weekday_factors)) > 1:
        yield WEEKDAYS
    if np.isin(behind.active_constraint, ["at min", "at max"]).any():
        yield LIMITED


def _audience(params: CampaignParams, spend: FloatArray, behind: PlanDiagnostics) -> Iterator[str]:
    """What the channels do to the audience under a plan."""
    names, (building, lifted, may_tire) = params.channels, roles_of(params)
    if building:
        lift = wording.listed(
            [f"{names[c]} by up to {params.loyalty_lift[c]:,.0%}" for c in lifted]
        )
        builders = wording.listed([names[c] for c in building])
        yield (
            f"Spend on {builders} builds loyalty, which lifts what is earned with "
            f"{lift} on the days that follow: loyalty is {behind.loyalty.max():.2f} at its highest "
            "(1 is the most). That is an investment, worth most while many days are left: "
            f"{_first_and_last(params, spend, building)}."
        )
    if tiring := [c for c in may_tire if np.ptp(behind.effectiveness[:, c])]:
        least = wording.listed([f"{behind.effectiveness[:, c].min():.2f}" for c in tiring])
        yield (
            f"The audience tires of {wording.listed([names[c] for c in tiring])}: at its lowest "
            f"the effect is {least} of what it is at first. What is spent on a tiring channel "
            "early makes its later days weaker, and on the last day there is nothing left to save "
            f"the audience for: {_first_and_last(params, spend, tiring)}."
        )


def _first_and_last(params: CampaignParams, spend: FloatArray, channels: Iterable[int]) -> str:
    """The spend on these channels at both ends, the unit behind the first numbers."""
    form = wording.digits(params.daily_budget).number
    ends = {params.channels[c]: f"{form(spend[0, c])} and {form(spend[-1, c])}" for c in channels}
    return f"on the first and the last day the plan puts {_on(ends, params.unit)}"


def _split(params: CampaignParams, spend: FloatArray) -> str:
    """What a day's money goes to: the channels that get most by name, the others together."""
    form = wording.digits(params.daily_budget).number
    by_size = np.argsort(-spend, kind="stable")
    spent = [c for c in by_size.tolist() if form(spend[c]) != form(0.0)]
    named = sorted(spent if len(spent) <= NAMED else spent[: NAMED - 1])
    amounts = {params.channels[c]: form(spend[c]) for c in named}
    others = [c for c in spent if c not in named]
    if others:
        amounts[f"{len(others)} others"] = form(float(spend[others].sum()))
    return _on(amounts, params.unit) if amounts else "no spend"


def _on(amounts: dict[str, str], unit: str) -> str:
    first, *rest = amounts.items()
    others = [f"{amount} on {name}" for name, amount in rest]
    return wording.listed([f"{first[1]} {unit} on {first[0]}", *others])
