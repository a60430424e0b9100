"""The planner against known optima, brute force, an independent search and a played environment."""

import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from threadpoolctl import threadpool_info, threadpool_limits

from envs.campaign import planner
from envs.campaign.checks import PER_CHANNEL
from envs.campaign.presets import PRESETS, make_params
from envs.campaign.program import Program
from tests.benchmarks import fuzz_planner

DYNAMIC = PRESETS["dynamic"]
LOYALTY: dict[str, Any] = {
    "loyalty_lift": [3.0, 0.0, 0.0],
    "loyalty_gain": [0.0, 0.0, 1.0],
    "loyalty_decay": 0.05,
}
SINGLE_EFFECTS: dict[str, dict[str, Any]] = {
    "saturation": {"inv_half_saturation": [1 / 280, 1 / 120, 1 / 80]},
    "carry-over": {"carry_over": [0.4, 0.1, 0.3]},
    "loyalty": LOYALTY,
    "fatigue": {"fatigue": [0.0, 0.25, 0.0], "fatigue_recovery": [0.0, 0.25, 0.0]},
    "heavy fatigue": {"fatigue": [0.0, 5.0, 0.0], "fatigue_recovery": [0.0, 0.1, 0.0]},
    "weekdays": {"weekday_factors": [1.00, 1.13, 1.10, 0.96, 0.91, 0.86, 1.04]},
}
KNOWN_PLAN = [
    [0, 12, 88],
    [40, 14, 45],
    [61, 10, 30],
    [66, 7, 27],
    [72, 7, 21],
    [76, 9, 15],
    [58, 36, 6],
]


@pytest.mark.parametrize(("preset", "optimum"), [("linear", 5950.0), ("dynamic", 4659.8)])
def test_the_known_optimum_is_found_by_every_start(preset: str, optimum: float) -> None:
    plan = planner.plan(PRESETS[preset])
    assert plan.engagement == pytest.approx(optimum, abs=0.1)
    assert plan.check.residual <= 1e-6
    assert plan.check.spread <= 1e-6
    assert plan.check.found_by == plan.check.starts >= 8


KINK: dict[str, Any] = {  # a full reward day is within reach
    "daily_budget": 300.0,
    "inv_half_saturation": [1 / 280, 1 / 120, 0.0],
    "carry_over": [0.8, 0.1, 0.3],
}
LOCAL_OPTIMA: dict[str, Any] = {
    "days": 5,
    "daily_budget": 2928.7704286543876,
    "inv_half_saturation": [0.004809321070786356, 0.008720172330135686, 0.0065332485086373555],
    "carry_over": [0.7668183998394973, 0.25382227222137255, 0.3216676215502127],
    "loyalty_lift": [0.007358312886926122, 0.0, 0.0],
    "loyalty_decay": 0.21009226734656522,
    "fatigue": [0.0, 0.5792582291709242, 0.0],
    "fatigue_recovery": [0.0, 0.8447169300586528, 0.0],
}


def test_the_known_plan_is_found() -> None:
    np.testing.assert_allclose(planner.plan(DYNAMIC).spend, KNOWN_PLAN, atol=0.6)


def test_the_plan_of_the_nominal_parameters_knows_no_noise() -> None:
    uncertain, dynamic = planner.plan(PRESETS["uncertain"]), planner.plan(DYNAMIC)
    np.testing.assert_array_equal(uncertain.spend, dynamic.spend)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        (LOCAL_OPTIMA, 11884.82),
        (KINK | {"loyalty_lift": [20.0, 0.0, 0.0]}, 43733.45),
        (KINK | {"loyalty_lift": [100.0, 0.0, 0.0]}, 200300.23),
        ({"daily_budget": 1e5}, 31302.14),
        ({"daily_budget": 1e6}, 31697.29),
        ({"daily_budget": 1e6, "max_spend": [5e5, 3e5, 4e5]}, 31585.42),
        ({"days": 28}, 22914.53),
        ({"days": 13, "daily_budget": 9232.854275097576, "start_weekday": 1}, 56920.27),
    ],
)
def test_the_best_known_plan_is_reached_among_local_optima(
    changes: dict[str, Any], known: float
) -> None:
    plan = planner.plan(make_params("dynamic", **changes))
    assert plan.engagement >= known
    assert plan.check.is_supported


