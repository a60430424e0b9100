"""Sets the planner against an independent search: ``python -m tests.benchmarks.fuzz_planner``.

The search is SLSQP from many starts, with equations, gradients, coordinates and starts of its own.
The exit code is 1 where it beats the planner by more than ``TOLERANCE`` on any random campaign.
"""

import argparse
import math
import statistics
import time
import warnings
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
POWERS = (
    1.0,
    3.0,
)  # spend = budget x coordinate ** power: large ones find small spends of huge budgets
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


def draw(rng: np.random.Generator, most_days: int = 28) -> tuple[str, dict[str, Any]]:
    """A kind of campaign and its parameters, as changes of the dynamic preset."""
    kind = str(rng.choice(["any", "kink", "wear", "rich", "limits", "preset"]))
    days = int(rng.integers(1, most_days + 1))
    budget = 10.0 ** rng.uniform(*{"kink": (2.0, 4.0), "rich": (4.0, 6.0)}.get(kind, (-2.0, 6.0)))
    changes: dict[str, Any] = {
        "days": days,
        "daily_budget": budget,
        "start_weekday": int(rng.integers(7)),
    }
    if kind == "preset":
        return kind, changes
    changes |= {
        "inv_half_saturation": _some(
            rng, 10.0 ** rng.uniform(-1.5, 1.5, 3) / rng.choice([budget, 100.0]), 0.25
        ),
        "carry_over": _some(rng, rng.uniform(0.0, 0.95, 3), 0.2),
        "loyalty_lift": _some(rng, 10.0 ** rng.uniform(-2.0, 2.0, 1), 0.1)[0],
        "loyalty_gain": float(rng.choice([1.0, rng.uniform()])),
        "loyalty_decay": float(rng.choice([0.0, 1.0, rng.uniform(0.0, 0.3)], p=[0.15, 0.05, 0.8])),
        "fatigue": _some(
            rng, 10.0 ** rng.uniform(*((0.5, 2.0) if kind == "wear" else (-2.0, 1.0)), 1), 0.1
        )[0],
        "fatigue_recovery": float(rng.choice([0.0, 1.0, rng.uniform()], p=[0.1, 0.05, 0.85])),
    }
    if rng.uniform() < 0.5:
        changes["weekday_factors"] = rng.uniform(0.2, 2.0, 7).tolist()
    if rng.uniform() < 0.5:
        changes["counts"] = (
            np.array(PRESETS["dynamic"].counts) * rng.lognormal(0.0, 0.7, (3, 1))
        ).tolist()
    if kind == "kink":
        near = float(rng.choice([0.0, rng.uniform(0.0, 1.0 / 100.0 - 1.0 / budget)]))
        changes["inv_half_saturation"][2] = near
    if kind == "limits" or rng.uniform() < 0.15:
        changes |= _limits(rng, days, budget)
    return kind, changes


def _some(rng: np.random.Generator, numbers: FloatArray, zeros: float) -> list[float]:
    chosen: list[float] = np.where(rng.uniform(size=numbers.shape) < zeros, 0.0, numbers).tolist()
    return chosen


def _limits(rng: np.random.Generator, days: int, budget: float) -> dict[str, Any]:
    """Minimums of some or nearly all of the budget, maximums, or both; alike or day by day."""
    shape = (days, 3) if rng.uniform() < 0.5 else (3,)
    taken = rng.choice([rng.uniform(), rng.uniform(0.97, 0.999999)])
    least = rng.dirichlet(np.full(3, 0.6), shape[:-1]) * taken * budget
    most = least + rng.uniform(0.0, 1.0, shape) * (budget - least)
    given = rng.integers(3)
    return ({} if given == 0 else {"min_spend": least.tolist()}) | (
        {} if given == 1 else {"max_spend": most.tolist()}
    )


