"""Campaigns drawn from a posterior with correlations: draws, beliefs, baselines and messages."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from envs.campaign import baselines, belief, robust_planner
from envs.campaign.checks import MOST_VARIANCE, PRIOR_WIDTHS, differing
from envs.campaign.latent import sample_latent
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.presets import PRESETS, make_params
from evaluate.__main__ import main as evaluate
from evaluate.campaign import policies, robustness
from evaluate.campaign.adaptation import strengths_of
from evaluate.campaign.plan import main as plan
from tests.tools.campaigns import agree, make, make_vec
from train.__main__ import main as train
from train.config import EnvConfig, EvaluationConfig

ID = "envs:UncertainCampaign-v0"
UNCERTAIN = PRESETS["uncertain"]
NAMES = differing(UNCERTAIN.__dict__)
CHANNELS = UNCERTAIN.channels
COMMON = np.array([float(name.startswith("counts")) for name in NAMES])


def posterior(
    counts: float = 0.5, own: float = 0.1, others: float = 0.3, ridge: float = 0.0
) -> FloatArray:
    """A covariance from the sd of channels, of single counts, and of the other parameters.

    ``ridge`` is the correlation of a channel's counts with its inv_half_saturation.
    """
    size = len(NAMES)
    loadings = np.zeros((size, 3 + size))
    for row, name in enumerate(NAMES):
        channel = next(i for i, known in enumerate(CHANNELS) if f"[{known}]" in name)
        if name.startswith("counts"):
            loadings[row, [channel, 3 + row]] = counts, own
        elif name.startswith("inv_half_saturation"):
            loadings[row, channel] = others * ridge
            loadings[row, 3 + row] = others * np.sqrt(1 - ridge**2)
        else:
            loadings[row, 3 + row] = others
    covariance: FloatArray = loadings @ loadings.T
    return covariance


def logs_of(params: CampaignParams, latent: Any) -> FloatArray:
    """What the rows of the covariance are of, (count, rows), about the nominal values."""

    def flat(latent: Any) -> Any:
        odds = latent.carry_over / (1 - latent.carry_over)
        parts = [*latent[:2], odds, *latent[3:]]
        return np.concatenate([part.reshape(*part.shape[:1], -1) for part in parts], axis=1)

    nominal = flat(type(latent)(*(part[np.newaxis] for part in params.nominal)))
    logs: FloatArray = np.log(flat(latent)[:, nominal[0] > 0] / nominal[:, nominal[0] > 0])
    return logs


def log_strengths(params: CampaignParams, latent: Any) -> FloatArray:
    """Log strength of each channel and log lift of posts, (count, 4), by hand."""
    worth = params.counts_array * params.weights_array
    worth /= worth.sum(axis=1, keepdims=True)
    log_ratio = np.log(latent.counts / params.counts_array)
    lift = np.log(latent.loyalty_lift[:, :1] / params.loyalty_lift[0])
    return np.concatenate([(log_ratio * worth).sum(axis=2), lift], axis=1)


def test_independent_draws_are_those_of_before() -> None:
    latent = sample_latent(UNCERTAIN, np.random.default_rng(0), 2)
    assert latent.counts[1, :, 0].tolist() == [
        1.2238645340974172,
        3.3612348488788,
        0.7534067094634247,
    ]
    assert latent.inv_half_saturation[1].tolist() == [
        0.002443274711796246,
        0.006912153212655494,
        0.012655937062971216,
    ]
    assert latent.carry_over[1].tolist() == [
        0.2549582906585588,
        0.19398107176008172,
        0.4238266731833165,
    ]
    assert latent.loyalty_lift[1].tolist() == [4.202239663796437, 0.0, 0.0]
    assert latent.fatigue_rate[1].tolist() == [0.0, 0.00398635037803605, 0.0]


def test_a_diagonal_covariance_gives_lognormal_moments() -> None:
    variances = np.linspace(0.02, 0.3, len(NAMES))
    params = make_params("uncertain", latent_covariance=np.diag(variances))
    latent = sample_latent(params, np.random.default_rng(0), 200_000)
    rows = dict(zip(NAMES, variances, strict=True))
    for field in ("counts", "inv_half_saturation", "loyalty_lift", "fatigue_rate"):
        values, nominal = getattr(latent, field), getattr(params.nominal, field)
        name = field.removesuffix("_rate")
        own = np.array([v for known, v in rows.items() if known.startswith(name)])
        drawn = (values / np.where(nominal, nominal, 1.0))[:, nominal > 0]
        assert drawn.mean(axis=0) == pytest.approx(np.exp(own / 2), rel=0.01)
        assert drawn.var(axis=0) == pytest.approx(np.expm1(own) * np.exp(own), rel=0.05)
    assert np.median(latent.carry_over, axis=0) == pytest.approx([0.4, 0.1, 0.3], abs=0.003)
    logits = np.log(latent.carry_over / (1 - latent.carry_over))
    own = np.array([v for known, v in rows.items() if known.startswith("carry_over")])
    assert logits.var(axis=0) == pytest.approx(own, rel=0.02)
    assert (latent.loyalty_lift[:, 1:] == 0).all()
    assert (latent.fatigue_rate[:, [0, 2]] == 0).all()


def test_draws_have_the_covariance_of_the_posterior() -> None:
    rng = np.random.default_rng(3)
    loadings = rng.normal(0, 0.1, (len(NAMES), 5))  # singular, too
    covariance = loadings @ loadings.T
    params = make_params("uncertain", latent_covariance=covariance)
    logs = logs_of(params, sample_latent(params, rng, 200_000))
    assert np.cov(logs.T) == pytest.approx(covariance, abs=0.002)
    assert logs.mean(axis=0) == pytest.approx(0.0, abs=0.003)


def test_what_is_nominally_zero_is_zero_in_every_draw() -> None:
    zeros: dict[str, Any] = {
        "counts": [[2, 0, 0.2], [5, 1, 0], [1, 0.5, 2]],
        "inv_half_saturation": [0, 0.01, 0.02],
        "carry_over": [0.4, 0, 0.97],
    }
    params = make_params("uncertain", **zeros, latent_covariance=0.5 * np.eye(13))
    latent = sample_latent(params, np.random.default_rng(0), 1_000)
    for values, nominal in zip(latent, params.nominal, strict=True):
        assert (values[:, nominal == 0] == 0).all()
        assert (np.ptp(values[:, nominal > 0], axis=0) > 0).all()
    assert latent.carry_over[:, 0].max() <= 0.95
    assert latent.carry_over[:, 2].max() == 0.97


def test_all_environments_draw_from_the_posterior() -> None:
    kwargs: dict[str, Any] = {"latent_covariance": posterior().tolist(), "days": 3}
    env = make_vec(ID, 4_000, **kwargs)
    env.reset(seed=0)
    logs = logs_of(env.unwrapped.params, env.unwrapped.latent_params)
    assert np.cov(logs.T) == pytest.approx(posterior(), abs=0.03)
    for observation in ("belief", "history"):
        agree(ID, 3, 0, **kwargs, observation=observation, privileged=True, action="spend")
    single = make(ID, **kwargs).unwrapped
    single.reset(seed=0)
    assert logs_of(single.params, single.latent_params).all()
    again = pickle.loads(pickle.dumps(single))
    again.set_state(single.get_state())
    assert again.params == single.params
    assert again.step(np.zeros(3))[1] == single.step(np.zeros(3))[1]


def test_parameters_come_back_from_yaml_and_are_hashable() -> None:
    covariance = posterior(0.31, 0.17, 0.23, 0.7)
    params = make_params("uncertain", latent_covariance=covariance)
    text = yaml.safe_dump({"latent_covariance": covariance.tolist()})
    again = make_params("uncertain", **yaml.safe_load(text))
    assert again == params
    assert hash(again) == hash(params)
    assert params.is_drawn
    assert not any(getattr(params, name) for name in PRIOR_WIDTHS)


CASES: dict[str, dict[str, float]] = {
    "channels": {},
    "single counts": {"counts": 0.3, "own": 0.4},
    "ridge": {"counts": 0.6, "own": 0.1, "others": 0.7, "ridge": 0.95},
}


@pytest.mark.parametrize("case", CASES)
def test_the_belief_is_calibrated_under_a_posterior(case: str) -> None:
    covariance = posterior(**CASES[case])
    params = make_params("uncertain", latent_covariance=covariance)
    env = make_vec(
        ID, 2_000, observation="belief", action="spend", latent_covariance=covariance.tolist()
    )
    seen, _ = env.reset(seed=0)
    assert seen[:, 12:].tolist() == [[0.0] * 4 + [1.0] * 4] * 2_000
    actual = log_strengths(params, env.unwrapped.latent_params)
    mean, sd = belief.prior(params)
    assert actual.std(axis=0) == pytest.approx(sd, rel=0.05)
    rng = np.random.default_rng(1)
    for _ in range(6):
        seen, *_ = env.step(100.0 * rng.dirichlet(np.ones(3), 2_000))
        assert np.isfinite(seen).all()
        errors = (mean + sd * seen[:, 12:16] - actual) / (sd * seen[:, 16:])
        assert (errors.std(axis=0) > 0.7).all()
        assert (errors.std(axis=0) < 1.3).all()
    assert (seen[:, 16:19].mean(axis=0) < 0.95).all()  # something is learned


def test_a_correlated_channel_teaches_about_another() -> None:
    covariance = 0.25 * np.outer(COMMON, COMMON)
    params = make_params("uncertain", latent_covariance=covariance)
    known = belief.start(params, 1)
    belief.learn(params, known, slice(None), 0, np.array([[0.0, 0, 50, 60, 30, 120]]))
    assert known.mean[0, 0] > 0.1
    assert known.mean[0, :3] == pytest.approx(known.mean[0, 0])


def test_baselines_know_the_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FIXED_SCENARIOS": 200, "SCENARIOS": 16, "DAILY_ITERATIONS": 15}.items():
        monkeypatch.setattr(robust_planner, name, value)
    monkeypatch.setattr(policies, "PARTICLES", 1_000)
    baselines.best_fixed.cache_clear()
    params = make_params("uncertain", latent_covariance=posterior(0.6, 0.2, 0.4, 0.8))
    known, earned = policies.baseline_policies(params, 0), {}
    for name in ("best fixed plan", "daily re-planner", "clairvoyant"):
        kwargs = {**policies.baseline_env_kwargs(params), "autoreset_mode": "SameStep"}
        env = make_vec(ID, 100, latent_covariance=params.latent_covariance, **kwargs)
        seen, _ = env.reset(seed=5)
        state, total = None, np.zeros(100)
        for day in range(params.days):
            spend, state = known[name].predict(seen, state, np.full(100, day == 0))
            seen, *_, infos = env.step(spend.astype(np.float32))
            total += infos.get("final_info", infos)["expected_engagement"]
        earned[name] = total.mean()
    baselines.best_fixed.cache_clear()
    assert list(earned.values()) == sorted(earned.values())
    assert earned["clairvoyant"] > 1.02 * earned["best fixed plan"]


def changed(row: int, column: int, value: float) -> FloatArray:
    covariance = posterior()
    covariance[row, column] = value
    return covariance


@pytest.mark.parametrize(
    ("covariance", "part"),
    [
        (3.0, "latent_covariance=3.0: must be None, or rows of numbers"),
        (np.eye(3), "3 rows of 3: must be 17 rows of 17 numbers, one for each latent parameter"),
        (np.eye(17)[:, :16], "17 rows of 16: must be 17 rows of 17"),
        ([], "latent_covariance: 0 rows: must be 17 rows"),
        ([[1.0], []], "2 rows of 0 or 1: must be 17 rows"),
        (np.eye(3), "not 0: 9 of counts, 3 of inv_half_saturation, 3 of carry_over, 1 of loyalty"),
        (changed(0, 0, 9.5), "counts[posts][likes] and counts[posts][likes]: 9.5: must be -9 to 9"),
        (changed(10, 10, -0.1), "inv_half_saturation[ads]: -0.1: must be -9 to 9, a variance 0"),
        (changed(15, 16, 0.05), "loyalty_lift[posts] and fatigue[ads]: 0.05, but 0 the other way"),
        (np.eye(17) - 0.2, "its least eigenvalue is -2.4: must be 0 or more"),
        (changed(0, 0, np.nan), "latent_covariance[0][0]=nan: input should be a finite number"),
    ],
)
def test_a_bad_covariance_is_told(covariance: Any, part: str) -> None:
    with pytest.raises(ValueError, match=r"^campaign: latent_covariance") as error:
        make_params("uncertain", latent_covariance=covariance)
    assert part in str(error.value)


def test_widths_beside_a_covariance_are_refused() -> None:
    with pytest.raises(ValueError, match=r"how campaigns differ: counts_log_sd=0\.5 must be 0"):
        make_params("uncertain", latent_covariance=posterior(), counts_log_sd=0.5)


def test_rounding_of_a_covariance_is_forgiven() -> None:
    covariance = np.outer(np.linspace(0.1, 1, 17), np.linspace(0.1, 1, 17)).round(7)
    covariance[3, 4] *= 1 + 1e-12
    params = make_params("uncertain", latent_covariance=covariance)
    assert np.linalg.eigvalsh(covariance)[0] < 0
    assert params.covariance_root @ params.covariance_root == pytest.approx(covariance, abs=1e-6)
    assert not params.covariance_root.flags.writeable


def test_true_params_and_latent_go_with_a_posterior() -> None:
    covariance = posterior(own=0.0)
    env = make_vec(ID, 2_000, latent_covariance=covariance.tolist())
    dead = [[0, 0, 0], *UNCERTAIN.counts[1:]]
    env.reset(seed=0, options={"true_params": {"counts": dead}})
    latent = env.unwrapped.latent_params
    assert (latent.counts[:, 0] == 0).all()
    assert np.log(latent.counts[:, 1:]).std(axis=0) == pytest.approx(0.5, rel=0.05)
    env.reset(seed=0, options={"latent": {"counts": dead}})
    assert (env.unwrapped.latent_params.counts[:, 0] == 0).all()
    wide = {"latent_covariance": (4 * covariance).tolist()}
    for name in (env, make_vec(ID, 2_000)):  # under the preset's own prior, too
        name.reset(seed=0, options={"true_params": wide})
        counts = name.unwrapped.latent_params.counts
        assert np.log(counts).std(axis=0) == pytest.approx(1.0, rel=0.05)
    env.reset(seed=0, options={"true_params": {"latent_covariance": None, "counts_log_sd": 0.2}})
    counts = env.unwrapped.latent_params.counts
    assert np.log(counts).std(axis=0) == pytest.approx(0.2, rel=0.05)
    with pytest.raises(ValueError, match=r"counts_log_sd=0\.2 must be 0 beside it"):
        env.reset(options={"true_params": {"counts_log_sd": 0.2}})


def test_draws_twice_as_wide_have_four_times_the_covariance() -> None:
    covariance = posterior()
    params = make_params("uncertain", latent_covariance=covariance)
    wide = robustness.shifts(params)["draws twice as wide"]["latent_covariance"]
    assert np.array(wide) == pytest.approx(4 * covariance)
    params = make_params("uncertain", latent_covariance=20 * covariance)
    cases = robustness.shifts(params)
    wide = cases["draws twice as wide (variances at most 9)"]["latent_covariance"]
    assert np.diag(wide).max() == pytest.approx(MOST_VARIANCE)
    env = make_vec(ID, 2, latent_covariance=(20 * covariance).tolist())
    for true_params in cases.values():
        env.reset(seed=0, options={"true_params": true_params})


def test_a_metric_that_is_certain_teaches_nothing() -> None:
    unsure = np.array([float(name == "counts[posts][shares]") for name in NAMES])
    params = make_params("uncertain", latent_covariance=0.25 * np.diag(unsure))
    means = []
    for played in (
        [[50.0, 0, 0, 30, 15, 6]],
        [[50.0, 0, 0, 90, 15, 6]],
        [[50.0, 0, 0, 30, 15, 24]],
    ):
        known = belief.start(params, 1)
        belief.learn(params, known, slice(None), 0, np.array(played))
        means.append(known.mean[0, 0])
    usual, many_likes, many_shares = means
    assert many_likes <= usual < many_shares  # many likes speak of a good day for all metrics


def test_strengths_of_a_posterior_are_told_in_its_sd() -> None:
    covariance = posterior(0.3, 0.4)
    covariance[6:9] = covariance[:, 6:9] = 0.0  # the strength of rewards is certain
    env = EnvConfig(id=ID, kwargs={"latent_covariance": covariance.tolist()})
    strengths = strengths_of(env, EvaluationConfig(n_eval_episodes=4_000, seed=1))
    assert strengths is not None
    envs = make_vec(ID, 4_000, **env.kwargs)
    envs.reset(seed=1)
    logs = log_strengths(envs.unwrapped.params, envs.unwrapped.latent_params)[:, :3]
    assert np.log(strengths.strength) == pytest.approx(logs)
    assert strengths.deviation.mean(axis=0) == pytest.approx(0.0, abs=0.06)
    assert strengths.deviation.std(axis=0) == pytest.approx([1.0, 1.0, 0.0], abs=0.04)
    sure = EnvConfig(id=ID, kwargs={"latent_covariance": posterior(0.0, 0.0).tolist()})
    assert strengths_of(sure, EvaluationConfig(n_eval_episodes=4, seed=1)) is None


@pytest.mark.usefixtures("few_draws")
def test_the_example_of_the_page_goes_through_every_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("docs/posterior.md").read_text(encoding="utf-8")
    config, runs = tmp_path / "mine.yaml", ["--runs-dir", str(tmp_path / "runs")]
    config.write_text("\n".join(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)))
    assert train([str(config), *runs]) == 0
    written = (tmp_path / "runs/mine/a2c-seed0-1/config.yaml").read_text()
    assert "- [-0.08, 0.25, 0, 0.15, -0.06]\n" in written
    assert evaluate([str(config), *runs, "--out", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report/gain_by_draw.png").stat().st_size > 10_000
    robust = [str(config), *runs, "--campaigns", "8"]
    assert robustness.main(robust) == 0
    assert "video dead" in capsys.readouterr().out
    left = {}
    for name, orders in (("weak", 10), ("strong", 60)):
        past = tmp_path / "past.csv"
        past.write_text(f"day,search,video,orders\n1,700,300,{orders}\n2,300,700,{orders}\n")
        assert plan([str(config), *runs, "--past", str(past), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["past_days_fit"]["is_usual"]
        left[name] = answer["days_left"]
    assert 1.1 * left["weak"]["expected_engagement"] < left["strong"]["expected_engagement"]