@pytest.mark.parametrize("number", range(12))
def test_no_independent_search_finds_a_better_plan(number: int) -> None:
    case = fuzz_planner.play(2024, number, starts=6, most_days=7)
    assert case.beaten <= fuzz_planner.TOLERANCE


@pytest.mark.parametrize("channels", [1, 2, 5, 8, 12])
def test_none_finds_a_better_plan_of_more_channels(channels: int) -> None:
    for number in range(2):
        case = fuzz_planner.play(2024, number, starts=4, most_days=5, channels=channels)
        assert case.beaten <= fuzz_planner.TOLERANCE


def test_starts_that_leap_to_one_plan_are_climbed_from_too() -> None:
    case = fuzz_planner.play(4202, 4, starts=0, most_days=10, channels=12, same_starts=True)
    assert case.beaten <= fuzz_planner.TOLERANCE


@pytest.mark.filterwarnings("ignore::envs.campaign.planner.PlanWarning")
def test_changes_that_lose_at_first_lead_to_more() -> None:
    rng = np.random.default_rng([4101, 1, 12])
    _, changes = fuzz_planner.draw(rng, most_days=10, channels=12)
    best = planner.plan(make_params("dynamic", **changes))
    assert best.engagement >= 1_040_706.3  # SLSQP from the planner's ten starts finds that


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31))
@pytest.mark.filterwarnings("ignore::envs.campaign.planner.PlanWarning")
def test_a_plan_keeps_to_limits_and_budget(seed: int) -> None:
    _, changes = fuzz_planner.draw(np.random.default_rng(seed), most_days=4)
    params = make_params("dynamic", **changes)
    spend = planner.plan(params).spend
    low, high = planner.limits_of(params)
    assert ((spend >= low) & (spend <= high)).all()
    assert (spend.sum(axis=1) <= params.daily_budget * (1 + 1e-12)).all()


@pytest.mark.parametrize(
    "changes", [{"daily_budget": 300.0, "days": 3}, {"daily_budget": 150.0}, {"days": 2}]
)
def test_a_plan_at_the_kink_of_loyalty_is_stationary(changes: dict[str, Any]) -> None:
    params = make_params("linear", **LOYALTY, **changes)
    plan = planner.plan(params)
    assert plan.spend[0, 2] == pytest.approx(100.0, abs=1e-3)  # a unit less costs, one more is lost
    assert plan.check.is_supported


def test_plans_do_not_depend_on_the_unit_of_counts() -> None:
    tiny = planner.plan(make_params("dynamic", counts=1e-9 * np.array(DYNAMIC.counts)))
    assert tiny.engagement == pytest.approx(1e-9 * planner.plan(DYNAMIC).engagement, rel=1e-9)
    assert tiny.check.is_supported


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.1, 5.0), min_size=3, max_size=3), min_size=3, max_size=3),
    st.lists(st.floats(0.2, 2.0), min_size=7, max_size=7),
    st.floats(1.0, 1e6),
)
def test_a_linear_campaign_has_the_optimum_of_its_closed_form(
    counts: Any, factors: Any, budget: float
) -> None:
    params = make_params(
        "linear", counts=counts, weekday_factors=factors, daily_budget=budget, days=3
    )
    best = (np.array(counts) @ [1.0, 2.0, 3.0]).max()
    assert planner.plan(params).engagement == pytest.approx(
        sum(factors[:3]) * budget * best, rel=1e-9
    )


@pytest.mark.parametrize("name", ["dynamic", *SINGLE_EFFECTS])
def test_no_plan_of_two_days_on_a_grid_earns_more(name: str) -> None:
    params = make_params(
        "dynamic" if name == "dynamic" else "linear", days=2, **SINGLE_EFFECTS.get(name, {})
    )
    plan = planner.plan(params)
    for step, spends_all in ((5, True), (10, False)):
        ticks = np.arange(0, 101, step)
        days = [
            d
            for d in itertools.product(ticks, repeat=3)
            if sum(d) == 100 or (sum(d) < 100 and not spends_all)
        ]
        first, second = np.meshgrid(np.arange(len(days)), np.arange(len(days)))
        split = np.array(days, dtype=np.float64)
        plans = np.stack([split[first.ravel()], split[second.ravel()]], axis=1)
        best = planner.expected_engagement(params, plans).max()
        assert plan.engagement >= best * (1 - 1e-9)
    assert plan.engagement <= best * 1.01  # and a grid comes near it


