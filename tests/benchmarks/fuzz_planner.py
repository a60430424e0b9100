"""Sets the planner against an independent search: ``python -m tests.benchmarks.fuzz_planner``.

The search is SLSQP from many starts, with equations, gradients, coordinates and starts of its own.
With ``--same-starts`` it climbs from the first starts of the planner instead, so that the planner
has no luck with its starts to thank. The exit code is 1 where the search beats the planner by more
than ``TOLERANCE`` on any random campaign.
"""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from envs.campaign import planner
from envs.campaign.params import CampaignParams
from envs.campaign.presets import PRESETS, make_params

FloatArray = NDArray[np.float64]
TOLERANCE = 1e-5
POWERS = (1.0, 3.0)  # spend = budget x coordinate ** power: 3 finds small spends of huge budgets
ITERATIONS = 150
SHOWN = 12


class Case(NamedTuple):
    """One campaign, what the planner made of it, and what the independent search did.

    Attributes:
        number: Which case of its seed it is.
        kind: What the campaign was drawn to be.
        changes: Its parameters, as changes of the dynamic preset.
        plan: The planner's plan.
        independent: What the best plan of the independent search earns [1].
        cpu_seconds: What the planner took of one core [s].
        wall_seconds: How long that took [s].
    """

    number: int
    kind: str
    changes: dict[str, Any]
    plan: planner.Plan
    independent: float
    cpu_seconds: float
    wall_seconds: float

    @property
    def beaten(self) -> float:
        """How much more the independent search found, as a share of the planner's [1]."""
        return self.independent / max(self.plan.engagement, 1e-300) - 1.0


def draw(
    rng: np.random.Generator, most_days: int = 28, channels: int | None = None
) -> tuple[str, dict[str, Any]]:
    """A kind of campaign and its parameters, as changes of the dynamic preset.

    Without a number of channels it is one of the article's, with their roles; with one, each role
    falls to any of them, from none to all.
    """
    kind = str(rng.choice(["any", "kink", "wear", "rich", "limits", "preset"]))
    days = int(rng.integers(1, most_days + 1))
    budget = 10.0 ** rng.uniform(*{"kink": (2.0, 4.0), "rich": (4.0, 6.0)}.get(kind, (-2.0, 6.0)))
    changes: dict[str, Any] = {
        "days": days,
        "daily_budget": budget,
        "start_weekday": int(rng.integers(7)),
    }
    if kind == "preset" and channels is None:
        return kind, changes
    lifted, tiring, building = _roles(rng, channels)
    count, worn = lifted.size, int(tiring.sum())
    half = 10.0 ** rng.uniform(-1.5, 1.5, count) / rng.choice([budget, 100.0])
    changes |= {
        "inv_half_saturation": _some(rng, half, 0.25),
        "carry_over": _some(rng, rng.uniform(0.0, 0.95, count), 0.2),
        "loyalty_lift": _put(lifted, _some(rng, 10.0 ** rng.uniform(-2, 2, lifted.sum()), 0.1)),
        "loyalty_gain": _put(building, _gains(rng, int(building.sum()))),
        "loyalty_decay": float(rng.choice([0.0, 1.0, rng.uniform(0.0, 0.3)], p=[0.15, 0.05, 0.8])),
    }
    rates = 10.0 ** rng.uniform(*((0.5, 2.0) if kind == "wear" else (-2.0, 1.0)), worn)
    changes["fatigue"] = _put(tiring, _some(rng, rates, 0.1))
    mends = [rng.choice([0.0, 1.0, rng.uniform()], p=[0.1, 0.05, 0.85]) for _ in range(worn)]
    changes["fatigue_recovery"] = _put(tiring, mends)
    if rng.uniform() < 0.5:
        changes["weekday_factors"] = rng.uniform(0.2, 2.0, 7).tolist()
    if rng.uniform() < 0.5 or channels is not None:
        counts = np.resize(np.array(PRESETS["dynamic"].counts), (count, 3))
        changes["counts"] = (counts * rng.lognormal(0.0, 0.7, (count, 1))).tolist()
    if kind == "kink":
        near = float(rng.choice([0.0, rng.uniform(0.0, 1.0 / 100.0 - 1.0 / budget)]))
        changes["inv_half_saturation"] = np.where(
            building, near, changes["inv_half_saturation"]
        ).tolist()
    if kind == "limits" or rng.uniform() < 0.15:
        changes |= _limits(rng, days, budget, count)
    if channels is not None:
        changes["channels"] = tuple(f"channel_{number}" for number in range(channels))
    return kind, changes


