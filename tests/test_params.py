"""Campaign parameters: a message for every bad value says what, where and what is allowed."""

import re
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.campaign.checks import RESERVED
from envs.campaign.params import FIELDS
from envs.campaign.presets import PRESETS, RENAMED, make_params
from tests.tools.campaigns import campaigns
from tests.tools.programs import run


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


BRAND: dict[str, Any] = {
    "channels": ["search", "video", "influencers", "email", "rewards"],
    "metrics": ["clicks", "sign_ups"],
    "counts": np.ones((5, 2)),
    "metric_weights": [1, 5],
}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"channels": ["posts", "e-mail", "", "Likes"], "metrics": ["likes", "Posts", "_x"]},
            [
                "channels: 'e-mail': must be 1 to 40 letters, digits and underscores, the first "
                "not an underscore; did you mean 'e_mail'?",
                "channels: '': must be 1 to 40 letters",
                "metrics: 'likes': is already the name of a channel",
                "metrics: 'Posts': is already the name of a channel",
                "metrics: '_x': must be 1 to 40 letters, digits and underscores, the first not an "
                "underscore; did you mean 'x'?",
                "counts, metric_weights: must be given for these channels and metrics (posts, ",
            ],
        ),
        (
            {"channels": ["video", "email", "search"]},
            ["counts: must be given for these", "those of the linear campaign are for other names"],
        ),
        ({"channels": ["a", "a", "b"]}, ["channels: 'a': is already the name of a channel"]),
        ({"channels": ["a" * 41, "b", "c"]}, ["must be 1 to 40 letters", f"mean '{'a' * 40}'?"]),
        (
            {"channels": ["Day", "spend_tv", "c"], "metrics": ["likes", "b", "seed"]},
            [
                "channels: 'Day': is a column of the results; choose another name, such as "
                "'channel_Day'",
                "channels: 'spend_tv': must not start with 'spend_'",
                "metrics: 'seed': is a column of the results; choose another name, such as "
                "'metric_seed'",
            ],
        ),
        (
            {"channels": list(string.ascii_letters[:13])},
            ["'m'): must be 1 to 12 names (names of the channels"],
        ),
        ({"channels": []}, ["channels=(): must be 1 to 12 names"]),
        ({"channels": "posts"}, ["channels='posts': must be 1 to 12 names"]),
        (
            {"channels": ["a", 2, 3.5]},
            ["channels[1]=2, channels[2]=3.5: input should be a valid string (names of the"],
        ),
        (
            {"channels": 5, "counts": [[-1, 2, 3]] * 3},
            ["channels=5", "counts[0][likes]=-1, counts"],
        ),
        (
            BRAND | {"counts": np.ones((4, 2)), "fatigue": [0.1] * 6, "metric_weights": [0]},
            [
                "counts: 4 rows, none for rewards: must be one for each channel, in the order "
                "search, video, influencers, email, rewards",
                "fatigue: 6 numbers, too many: must be one for each channel",
                "metric_weights: 1 number, none for sign_ups: must be one for each metric, in",
            ],
        ),
        (
            BRAND | {"counts": [[1, 1], [1], [1], [1, 1], [1, 1, 1]]},
            [
                "counts of video, influencers: 1 number, none for sign_ups: must be one",
                "counts of rewards: 3 numbers, too many: must be one for each metric",
            ],
        ),
        (
            {"counts": [1, 2, 3]},
            ["counts=(1, 2, 3): must be a row for each of posts, ads, rewards"],
        ),
        (
            {"channels": ["a"], "metrics": ["b", "c"]},
            ["counts, metric_weights: must be given for these channels and metrics (a, b, c)"],
        ),
        (
            {"min_spend": [1, 2], "max_spend": [[1, 2], [3, 4]], "days": 2},
            [
                "min_spend: 2 numbers, none for rewards: must be one for each channel, in the",
                "max_spend of day 1, day 2: 2 numbers, none for rewards: must be one",
            ],
        ),
        (
            {"max_spend": [[1]] * 5, "days": 5},
            ["max_spend of day 1, day 2, day 3 and 2 more: 1 number, none for ads, rewards"],
        ),
        (
            {
                "metric_weights": [0, 0, 0],
                "loyalty_gain": [0.7, 0.6, 0],
                "unit": "",
                "days": 0,
                "max_spend": [1, 2, 3],
                "min_spend": [2, 2, 2],
                "ad_recovery": 1,
            },
            [
                "days=0: input should be greater than or equal to 1 (length of a campaign [days])",
                "ad_recovery is now called fatigue_recovery, a number for each channel",
                "unit='': must be 1 to 20 printable characters, such as EUR",
                "loyalty_gain: 0.7 (posts) + 0.6 (ads) = 1.3: must sum up to 1 or less",
                "metric_weights=(0, 0, 0): all 0, so that nothing can be earned",
            ],
        ),
        ({"unit": "E\nU"}, ["unit='E\\nU': must be 1 to 20"]),
        ({"unit": " "}, ["unit=' ': must be 1 to 20"]),
        ({"unit": 3}, ["unit=3: input should be a valid string"]),
        ({"loyalty_lift": 3.0}, ["loyalty_lift=3.0: must be a number for each of posts, ads, rew"]),
        ({"base": {"likes": 1}}, ["base={'likes': 1}: must be a number for each of likes,"]),
    ],
)
def test_faults_of_any_campaign_are_named_all_at_once(
    changes: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"^campaign: ") as error:
        make_params("linear", **changes)
    for part in parts:
        assert part in str(error.value)
        assert str(error.value).count(part) == 1
    assert str(error.value).count(": ") <= 3 * (len(parts) + 2)  # nothing else is said


