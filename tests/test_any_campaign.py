"""Conformance of campaigns with any channels and metrics, in random roles."""

import copy
import pickle
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from envs.campaign import model
from envs.campaign.allocation import ALLOCATIONS
from envs.campaign.baselines import even_split
from envs.campaign.checks import PER_CHANNEL
from envs.campaign.latent import (
    latent_from_features,
    privileged_features,
    repeat_latent,
    sample_latent,
)
from envs.campaign.limits import LIMITS, fill
from envs.campaign.observation import OBSERVATIONS
from envs.campaign.options import REWARDS
from envs.campaign.params import CampaignParams
from envs.campaign.planner import limits_of
from envs.campaign.presets import make_params
from tests.tools.campaigns import advice_declined, agree, campaigns, make, make_vec, play

ID = "envs:LinearCampaign-v0"
SEEDS = st.integers(0, 2**31)

often = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def _planned_at_once() -> Iterator[None]:
    """An even split in place of the nominal plan, whose search takes seconds for each campaign."""

    def even(params: CampaignParams) -> SimpleNamespace:
        return SimpleNamespace(spend=even_split(params), engagement=1.0)

    quick = pytest.MonkeyPatch()
    quick.setattr("envs.campaign.batch.nominal_plan", even)
    yield
    quick.undo()


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of an environment of any campaign."""
    fields = draw(campaigns())
    actions = [name for name in ALLOCATIONS if name != "channel" or "max_spend" not in fields]
    return fields | {
        "action": draw(st.sampled_from(actions)),
        "observation": draw(st.sampled_from(list(OBSERVATIONS))),
        "reward": draw(st.sampled_from(REWARDS)),
        "privileged": draw(st.booleans()),
    }


@often
@given(choices())
def test_the_checkers_pass_any_campaign(kwargs: dict[str, Any]) -> None:
    with advice_declined(kwargs["action"]):
        check_env(make(ID, **kwargs).unwrapped, skip_render_check=True)
        sb3_check_env(make(ID, **kwargs))


@often
@given(choices(), SEEDS, st.sampled_from([1, 2, 5, 9]))
def test_single_and_vector_agree_in_any_campaign(
    kwargs: dict[str, Any], seed: int, num_envs: int
) -> None:
    agree(ID, num_envs, seed, **kwargs)


@often
@given(choices(), SEEDS)
def test_observations_are_sized_as_documented_and_stay_in_bounds(
    kwargs: dict[str, Any], seed: int
) -> None:
    env = make_vec(ID, 5, **kwargs, autoreset_mode="Disabled")
    params, seen = env.unwrapped.params, env.reset(seed=seed)[0]
    days, channels, metrics = params.days, len(params.channels), len(params.metrics)
    lifted, tiring = (np.count_nonzero(each) for each in (params.loyalty_lift, params.fatigue))
    sizes = {
        "history": days + days * (channels + metrics),
        "totals": 1 + metrics,
        "day": days,
        "belief": days + 3 * channels + 1 + tiring + 2 * lifted,
    }
    privileged = channels * metrics + 2 * channels + lifted + tiring
    assert env.metadata["privileged"] == privileged * kwargs["privileged"]
    size = sizes[kwargs["observation"]] + privileged * kwargs["privileged"]
    assert env.single_observation_space.shape == (size,)
    is_index = kwargs["action"] == "channel"
    box = (-10.0, 10.0) if kwargs["action"] == "logits" else (0.0, params.daily_budget)
    numbers = spaces.Box(box[0], box[1], (channels,), np.float32)
    assert env.single_action_space == (spaces.Discrete(channels) if is_index else numbers)
    env.action_space.seed(seed)
    for _ in range(days):
        assert seen in env.observation_space
        assert np.isfinite(seen).all()
        seen = env.step(env.action_space.sample())[0]
    assert seen in env.observation_space


@often
@given(campaigns(), st.sampled_from(["logits", "spend"]), SEEDS)
def test_no_spend_breaks_the_limits_of_any_campaign(
    fields: dict[str, Any], action: str, seed: int
) -> None:
    env, rng = make_vec(ID, 5, **fields, action=action), np.random.default_rng(seed)
    params = env.unwrapped.params
    slack = 1e-9 * params.daily_budget
    env.reset(seed=seed)
    for low, high in zip(*limits_of(params), strict=True):
        shape = (5, len(params.channels))
        wild = rng.normal(0, 10, shape) if action == "logits" else rng.exponential(1.0, shape) ** 3
        infos = env.step(wild * (1.0 if action == "logits" else params.daily_budget))[-1]
        spend = infos["spend"]
        assert (spend >= low - slack).all()
        assert (spend <= high + slack).all()
        assert (spend.sum(axis=1) <= params.daily_budget + slack).all()
        if action == "logits":
            full = min(params.daily_budget, high.sum())
            np.testing.assert_allclose(spend.sum(axis=1), full, rtol=1e-9)


@often
@given(campaigns(), SEEDS)
def test_a_plan_earns_in_the_environment_what_it_promises(
    fields: dict[str, Any], seed: int
) -> None:
    env = make(ID, **fields, action="spend").unwrapped
    shares = np.random.default_rng(seed).exponential(1.0, limits_of(env.params)[0].shape)
    plan = fill(shares, *limits_of(env.params), env.params.daily_budget)
    env.reset(seed=seed)
    latent = env.latent_params
    infos = [env.step(day)[-1] for day in plan]
    played = np.array([info["spend"] for info in infos])
    np.testing.assert_allclose(played, plan, rtol=1e-9, atol=1e-9 * env.params.daily_budget)
    metrics, _ = model.rollout(env.params, played[np.newaxis], latent)
    expected = model.engagement(env.params, metrics)[0]
    assert [info["expected_engagement"] for info in infos] == expected.tolist()
    totals = infos[-1]["episode_metrics"]
    assert totals["campaign/expected_engagement"] == pytest.approx(expected.sum(), rel=1e-12)
    for name, spent in zip(env.params.channels, plan.sum(axis=0), strict=True):
        assert totals[f"campaign/spend_{name}"] == pytest.approx(spent, rel=1e-9)
    if not env.params.is_noisy:
        names = env.params.metrics
        assert [[info[name] for name in names] for info in infos] == metrics[0].tolist()


@often
@given(choices(), SEEDS, st.sampled_from([None, 3]))
def test_a_copy_of_any_campaign_resumes_like_the_original(
    kwargs: dict[str, Any], seed: int, num_envs: int | None
) -> None:
    def start(seed: int) -> Any:
        env = make(ID, **kwargs) if num_envs is None else make_vec(ID, num_envs, **kwargs)
        env.reset(seed=seed)
        return env.unwrapped

    env, again, restored = start(seed), start(seed), start(seed + 1)
    env.action_space.seed(0)
    first, *actions = [env.action_space.sample() for _ in range(kwargs["days"])]
    assert play(env, [first]) == play(again, [first])
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), again, restored]
    restored.set_state(env.get_state())
    expected = play(env, actions)
    for other in copies:
        assert play(other, actions) == expected


@often
@given(campaigns(), SEEDS)
def test_privileged_features_tell_the_latent_parameters(fields: dict[str, Any], seed: int) -> None:
    params = make_params("linear", **fields)
    latent = sample_latent(params, np.random.default_rng(seed), 4)
    features = privileged_features(params, latent, 4)
    assert np.isfinite(features).all()
    for values, again in zip(latent, latent_from_features(params, features), strict=True):
        np.testing.assert_allclose(again, values, rtol=1e-12)
    nominal = latent_from_features(params, privileged_features(params, None, 2))
    for values, again in zip(repeat_latent(params.nominal, 2), nominal, strict=True):
        np.testing.assert_allclose(again, values, rtol=1e-12)


@often
@given(campaigns(), st.randoms(use_true_random=False))
def test_the_order_of_channels_does_not_matter(fields: dict[str, Any], random: Any) -> None:
    order = list(range(len(fields["channels"])))
    random.shuffle(order)
    params = make_params("linear", **fields)
    moved = {
        name: np.array(fields[name])[..., order].tolist()
        for name in ("channels", *PER_CHANNEL, *LIMITS)
        if name in fields
    }
    moved["counts"] = fields["counts"][order]
    other = make_params("linear", **(fields | moved))
    plan = even_split(params)
    metrics, _ = model.rollout(params, plan)
    np.testing.assert_allclose(model.rollout(other, plan[:, order])[0], metrics, rtol=1e-9)


BRAND: dict[str, Any] = {
    "channels": ["search", "video", "email", "events"],
    "metrics": ["clicks", "orders"],
    "counts": [[3, 0.2], [4, 0.1], [1, 0.3], [0, 0.4]],
    "metric_weights": [0, 10],
    "base": [5, 0],
    "inv_half_saturation": [0.01, 0.02, 0, 0.01],
    "carry_over": [0, 0.3, 0, 0.1],
    "loyalty_lift": [0, 0, 2, 1],
    "loyalty_gain": [0, 0, 0, 0.5],
    "fatigue": [0, 0.4, 0.2, 0],
    "fatigue_recovery": [0, 0.2, 0.3, 0],
    "min_spend": [10, 0, 0, 0],
    "max_spend": [60, 60, 60, 0],
    "counts_log_sd": 0.3,
    "dispersion": 10.0,
}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (
            {"latent": {"carry_over": [0, 0, 0]}},
            "carry_over: 3 numbers, none for events: must be one for each channel, in the order "
            "search, video, email, events",
        ),
        (
            {"latent": {"carry_over": [0, 1, 0, 0]}},
            "carry_over[video]=1: input should be less than",
        ),
        ({"latent": {"counts": np.ones((4, 3))}}, "counts of search, video, email and 1 more: 3 n"),
        (
            {"latent": {"loyalty_lift": 3.0}},
            "loyalty_lift=3.0: must be a number for each of search",
        ),
        (
            {"latent": {"ad_wear": 3.0}},
            "'ad_wear' does not differ between campaigns; known: counts",
        ),
        ({"latent": {3: 3.0}}, "3 does not differ between campaigns; known: counts"),
        ({"true_params": {"fatigue": [0, 1]}}, "fatigue: 2 numbers, none for email, events: must"),
        ({"true_params": {"counts": np.zeros((4, 2))}}, "nothing can be earned"),
        ({"true_params": {"counts": np.ones((3, 2))}}, "counts: 3 rows, none for events"),
        (
            {"past": [[1, 2, 3], [4, 5, 6]]},
            "past=[[1, 2, 3], [4, 5, 6]]: must be a row of 6 numbers for each day: search, video, "
            "email, events, clicks, orders",
        ),
        ({"past": [1, 2, 3, 4, 5, 6]}, "must be a row of 6 numbers for each day"),
        ({"past": None}, "past=None: must be a row of 6 numbers for each day"),
        ({"past": [[10, 0, 0, 0, "x", 1]]}, "must be a row of 6 numbers for each day"),
        ({"past": [[10, 0, -1, 0, 9, 1]]}, "day 1, email: -1, must be a finite number from 0 to"),
        (
            {"past": [[60, 60, 0, 0, 9, 1]]},
            "day 1, search + video + email + events: 120 budget units spent, must",
        ),
    ],
)
def test_bad_reset_options_name_the_channels(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=r"^(reset|campaign): ") as error:
        make_vec(ID, 2, **BRAND).reset(options=options)
    assert part in str(error.value)


def test_reset_options_are_taken_in_any_campaign() -> None:
    env = make(ID, **BRAND, privileged=True, observation="belief", action="spend").unwrapped
    latent = {"counts": np.zeros((4, 2)), "loyalty_lift": [0, 0, 1, 5], "fatigue": [0, 1, 1, 0]}
    env.reset(seed=0, options={"latent": latent})
    assert env.latent_params.loyalty_lift.tolist() == [[0, 0, 1, 5]]
    assert env.latent_params.fatigue_rate.tolist() == [[0, 0.01, 0.01, 0]]
    assert env.latent_params.carry_over.tolist() == [[0, 0.3, 0, 0.1]]
    assert env.step(np.zeros(4))[-1]["expected_engagement"] == 0.0
    past = [[10, 20, 30, 0, 400, 20], [10, 0, 60, 0, 100, 25]]
    seen, _ = env.reset(seed=0, options={"past": past, "true_params": {"counts_log_sd": 0.5}})
    assert seen[:7].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert env.step(np.full(4, 20.0))[-1]["spend"].tolist() == [20, 20, 20, 0]


plain = st.none() | st.integers(-1, 5) | st.floats() | st.text(max_size=3)
tangled = st.recursive(
    plain,
    lambda parts: (
        st.lists(parts, max_size=6)
        | st.dictionaries(st.sampled_from(["counts", "carry_over", "fatigue", "days", "x"]), parts)
    ),
    max_leaves=12,
)


@often
@given(st.dictionaries(st.sampled_from(["latent", "true_params", "past", "seed"]), tangled))
def test_whatever_options_are_given_a_reset_answers_plainly(options: dict[str, Any]) -> None:
    env, message = make(ID, **BRAND).unwrapped, ""
    try:
        env.reset(seed=0, options=options)
    except ValueError as error:
        message = str(error)
    assert message.startswith(("reset: ", "campaign: ")) or not message