def _roles(
    rng: np.random.Generator, channels: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which channels loyalty lifts, which tire, and which build loyalty, (channels,) each."""
    if channels is None:
        lifted, tiring, building = np.eye(3, dtype=bool)
        return lifted, tiring, building
    chances = rng.choice(4, (3, 1)) / 3
    lifted, tiring, building = rng.uniform(size=(3, channels)) < chances
    return lifted, tiring, building


def _put(places: NDArray[np.bool_], numbers: Sequence[float]) -> list[float]:
    """A number for each of these channels, and 0 for the others."""
    every = np.zeros(places.size)
    every[places] = numbers
    spread: list[float] = every.tolist()
    return spread


def _gains(rng: np.random.Generator, building: int) -> list[float]:
    total = float(rng.choice([1.0, rng.uniform()]))
    if building < 2:
        return [total] * building
    gains: list[float] = (total * rng.dirichlet(np.ones(building))).tolist()
    return gains


def _some(rng: np.random.Generator, numbers: FloatArray, zeros: float) -> list[float]:
    chosen: list[float] = np.where(rng.uniform(size=numbers.shape) < zeros, 0.0, numbers).tolist()
    return chosen


def _limits(rng: np.random.Generator, days: int, budget: float, channels: int) -> dict[str, Any]:
    """Minimums of some or nearly all of the budget, maximums, or both; alike or day by day."""
    shape = (days, channels) if rng.uniform() < 0.5 else (channels,)
    taken = rng.choice([rng.uniform(), rng.uniform(0.97, 0.999999)])
    least = rng.dirichlet(np.full(channels, 0.6), shape[:-1]) * taken * budget
    most = least + rng.uniform(0.0, 1.0, shape) * (budget - least)
    given = rng.integers(3)
    return ({} if given == 0 else {"min_spend": least.tolist()}) | (
        {} if given == 1 else {"max_spend": most.tolist()}
    )


class Problem:
    """The campaign written down a second time, with derivatives by hand."""

    def __init__(self, params: CampaignParams) -> None:
        p, days, channels = params, params.days, len(params.channels)
        self.days, self.channels, self.budget = days, channels, p.daily_budget
        self.reference = p.reference_budget
        weights = np.array(p.metric_weights)
        self.worth = np.array(p.counts) @ weights
        self.base = float(np.array(p.base) @ weights)
        self.factors = [p.weekday_factors[(p.start_weekday + day) % 7] for day in range(days)]
        self.alpha, self.bend = np.array(p.carry_over), np.array(p.inv_half_saturation)
        self.lift, self.gain = np.array(p.loyalty_lift), np.array(p.loyalty_gain)
        self.wear, self.mends = np.array(p.fatigue) / self.reference, np.array(p.fatigue_recovery)
        self.decay = p.loyalty_decay
        shape = (days, channels)
        low, high = p.limits or (np.zeros(shape), np.full(shape, p.daily_budget))
        self.low, self.high = np.array(low), np.array(high)
        self.tiring, self.building = np.flatnonzero(self.wear), np.flatnonzero(self.gain)
        room = 1.0 / p.reference_budget - self.bend[self.building]
        self.has_kink = bool((room * p.daily_budget > 1.0).any())
        ago = (np.arange(days)[:, np.newaxis] - np.arange(days))[..., np.newaxis]
        kept = self.alpha[self.building]
        self.carried = np.where(
            ago >= 0, (1.0 - kept) * kept ** np.maximum(ago, 0), 0.0
        )  # (day, day of spend, building)

    def value(
        self, spend: FloatArray, chosen: FloatArray | None
    ) -> tuple[float, FloatArray, FloatArray]:
        """Engagement, and its gradient in spend and in the chosen levels (days, building)."""
        alpha, bend, lift, gain = self.alpha, self.bend, self.lift, self.gain[self.building]
        stock, fresh, loyal, total = np.zeros(self.channels), np.ones(self.channels), 0.0, 0.0
        tape = []
        for day, today in enumerate(spend):
            stock = (1 - alpha) * today + alpha * stock
            divisor = 1 + stock * bend
            effect = stock / divisor
            total += self.factors[day] * (
                self.base + float(self.worth @ (effect * (1 + lift * loyal) * fresh))
            )
            tired = np.exp(-self.wear * today)
            reached = effect[self.building] / self.reference
            level = np.minimum(reached, 1.0) if chosen is None else chosen[day]
            tape.append((divisor, effect, fresh, tired, loyal, reached < 1.0, float(gain @ level)))
            left = fresh * tired
            fresh = left + self.mends * (1 - left)
            loyal += (1 - loyal) * float(gain @ level) - self.decay * loyal
        slopes, levels = np.zeros(spend.shape), np.zeros((self.days, gain.size))
        stock_worth = fresh_worth = np.zeros(self.channels)
        loyal_worth = 0.0
        for day in range(self.days - 1, -1, -1):
            divisor, effect, fresh, tired, loyal, below, gained = tape[day]
            now = self.factors[day] * self.worth
            levels[day] = loyal_worth * gain * (1 - loyal)
            effect_worth = now * (1 + lift * loyal) * fresh
            if chosen is None:
                effect_worth[self.building] += levels[day] * below / self.reference
            left_worth = fresh_worth * (1 - self.mends)
            stock_worth = stock_worth + effect_worth / divisor**2
            slopes[day] = (1 - alpha) * stock_worth - left_worth * self.wear * fresh * tired
            stock_worth = alpha * stock_worth
            fresh_worth = left_worth * tired + now * effect * (1 + lift * loyal)
            loyal_worth = loyal_worth * (1 - gained - self.decay)
            loyal_worth += float(now @ (effect * lift * fresh))
        return total, slopes, levels

    def levels(self, spend: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects as shares of a full day, (days, building), and slopes (days, days, building)."""
        carried = np.einsum("ijb,jb->ib", self.carried, spend[:, self.building])
        divisor = 1.0 + carried * self.bend[self.building]
        slopes = self.carried / divisor[:, np.newaxis] ** 2
        return carried / divisor / self.reference, slopes / self.reference

    def inside(self, spend: FloatArray) -> FloatArray:
        """A plan that rounding may have moved out of limits and budget, moved back."""
        inside = np.clip(spend, self.low, self.high)
        over, least = inside.sum(axis=1) - self.budget, self.low.sum(axis=1)
        share = np.where(
            over > 0, (self.budget - least) / np.maximum(inside.sum(axis=1) - least, 1e-300), 1.0
        )
        return self.low + (inside - self.low) * np.minimum(share, 1.0)[:, np.newaxis]

    def climb(self, start: FloatArray, power: float, has_levels: bool) -> FloatArray:
        """Where SLSQP ends from a plan (days, channels), with levels as variables or without."""
        n, budget, shape = start.size, self.budget, start.shape
        scale = max(abs(self.value(start, None)[0]), 1e-300)
        per_day = np.kron(np.eye(self.days), np.ones(self.channels))
        levels = self.days * self.building.size

        def spend_of(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            share = np.clip(z[:n], 0.0, 1.0)
            return (budget * share**power).reshape(shape), budget * power * share ** (power - 1.0)

        def loss(z: FloatArray) -> tuple[float, FloatArray]:
            spend, slope = spend_of(z)
            chosen = z[n:].reshape(self.days, -1) if has_levels else None
            total, gradient, by_level = self.value(spend, chosen)
            ends = [gradient.ravel() * slope] + ([by_level.ravel()] if has_levels else [])
            return -total / scale, -np.concatenate(ends) / scale

        def slack(z: FloatArray) -> FloatArray:
            spend, _ = spend_of(z)
            money: FloatArray = 1.0 - spend.sum(axis=1) / budget
            return np.append(money, self.levels(spend)[0].ravel() - z[n:]) if has_levels else money

        def slack_slopes(z: FloatArray) -> FloatArray:
            spend, slope = spend_of(z)
            money = -per_day * slope / budget
            if not has_levels:
                return money
            unit = np.eye(self.channels)[self.building]
            by_spend = np.einsum("ijb,bc->ibjc", self.levels(spend)[1], unit).reshape(levels, n)
            return np.block(
                [[money, np.zeros((self.days, levels))], [by_spend * slope, -np.eye(levels)]]
            )

        at = (start.ravel() / budget) ** (1.0 / power)
        bounds = np.stack(
            [(limit.ravel() / budget) ** (1.0 / power) for limit in (self.low, self.high)], axis=1
        )
        if has_levels:
            at = np.concatenate([at, np.minimum(self.levels(start)[0], 1.0).ravel()])
            bounds = np.concatenate([bounds, np.tile([0.0, 1.0], (levels, 1))])
        constraint = {"type": "ineq", "fun": slack, "jac": slack_slopes}
        end = minimize(
            loss,
            at,
            jac=True,
            method="SLSQP",
            bounds=bounds,
            constraints=constraint,
            options={"ftol": 1e-11, "maxiter": ITERATIONS},
        )
        return self.inside(spend_of(np.nan_to_num(end.x))[0])

    def start(self, rng: np.random.Generator) -> FloatArray:
        """A random plan: shares of the budget, any size of what tires, on some or all days."""
        shares = rng.dirichlet(np.full(self.channels, rng.choice([0.5, 2.0])), self.days)
        if self.building.size and rng.uniform() < 0.5:  # a channel that builds loyalty first
            early = np.linspace(1.0, 0.0, self.days)[:, np.newaxis] ** rng.uniform(0.5, 2.0)
            shares = early * self._mostly(rng.choice(self.building)) + (1.0 - early) * shares
        spend = shares * self.budget
        for channel in self.tiring:
            spend[:, channel] *= 10.0 ** -rng.uniform(0.0, rng.choice([0.5, 5.0]))
        if self.tiring.size:
            pulses = rng.uniform(size=self.days) < rng.choice([0.0, 0.3])
            spend[pulses] = self.budget * self._mostly(rng.choice(self.tiring))
        return self.inside(np.maximum(spend, 1e-9 * self.budget))

    def _mostly(self, channel: int) -> FloatArray:
        """Shares of the budget with nearly all of it on one channel."""
        shares = np.full(self.channels, 0.1 / self.channels)
        shares[channel] += 0.9
        return shares

    def shaken(self, rng: np.random.Generator, spend: FloatArray) -> FloatArray:
        """A plan with some of its days drawn anew or exchanged."""
        plan, fresh = spend.copy(), self.start(rng)
        days = rng.permutation(self.days)[: rng.integers(1, max(2, self.days // 4) + 1)]
        if rng.uniform() < 0.5:
            plan[days] = fresh[days]
        else:
            plan[days] = plan[rng.permutation(days)]
        return self.inside(np.maximum(plan, 1e-9 * self.budget))


def independent_plan(params: CampaignParams, rng: np.random.Generator, starts: int) -> FloatArray:
    """The best plan (days, channels) [bu/day] of SLSQP from random starts, half near the best."""
    problem = Problem(params)
    best, most = problem.start(rng), -math.inf
    for count in range(starts):
        start = problem.start(rng) if count < starts / 2 else problem.shaken(rng, best)
        has_levels = problem.has_kink and count % 4 < 2  # exact unless loyalty can be too much
        end = problem.climb(start, POWERS[count % 2], has_levels)
        earned = problem.value(end, None)[0]
        if earned > most:
            best, most = end, earned
    return best


def plan_from_same_starts(params: CampaignParams) -> FloatArray:
    """The best plan (days, channels) [bu/day] of SLSQP from the planner's own first starts."""
    problem = Problem(params)
    starts = planner.first_starts(params, np.random.default_rng(0))
    ends = [
        problem.climb(problem.inside(np.maximum(start, 1e-9 * problem.budget)), power, levels)
        for start in starts
        for power, levels in zip(POWERS, (problem.has_kink, False), strict=True)
    ]
    return max(ends, key=lambda end: problem.value(end, None)[0])


def play(
    seed: int,
    number: int,
    starts: int,
    most_days: int = 28,
    channels: int | None = None,
    same_starts: bool = False,
) -> Case:
    """One case of the fuzz, which depends on these numbers alone."""
    rng = np.random.default_rng([seed, number] if channels is None else [seed, number, channels])
    kind, changes = draw(rng, most_days, channels)
    params = make_params("dynamic", **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", planner.PlanWarning)
        begun = time.process_time(), time.perf_counter()
        found = planner.plan(params)
        seconds = time.process_time() - begun[0], time.perf_counter() - begun[1]
    with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
        spend = (
            plan_from_same_starts(params) if same_starts else independent_plan(params, rng, starts)
        )
    earned = float(planner.expected_engagement(params, spend))
    return Case(number, kind, changes, found, earned, *seconds)


def table(cases: list[Case]) -> str:
    """The cases in which the planner does worst, and a summary of all."""
    rows = [
        " case kind   days     budget      planner  independent  beaten by residual found CPU s"
    ]
    for case in sorted(cases, key=lambda case: -case.beaten)[:SHOWN]:
        check, changes = case.plan.check, case.changes
        rows.append(
            f"{case.number:5} {case.kind:6} {changes['days']:4} {changes['daily_budget']:10.4g} "
            f"{case.plan.engagement:12.6g} {case.independent:12.6g} {case.beaten:10.2e} "
            f"{check.residual:8.1e} {check.found_by:2}/{check.starts:2} {case.cpu_seconds:5.1f}"
        )
    beaten = sum(case.beaten > TOLERANCE for case in cases)
    better = sum(case.beaten < -TOLERANCE for case in cases)
    supported = sum(case.plan.check.is_supported for case in cases)
    slowest = max(cases, key=lambda case: case.cpu_seconds)
    rows += [
        f"{len(cases)} campaigns: {beaten} beaten by more than {TOLERANCE:g}, {better} better than "
        f"the independent search by as much, {supported} supported by their check",
        f"planner, CPU seconds: median {statistics.median(c.cpu_seconds for c in cases):.2f}, "
        f"most {slowest.cpu_seconds:.1f} (case {slowest.number}); wall clock, whatever else ran: "
        f"most {max(case.wall_seconds for case in cases):.1f}",
    ]
    return "\n".join(rows)


def main() -> int:
    """Plays all cases, prints the worst of them, and returns 1 where one is beaten."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many campaigns")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the campaigns")
    parser.add_argument("--channels", type=int, help="of each; without it the article's campaign")
    parser.add_argument("--most-days", type=int, default=28, help="length of the longest")
    parser.add_argument("--starts", type=int, default=12, help="starts of the independent search")
    parser.add_argument(
        "--same-starts", action="store_true", help="start where the planner does instead"
    )
    parser.add_argument("--processes", type=int, default=2, help="how many at once")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.count)
    with ProcessPoolExecutor(args.processes) as pool:
        options = {"most_days": args.most_days, "channels": args.channels}
        options |= {"starts": args.starts, "same_starts": args.same_starts}
        one = partial(play, args.seed, **options)
        cases = list(pool.map(one, numbers))
    print(table(cases))
    return 1 if any(case.beaten > TOLERANCE for case in cases) else 0


if __name__ == "__main__":
    raise SystemExit(main())
