"""The planner against known optima, brute force and a rolled-out environment; its certificate against bad answers."""

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.campaign import planner
from envs.campaign.params import PRESETS, make_params

DYNAMIC = PRESETS["dynamic"]
LOYALTY: dict[str, Any] = {"loyalty_lift": 3.0, "loyalty_gain": 1.0, "loyalty_decay": 0.05}
SINGLE_EFFECTS: dict[str, dict[str, Any]] = {
    "saturation": {"inv_half_saturation": [1 / 280, 1 / 120, 1 / 80]},
    "carry-over": {"carry_over": [0.4, 0.1, 0.3]},
    "loyalty": LOYALTY,
    "wear": {"fatigue": 0.25, "fatigue_recovery": 0.25},
    "heavy wear": {"fatigue": 5.0, "fatigue_recovery": 0.1},
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
    assert plan.certificate.residual <= 1e-6
    assert plan.certificate.spread <= 1e-6
    assert plan.certificate.agreeing == plan.certificate.starts >= 8


def test_the_known_plan_is_found() -> None:
    np.testing.assert_allclose(planner.plan(DYNAMIC).spend, KNOWN_PLAN, atol=0.6)


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
    assert plan.certificate.supports
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
    assert plan.certificate.supports


@pytest.mark.parametrize("changes", [{"days": 28}, {"daily_budget": 10_000.0}])
def test_long_and_rich_campaigns_are_solved_with_a_certificate(changes: dict[str, Any]) -> None:
    params = make_params("dynamic", **changes)
    plan = planner.plan(params)
    assert plan.certificate.supports
    assert (plan.spend.sum(axis=1) <= params.daily_budget * (1 + 1e-9)).all()


@settings(max_examples=6, deadline=None)
@given(st.floats(5.0, 2000.0), st.floats(1.01, 3.0))
def test_more_budget_never_lowers_the_optimum(budget: float, more: float) -> None:
    less, rich = (
        planner.plan(make_params("dynamic", days=3, daily_budget=b))
        for b in (budget, budget * more)
    )
    assert rich.engagement >= less.engagement * (1 - 1e-6)


def test_the_gradient_is_that_of_differences() -> None:
    rng = np.random.default_rng(0)
    spend = rng.uniform(5, 40, (7, 3))
    marginal = planner.marginal_engagement(DYNAMIC, spend)
    for day, channel in itertools.product(range(7), range(3)):
        step = np.zeros((7, 3))
        step[day, channel] = 1e-3
        ends = [planner.expected_engagement(DYNAMIC, spend + sign * step) for sign in (1, -1)]
        assert marginal[day, channel] == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=1e-5)


def test_plans_in_a_batch_have_the_gradients_that_they_have_alone() -> None:
    params = make_params("dynamic", daily_budget=1e4, days=4)
    plans = np.random.default_rng(1).uniform(0, 3e3, (5, 4, 3))
    values, gradients = planner._value_and_gradient(params, plans)
    np.testing.assert_allclose(values, planner.expected_engagement(params, plans), rtol=1e-14)
    for plan, gradient in zip(plans, gradients, strict=True):
        np.testing.assert_allclose(gradient, planner.marginal_engagement(params, plan), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(-2, 6))
def test_a_step_is_projected_to_where_no_other_plan_is_nearer(seed: int, magnitude: float) -> None:
    rng = np.random.default_rng(seed)
    params = make_params(
        "dynamic", days=2, min_spend=[5.0, 0.0, 10.0], max_spend=[60.0, 100.0, 70.0]
    )
    spend, metric = rng.normal(30, 10**magnitude, (2, 3)), 10 ** rng.uniform(-1, 1, (2, 3))
    onto = planner._onto(params, spend, metric)
    low, high = planner.limits_of(params)
    assert ((onto >= low) & (onto <= high)).all()
    assert (onto.sum(axis=1) <= 100 * (1 + 1e-9)).all()
    others = planner._within(
        params, rng.uniform(0, 100, (50, 2, 3))
    )  # the angle at a projection is never acute
    towards = ((spend - onto) / metric * (others - onto)).sum(axis=-1)
    assert (towards <= 1e-9 * 100 * np.abs((spend - onto) / metric).sum(axis=-1) + 1e-9).all()


