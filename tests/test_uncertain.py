"""Campaigns that differ: the draws, the noise, beliefs, and the baselines that know the prior."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from envs.campaign import baselines, belief, model, planner, robust_planner
from envs.campaign.latent import (
    batch_latent,
    latent_from_features,
    privileged_size,
    sample_latent,
    sample_noise,
    select,
)
from envs.campaign.params import PRIOR_WIDTHS
from envs.campaign.poisson import poisson
from envs.campaign.presets import PRESETS, make_params
from evaluate.campaign import policies

ID = "envs:UncertainCampaign-v0"
UNCERTAIN = PRESETS["uncertain"]
PRIVILEGED_SIZE = privileged_size(UNCERTAIN)
PAST = [[0.0, 13.0, 87.0, 200.0, 80.0, 160.0], [38.0, 16.0, 46.0, 900.0, 150.0, 160.0]]
AS_NOMINAL: dict[str, Any] = {"counts": UNCERTAIN.counts}


def make(num_envs: int, **kwargs: Any) -> Any:
    return gymnasium.make_vec(
        ID, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )


@settings(max_examples=200, deadline=None)
@given(mean=st.floats(0.0, 1e6), normal=st.floats(-6.0, 6.0))
def test_counts_are_the_quantiles_of_scipy(mean: float, normal: float) -> None:
    count = poisson(np.array([mean]), np.array([normal]))
    assert count == stats.poisson.ppf(special.ndtr(normal), mean) or mean == count == 0


def test_counts_of_small_means_are_exact_quantiles_too() -> None:
    mean, normal = np.meshgrid(np.linspace(0.05, 40.0, 200), np.linspace(-6.0, 6.0, 121))
    exact = np.maximum(stats.poisson.ppf(special.ndtr(normal), mean), 0.0)
    assert (poisson(mean, normal) == exact).all()


@pytest.mark.parametrize("mean", [1e15, 1e16, 1e300])
def test_counts_of_any_mean_come_at_once(mean: float) -> None:
    count = poisson(np.full(3, mean), np.array([-3.0, 0.0, 3.0]))
    expected = mean + np.sqrt(mean) * np.array([-3.0, 0.0, 3.0])
    np.testing.assert_allclose(count, expected, rtol=1e-14)


def test_the_draws_have_the_moments_that_the_parameters_say() -> None:
    latent = sample_latent(UNCERTAIN, np.random.default_rng(0), 100_000)
    nominal = UNCERTAIN.nominal
    strength = latent.counts / nominal.counts
    # one draw a channel, for all three of its metrics
    assert np.allclose(strength, strength[:, :, :1], rtol=1e-12)
    assert strength.mean(axis=0) == pytest.approx(1.0, abs=0.01)
    assert np.log(strength).std(axis=0) == pytest.approx(0.5, abs=0.01)
    saturation = latent.inv_half_saturation / nominal.inv_half_saturation
    assert np.median(saturation, axis=0) == pytest.approx(1.0, abs=0.01)
    assert np.log(latent.inv_half_saturation).std(axis=0) == pytest.approx(0.3, abs=0.01)
    assert latent.loyalty_lift.mean(axis=0) == pytest.approx([3.0, 0.0, 0.0], abs=0.03)
    assert np.log(latent.fatigue_rate[:, 1]).std() == pytest.approx(0.4, abs=0.01)
    assert (latent.fatigue_rate[:, [0, 2]] == 0.0).all()
    assert latent.carry_over.min(axis=0) == pytest.approx([0.25, 0.0, 0.15], abs=1e-3)
    assert latent.carry_over.max(axis=0) == pytest.approx([0.55, 0.25, 0.45], abs=1e-3)
    correlation: Any = np.corrcoef(strength[:, :, 0].T)
    assert np.abs(correlation - np.eye(3)).max() < 0.01


def test_the_noise_is_a_negative_binomial_with_a_shared_shock() -> None:
    noise = sample_noise(UNCERTAIN, np.random.default_rng(1), 60_000)
    assert noise is not None
    mean = np.array([400.0, 60.0, 30.0])
    expected = np.broadcast_to(mean, noise.quantile.shape)
    seen = model.observed(UNCERTAIN, expected, noise).reshape(-1, 3)
    shock = np.exp(0.25**2) - 1.0
    own = (1.0 + shock) * (1.0 + 1.0 / 10.0) - 1.0
    assert seen.mean(axis=0) == pytest.approx(mean, rel=0.01)
    assert seen.var(axis=0) == pytest.approx(mean + mean**2 * own, rel=0.03)
    assert np.cov(seen.T)[0, 1] == pytest.approx(mean[0] * mean[1] * shock, rel=0.1)
    assert (seen == np.round(seen)).all()


def test_a_shock_and_the_heterogeneity_multiply_what_is_expected() -> None:
    noise = model.Noise(np.array(2.0), np.array([1.0, 2.0, 0.5]), np.zeros(3))
    seen = model.observed(UNCERTAIN, np.array([1000.0, 100.0, 40.0]), noise)
    mean = np.exp(0.25 * 2.0 - 0.25**2 / 2) * np.array([1000.0, 200.0, 20.0])
    assert seen.tolist() == stats.poisson.median(mean).tolist()


def test_a_seed_brings_every_policy_the_same_chances() -> None:
    spends = np.random.default_rng(0).uniform(0, 30, (7, 5, 3)).astype(np.float32)
    envs = [make(5, action="spend"), make(5, action="spend")]
    for env in envs:
        env.reset(seed=3)
    for day, spend in enumerate(spends[:-1]):
        other = spend if day != 1 else 2.0 * spend
        first, second = envs[0].step(spend)[-1], envs[1].step(other)[-1]
        if day == 0:
            assert (first["likes"] == second["likes"]).all()
        if day == 1:
            assert (first["likes"] <= second["likes"]).all()
    assert (envs[0].unwrapped.latent_params.counts == envs[1].unwrapped.latent_params.counts).all()
    assert len({float(value) for value in envs[0].unwrapped.latent_params.counts[:, 0, 0]}) == 5


def test_given_latent_parameters_are_played_and_others_are_nominal() -> None:
    counts = (2.0 * np.array(UNCERTAIN.counts)).tolist()
    spend = np.array([30.0, 20.0, 50.0], dtype=np.float32)
    nominal, strong = gymnasium.make(ID, action="spend"), gymnasium.make(ID, action="spend")
    nominal.reset(seed=0, options={"latent": AS_NOMINAL})
    strong.reset(seed=0, options={"latent": {"counts": counts}})
    dynamic = gymnasium.make("envs:DynamicCampaign-v0", action="spend")
    dynamic.reset()
    for _ in range(3):
        once, twice, known = (
            env.step(spend)[-1]["expected_engagement"] for env in (nominal, strong, dynamic)
        )
        assert twice == pytest.approx(2 * once, rel=1e-12)
        assert once == pytest.approx(known, rel=1e-12)


def test_latent_parameters_of_some_campaigns_do_not_change_the_others() -> None:
    kwargs: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "action": "spend"}
    strong = {"counts": (2.0 * np.array(UNCERTAIN.counts)).tolist()}
    mask, spend = np.array([False, True, False]), np.full((3, 3), 30.0, np.float32)
    env = gymnasium.make_vec("envs:DynamicCampaign-v0", num_envs=3, **kwargs)
    env.reset()
    usual = env.step(spend)[-1]["engagement"][0]
    env.reset()
    env.reset(options={"reset_mask": mask, "latent": strong})
    assert env.step(spend)[-1]["engagement"] == pytest.approx([usual, 2 * usual, usual])
    env.reset(options={"latent": strong})
    env.reset(options={"reset_mask": mask})
    assert env.step(spend)[-1]["engagement"] == pytest.approx([2 * usual, usual, 2 * usual])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (
            {"latent": {"days": 3}},
            "'days' does not differ between campaigns; known: counts, inv_half_saturation",
        ),
        ({"latent": {"carry_over": [2, 0, 0]}}, "carry_over[posts]=2"),
        ({"latent": 3}, "must be a mapping of fields to values, or 2 of them"),
        ({"latent": [AS_NOMINAL]}, "or 2 of them"),
        ({"latent": {"loyalty_lift": [3, 0.5, 0]}}, "loyalty_lift of ads is 0.5: must be 0"),
        ({"true_params": {"fatigue": [0, 1, 2]}}, "fatigue of rewards is 2: must be 0"),
        ({"past": [[1, 2, 3]]}, "past=[[1, 2, 3]]: must be a row of 6 numbers"),
        ({"past": [[50, 50, 1, 1, 1, 1]]}, "must be 100 or less, the day's budget"),
        ({"past": [[1, 1, -1, 1, 1, 1]]}, "must be a finite number from 0"),
        ({"past": PAST * 4}, "has 8 days, must be fewer than the 7"),
        ({"true_params": 3}, "true_params: must be a mapping of fields to values; got 3"),
        (
            {"true_params": {"days": 3}},
            "true_params: 'days' does not differ between campaigns; known: counts, inv_half",
        ),
        ({"true_params": {"shock_sd": -1}}, "shock_sd=-1"),
        ({"passed": PAST}, "unknown option 'passed'; known: reset_mask, latent, true_params, past"),
    ],
)
def test_bad_options_of_reset_are_refused(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=r"^(reset|campaign): ") as error:
        make(2).reset(options=options)
    assert part in str(error.value)


def test_past_days_are_observed_and_the_posterior_is_sampled() -> None:
    campaigns = make(400, observation="belief")
    seen, _ = campaigns.reset(seed=0, options={"past": PAST})
    assert (seen == seen[0]).all()
    assert seen[0, :7].tolist() == [0, 0, 1, 0, 0, 0, 0]
    strength = np.log(campaigns.unwrapped.latent_params.counts[:, 2, 0])  # rewards did well
    assert strength.mean() > 0.2  # less than 0 before the first day
    assert strength.std() < 0.4  # 0.5 before the first day
    single = gymnasium.make(ID, observation="belief")
    assert single.reset(seed=0, options={"past": PAST})[0].tobytes() == seen[0].tobytes()
    assert campaigns._campaigns.day.tolist() == [2] * 400


def test_privileged_columns_are_the_latent_parameters() -> None:
    campaigns = make(4, privileged=True)
    assert campaigns.metadata["privileged"] == PRIVILEGED_SIZE
    seen, _ = campaigns.reset(seed=0)
    plain, _ = make(4).reset(seed=0)
    assert (seen[:, :-PRIVILEGED_SIZE] == plain).all()
    latent = campaigns.unwrapped.latent_params
    again = latent_from_features(UNCERTAIN, seen[:, -PRIVILEGED_SIZE:].astype(np.float64))
    for name, values in again._asdict().items():
        assert values == pytest.approx(getattr(latent, name), rel=1e-6), name


def test_latent_parameters_that_are_nominally_zero_are_features_too() -> None:
    campaigns = make(5, privileged=True, carry_over=[0, 0, 0], carry_over_range=0.6)
    seen, _ = campaigns.reset(seed=0)
    features = seen[:, -PRIVILEGED_SIZE:].astype(np.float64)
    again = latent_from_features(campaigns.unwrapped.params, features)
    carry_over = campaigns.unwrapped.latent_params.carry_over
    assert carry_over.max() > 0.5
    assert again.carry_over == pytest.approx(carry_over, rel=1e-6)


def test_options_of_fields_that_are_nominally_zero_are_features_too() -> None:
    latent: dict[str, Any] = {
        "counts": [[1.0, 2.0, 3.0], [0.0, 1.0, 0.5], [1.0, 0.5, 2.0]],
        "inv_half_saturation": [0.01, 0.0, 0.02],
        "carry_over": [0.4, 0.0, 0.2],
    }
    dead: Any = {"counts": [[0, 0, 0], [5, 1, 0.5], [1, 0.5, 2]]}
    env: Any = gymnasium.make("envs:LinearCampaign-v0", privileged=True, **dead).unwrapped
    size = privileged_size(env.params)
    nominal, _ = env.reset(seed=0)
    assert nominal[-size:].tolist() == [0.0] * 3 + [1.0] * 6 + [0.0] * 6
    seen, _ = env.reset(seed=0, options={"latent": latent})
    features = seen[np.newaxis, -size:].astype(np.float64)
    expected = make_params("linear", **latent).nominal
    for values, again in zip(expected, latent_from_features(env.params, features), strict=True):
        assert again[0] == pytest.approx(values, rel=1e-6)


def test_all_channels_may_be_dead_in_given_campaigns() -> None:
    env = make(2, action="spend")
    env.reset(seed=0, options={"latent": {"counts": np.zeros((3, 3))}})
    assert (env.step(np.full((2, 3), 30.0))[-1]["engagement"] == 0).all()


def test_the_latent_parameters_that_are_shown_cannot_be_changed() -> None:
    env = make(2).unwrapped
    env.reset(seed=0)
    shown = env.latent_params
    shown.counts[:] = 0.0
    assert (env.latent_params.counts > 0).all()
    assert gymnasium.make("envs:LinearCampaign-v0").unwrapped.latent_params is None  # type: ignore[attr-defined]


def test_the_reward_may_be_the_expected_engagement() -> None:
    env = gymnasium.make(ID, reward="expected", reward_scale=0.5)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(3))
    assert reward == 0.5 * info["expected_engagement"] != 0.5 * info["engagement"]


def played_by_the_nominal_plan(params: Any, latent: Any) -> Any:
    """What the nominal plan is expected to earn on each day of each campaign, (campaigns, days)."""
    shape = (len(latent.loyalty_lift), params.days, 3)
    nominal = np.broadcast_to(planner.plan(params).spend, shape)
    return model.engagement(params, model.rollout(params, nominal, latent)[0])


def test_a_shaped_reward_is_the_gain_over_the_nominal_plan() -> None:
    env = make(4, reward="shaped", action="spend", reward_scale=0.5, days=3)
    env.reset(seed=2)
    latent, params = env.unwrapped.latent_params, make_params("uncertain", days=3)
    rewards, earned = [], []
    for spend in np.random.default_rng(0).uniform(0, 30, (3, 4, 3)).astype(np.float32):
        _, reward, _, _, infos = env.step(spend)
        rewards.append(reward / 0.5)
        earned.append(infos["expected_engagement"])
    nominal = played_by_the_nominal_plan(params, latent)
    assert np.sum(rewards, axis=0) == pytest.approx(np.sum(earned, axis=0) - nominal.sum(axis=1))
    # what days before have left counts before
    assert rewards[-1] != pytest.approx(earned[-1] - nominal[:, -1])


def test_the_nominal_plan_has_shaped_rewards_of_zero() -> None:
    env = make(4, reward="shaped", action="spend")
    env.reset(seed=2)
    for spend in planner.plan(UNCERTAIN).spend:
        _, reward, *_ = env.step(np.tile(spend, (4, 1)).astype(np.float32))
        assert reward == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_a_shaped_reward_does_not_depend_on_other_campaigns(mode: str) -> None:
    kwargs: dict[str, Any] = {"reward": "shaped", "days": 3, "autoreset_mode": mode}
    mixed, single = make(3, **kwargs), gymnasium.make(ID, reward="shaped", days=3)
    actions = np.random.default_rng(0).normal(size=(9, 3, 3)).astype(np.float32)
    mixed.reset(seed=0)
    mixed.step(actions[0])
    mixed.reset(options={"reset_mask": np.array([False, True, False])})
    latent, noise = mixed.unwrapped.latent_params, mixed.unwrapped._campaigns._noise
    single.reset(seed=1)
    inner = single.unwrapped._campaigns  # type: ignore[attr-defined]
    inner.latent, inner._noise = select(latent, [1]), model.Noise(*(part[[1]] for part in noise))
    inner._update_potential(slice(None))
    for action in actions[1:4]:
        _, rewards, *_ = mixed.step(action)
        _, reward, terminated, *_ = single.step(action[1])
        assert rewards[1] == pytest.approx(reward, rel=1e-12)
    assert terminated


def two_days(env: Any, options: dict[str, Any]) -> Any:
    """What is expected and what comes on two days of even spend, (days, names, campaigns)."""
    env.reset(seed=0, options=options)
    steps = [env.step(np.full((env.num_envs, 3), 30.0, np.float32))[-1] for _ in range(2)]
    names = ("expected_engagement", "likes", "comments", "shares")
    return np.array([[step[name] for name in names] for step in steps])


def test_true_params_decide_what_latent_parameters_and_noise_are_drawn() -> None:
    wide, loud = {"counts_log_sd": 1.0}, {"dispersion": 2.5, "shock_sd": 0.5}
    count, plain = 2_000, {"action": "spend", "observation": "belief"}
    usual, assumed = make(count, **plain), make(count, **plain, **wide, **loud)
    both = two_days(usual, {"true_params": wide | loud})
    # an ulp may move a count by one
    np.testing.assert_allclose(both, two_days(assumed, {}), rtol=1e-12, atol=1)
    assert (both != two_days(usual, {"true_params": wide})).any()
    assert (both != two_days(usual, {"true_params": loud})).any()


@pytest.mark.parametrize("is_masked_noisy", [False, True])
def test_a_masked_reset_changes_the_noise_of_its_rows_alone(is_masked_noisy: bool) -> None:
    quiet = {"true_params": {"dispersion": None, "shock_sd": 0.0}}
    mask, spend = np.array([True, False, False]), np.full((3, 3), 30.0)
    env = make(3, action="spend", autoreset_mode="Disabled")
    env.reset(seed=0, options=quiet if is_masked_noisy else {})
    env.reset(options={"reset_mask": mask} | ({} if is_masked_noisy else quiet))
    infos = env.step(spend)[-1]
    is_noisy = infos["engagement"] != infos["expected_engagement"]
    assert is_noisy.tolist() == (mask if is_masked_noisy else ~mask).tolist()


def test_true_params_do_not_change_beliefs() -> None:
    usual, other = (make(3, action="spend", observation="belief") for _ in range(2))
    usual.reset(seed=0)
    first, _ = other.reset(seed=0, options={"true_params": {"counts_log_sd": 1.0, "shock_sd": 0.5}})
    day, metrics = np.full((3, 3), 30.0), np.tile([500.0, 100.0, 200.0], (3, 1))
    for env in (usual, other):
        env.unwrapped._campaigns.play(day, metrics=metrics)
    np.testing.assert_array_equal(
        *(env.unwrapped._campaigns.observations for env in (usual, other))
    )
    assert other.unwrapped.params == usual.unwrapped.params
    assert first.shape == (3, 20)


def test_a_dead_channel_earns_nothing_and_changes_no_other() -> None:
    posts = np.tile([100.0, 0.0, 0.0], (50, 1)).astype(np.float32)
    ads = np.tile([0.0, 100.0, 0.0], (50, 1)).astype(np.float32)
    usual, dead = make(50, action="spend"), make(50, action="spend")
    true_params = {"counts": [[0, 0, 0], *UNCERTAIN.counts[1:]]}
    for spend, alike in ((posts, False), (ads, True)):
        usual.reset(seed=0)
        dead.reset(seed=0, options={"true_params": true_params})
        ours, theirs = (env.step(spend)[-1]["expected_engagement"] for env in (dead, usual))
        assert (ours == theirs).all() if alike else (ours == 0).all()


def test_true_params_cannot_add_noise() -> None:
    with pytest.raises(
        ValueError,
        match=r"true_params: shock_sd=0\.5: the noise of these campaigns has no such part",
    ):
        make(2, shock_sd=0.0).reset(options={"true_params": {"shock_sd": 0.5}})
    with pytest.raises(ValueError, match=r"true_params: dispersion=3: the noise of these"):
        gymnasium.make("envs:DynamicCampaign-v0").reset(options={"true_params": {"dispersion": 3}})


def test_an_episode_has_the_sum_of_its_expected_engagement() -> None:
    env = gymnasium.make(ID, days=3)
    env.reset(seed=0)
    infos = [env.step(np.zeros(3))[-1] for _ in range(3)]
    total = sum(info["expected_engagement"] for info in infos)
    assert infos[-1]["episode_metrics"]["campaign/expected_engagement"] == pytest.approx(
        total, rel=1e-12
    )
    assert total != pytest.approx(infos[-1]["episode_metrics"]["campaign/engagement"], rel=1e-3)


WIDE: dict[str, float] = {name: 2 * getattr(UNCERTAIN, name) for name in PRIOR_WIDTHS}


@pytest.mark.parametrize(
    "kwargs", [{}, WIDE, {"dispersion": None, "shock_sd": 0.0}, {"dispersion": None}]
)
def test_the_belief_is_as_sure_as_it_may_be(kwargs: dict[str, Any]) -> None:
    params = make_params("uncertain", **kwargs)
    campaigns = make(1_000, observation="belief", action="spend", **kwargs)
    campaigns.reset(seed=0)
    latent = campaigns.unwrapped.latent_params
    strength = np.log(latent.counts[:, :, 0] / params.counts_array[:, 0])
    lift = np.log(latent.loyalty_lift[:, 0] / params.loyalty_lift[0])
    mean, sd = belief.prior(params)
    rng = np.random.default_rng(1)
    for _ in range(6):
        seen, *_ = campaigns.step(100.0 * rng.dirichlet(np.ones(3), 1_000))
        estimates, deviations = mean + sd * seen[:, 12:16], sd * seen[:, 16:]
        errors = np.abs(estimates - np.column_stack([strength, lift]))
        assert (np.mean(errors > 2 * deviations, axis=0) < 0.11).all()  # 0.05 for a normal one


def test_the_belief_starts_at_the_prior_and_gets_better() -> None:
    campaigns = make(3_000, observation="belief")
    seen, _ = campaigns.reset(seed=0)
    assert seen[:, 12:].tolist() == [[0.0] * 4 + [1.0] * 4] * 3_000
    latent = np.log(
        campaigns.unwrapped.latent_params.counts[:, :, 0] / UNCERTAIN.counts_array[:, 0]
    )
    prior, sd = belief.prior(UNCERTAIN)
    errors = []
    for _ in range(6):
        seen, *_ = campaigns.step(np.zeros((3_000, 3)))
        errors.append((prior[:3] + sd[:3] * seen[:, 12:15] - latent).std(axis=0))
    assert (np.diff(errors, axis=0) < 0.005).all()
    assert (errors[-1] < 0.42).all()  # 0.5 before the first day
    assert seen[:, 16:19].mean(axis=0) * 0.5 == pytest.approx(
        errors[-1], rel=0.15
    )  # and it knows how well it knows


def test_the_belief_of_a_single_channel_is_a_gaussians() -> None:
    """With a channel as the only unknown the filter is exact: precision-weighted log ratios."""
    params = make_params("linear", counts_log_sd=0.5, dispersion=10.0, shock_sd=0.25, days=3)
    known = belief.start(params, 1)
    spend, bias = np.array([0.0, 100.0, 0.0]), special.psi(10.0) - np.log(10.0) - 0.25**2 / 2
    seen = np.array([[700.0, 120.0, 40.0], [450.0, 130.0, 70.0]])
    mean, precision = -(0.5**2) / 2, 1 / 0.5**2
    for day, metrics in enumerate(seen):
        expected = np.exp(mean) * np.array([500.0, 100.0, 50.0])
        noise = np.diag(special.polygamma(1, 10.0) + 1 / (expected + 0.5)) + 0.25**2
        weights = np.linalg.solve(noise, np.ones(3))
        gap = np.log(metrics + 0.5) - np.log(expected + 0.5) - bias
        precision += weights.sum()
        mean += weights @ gap / precision
        belief.learn(params, known, slice(None), day, np.array([[*spend, *metrics]]))
        assert known.mean[0, 1] == pytest.approx(mean, rel=1e-9)
        assert known.covariance[0, 1, 1] == pytest.approx(1 / precision, rel=1e-9)
    # of channels that got nothing nothing is learned
    assert known.mean[0, 0] == pytest.approx(-(0.5**2) / 2)


def test_the_particle_filter_weighs_as_the_probabilities_say() -> None:
    params = make_params("uncertain", shock_sd=0.0)
    particles = sample_latent(params, np.random.default_rng(0), 5)
    weights, state = robust_planner.importance_weights(params, particles, np.array([PAST]))
    spend = np.array(PAST)[:, :3]
    metrics, states = model.rollout(params, np.broadcast_to(spend, (5, 2, 3)), particles)
    log_likelihood = stats.nbinom.logpmf(np.array(PAST)[:, 3:], 10.0, 10.0 / (10.0 + metrics)).sum(
        axis=(1, 2)
    )
    assert weights[0] == pytest.approx(special.softmax(log_likelihood), rel=1e-9)
    assert state.loyalty[0] == pytest.approx(states[-1].loyalty)


def test_the_shared_shock_is_integrated_out() -> None:
    metrics, mean = np.array([500.0, 80.0, 60.0]), np.array([400.0, 90.0, 50.0])
    shocks = np.random.default_rng(0).standard_normal(400_000)
    rate = mean * np.exp(0.25 * shocks - 0.25**2 / 2)[:, np.newaxis]

    def exact(scale: float) -> float:
        likelihood = stats.nbinom.pmf(metrics, 10.0, 10.0 / (10.0 + scale * rate)).prod(axis=1)
        return float(np.log(likelihood.mean()))

    quadrature = [
        float(robust_planner._log_likelihood(UNCERTAIN, metrics, scale * mean))
        for scale in (1.0, 1.4)
    ]
    assert quadrature[1] - quadrature[0] == pytest.approx(exact(1.4) - exact(1.0), abs=0.01)


def test_plans_for_known_latent_parameters_are_the_planners() -> None:
    params = make_params("uncertain", min_spend=[5, 0, 0], max_spend=[100, 30, 60])
    nominal = batch_latent([params.nominal, params.nominal])
    fixed = 0.6 * planner.plan(params).spend + 0.4 * baselines.even_split(params)
    plans = robust_planner.clairvoyant_plans(params, nominal, fixed)
    low, high = planner.limits_of(params)
    assert (plans >= low - 1e-9).all()
    assert (plans <= high + 1e-9).all()
    assert (plans.sum(axis=-1) <= params.daily_budget * (1 + 1e-9)).all()
    earned = planner.expected_engagement(params, plans)
    assert earned == pytest.approx(planner.plan(params).engagement, rel=1e-4)
    assert (earned <= planner.plan(params).engagement * (1 + 1e-9)).all()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A best fixed plan over a few draws only."""
    monkeypatch.setattr(robust_planner, "FIXED_SCENARIOS", 100)
    monkeypatch.setattr(robust_planner, "FIXED_ITERATIONS", 25)
    baselines.best_fixed.cache_clear()
    yield
    baselines.best_fixed.cache_clear()


