"""The baselines: known values, and the same decision in every form of the environment."""

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import optimize
from stable_baselines3.common.evaluation import evaluate_policy

from envs.campaign import baselines, model, planner, robust_planner
from envs.campaign.latent import batch_latent, sample_latent
from envs.campaign.limits import nearest
from envs.campaign.presets import PRESETS, make_params
from evaluate.campaign.policies import baseline_env_kwargs, baseline_policies
from tests.benchmarks import fuzz_planner

KNOWN: dict[str, dict[str, float]] = {
    "linear": {
        "even split": 4690.0,
        "all posts": 2520.0,
        "all ads": 5950.0,
        "all rewards": 5600.0,
        "best constant split": 5950.0,
        "myopic": 5950.0,
        "optimal plan": 5950.0,
    },
    "dynamic": {
        "even split": 4201.7,
        "all posts": 1710.9,
        "all ads": 2371.6,
        "all rewards": 2408.6,
        "best constant split": 4337.8,
        "myopic": 4128.8,
        "optimal plan": 4659.8,
    },
}
LIMITS: dict[str, Any] = {
    "min_spend": [[10, 0, 5]] * 3 + [[0, 10, 20]] * 4,
    "max_spend": [100, 30, 100],
}
SPLITS = [split for split in itertools.product(range(0, 101, 5), repeat=3) if sum(split) <= 100]
GRID = np.array(SPLITS, dtype=np.float64)
IDS = {"linear": "envs:LinearCampaign-v0", "dynamic": "envs:DynamicCampaign-v0"}


def made(preset: str, **kwargs: Any) -> Any:
    """An environment in the form in which baselines decide."""
    form = baseline_env_kwargs(make_params(preset, **kwargs))
    return gymnasium.make(IDS[preset], **form, **kwargs)


def played(env: Any, policy: Any) -> float:
    observation, _ = env.reset()
    total, over = 0.0, False
    while not over:
        action, _ = policy.predict(observation, None, None, deterministic=True)
        observation, reward, over, _, _ = env.step(action)
        total += float(reward)
    return total


@pytest.mark.parametrize("preset", KNOWN)
def test_every_baseline_earns_what_is_known(preset: str) -> None:
    policies = baseline_policies(PRESETS[preset], 0)
    assert set(policies) == {*KNOWN[preset], "random"}
    for name, engagement in KNOWN[preset].items():
        assert played(made(preset), policies[name]) == pytest.approx(engagement, abs=0.1), name


@pytest.mark.parametrize("observation", ["history", "day"])
def test_campaigns_on_different_days_get_each_its_own(observation: str) -> None:
    envs: Any = gymnasium.make_vec(
        IDS["dynamic"],
        3,
        "vector_entry_point",
        action="spend",
        observation=observation,
        autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED,
    )
    plan = planner.plan(PRESETS["dynamic"]).spend
    policy = baseline_policies(PRESETS["dynamic"], 0)["optimal plan"]
    observations, _ = envs.reset()
    for day in range(3):
        spend, _ = policy.predict(observations)
        assert (spend == plan[day]).all()
        observations = envs.step(spend)[0]
    observations, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
    assert (policy.predict(observations)[0] == plan[[3, 0, 3]]).all()


def test_after_the_last_day_a_baseline_still_answers() -> None:
    env = made("dynamic")
    policy = baseline_policies(PRESETS["dynamic"], 0)["myopic"]
    last, _ = env.reset()
    for _ in range(7):
        last = env.step(np.full(3, 30.0, np.float32))[0]
    assert policy.predict(last)[0].shape == (3,)


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped:UserWarning")
def test_stable_baselines_evaluates_them() -> None:
    for name, policy in baseline_policies(PRESETS["dynamic"], 0).items():
        result: Any = evaluate_policy(policy, made("dynamic"), n_eval_episodes=2)
        mean, deviation = result
        if name != "random":
            assert mean == pytest.approx(KNOWN["dynamic"][name], abs=0.1)
            assert deviation <= 1e-9


def test_limits_hold_for_every_baseline_as_it_stands() -> None:
    params, env = make_params("dynamic", **LIMITS), made("dynamic", **LIMITS)
    low, high = planner.limits_of(params)
    best = planner.plan(params).engagement
    for name, policy in baseline_policies(params, 0).items():
        observation, _ = env.reset()
        total = 0.0
        for day in range(7):
            asked, _ = policy.predict(observation)
            observation, reward, _, _, info = env.step(asked)
            # nothing had to be corrected
            np.testing.assert_allclose(info["spend"], asked, atol=1e-9, err_msg=name)
            assert (asked >= low[day] - 1e-9).all()
            assert (asked <= high[day] + 1e-9).all()
            assert asked.sum() <= 100 * (1 + 1e-9)
            total += float(reward)
        assert total <= best * (1 + 1e-9)


def test_simple_rules_are_solved_when_first_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def solve(*_: Any) -> None:
        raise AssertionError("solved too early")

    monkeypatch.setattr(baselines, "_best_spend", solve)
    params = make_params("dynamic", days=5)
    policies = baseline_policies(params, 0)
    with pytest.raises(AssertionError, match="solved too early"):
        policies["myopic"].predict(np.eye(5)[0])


def test_no_other_constant_split_on_a_grid_is_better() -> None:
    params = PRESETS["dynamic"]
    plans = np.broadcast_to(GRID[:, np.newaxis], (len(GRID), 7, 3))
    best = planner.expected_engagement(params, baselines.best_constant_split(params))
    assert best >= planner.expected_engagement(params, plans).max()