def test_a_day_is_moved_to_each_other_place() -> None:
    days = range(4)
    spend = np.arange(12.0).reshape(4, 3)
    plans = {plan.tobytes() for plan in planner._moved(make_params("dynamic", days=4), spend)}
    orders = set()
    for day, place in itertools.product(days, days):
        rest = [other for other in days if other != day]
        orders.add((*rest[:place], day, *rest[place:]))
    assert plans == {spend[list(order)].tobytes() for order in orders}


def test_the_day_that_gains_most_is_respent_first() -> None:
    even = np.full((2, 3), 100 / 3)
    first, both = planner._respent(
        make_params("linear", days=2, weekday_factors=[1, 2] + [1] * 5), even
    )
    np.testing.assert_allclose(first, [even[0], [0, 100, 0]], atol=1e-9)
    np.testing.assert_allclose(both, [[0, 100, 0], [0, 100, 0]], atol=1e-9)


def test_a_channel_that_earns_nothing_leaves_its_spend_to_the_others_in_proportion() -> None:
    params = make_params(
        "linear", days=1, counts=[[1, 0, 0], [0, 0, 0], [2, 0, 0]], inv_half_saturation=[0.1] * 3
    )
    (plan,) = planner._respent(params, np.array([[20.0, 50.0, 30.0]]))
    np.testing.assert_allclose(plan, [[40, 0, 60]], atol=1e-9)


def test_a_day_that_is_moved_keeps_to_the_limits_of_its_new_place() -> None:
    params = make_params(
        "dynamic", days=2, min_spend=[[0, 0, 0], [30, 0, 0]], max_spend=[[100, 20, 100], [100] * 3]
    )
    spend = np.array([[10.0, 20.0, 70.0], [30.0, 60.0, 10.0]])
    low, high = planner.limits_of(params)
    plans = planner._moved(params, spend)
    assert len(np.unique(plans, axis=0)) == 2
    assert ((plans >= low) & (plans <= high)).all()


@pytest.mark.parametrize("days", [1, 3])
def test_a_climb_alone_ends_at_the_optimum(days: int) -> None:
    params = make_params("dynamic", days=days)
    end = planner._climb(params, np.full((1, days, 3), 100 / 3), 1e-8)
    assert planner.expected_engagement(params, end)[0] == pytest.approx(
        planner.plan(params).engagement, rel=1e-6
    )


@pytest.mark.parametrize(
    ("half_saturation", "full"),
    [(np.inf, 100.0), (200.0, 200.0), (125.0, 500.0), (100.0, np.inf), (80.0, np.inf)],
)
def test_a_full_day_of_rewards_is_what_saturates_to_the_reference_budget(
    half_saturation: float, full: float
) -> None:
    params = make_params("linear", inv_half_saturation=[0.0, 0.0, 1 / half_saturation])
    assert planner._full_reward(params) == pytest.approx(full, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"daily_budget": 1e5}, 31302.14),
        ({"daily_budget": 1e6}, 31697.29),
        ({"daily_budget": 1e6, "max_spend": [5e5, 3e5, 4e5]}, 31585.42),
    ],
)
def test_where_days_of_many_ads_pay_the_best_of_them_are_found(
    changes: dict[str, Any], known: float
) -> None:
    plan = planner.plan(make_params("dynamic", **changes))
    assert plan.engagement >= known
    assert plan.certificate.supports


def test_the_next_unit_is_worth_the_same_wherever_the_best_plan_spends() -> None:
    plan = planner.plan(DYNAMIC)
    marginal = planner.marginal_engagement(DYNAMIC, plan.spend)
    for spend, worth in zip(plan.spend, marginal, strict=True):
        assert np.ptp(worth[spend > 0.1]) <= 1e-3 * worth.max()
        assert (worth[spend <= 0.1] <= worth[spend > 0.1].max() + 1e-3).all()


def test_a_full_day_of_rewards_where_loyalty_stops_to_gain_is_certified() -> None:
    params = make_params("linear", **LOYALTY, daily_budget=300.0, days=3)
    plan = planner.plan(params)
    assert plan.spend[0, 2] == pytest.approx(
        100.0, abs=1e-3
    )  # one unit less is worth far more than one unit more
    assert plan.certificate.supports


