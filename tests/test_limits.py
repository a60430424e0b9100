"""Spending limits: they hold everywhere, exactly, and what they leave is used as it was asked for."""

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
from envs.campaign.params import make_params

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
def test_the_nearest_point_is_within_limits_and_no_other_is_nearer(asked: Any, limits: Any) -> None:
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


def test_the_limits_of_each_row_are_those_of_its_own_day() -> None:
    params = make_params("dynamic", min_spend=BY_DAY)
    days = np.array([0, 3, 6, 7, 1])  # the fourth campaign is over: its last day's limits stand in
    batch = spend_from_logits(params, np.zeros((5, 3)), (5,), days)
    for row, day in zip(batch, [0, 3, 6, 6, 1], strict=True):
        low = np.array(BY_DAY[day], dtype=np.float64)
        np.testing.assert_allclose(row, low + (100 - low.sum()) / 3, rtol=1e-12)
    batch = spend_from_spend(params, np.zeros((5, 3)), (5,), days)
    assert batch.tolist() == [BY_DAY[day] for day in (0, 3, 6, 6, 1)]


def test_the_limits_are_those_of_the_first_day_where_no_day_is_named() -> None:
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