def test_no_other_spend_earns_more_on_a_day_than_the_myopic_one() -> None:
    params = PRESETS["dynamic"]
    plan = baselines.myopic(params)
    _, states = model.rollout(params, plan)
    for state, spend in zip(states, plan, strict=False):
        today = model.engagement(params, model.transition(params, state, spend)[0])
        assert today >= model.engagement(params, model.transition(params, state, GRID)[0]).max()


def test_a_random_split_spends_the_budget_and_follows_its_seed() -> None:
    policies = [baseline_policies(PRESETS["dynamic"], seed)["random"] for seed in (1, 1, 2)]
    first, same, other = (policy.predict(np.zeros((4, 7), np.float32))[0] for policy in policies)
    np.testing.assert_allclose(first.sum(axis=1), 100.0)
    assert (first == same).all()
    assert (first != other).any()


@pytest.mark.parametrize("channels", [1, 2, 5, 12])
def test_simple_rules_are_no_worse_than_an_independent_search(channels: int) -> None:
    rng = np.random.default_rng([5, 0, channels])
    _, changes = fuzz_planner.draw(rng, most_days=7, channels=channels)
    params = make_params("dynamic", **changes | {"min_spend": None, "max_spend": None})
    shape, budget = (params.days, channels), params.daily_budget
    low, high = (limit[0] for limit in planner.limits_of(params))
    state = model.initial_state(params)

    def constant(spend: Any) -> float:
        return float(planner.expected_engagement(params, np.broadcast_to(spend, shape)))

    def first_day(spend: Any) -> float:
        return float(model.engagement(params, model.transition(params, state, spend)[0]))

    rules = (
        (constant, baselines.best_constant_split(params)[0]),
        (first_day, baselines.myopic(params)[0]),
    )
    for earned, spend in rules:
        best, most = 0.0, earned(spend)
        for start in rng.dirichlet(np.ones(channels), 6):
            end = optimize.minimize(
                lambda share, earned=earned, most=most: -earned(budget * share) / most,
                start,
                method="SLSQP",
                bounds=np.stack([low, high], axis=1) / budget,
                constraints={"type": "ineq", "fun": lambda share: 1.0 - share.sum()},
            )
            best = max(best, earned(nearest(budget * end.x, low, high, budget)))
        assert most >= best * (1 - 1e-4)
        assert most <= best * 1.05  # and the search comes near it


@pytest.mark.parametrize("channels", [1, 2, 5, 12])
def test_each_channel_alone_is_a_baseline(channels: int) -> None:
    names = tuple(f"channel_{number}" for number in range(channels))
    rng = np.random.default_rng([6, 0, channels])
    _, changes = fuzz_planner.draw(rng, most_days=7, channels=channels)
    changes |= {"min_spend": None, "max_spend": None, "channels": names}
    params = make_params("dynamic", **changes)
    policies = baseline_policies(params, 0)
    assert [name for name in policies if name.startswith("all ")] == [f"all {n}" for n in names]
    for number, name in enumerate(names):
        spend, _ = policies[f"all {name}"].predict(np.eye(params.days))
        alone = params.daily_budget * np.eye(channels)[number]
        np.testing.assert_array_equal(spend, np.tile(alone, (params.days, 1)))


FIVE: dict[str, Any] = {
    "channels": ("search", "video", "influencers", "email", "rewards"),
    "counts": [[3.0, 0.1, 0.0], [4.0, 0.2, 0.0], [2.0, 0.3, 0.1], [1.0, 0.3, 0.2], [0.5, 0.2, 0.5]],
    "inv_half_saturation": [1 / 300, 1 / 200, 1 / 250, 1 / 150, 1 / 80],
    "carry_over": [0.1, 0.4, 0.3, 0.0, 0.2],
    "loyalty_lift": [2.0, 0.0, 0.0, 1.5, 0.0],
    "loyalty_gain": [0.0, 0.0, 0.0, 0.0, 1.0],
    "fatigue": [0.0, 0.3, 0.2, 0.0, 0.0],
    "fatigue_recovery": [0.0, 0.3, 0.2, 0.0, 0.0],
}


def test_who_knows_five_channels_earns_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust_planner, "FIXED_SCENARIOS", 60)
    monkeypatch.setattr(robust_planner, "FIXED_ITERATIONS", 20)
    params, rng = make_params("uncertain", **FIVE), np.random.default_rng(1)
    fixed = robust_planner.best_fixed_plan(params, rng)
    latent = sample_latent(params, rng, 10)
    plans = robust_planner.clairvoyant_plans(params, latent, fixed)
    earned, known = (
        model.engagement(params, model.rollout(params, plan, latent)[0]).sum(axis=-1)
        for plan in (np.broadcast_to(fixed, plans.shape), plans)
    )
    assert (known >= earned).all()
    assert known.mean() >= 1.02 * earned.mean()


def test_the_slope_of_the_days_left_is_the_planners() -> None:
    params = make_params("uncertain", **FIVE)
    plans = np.random.default_rng(2).dirichlet(np.ones(5), (2, 7)) * params.daily_budget
    _, states = model.rollout(params, plans[0])
    nominal = batch_latent([params.nominal] * 2)
    for day in (0, 3):
        scenarios = robust_planner.at_start(params, nominal, 2, 1)
        parts: Any = (np.broadcast_to(part, (2, 1, *np.shape(part))) for part in states[day])
        left = plans[:, day:]
        earned, slope = robust_planner._value_and_gradient(
            params, scenarios._replace(state=model.State(*parts)), left
        )
        past = np.broadcast_to(plans[0, :day], (2, day, 5))
        whole = np.concatenate([past, left], axis=1)
        total, gradient = planner.engagement_and_gradient(params, whole)
        before = planner.expected_engagement(params, plans[0]) - earned[0]
        np.testing.assert_allclose(total, earned + before, rtol=1e-9)
        np.testing.assert_allclose(slope, gradient[:, day:], rtol=1e-3, atol=1e-4)
