"""The linear model and its optimum against known values and a second computation."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.campaign import model, planner
from envs.campaign.presets import PRESETS, make_params

LINEAR = PRESETS["linear"]
SPENDS = arrays(np.float64, (5, 3), elements=st.floats(0.0, 1e6))


def test_a_unit_on_each_channel_earns_the_articles_counts() -> None:
    metrics, _ = model.transition(LINEAR, model.initial_state(LINEAR, (3,)), np.eye(3))
    assert metrics.tolist() == [[2.0, 0.5, 0.2], [5.0, 1.0, 0.5], [1.0, 0.5, 2.0]]
    assert model.engagement(LINEAR, metrics).tolist() == pytest.approx([3.6, 8.5, 8.0], abs=1e-12)


@pytest.mark.parametrize(
    ("spend", "engagement"),
    [
        ([0, 100, 0], 850.0),
        ([0, 0, 100], 800.0),
        ([100, 0, 0], 360.0),
        ([100 / 3] * 3, 670.0),
        ([0, 0, 0], 0.0),
    ],
)
def test_a_day_earns_the_known_engagement(spend: list[float], engagement: float) -> None:
    metrics, _ = model.transition(
        LINEAR, model.initial_state(LINEAR), np.array(spend, dtype=np.float64)
    )
    assert model.engagement(LINEAR, metrics) == pytest.approx(engagement, rel=1e-12)


@given(SPENDS)
def test_the_model_agrees_with_the_articles_own_sums(spend: Any) -> None:
    metrics, _ = model.transition(LINEAR, model.initial_state(LINEAR, (5,)), spend)
    for (posts, ads, rewards), day in zip(spend.tolist(), metrics, strict=True):
        likes = posts * 2 + ads * 5 + rewards * 1
        comments = posts * 0.5 + ads * 1 + rewards * 0.5
        shares = posts * 0.2 + ads * 0.5 + rewards * 2
        np.testing.assert_allclose(day, [likes, comments, shares], rtol=1e-12)


@given(SPENDS)
def test_a_row_of_a_batch_has_the_single_campaigns_bits(spend: Any) -> None:
    batch, after = model.transition(LINEAR, model.initial_state(LINEAR, (5,)), spend)
    totals = model.engagement(LINEAR, batch)
    for row in range(5):
        metrics, _ = model.transition(LINEAR, model.initial_state(LINEAR), spend[row])
        assert metrics.tobytes() == batch[row].tobytes()
        assert model.engagement(LINEAR, metrics).tobytes() == totals[row].tobytes()
    assert after.day.tolist() == [1] * 5


def test_a_transition_changes_none_of_its_arguments() -> None:
    state, spend = model.initial_state(LINEAR, (2,)), np.full((2, 3), 10.0)
    model.transition(LINEAR, state, spend)
    assert state.day.tolist() == [0, 0]
    assert (spend == 10.0).all()


def test_the_optimum_of_the_article_is_all_ads() -> None:
    assert planner.plan(LINEAR).engagement == pytest.approx(5950.0, abs=1e-3)


def test_no_plan_on_a_grid_beats_the_closed_form_optimum() -> None:
    params = make_params(
        "linear", days=1, daily_budget=20.0, counts=[[1, 2, 0], [3, 0, 1], [0, 1, 2]]
    )
    grid = [
        np.array(s, dtype=np.float64)
        for s in itertools.product(range(21), repeat=3)
        if sum(s) <= 20
    ]
    best = max(
        model.engagement(params, model.transition(params, model.initial_state(LINEAR), s)[0])
        for s in grid
    )
    assert planner.plan(params).engagement == pytest.approx(best, rel=1e-9)