def test_a_leap_leaves_where_ads_are_so_worn_out_that_no_gradient_leads_on() -> None:
    params = make_params("dynamic", daily_budget=1e6, days=2)
    stuck = np.array([[[3e5, 4e5, 3e5], [4e5, 4e5, 2e5]]])
    climbed = planner.expected_engagement(params, planner._climb(params, stuck, 1e-10))[0]
    assert planner.expected_engagement(params, planner._solve(params, stuck))[0] > climbed * (
        1 + 1e-3
    )


def test_the_first_starts_are_the_even_split_each_channel_alone_and_rewards_that_give_way() -> None:
    even, posts, ads, rewards, to_posts, to_ads = planner._simple_starts(
        make_params("dynamic", days=3)
    )
    np.testing.assert_allclose(even, np.full((3, 3), 100 / 3), rtol=1e-12)
    for alone, channel in ((posts, 0), (ads, 1), (rewards, 2)):
        np.testing.assert_allclose(alone, np.tile(100 * np.eye(3)[channel], (3, 1)), atol=1e-6)
        assert (alone > 0).all()  # a climb moves no spend that is exactly 0
    np.testing.assert_allclose(to_posts, [[0, 0, 100], [50, 0, 50], [100, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(to_ads, [[0, 0, 100], [0, 50, 50], [0, 100, 0]], atol=1e-6)


def test_drawn_starts_spare_the_audience_on_most_days() -> None:
    """Without wear they are whole splits; with it a start has one share of them for its ads, but for some days."""
    tame = make_params("dynamic", days=20, daily_budget=1e4, fatigue=0.0)
    worn = make_params("dynamic", days=20, daily_budget=1e4, fatigue=0.25)
    whole = np.stack(planner._drawn_starts(tame, np.random.default_rng(0), 40))
    starts = np.stack(planner._drawn_starts(worn, np.random.default_rng(0), 40))
    assert starts.shape == (40, 20, 3)
    np.testing.assert_allclose(whole.sum(axis=-1), 1e4, rtol=1e-12)
    assert (whole > 0).all()
    assert whole.mean(axis=(0, 1)) == pytest.approx([1e4 / 3] * 3, rel=0.1)
    assert (whole / 1e4).std() == pytest.approx(
        np.sqrt(2 / 9 / 3.1), rel=0.05
    )  # a Dirichlet of three times .7
    np.testing.assert_allclose(starts[..., [0, 2]], whole[..., [0, 2]], rtol=1e-9)
    left = starts[..., 1] / whole[..., 1]
    kept = np.isclose(left, 1.0)
    assert kept.mean() == pytest.approx(planner.PULSES, abs=0.05)
    for share, at_once in zip(left, kept, strict=True):
        np.testing.assert_allclose(share[~at_once], share[~at_once][0], rtol=1e-6)
    powers = -np.log(
        [share[~at_once][0] for share, at_once in zip(left, kept, strict=True)]
    ) / np.log(25.0)
    assert (powers.min(), powers.max()) == (
        pytest.approx(0.5, abs=0.1),
        pytest.approx(1.5, abs=0.1),
    )


@pytest.mark.parametrize(
    ("changes", "promised"),
    [
        (
            {
                "min_spend": [10, 5, 0],
                "max_spend": [40, 30, 60],
                "weekday_factors": [1, 2] + [1] * 5,
            },
            132.0 + 2 * 49.0,
        ),
        ({"weekday_factors": [0.05, 2] + [1] * 5}, 0.05 * 211.0 + 2 * 128.0),
        ({"daily_budget": 120.0}, 381.0 + 298.0),
    ],
)
def test_the_residual_of_a_linear_campaign_is_what_the_best_move_gains(
    changes: dict[str, Any], promised: float
) -> None:
    """By hand: a unit on posts earns 3.6, on ads 8.5, on rewards 8; the days earn 639 and 722 as they stand."""
    params = make_params("linear", days=2, **changes)
    spend = np.array([[40.0, 30.0, 30.0], [20.0, 20.0, 60.0]])
    assert planner._residual(params, spend) == pytest.approx(promised, rel=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"min_spend": [10, 5, 0], "max_spend": [40, 30, 60]},
        {"daily_budget": 1000.0},
        {"preset": "linear"},
    ],
)
def test_the_solver_that_finishes_what_does_not_end_stationary_finds_the_optimum(
    changes: dict[str, Any],
) -> None:
    preset: Any = changes.get("preset", "dynamic")
    params = make_params(
        preset, days=2, **{name: value for name, value in changes.items() if name != "preset"}
    )
    start = planner._within(params, np.full((2, 3), params.daily_budget / 3))
    end = planner._polish(params, start)
    low, high = planner.limits_of(params)
    slack = 1e-9 * params.daily_budget
    assert ((end >= low - slack) & (end <= high + slack)).all()
    assert (end.sum(axis=1) <= params.daily_budget + slack).all()
    optimum = planner.plan(params).engagement
    assert planner.expected_engagement(params, end) == pytest.approx(optimum, rel=1e-9)
    assert planner._residual(params, end) <= 1e-7 * optimum
    best = planner.plan(params).spend
    assert planner._residual(params, planner._polish(params, best)) <= planner._residual(
        params, best
    )


@pytest.mark.parametrize("unit", [1.0, 1e-9])
def test_what_the_climb_leaves_is_finished_by_the_solver_in_any_unit(
    unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params("dynamic", days=2, counts=unit * np.array(DYNAMIC.counts))
    optimum = planner.plan(params).engagement
    monkeypatch.setattr(planner, "_climb", lambda _, starts, __: starts.copy())
    with pytest.warns(
        planner.PlanWarning, match=r", 0 of 24 starts agree \(at least 2\), spread [1-9]"
    ):
        plan = planner.plan(params, seed=3)
    assert plan.engagement == pytest.approx(optimum, rel=1e-9)
    assert plan.certificate.residual <= 1e-7
    assert plan.certificate.spread > 0.01


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, [["all", "at 0", "at 0"], ["", "", "at 0"], ["", "", ""]]),
        (
            {"max_spend": [100, 40, 40]},
            [["all", "at 0", "at 0"], ["", "at max", "at 0"], ["", "", ""]],
        ),
        (
            {"min_spend": [[0, 0, 0], [59, 0, 0], [0, 30, 0]]},
            [["all", "at 0", "at 0"], ["", "", "at 0"], ["", "", ""]],
        ),
        (
            {"min_spend": [[0, 0, 0], [59.75, 0, 0.25], [0, 31, 0]]},
            [["all", "at 0", "at 0"], ["at min", "", "at min"], ["", "at min", ""]],
        ),
    ],
)
def test_a_spend_is_named_by_the_limit_that_it_stands_at(
    changes: dict[str, Any], names: list[list[str]]
) -> None:
    """Within half a percent of the budget it stands there."""
    spend = np.array([[99.5, 0.5, 0.0], [60.0, 39.5, 0.5], [33.0, 31.5, 35.5]])
    params = make_params("dynamic", days=3, **changes)
    assert planner.binding(params, spend).tolist() == names


