"""The seven equations against known values and a second writing of them in plain numbers."""

import math
import re
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.campaign import model, planner
from envs.campaign.env import CampaignEnv
from envs.campaign.params import FIELDS, CampaignParams
from envs.campaign.presets import PRESETS, make_params
from tests.tools.campaigns import campaigns as any_campaigns

LINEAR, DYNAMIC = PRESETS["linear"], PRESETS["dynamic"]

unit = st.floats(0.0, 1.0)
small = st.floats(0.0, 3.0)
campaigns = st.builds(
    make_params,
    st.just("linear"),
    start_weekday=st.integers(0, 6),
    reference_budget=st.floats(20.0, 500.0),
    base=st.tuples(small, small, small),
    weekday_factors=st.tuples(*[small] * 7).filter(any),
    inv_half_saturation=st.tuples(*[st.floats(0.0, 0.1)] * 3),
    carry_over=st.tuples(*[st.floats(0.0, 0.95)] * 3),
    loyalty_lift=st.tuples(*[st.floats(0.0, 10.0)] * 3),
    loyalty_gain=st.tuples(*[st.floats(0.0, 1 / 3)] * 3) | st.permutations([1.0, 0.0, 0.0]),
    loyalty_decay=unit,
    fatigue=st.tuples(small, small, small),
    fatigue_recovery=st.tuples(unit, unit, unit),
)
spends = arrays(np.float64, (7, 3), elements=st.floats(0.0, 100.0))


