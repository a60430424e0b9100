"""Campaign parameters: a message for every bad value says what, where and what is allowed."""

from typing import Any

import numpy as np
import pytest

from envs.campaign.params import FIELDS
from envs.campaign.presets import PRESETS, make_params


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"days": -1}, ["days=-1", "greater than or equal to 1", "[days]"]),
        ({"days": 29}, ["days=29", "less than or equal to 28"]),
        ({"days": 7.5}, ["days=7.5", "integer"]),
        ({"days": True}, ["days=True", "integer"]),
        ({"daily_budget": 0}, ["daily_budget=0", "greater than 0", "[bu/day]"]),
        ({"daily_budget": float("nan")}, ["daily_budget=nan", "finite"]),
        ({"daily_budget": float("inf")}, ["daily_budget=inf", "finite"]),
        ({"daily_budget": "100"}, ["daily_budget='100'", "number"]),
        (
            {"counts": [[1, 2], [3, 4], [5, 6]]},
            [
                "counts of posts, ads, rewards: 2 numbers, none for shares: must be one for each "
                "metric, in the order likes, comments, shares"
            ],
        ),
        (
            {"counts": [[1, 2, -3], [3, 4, 5], [5, 6, 7]]},
            ["counts[posts][shares]=-3", "greater than or equal to 0"],
        ),
        (
            {"metric_weights": 3},
            ["metric_weights=3: must be a number for each of likes, comments,"],
        ),
        (
            {"daily_budgett": 3},
            ["unknown parameter 'daily_budgett'", "did you mean 'daily_budget'?", "known: "],
        ),
        ({"reward_scale": -1, "days": 0}, ["reward_scale=-1", "days=0"]),
        (
            {"weekday_factors": [0, 0, 1, 1, 1, 1, 1], "days": 2},
            ["weekday_factors=(0, 0, 1, ", "0 on all 2 days", "at least one must be above 0"],
        ),
        ({"counts": np.zeros((3, 3))}, ["counts=((0.0, ", "nothing can be earned: a metric of"]),
        ({"metric_weights": [0, 0, 0]}, ["metric_weights=(0, 0, 0)", "nothing can be"]),
        ({"max_spend": [0, 0, 0]}, ["max_spend=(0, 0, 0): nothing can be earned"]),
        (
            {"counts": [[1, 0, 0]] * 3, "metric_weights": [0, 1, 1]},
            ["nothing can be earned: a metric of weight above 0 must have a base, or a count"],
        ),
        (
            {"ad_wear": 1, "ad_recovery": 1},
            ["ad_wear is now called fatigue, a number for each channel; ad_recovery is now"],
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    changes: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ValueError, match="campaign: ") as error:
        make_params("linear", **changes)
    for part in parts:
        assert part in str(error.value)
    assert "pydantic" not in str(error.value)


def test_a_campaign_that_earns_by_its_base_alone_is_taken() -> None:
    assert make_params("linear", counts=np.zeros((3, 3)), base=[0, 0, 1]).base == (0.0, 0.0, 1.0)
    assert make_params("linear", counts=[[0, 0, 0], [0, 0, 0], [0, 1, 0]]).days == 7


def test_a_near_miss_of_another_argument_is_suggested_too() -> None:
    with pytest.raises(ValueError, match="did you mean 'observation'"):
        make_params("linear", known=("action", "observation"), obervation="totals")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"preset='linera'.*known: .*linear"):
        make_params("linera")


def test_arrays_lists_and_numpy_scalars_are_taken() -> None:
    params = make_params("linear", counts=np.eye(3), metric_weights=[1, 2, 3], days=np.int64(3))
    assert params.counts == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert params.days == 3


def test_equal_parameters_are_equal_and_hash_alike() -> None:
    first, second = make_params("linear", days=9), make_params("linear", days=9)
    assert first.counts_array.shape == (
        3,
        3,
    )  # what is derived and kept takes no part in the comparison
    assert first == second
    assert hash(first) == hash(second)
    assert first != PRESETS["linear"]


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        PRESETS["linear"].days = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_a_unit(name: str) -> None:
    description = FIELDS[name].description or ""
    assert "[" in description
    assert "]" in description