@pytest.mark.parametrize("name", SINGLE_EFFECTS)
def test_single_effects_leave_local_optima_that_do_not_deceive(name: str) -> None:
    params = make_params("linear", **SINGLE_EFFECTS[name])
    plan = planner.plan(params)
    assert plan.check.is_supported
    channels = np.eye(3) * params.daily_budget
    corners = np.array(
        list(itertools.product(range(3), repeat=7))
    )  # every plan with one channel a day
    assert plan.engagement >= planner.expected_engagement(params, channels[corners]).max() * (
        1 - 1e-9
    )


@pytest.mark.parametrize(
    "changes", [{}, {"days": 14, "start_weekday": 3}, {"daily_budget": 10.0}, {"days": 1}]
)
def test_the_plan_played_in_the_environment_gives_what_it_promises(changes: dict[str, Any]) -> None:
    plan = planner.plan(make_params("dynamic", **changes))
    env = gymnasium.make("envs:DynamicCampaign-v0", action="spend", **changes)
    env.reset()
    total = sum(float(env.step(spend)[1]) for spend in plan.spend)
    assert total == pytest.approx(plan.engagement, rel=1e-6)
    assert plan.check.is_supported


@settings(max_examples=6, deadline=None)
@given(st.floats(5.0, 2000.0), st.floats(1.01, 3.0))
def test_more_budget_never_lowers_the_optimum(budget: float, more: float) -> None:
    less, rich = (
        planner.plan(make_params("dynamic", days=3, daily_budget=b))
        for b in (budget, budget * more)
    )
    assert rich.engagement >= less.engagement * (1 - 1e-6)


@pytest.mark.parametrize("params", [DYNAMIC, make_params("dynamic", **KINK)])
def test_the_gradient_is_that_of_differences(params: Any) -> None:
    rng = np.random.default_rng(0)
    plans = rng.uniform(5, 40, (4, 7, 3))
    totals, gradients = planner.engagement_and_gradient(params, plans)
    np.testing.assert_allclose(totals, planner.expected_engagement(params, plans), rtol=1e-14)
    for day, channel in itertools.product(range(7), range(3)):
        step = np.zeros((7, 3))
        step[day, channel] = 1e-3
        more, less = (planner.expected_engagement(params, plans + move) for move in (step, -step))
        np.testing.assert_allclose(gradients[:, day, channel], (more - less) / 2e-3, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 2, 5, 12]), st.integers(0, 2**31))
def test_the_gradient_is_that_written_by_hand(channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, changes = fuzz_planner.draw(rng, most_days=6, channels=channels)
    params = make_params("dynamic", **changes)
    problem = fuzz_planner.Problem(params)
    plan = problem.start(rng)
    total, gradient = planner.engagement_and_gradient(params, plan)
    by_hand, slopes, _ = problem.value(plan, None)
    assert total == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-12 * np.abs(slopes).max())