def by_hand(
    p: CampaignParams, spend: Any
) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Metrics, effectiveness and loyalty of every day, one number at a time."""
    channels, named = range(len(p.channels)), range(len(p.metrics))
    carried, q, loyalty = [0.0 for _ in channels], [1.0 for _ in channels], 0.0
    metrics, effectiveness, loyalties = [], [], []
    for day, x in enumerate(np.asarray(spend).tolist()):
        carried = [
            (1 - a) * today + a * before
            for a, today, before in zip(p.carry_over, x, carried, strict=True)
        ]
        s = [c / (1 + c * inv) for c, inv in zip(carried, p.inv_half_saturation, strict=True)]
        effect = [s[c] * (1 + p.loyalty_lift[c] * loyalty) * q[c] for c in channels]
        factor = p.weekday_factors[(p.start_weekday + day) % 7]
        metrics.append(
            [
                factor * (p.base[k] + sum(effect[c] * p.counts[c][k] for c in channels))
                for k in named
            ]
        )
        q = [q[c] * math.exp(-p.fatigue[c] * x[c] / p.reference_budget) for c in channels]
        q = [q[c] + p.fatigue_recovery[c] * (1 - q[c]) for c in channels]
        gain = sum(p.loyalty_gain[c] * min(s[c] / p.reference_budget, 1) for c in channels)
        loyalty += (1 - loyalty) * gain - p.loyalty_decay * loyalty
        effectiveness.append(q)
        loyalties.append(loyalty)
    return metrics, effectiveness, loyalties


@settings(max_examples=60, deadline=None)
@given(campaigns, spends)
def test_the_model_agrees_with_the_equations_written_out(
    params: CampaignParams, spend: Any
) -> None:
    metrics, states = model.rollout(params, spend)
    expected, effectiveness, loyalty = by_hand(params, spend)
    np.testing.assert_allclose(metrics, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose([s.effectiveness for s in states[1:]], effectiveness, rtol=1e-10)
    np.testing.assert_allclose([s.loyalty for s in states[1:]], loyalty, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(any_campaigns(), st.integers(0, 2**31))
def test_the_equations_hold_for_any_channels_and_metrics(fields: dict[str, Any], seed: int) -> None:
    params = make_params("linear", **fields)
    shape = (params.days, len(params.channels))
    spend = np.random.default_rng(seed).uniform(0.0, params.daily_budget, shape)
    metrics, states = model.rollout(params, spend)
    expected, effectiveness, loyalty = by_hand(params, spend)
    np.testing.assert_allclose(metrics, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose([s.effectiveness for s in states[1:]], effectiveness, rtol=1e-10)
    np.testing.assert_allclose([s.loyalty for s in states[1:]], loyalty, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(campaigns, spends)
def test_states_stay_in_their_bounds_and_metrics_below_the_ceiling(
    params: CampaignParams, spend: Any
) -> None:
    total = spend.sum(axis=1, keepdims=True)
    spend = spend * (params.daily_budget / np.maximum(total, params.daily_budget))
    metrics, states = model.rollout(params, spend)
    assert all(0.0 <= state.loyalty <= 1.0 for state in states)
    assert all((state.effectiveness > 0.0).all() for state in states)
    assert all((state.effectiveness <= 1.0).all() for state in states)
    assert (metrics >= 0.0).all()
    assert (metrics <= params.played_ceiling[3:] * (1 + 1e-12)).all()


@settings(max_examples=30, deadline=None)
@given(campaigns, arrays(np.float64, (5, 7, 3), elements=st.floats(0.0, 100.0)))
def test_a_row_of_a_batch_has_the_single_campaigns_bits(params: CampaignParams, spend: Any) -> None:
    batch, states = model.rollout(params, spend)
    for row in range(5):
        single, alone = model.rollout(params, spend[row])
        assert single.tobytes() == batch[row].tobytes()
        assert [s.loyalty.tobytes() for s in alone] == [s.loyalty[row].tobytes() for s in states]
        assert [s.effectiveness.tobytes() for s in alone] == [
            s.effectiveness[row].tobytes() for s in states
        ]


@settings(max_examples=30, deadline=None)
@given(spends)
def test_the_linear_short_path_has_the_whole_models_bits(
    spend: Any,
) -> None:
    short, whole = make_params("linear"), make_params("linear")
    assert short.is_linear
    whole.__dict__["is_linear"] = False  # as if some extra were on
    metrics, states = model.rollout(short, spend)
    expected, others = model.rollout(whole, spend)
    assert metrics.tobytes() == expected.tobytes()
    for state, other in zip(states, others, strict=True):
        assert [array.tobytes() for array in state] == [array.tobytes() for array in other]


@pytest.mark.parametrize(
    "extra",
    [
        {"carry_over": [0, 0.1, 0]},
        {"inv_half_saturation": [0, 0, 0.1]},
        {"loyalty_gain": [0, 0, 1]},
        {"fatigue": [0, 1, 0]},
    ],
)
def test_any_extra_alone_leaves_the_short_path(extra: dict[str, Any]) -> None:
    assert not make_params("linear", **extra).is_linear


@pytest.mark.parametrize(
    ("preset", "spend", "engagement"),
    [
        ("linear", [100 / 3] * 3, 4690.0),
        ("linear", [0, 100, 0], 5950.0),
        ("linear", [0, 0, 100], 5600.0),
        ("linear", [100, 0, 0], 2520.0),
        ("dynamic", [100 / 3] * 3, 4201.7),
        ("dynamic", [0, 100, 0], 2371.6),
        ("dynamic", [0, 0, 100], 2408.6),
        ("dynamic", [100, 0, 0], 1710.9),
    ],
)
def test_a_constant_plan_earns_the_known_engagement(
    preset: str, spend: list[float], engagement: float
) -> None:
    plan = np.tile(np.array(spend, dtype=np.float64), (7, 1))
    assert planner.expected_engagement(PRESETS[preset], plan) == pytest.approx(engagement, abs=0.1)


@pytest.mark.parametrize(
    ("day", "week", "today"), [(0, 48.2, 12.2), (3, -20.6, None), (6, -29.4, -29.4)]
)
def test_moving_ten_units_to_rewards_is_worth_the_known_value(
    day: int, week: float, today: Any
) -> None:
    even = np.full((7, 3), 100 / 3)
    moved = even.copy()
    moved[day] += [-10, 0, 10]
    gain = [model.engagement(DYNAMIC, model.rollout(DYNAMIC, plan)[0]) for plan in (moved, even)]
    assert (gain[0] - gain[1]).sum() == pytest.approx(week, abs=0.1)
    if today is not None:
        assert (gain[0] - gain[1])[day] == pytest.approx(today, abs=0.1)


def test_every_equation_stands_on_a_numbered_line() -> None:
    with open(model.__file__) as file:
        code = [line for line in file if "#" in line]
    for number in range(1, 8):
        assert any(f"({number})" in line.split("#", 1)[1] for line in code), number


def test_the_ceiling_includes_the_lift_of_a_loyal_audience() -> None:
    params = make_params("linear", loyalty_lift=[3, 0, 0], loyalty_gain=[0, 0, 1])
    metrics, _ = model.rollout(params, np.array([[0.0, 0.0, 100.0], [100.0, 0.0, 0.0]]))
    assert metrics[1, 0] == 800.0  # four times what posts earn alone: the whole ceiling
    assert (metrics <= params.played_ceiling[3:]).all()


def test_the_linear_ceiling_is_all_on_the_best_channel() -> None:
    assert LINEAR.played_ceiling.tolist() == [100.0, 100.0, 100.0, 500.0, 100.0, 200.0]


def test_the_page_has_every_field_with_its_values_and_source() -> None:
    lines = [line.strip() for line in (CampaignEnv.__doc__ or "").splitlines()]
    start = lines.index("| field | linear | dynamic | uncertain | meaning [unit]; source |")
    rows = [line.strip("| ").split(" | ") for line in lines[start + 2 : lines.index("", start)]]
    assert [row[0] for row in rows] == list(FIELDS)
    for name, *written, meaning in rows:
        assert meaning == FIELDS[name].description
        assert all(mark in meaning for mark in "[];")
        for text, preset in zip(written, ("linear", "dynamic", "uncertain"), strict=True):
            value = getattr(PRESETS[preset], name)
            if name in {"channels", "metrics", "unit"}:
                assert text == (value if name == "unit" else ", ".join(value))
                continue
            numbers = [float(Fraction(part)) for part in re.findall(r"[\d./]+", text)]
            assert numbers == ([] if value is None else np.ravel(value).tolist()), name


def test_the_dynamic_campaign_can_be_made_in_both_forms() -> None:
    single = gymnasium.make("envs:DynamicCampaign-v0", action="spend")
    batch = gymnasium.make_vec("envs:DynamicCampaign-v0", 3, "vector_entry_point", action="spend")
    single.reset()
    batch.reset()
    rng = np.random.default_rng(0)
    for _ in range(7):
        spend = rng.uniform(0, 60, 3).astype(np.float32)
        observation, reward, _, _, info = single.step(spend)
        observations, rewards, _, _, infos = batch.step(np.tile(spend, (3, 1)))
        assert observation in single.observation_space
        assert (observations == observation).all()
        assert (rewards == reward).all()
        assert all((infos[name] == info[name]).all() for name in DYNAMIC.metrics)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"carry_over": [1, 0, 0]}, ["carry_over[posts]=1: input should be less than 1", "[1]"]),
        ({"weekday_factors": [1] * 6}, ["weekday_factors=(1, 1, 1, 1, 1, 1): must be 7 numbers"]),
        (
            {"loyalty_gain": [0, 0, 1.5], "fatigue_recovery": [0, -1, 0]},
            ["loyalty_gain[rewards]=1.5", "fatigue_recovery[ads]=-1"],
        ),
        ({"start_weekday": 7}, ["start_weekday=7", "less than or equal to 6"]),
        ({"reference_budget": 0}, ["reference_budget=0", "greater than 0"]),
        ({"fatigue": [0, float("nan"), 0]}, ["fatigue[ads]=nan", "finite"]),
        (
            {"min_spend": [1, -2, 3]},
            [
                "min_spend=(1, -2, 3): must be None, a number of 0 or more for each of posts, ads, "
                "rewards, or such a row for each day"
            ],
        ),
        ({"max_spend": 3}, ["max_spend=3: must be None, a number of 0 or more"]),
        (
            {"max_spend": [[1, 2, 3]] * 5},
            ["max_spend has 5 rows for 7 days: give a number for each channel, or a row"],
        ),
        (
            {"min_spend": [50, 50, 20]},
            ["minimums sum to 120 > 100 every day: lower them or raise daily_budget"],
        ),
        (
            {
                "min_spend": [[0, 0, 0]] * 2 + [[60, 30, 30]] + [[0, 0, 0]] * 4,
                "max_spend": [50, 40, 40],
                "wekday": 1,
            },
            [
                "minimums sum to 120 > 100 on day 3: lower them or raise daily_budget",
                "min_spend of posts is 60 > max_spend 50 on day 3: lower it or raise max_spend",
                "unknown parameter 'wekday'; did you mean 'start_weekday'?",
            ],
        ),
    ],
)
def test_bad_parameters_are_refused_all_at_once(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^campaign: ") as error:
        make_params("dynamic", **changes)
    for part in parts:
        assert part in str(error.value)
    assert "pydantic" not in str(error.value)
