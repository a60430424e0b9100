"""Spending limits: no spend breaks them, and what they leave is spent as asked."""

from contextlib import nullcontext
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from envs.campaign import planner
from envs.campaign.allocation import spend_from_channel, spend_from_logits, spend_from_spend
from envs.campaign.limits import fill, nearest
from envs.campaign.presets import make_params

triples = arrays(np.float64, (4, 3), elements=st.floats(0.0, 150.0))
bounds = st.tuples(
    arrays(np.float64, 3, elements=st.floats(0, 30)),
    arrays(np.float64, 3, elements=st.floats(0, 80)),
)
LIMITED: dict[str, Any] = {"min_spend": [10, 5, 0], "max_spend": [40, 30, 60]}
BY_DAY = [[0, 0, 0], [10, 20, 30], [5, 5, 5], [0, 0, 40], [30, 0, 0], [0, 0, 0], [33, 33, 33]]


def holds(spend: Any, low: Any, high: Any, budget: float) -> bool:
    slack = 1e-9 * budget
    return bool(
        (spend >= low - slack).all()
        and (spend <= high + slack).all()
        and (spend.sum(-1) <= budget + slack).all()
    )


@settings(max_examples=80, deadline=None)
@given(triples, bounds)
def test_no_point_within_limits_is_nearer_than_the_nearest(asked: Any, limits: Any) -> None:
    low, high = limits[0], limits[0] + limits[1]
    assume(low.sum() <= 100)
    found = nearest(asked, low, high, 100.0)
    assert holds(found, low, high, 100.0)
    for point, wanted in zip(
        found, asked, strict=True
    ):  # no feasible direction leads nearer: the test of a projection
        for other in [low, *nearest(np.eye(3) * 300, low, high, 100.0), *found]:
            assert (wanted - point) @ (other - point) <= 1e-7 * (1 + np.abs(wanted).max()) * 100


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([20, 20, 20], [20, 20, 20]),
        ([0, 0, 0], [10, 5, 0]),
        ([100, 100, 0], [40, 30, 0]),
        ([40, 30, 60], [30, 20, 50]),
        ([1e20, 1, 1], [40, 5, 1]),
        ([1e20, 1e20, 1e20], [35, 30, 35]),
    ],
)
def test_a_spend_becomes_the_nearest_within_limits(
    asked: list[float], expected: list[float]
) -> None:
    params = make_params("dynamic", **LIMITED)
    found = spend_from_spend(params, asked, ())
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_solver_finds_no_nearer_point() -> None:
    rng = np.random.default_rng(3)
    low, high = np.array([10.0, 5.0, 0.0]), np.array([40.0, 30.0, 60.0])
    for asked in rng.uniform(0, 150, (20, 3)):
        solved = minimize(
            lambda x, asked=asked: ((x - asked) ** 2).sum(),
            low,
            bounds=list(zip(low, high, strict=True)),
            constraints={"type": "ineq", "fun": lambda x: 100 - x.sum()},
            method="SLSQP",
        ).x
        np.testing.assert_allclose(nearest(asked, low, high, 100.0), solved, atol=1e-3)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 1000), st.data())
def test_minimums_may_sum_to_the_budget_in_decimals(tenths: int, data: st.DataObject) -> None:
    posts = data.draw(st.integers(0, tenths))
    ads = data.draw(st.integers(0, tenths - posts))
    least = [posts / 10, ads / 10, (tenths - posts - ads) / 10]
    params = make_params("dynamic", daily_budget=tenths / 10, min_spend=least)
    asked = data.draw(arrays(np.float64, 3, elements=st.floats(0, 100)))
    for spend in (spend_from_logits(params, asked, ()), spend_from_spend(params, asked, ())):
        np.testing.assert_allclose(spend, least, rtol=1e-9, atol=1e-9 * tenths / 10)
        assert spend.sum() <= tenths / 10 * (1 + 1e-9)


@pytest.mark.parametrize(("budget", "least"), [(0.3, [0.1, 0.1, 0.1]), (100.0, [0.7, 86.9, 12.4])])
def test_a_plan_spends_minimums_that_are_the_whole_budget(budget: float, least: Any) -> None:
    assert sum(least) > budget
    params = make_params("dynamic", daily_budget=budget, min_spend=least)
    np.testing.assert_allclose(planner.plan(params).spend, np.tile(least, (7, 1)), rtol=1e-9)


@pytest.mark.parametrize(("excess", "is_refused"), [(1e-10, False), (1e-8, True)])
def test_the_tolerance_of_sums_is_relative(excess: float, is_refused: bool) -> None:
    for budget in (1e-3, 1e6):
        least = [0.5 * budget, 0.5 * budget * (1 + 2 * excess), 0.0]
        with pytest.raises(ValueError, match="minimums sum to") if is_refused else nullcontext():
            make_params("dynamic", daily_budget=budget, min_spend=least)