FIVE: dict[str, Any] = {  # two build loyalty and can have a full day, two tire, one does both
    "channels": ("search", "video", "influencers", "email", "rewards"),
    "metrics": ("clicks", "orders"),
    "metric_weights": [1.0, 10.0],
    "base": [5.0, 0.0],
    "counts": [[3.0, 0.1], [4.0, 0.2], [2.0, 0.3], [1.0, 0.3], [0.5, 0.2]],
    "daily_budget": 400.0,
    "days": 4,
    "inv_half_saturation": [1 / 300, 1 / 200, 1 / 250, 1 / 150, 0.001],
    "carry_over": [0.1, 0.4, 0.3, 0.0, 0.2],
    "loyalty_lift": [2.0, 0.0, 1.0, 1.5, 0.0],
    "loyalty_gain": [0.0, 0.0, 0.4, 0.0, 0.6],
    "fatigue": [0.0, 0.3, 0.2, 0.0, 0.0],
    "fatigue_recovery": [0.0, 0.3, 0.2, 0.0, 0.0],
}


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("channel", [2, 4])
def test_the_gradient_is_right_on_both_sides_of_a_kink(channel: int, side: float) -> None:
    params = make_params("dynamic", **FIVE)
    nominal, reference = params.nominal, params.reference_budget
    full = 1.0 / (1.0 / reference - nominal.inv_half_saturation[channel])
    plan = np.full((4, 5), 20.0)
    plan[0, channel] = full / (1.0 - nominal.carry_over[channel]) + side * 0.1
    gradient = planner.engagement_and_gradient(params, plan)[1]
    for place in itertools.product(range(4), range(5)):
        step = np.zeros((4, 5))
        step[place] = 1e-3
        more, less = (planner.expected_engagement(params, plan + move) for move in (step, -step))
        assert gradient[place] == pytest.approx((more - less) / 2e-3, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_slopes_of_the_program_are_those_of_differences(seed: int) -> None:
    params = make_params("dynamic", **FIVE)
    program, rng = Program(params, *planner.limits_of(params)), np.random.default_rng(seed)
    plan = rng.dirichlet(np.ones(5), 4) * params.daily_budget
    point = program.point(plan)
    np.testing.assert_allclose(program.spend(point), plan, rtol=1e-9)
    point[plan.size :] *= 0.9  # above it, a level is not kept from building more than all
    free = rng.uniform(size=(4, 2)) < 0.5
    gradient, slopes = program.engagement(point, free)[1], program.slack_slopes(point)
    moves = 1e-6 * np.eye(point.size)
    for place, move in enumerate(moves):
        more, less = (program.engagement(point + step, free)[0] for step in (move, -move))
        assert gradient[place] == pytest.approx((more - less) / 2e-6, rel=1e-4, abs=1e-2)
        change = (program.slack(point + move) - program.slack(point - move)) / 2e-6
        np.testing.assert_allclose(slopes[:, place], change, rtol=1e-5, atol=1e-6)


def test_levels_move_only_where_a_full_day_is_possible() -> None:
    params = make_params("dynamic", **FIVE, max_spend=[400.0, 400.0, 100.0, 400.0, 400.0])
    program = Program(params, *planner.limits_of(params))
    spend = np.full((4, 5), 40.0)
    assert [params.channels[place] for place in program.building] == ["influencers", "rewards"]
    np.testing.assert_array_equal(program.gains(spend), [[False, True]] * 4)
    point = program.point(spend)  # and where none is possible, the level is what the spend makes it
    earned, _ = program.engagement(point, program.gains(spend))
    assert earned == pytest.approx(float(planner.expected_engagement(params, spend)), rel=1e-12)


def test_two_channels_that_build_loyalty_get_a_full_day_each() -> None:
    params = make_params(
        "linear",
        counts=[[10.0, 0, 0], [0.0, 0, 0], [0.0, 0, 0]],  # the others do nothing but build
        daily_budget=300.0,
        inv_half_saturation=[0.0, 1 / 400, 1 / 500],
        loyalty_lift=[3.0, 0.0, 0.0],
        loyalty_gain=[0.0, 0.5, 0.5],
    )
    plan = planner.plan(params)
    full = np.array([1.0, 1.0]) / (1 / 100 - np.array([1 / 400, 1 / 500]))
    first = 300.0 - full.sum()
    np.testing.assert_allclose(plan.spend[0], [first, *full], rtol=1e-4)
    assert plan.engagement == pytest.approx(10.0 * (first + 6 * 300.0 * 4.0), rel=1e-6)
    assert plan.check.is_supported


def test_the_order_of_channels_does_not_change_the_optimum() -> None:
    order = [3, 0, 4, 2, 1]
    fields = ("counts", "channels", *PER_CHANNEL)
    turned = FIVE | {name: [FIVE[name][place] for place in order] for name in fields}
    first, second = (planner.plan(make_params("dynamic", **c)) for c in (FIVE, turned))
    assert second.engagement == pytest.approx(first.engagement, rel=1e-6)
    assert first.check.is_supported


def test_halves_of_a_linear_channel_earn_what_it_did() -> None:
    fields = ("counts", *PER_CHANNEL)
    changes: dict[str, Any] = {name: list(getattr(DYNAMIC, name)) for name in fields}
    changes |= {"inv_half_saturation": [0.0, 1 / 120, 1 / 80], "days": 3}  # a linear one, lifted
    whole = make_params("dynamic", **changes)
    split = {name: [values[0], *values] for name, values in changes.items() if name in fields}
    halves = make_params("dynamic", **changes | split, channels=("half", "other", "ads", "rewards"))
    plans = [planner.plan(params) for params in (whole, halves)]
    assert plans[1].engagement == pytest.approx(plans[0].engagement, rel=1e-6)
    joined = np.column_stack([plans[1].spend[:, :2].sum(axis=1), plans[1].spend[:, 2:]])
    np.testing.assert_allclose(joined, plans[0].spend, atol=0.5)


def test_a_climb_of_a_large_plan_moves_what_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [*FIVE["counts"][:3], [0.01, 0.0], FIVE["counts"][4]]
    params = make_params("dynamic", **FIVE | {"counts": counts})
    program = Program(params, *planner.limits_of(params))
    start = np.array([[200.0, 0.0, 0.0, 0.0, 200.0]] * 4)  # the second and third earn more
    sizes = []
    minimize = optimize.minimize

    def watched(loss: Any, start: Any, **options: Any) -> Any:
        sizes.append(len(start))
        return minimize(loss, start, **options)

    monkeypatch.setattr(planner, "minimize", watched)
    ends = []
    for small in (1000, 1):
        monkeypatch.setattr(planner, "SMALL", small)
        ends.append(planner._climb(program, start, is_first=False))
    earned = planner.expected_engagement(params, np.stack([start, *ends]))
    assert earned[2] == pytest.approx(earned[1], rel=1e-6)
    assert earned[2] > 1.1 * earned[0]
    assert sizes[1] == sizes[0] - params.days  # the fourth earns next to nothing


def test_steeper_losses_reach_the_same_in_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    params = make_params("dynamic", **FIVE | {"days": 14})
    program = Program(params, *planner.limits_of(params))
    start, steps = planner.first_starts(params, np.random.default_rng(0))[-1], []
    minimize = optimize.minimize

    def watched(*args: Any, **options: Any) -> Any:
        result = minimize(*args, **options)
        steps.append(result.nit)
        return result

    monkeypatch.setattr(planner, "minimize", watched)
    ends = []
    for small in (1000, 1):
        monkeypatch.setattr(planner, "SMALL", small)
        ends.append(planner._climb(program, start))
    plain, steep = planner.expected_engagement(params, np.stack(ends))
    assert steep >= plain * (1.0 - 1e-6)
    assert steps[1] < 0.6 * steps[0]


def test_the_next_unit_is_worth_the_same_wherever_the_best_plan_spends() -> None:
    plan = planner.plan(DYNAMIC)
    marginal = planner.engagement_and_gradient(DYNAMIC, plan.spend)[1]
    for spend, worth in zip(plan.spend, marginal, strict=True):
        assert np.ptp(worth[spend > 0.1]) <= 1e-3 * worth.max()
        assert (worth[spend <= 0.1] <= worth[spend > 0.1].max() + 1e-3).all()


def test_a_campaign_that_earns_by_its_base_alone_has_a_plan() -> None:
    plan = planner.plan(make_params("dynamic", counts=np.zeros((3, 3)), base=[1, 0, 0], days=2))
    assert plan.engagement == pytest.approx(1.0 + 1.13)
    assert plan.check.is_supported


def test_a_plan_that_is_not_stationary_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    for effort in ("ITERATIONS", "HOPS", "ROUNDS"):
        monkeypatch.setattr(planner, effort, 1)
    with pytest.warns(planner.PlanWarning, match=r"best plan found: .* stationary to [1-9]"):
        plan = planner.plan(make_params("dynamic", days=3), seed=1)
    assert plan.check.residual > 1e-3
    assert plan.check.starts == planner.MOST_STARTS  # and others were tried


def test_a_plan_that_too_few_starts_reach_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "FOUND_BY", 1000)
    with pytest.warns(planner.PlanWarning, match=r"reached from 13 of 13 starts \(at least 1000\)"):
        planner.plan(make_params("dynamic", days=2), seed=2)


def test_solvers_in_threads_leave_the_blas_threads_as_they_were() -> None:
    def blas_threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    campaigns = [dataclasses.replace(DYNAMIC, days=2, daily_budget=budget) for budget in (7.0, 8.0)]
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(planner.plan, campaigns))
        assert blas_threads() == before


def test_the_solver_runs_on_one_blas_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    minimize = optimize.minimize

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return minimize(*args, **kwargs)

    monkeypatch.setattr(planner, "minimize", watched)
    with threadpool_limits(2, user_api="blas"):
        planner.plan(make_params("dynamic", days=2), seed=3)
    assert seen == {1}


def test_a_plan_is_solved_once_and_cannot_be_changed() -> None:
    plan = planner.plan(DYNAMIC)
    assert planner.plan(make_params("dynamic")) is plan
    with pytest.raises(ValueError, match="read-only"):
        plan.spend[0, 0] = 1.0