def test_baselines_stand_in_the_order_of_what_they_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust_planner, "SCENARIOS", 12)
    monkeypatch.setattr(robust_planner, "DAILY_ITERATIONS", 15)
    monkeypatch.setattr(policies, "PARTICLES", 500)
    earned = {}
    known = policies.baseline_policies(UNCERTAIN, 0)
    for name in ("even split", "best fixed plan", "daily re-planner", "clairvoyant"):
        envs: Any = make(60, **policies.baseline_env_kwargs(UNCERTAIN), autoreset_mode="SameStep")
        seen, _ = envs.reset(seed=5)
        state, total = None, 0.0
        for day in range(7):
            spend, state = known[name].predict(seen, state, np.full(60, day == 0))
            seen, *_, infos = envs.step(spend.astype(np.float32))
            total += infos.get("final_info", infos)["expected_engagement"].mean()
        earned[name] = total
    assert list(earned.values()) == sorted(earned.values())
    assert earned["clairvoyant"] > 1.05 * earned["best fixed plan"]


def test_the_clairvoyant_decides_alike_alone_and_in_a_batch() -> None:
    batch = make(3, **policies.baseline_env_kwargs(UNCERTAIN))
    seen, _ = batch.reset(seed=0)
    policy = policies.baseline_policies(UNCERTAIN, 0)["clairvoyant"]
    together, _ = policy.predict(seen)
    for row in range(3):
        alone, _ = policy.predict(seen[row])
        assert alone.shape == (len(UNCERTAIN.channels),)
        assert alone == pytest.approx(together[row], abs=1e-6)