class Problem:
    """The campaign written down a second time, for plain numbers, with derivatives by hand."""

    def __init__(self, params: CampaignParams) -> None:
        p, days = params, params.days
        self.days, self.budget, self.reference = days, p.daily_budget, p.reference_budget
        weights = np.array(p.metric_weights)
        self.worth = [float(row @ weights) for row in np.array(p.counts)]
        self.base = float(np.array(p.base) @ weights)
        self.factors = [p.weekday_factors[(p.start_weekday + day) % 7] for day in range(days)]
        self.params = p
        low, high = p.limits or (np.zeros((days, 3)), np.full((days, 3), p.daily_budget))
        self.low, self.high = np.array(low), np.array(high)
        room = 1.0 / p.reference_budget - p.inv_half_saturation[2]
        self.has_kink = p.loyalty_gain > 0 and room * p.daily_budget > 1.0
        kept, day = p.carry_over[2], np.arange(days)
        ago = day[:, np.newaxis] - day
        self.carried = np.where(
            ago >= 0, (1.0 - kept) * kept ** np.maximum(ago, 0), 0.0
        )  # (day, day of spend)

    def value(
        self, spend: list[list[float]], reward: list[float] | None
    ) -> tuple[float, FloatArray, FloatArray]:
        """Engagement, and its gradient in spend (days, 3) and in the reward levels (days,)."""
        p = self.params
        (a0, a1, a2), (k0, k1, k2) = p.carry_over, p.inv_half_saturation
        w, rec, lift, rho, delta = (
            p.fatigue / p.reference_budget,
            p.fatigue_recovery,
            p.loyalty_lift,
            p.loyalty_gain,
            p.loyalty_decay,
        )
        v0, v1, v2 = self.worth
        c0 = c1 = c2 = loyal = total = 0.0
        fresh = 1.0
        tape = []
        for day, (x0, x1, x2) in enumerate(spend):
            c0, c1, c2 = (1 - a0) * x0 + a0 * c0, (1 - a1) * x1 + a1 * c1, (1 - a2) * x2 + a2 * c2
            d0, d1, d2 = 1 + c0 * k0, 1 + c1 * k1, 1 + c2 * k2
            s0, s1, s2 = c0 / d0, c1 / d1, c2 / d2
            total += self.factors[day] * (
                self.base + v0 * s0 * (1 + lift * loyal) + v1 * s1 * fresh + v2 * s2
            )
            tired = math.exp(-w * x1)
            level = min(s2 / self.reference, 1.0) if reward is None else reward[day]
            tape.append((d0, d1, d2, s0, s1, s2, loyal, fresh, tired, level))
            left = fresh * tired
            fresh = left + rec * (1 - left)
            loyal += rho * (1 - loyal) * level - delta * loyal
        slopes, levels = np.zeros((self.days, 3)), np.zeros(self.days)
        b0 = b1 = b2 = worth_fresh = worth_loyal = 0.0
        for day in range(self.days - 1, -1, -1):
            d0, d1, d2, s0, s1, s2, loyal, fresh, tired, level = tape[day]
            factor = self.factors[day]
            worth_level = worth_loyal * rho * (1 - loyal)
            levels[day] = worth_level
            worth_left = worth_fresh * (1 - rec)
            r2 = factor * v2 + (
                worth_level / self.reference if reward is None and s2 < self.reference else 0.0
            )
            b0 += factor * v0 * (1 + lift * loyal) / d0**2
            b1 += factor * v1 * fresh / d1**2
            b2 += r2 / d2**2
            slopes[day] = (
                (1 - a0) * b0,
                (1 - a1) * b1 - worth_left * w * fresh * tired,
                (1 - a2) * b2,
            )
            b0, b1, b2 = a0 * b0, a1 * b1, a2 * b2
            worth_loyal = worth_loyal * (1 - rho * level - delta) + factor * v0 * s0 * lift
            worth_fresh = worth_left * tired + factor * v1 * s1
        return total, slopes, levels

    def reward_levels(self, spend: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rewards' effect as a share of a full reward day, (days,), and its slopes (days, days)."""
        carried = self.carried @ spend[:, 2]
        divisor = 1.0 + carried * self.params.inv_half_saturation[2]
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
        """Where SLSQP ends from a plan (days, 3), with reward levels as variables or without."""
        n, budget = 3 * self.days, self.budget
        scale = max(abs(self.value(start.tolist(), None)[0]), 1e-300)
        per_day = np.kron(np.eye(self.days), np.ones(3))

        def spend_of(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            share = np.clip(z[:n], 0.0, 1.0)
            return budget * share**power, budget * power * share ** (power - 1.0)

        def loss(z: FloatArray) -> tuple[float, FloatArray]:
            spend, slope = spend_of(z)
            total, gradient, levels = self.value(
                spend.reshape(-1, 3).tolist(), z[n:].tolist() if has_levels else None
            )
            ends = [gradient.ravel() * slope] + ([levels] if has_levels else [])
            return -total / scale, -np.concatenate(ends) / scale

        def slack(z: FloatArray) -> FloatArray:
            spend, _ = spend_of(z)
            money = 1.0 - per_day @ spend / budget
            if not has_levels:
                return money
            return np.concatenate([money, self.reward_levels(spend.reshape(-1, 3))[0] - z[n:]])

        def slack_slopes(z: FloatArray) -> FloatArray:
            spend, slope = spend_of(z)
            money = -per_day * slope / budget
            if not has_levels:
                return money
            levels = np.zeros((self.days, n))
            levels[:, 2::3] = self.reward_levels(spend.reshape(-1, 3))[1] * slope[2::3]
            return np.block(
                [[money, np.zeros((self.days, self.days))], [levels, -np.eye(self.days)]]
            )

        at = (start.ravel() / budget) ** (1.0 / power)
        bounds = np.stack(
            [(limit.ravel() / budget) ** (1.0 / power) for limit in (self.low, self.high)], axis=1
        )
        if has_levels:
            at = np.concatenate([at, np.minimum(self.reward_levels(start)[0], 1.0)])
            bounds = np.concatenate([bounds, np.tile([0.0, 1.0], (self.days, 1))])
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
        spend = spend_of(np.nan_to_num(end.x))[0].reshape(-1, 3)
        return self.inside(spend)

    def start(self, rng: np.random.Generator) -> FloatArray:
        """A random plan: shares of the budget, ads of any size, on some or all days."""
        shares = rng.dirichlet(np.full(3, rng.choice([0.5, 2.0])), self.days)
        if rng.uniform() < 0.5:  # rewards first
            early = np.linspace(1.0, 0.0, self.days)[:, np.newaxis] ** rng.uniform(0.5, 2.0)
            shares = early * [0.05, 0.05, 0.9] + (1.0 - early) * shares
        spend = shares * self.budget
        spend[:, 1] *= 10.0 ** -rng.uniform(0.0, rng.choice([0.5, 5.0]))
        pulses = rng.uniform(size=self.days) < rng.choice([0.0, 0.3])
        spend[pulses] = self.budget * np.array([0.02, 0.96, 0.02])
        return self.inside(np.maximum(spend, 1e-9 * self.budget))

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
    """The best plan (days, 3) [bu/day] of SLSQP from random starts, half of them near the best."""
    problem = Problem(params)
    best, most = problem.start(rng), -math.inf
    for count in range(starts):
        start = problem.start(rng) if count < starts / 2 else problem.shaken(rng, best)
        has_levels = problem.has_kink and count % 4 < 2  # exact unless loyalty can be too much
        end = problem.climb(start, POWERS[count % 2], has_levels)
        earned = problem.value(end.tolist(), None)[0]
        if earned > most:
            best, most = end, earned
    return best


def play(seed: int, number: int, starts: int, most_days: int = 28) -> Case:
    """One case of the fuzz, which depends on seed and number alone."""
    rng = np.random.default_rng([seed, number])
    kind, changes = draw(rng, most_days)
    params = make_params("dynamic", **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", planner.PlanWarning)
        begun = time.process_time(), time.perf_counter()
        found = planner.plan(params)
        seconds = time.process_time() - begun[0], time.perf_counter() - begun[1]
    with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
        spend = independent_plan(params, rng, starts)
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
    parser.add_argument("--starts", type=int, default=12, help="starts of the independent search")
    parser.add_argument("--processes", type=int, default=2, help="how many at once")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.count)
    with ProcessPoolExecutor(args.processes) as pool:
        cases = list(pool.map(partial(play, args.seed, starts=args.starts), numbers))
    print(table(cases))
    return 1 if any(case.beaten > TOLERANCE for case in cases) else 0


if __name__ == "__main__":
    raise SystemExit(main())