@pytest.mark.parametrize("name", ["müsli", "Ⅳ", "東京", "1st", "a_b", "A1"])
def test_names_may_have_letters_of_any_language(name: str) -> None:
    own: dict[str, Any] = {"channels": [name, "ads", "tv"], "counts": np.ones((3, 3))}
    assert make_params("linear", **own).channels[0] == name


def test_every_reserved_name_gets_a_free_one_suggested() -> None:
    for name in sorted(RESERVED):
        with pytest.raises(ValueError, match="column of the results") as error:
            make_params("linear", metrics=[name, "b", "c"])
        free = str(error.value).rsplit("'", 2)[1]
        own: dict[str, Any] = {"metrics": [free, "b", "c"], "counts": np.ones((3, 3))}
        own["metric_weights"] = [1, 1, 1]
        assert make_params("linear", **own).metrics[0] == free


def test_zeros_of_a_preset_follow_the_number_of_names() -> None:
    params = make_params("linear", **BRAND)
    assert params.fatigue == (0.0,) * 5
    assert params.base == (0.0, 0.0)
    assert make_params("linear", **{name: getattr(params, name) for name in FIELDS}) == params


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.integers(-1, 30)
    | st.floats()
    | st.floats(0, 1)
    | st.text(max_size=5)
    | st.sampled_from(["posts", "ads", "day", "likes", np.float64(0.3), np.eye(3), {"a": 1}, {1}]),
    lambda parts: st.lists(parts, max_size=14) | st.tuples(parts, parts, parts),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, *RENAMED, "x"]), anything, max_size=5),
    campaigns() | st.just({}),
    st.sampled_from(sorted(PRESETS)),
)
def test_whatever_is_given_makes_a_campaign_or_one_message(
    changes: dict[str, Any], fields: dict[str, Any], preset: str
) -> None:
    message = ""
    try:
        make_params(preset, **(fields | changes))
    except ValueError as error:
        message = str(error)
    assert re.match("campaign: .|$", message)
    assert "pydantic" not in message


def test_the_program_answers_a_bad_campaign_with_one_message(tmp_path: Path) -> None:
    config = tmp_path / "brand.yaml"
    config.write_text(
        "env:\n  id: envs:DynamicCampaign-v0\n  kwargs:\n"
        "    channels: [search, search, e-mail]\n    carry_over: [0.1, 0.2]\n    ad_wear: 0.3\n"
        "    metric_weights: [0, 0, 0]\n"
        "total_timesteps: 100\na2c: {n_envs: 1, n_steps: 7}\n"
    )
    ended = run("train", config, "--runs-dir", tmp_path / "runs")
    assert ended.returncode == 2
    for part in (
        "ad_wear is now called fatigue",
        "'search': is already the name of a channel",
        "'e-mail': must be 1 to 40 letters, digits and underscores",
        "carry_over: 2 numbers, none for e-mail",
        "metric_weights=(0, 0, 0): all 0",
    ):
        assert part in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "runs").exists()
