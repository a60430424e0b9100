"""From action to spend: the budget holds, and what cannot be an action is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.campaign.allocation import spend_from_channel, spend_from_logits, spend_from_spend
from envs.campaign.presets import PRESETS, make_params

LINEAR = PRESETS["linear"]


@given(arrays(np.float64, (4, 3), elements=st.floats(-1e9, 1e9)))
def test_logits_spend_the_whole_budget(logits: Any) -> None:
    spend = spend_from_logits(LINEAR, logits, (4,))
    assert (spend >= 0).all()
    np.testing.assert_allclose(spend.sum(axis=-1), 100.0, rtol=1e-9)


@given(arrays(np.float64, 3, elements=st.floats(-10, 10)))
def test_logits_are_a_softmax(logits: Any) -> None:
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(spend_from_logits(LINEAR, logits, ()), 100.0 * shares, rtol=1e-12)


def test_logits_beyond_the_box_are_clipped_to_it() -> None:
    beyond, bound = (
        spend_from_logits(LINEAR, [50.0, -50.0, 0.0], ()),
        spend_from_logits(LINEAR, [10.0, -10.0, 0.0], ()),
    )
    assert beyond.tolist() == bound.tolist()


@given(arrays(np.float64, (4, 3), elements=st.floats(0, 1e6)))
def test_only_spends_over_the_budget_are_scaled_down(asked: Any) -> None:
    spend = spend_from_spend(LINEAR, asked, (4,))
    for wanted, got in zip(asked, spend, strict=True):
        if wanted.sum() <= 100.0:
            assert got.tolist() == wanted.tolist()
        else:
            np.testing.assert_allclose(got, wanted * 100.0 / wanted.sum(), rtol=1e-12)


@pytest.mark.parametrize("channel", [0, 1, 2, np.int64(1), np.array(2)])
def test_a_channel_takes_the_whole_day(channel: Any) -> None:
    assert spend_from_channel(LINEAR, channel, ()).tolist() == [
        100.0 * (i == int(channel)) for i in range(3)
    ]


@pytest.mark.parametrize(
    ("allocate", "action", "message"),
    [
        (spend_from_logits, [0, np.nan, 0], "logits=nan: every number must be finite"),
        (spend_from_logits, [0, np.inf, 0], "logits=inf: every number must be finite"),
        (spend_from_logits, [0, 0], r"logits: shape \(2,\), must be \(3,\)"),
        (spend_from_logits, "spend", "must be an array of numbers"),
        (spend_from_logits, None, r"logits"),
        (spend_from_spend, [0, 0.5, -2], "spend=-2.0: must be 0 or more"),
        (spend_from_spend, [1, 2, np.nan], "spend=nan: every number must be finite"),
        (
            spend_from_channel,
            3,
            r"channel=3: must be a whole number, 0 \(posts\), 1 \(ads\), 2 \(rewards\)",
        ),
        (spend_from_channel, -1, "channel=-1"),
        (spend_from_channel, 1.0, "channel=1.0"),
        (spend_from_channel, [1], r"channel: shape \(1,\), must be \(\)"),
    ],
)
def test_a_bad_action_is_refused(allocate: Any, action: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        allocate(LINEAR, action, ())


def test_the_budget_is_the_campaigns_own() -> None:
    params = make_params("linear", daily_budget=250.0)
    assert spend_from_spend(params, [200.0, 200.0, 100.0], ()).tolist() == [100.0, 100.0, 50.0]