@settings(max_examples=80, deadline=None)
@given(arrays(np.float64, (4, 3), elements=st.floats(-10, 10)), bounds)
def test_logits_share_out_what_the_minimums_leave(logits: Any, limits: Any) -> None:
    low, high = limits[0], limits[0] + limits[1]
    assume(low.sum() <= 100)
    shares = np.exp(logits)
    found = fill(shares, low, high, 100.0)
    assert holds(found, low, high, 100.0)
    np.testing.assert_allclose(found.sum(-1), min(100.0, high.sum()), rtol=1e-9)
    for given_, share in zip(found - low, shares, strict=True):
        level = (
            given_ / share
        )  # equal for all channels with room left, and no more for those that are full
        room = given_ < (high - low) - 1e-7
        if room.any():
            assert np.ptp(level[room]) <= 1e-6 * max(level[room].max(), 1e-12)
            assert (level[~room] <= level[room].max() * (1 + 1e-6) + 1e-12).all()


def test_without_limits_the_formulas_are_todays() -> None:
    params, loose = make_params("dynamic"), make_params("dynamic", min_spend=[0, 0, 0])
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, 3))
    weights = np.exp(logits)
    total = weights[:, :1] + weights[:, 1:2] + weights[:, 2:]
    assert (
        spend_from_logits(params, logits, (50,)).tobytes() == (100.0 * (weights / total)).tobytes()
    )
    np.testing.assert_allclose(
        spend_from_logits(loose, logits, (50,)), 100.0 * (weights / total), rtol=1e-12
    )
    assert spend_from_spend(params, [200.0, 100.0, 100.0], ()).tolist() == [
        50.0,
        25.0,
        25.0,
    ]  # scaled, not projected


def test_each_row_has_the_limits_of_its_own_day() -> None:
    params = make_params("dynamic", min_spend=BY_DAY)
    days = np.array([0, 3, 6, 7, 1])  # the fourth campaign is over: its last day's limits stand in
    batch = spend_from_logits(params, np.zeros((5, 3)), (5,), days)
    for row, day in zip(batch, [0, 3, 6, 6, 1], strict=True):
        low = np.array(BY_DAY[day], dtype=np.float64)
        np.testing.assert_allclose(row, low + (100 - low.sum()) / 3, rtol=1e-12)
    batch = spend_from_spend(params, np.zeros((5, 3)), (5,), days)
    assert batch.tolist() == [BY_DAY[day] for day in (0, 3, 6, 6, 1)]


def test_the_limits_default_to_those_of_the_first_day() -> None:
    params = make_params("dynamic", min_spend=BY_DAY)
    assert spend_from_spend(params, [0.0, 0.0, 0.0], ()).tolist() == BY_DAY[0]
    np.testing.assert_allclose(spend_from_logits(params, [0.0, 0.0, 0.0], ()), 100 / 3, rtol=1e-12)


@pytest.mark.parametrize("action", ["logits", "spend"])
def test_limits_hold_in_both_environments_on_every_day(action: str) -> None:
    kwargs: dict[str, Any] = {"action": action, "min_spend": BY_DAY, "max_spend": [50, 40, 45]}
    single = gymnasium.make("envs:DynamicCampaign-v0", **kwargs)
    batch = gymnasium.make_vec("envs:DynamicCampaign-v0", 2, "vector_entry_point", **kwargs)
    single.reset()
    batch.reset()
    single.action_space.seed(1)
    for day in range(7):
        sampled = single.action_space.sample()
        spend = single.step(sampled)[4]["spend"]
        assert holds(spend, np.array(BY_DAY[day]), np.array([50, 40, 45]), 100.0)
        assert (batch.step(np.tile(sampled, (2, 1)))[4]["spend"] == spend).all()


def test_a_single_channel_is_refused_with_limits() -> None:
    with pytest.raises(
        ValueError,
        match=r"action='channel'.*min_spend and max_spend forbid: use 'logits' or 'spend'",
    ):
        gymnasium.make("envs:DynamicCampaign-v0", action="channel", min_spend=[1, 1, 1])
    with pytest.raises(
        ValueError, match=r"^action channel: .* leaves no room for min_spend and max_spend$"
    ):
        spend_from_channel(make_params("linear", min_spend=[1, 1, 1]), 0, ())


def test_the_planner_keeps_to_limits_and_loses_by_them() -> None:
    params = make_params("dynamic", min_spend=BY_DAY, max_spend=[50, 40, 45])
    plan = planner.plan(params)
    assert holds(plan.spend, np.array(BY_DAY), np.array([50, 40, 45]), 100.0)
    assert plan.check.is_supported
    assert plan.engagement < planner.plan(make_params("dynamic")).engagement