def test_an_answer_that_is_not_stationary_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_climb", lambda _, starts, __: starts.copy())
    for way in ("_leap", "_polish"):
        monkeypatch.setattr(planner, way, lambda _, spend: spend)
    with pytest.warns(
        planner.PlanWarning, match=r"not certain to be the most: KKT residual .* \(at most 1e-06\)"
    ):
        plan = planner.plan(make_params("dynamic", days=3), seed=1)
    assert plan.certificate.residual > 1e-3


def test_an_answer_that_was_found_only_once_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "AGREEING", 1000)
    with pytest.warns(planner.PlanWarning, match=r"24 of 24 starts agree \(at least 1000\)"):
        planner.plan(make_params("dynamic", days=2), seed=2)


def test_a_campaign_that_earns_nothing_has_a_plan_too() -> None:
    plan = planner.plan(make_params("dynamic", counts=np.zeros((3, 3)), days=2))
    assert plan.engagement == 0.0
    assert plan.certificate.supports


def test_a_plan_is_solved_once_and_cannot_be_changed() -> None:
    plan = planner.plan(DYNAMIC)
    assert planner.plan(make_params("dynamic")) is plan
    with pytest.raises(ValueError, match="read-only"):
        plan.spend[0, 0] = 1.0


def test_the_trajectory_starts_fresh_and_without_loyalty() -> None:
    path = planner.trajectory(DYNAMIC, planner.plan(DYNAMIC).spend)
    assert (path.loyalty[0], path.freshness[0]) == (0.0, 1.0)
    assert path.loyalty.shape == path.freshness.shape == (7,)
    assert path.loyalty[1] == pytest.approx(
        0.348, abs=0.005
    )  # 70 % of 88 rewards on their own day, saturated
