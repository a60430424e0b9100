"""A family of environments describes itself: any environment, the campaign, and a sibling."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from envs.campaign import planner
from envs.campaign.params import PRIOR_WIDTHS, CampaignParams
from envs.campaign.presets import make_params
from evaluate import domain
from evaluate.__main__ import main
from evaluate.campaign.domain import DOMAIN, baseline_env
from evaluate.campaign.explain import explanation, how_sure, plan_diagnostics
from evaluate.campaign.policies import baseline_policies, best_name
from evaluate.campaign.sections import _the_plan
from evaluate.domain import Domain, domain_of, opened
from evaluate.policies import label
from evaluate.rollouts import play_all
from evaluate.targets import find_target
from tests.toy_envs import REPETITIVE, UNLIMITED
from train.__main__ import main as train
from train.config import EnvConfig
from train.environment import make_env

CAMPAIGN_WORDS = (
    *("campaign", "engagement", "day", "budget", "channel", "yardstick", "baseline", "plan"),
    *("planner", "spend", "posts", "ads", "rewards", "likes", "loyalty", "optimum", "clairvoyant"),
)
LINEAR, DYNAMIC = "envs:LinearCampaign-v0", "envs:DynamicCampaign-v0"
UNCERTAIN = "envs:UncertainCampaign-v0"


@pytest.mark.parametrize("env_id", [LINEAR, DYNAMIC, UNCERTAIN])
def test_campaigns_have_a_domain_of_their_own(env_id: str) -> None:
    assert domain_of(EnvConfig(id=env_id)) is DOMAIN


def test_any_other_environment_has_the_generic_domain() -> None:
    generic = domain_of(EnvConfig(id="CartPole-v1"))
    assert generic == Domain()
    assert (generic.episode, generic.step, generic.objective) == ("episode", "step", "return")
    assert generic.baseline_policies(EnvConfig(id="CartPole-v1"), 0) == []


def test_a_question_leaves_no_environment_open(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    with opened(EnvConfig(id=LINEAR)) as campaign:
        monkeypatch.setattr(campaign, "close", lambda: closed.append(True))
        assert closed == []
    assert closed == [True]


@pytest.mark.parametrize("agents", [["a2c"], ["a2c", "reference"]])
def test_the_report_of_cartpole_knows_no_campaign(
    tmp_path: Path, agents: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    runs, out = ["--runs-dir", str(tmp_path / "runs")], tmp_path / "report"
    quick = ["--total-timesteps", "1500", "--agents", *agents]
    assert train(["configs/cartpole.yaml", "--seeds", "0", "1", "--jobs", "1", *quick, *runs]) == 0
    capsys.readouterr()
    assert main(["configs/cartpole.yaml", "--seeds", "all", *runs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    page = re.sub(r"base64,[^\"]*", "", (out / "index.html").read_text())
    results = pd.read_csv(out / "results.csv")
    assert list(results.columns) == ["policy", "seed", "episode", "step", "reward"]
    names = " ".join(str(path.relative_to(out)) for path in out.rglob("*"))
    for text in (page, (out / "summary.json").read_text(), names.replace("_", " "), printed):
        found = re.findall(rf"\b(?:{'|'.join(CAMPAIGN_WORDS)})s?\b", text, re.IGNORECASE)
        assert found == []
    assert "<h1>Evaluation report: cartpole</h1>" in page
    assert ("<h2>What each agent earns</h2>" in page) == (len(agents) > 1)
    assert "failed" not in page
    assert f"playing {2 * len(agents)} trained policies on 20 episodes" in printed
    total = results[results["policy"] == "a2c"]["reward"].sum() / 40
    assert f"a2c earns a mean return of {total:,.1f} (95% interval" in printed


def report_of(folder: Path, config: str) -> Path:
    """The report of a run of each agent of a config."""
    (folder / "short.yaml").write_text(config)
    argv = [str(folder / "short.yaml"), "--runs-dir", str(folder / "runs")]
    assert train(argv) == 0
    assert main([*argv, "--out", str(folder / "report")]) == 0
    return folder / "report"


@pytest.mark.parametrize("env", [REPETITIVE, UNLIMITED])  # which ends by exploration, or never
def test_episodes_that_do_not_end_are_cut_and_named(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("train.play.MAX_STEPS", 40)
    report = report_of(
        tmp_path,
        f"env: {{id: '{env}'}}\ntotal_timesteps: 200\n"
        "reference: {n_envs: 4, log_interval: 1}\nevaluation: {n_eval_episodes: 3}\n",
    )
    sentence = "Cut short, as they did not end: 3 of 3 episodes of reference after 40 steps."
    assert sentence in capsys.readouterr().out
    assert sentence in (report / "index.html").read_text()
    results = pd.read_csv(report / "results.csv")
    assert results.groupby("episode")["reward"].sum().tolist() == [40.0] * 3


FAMILY = '''
"""A light that is to be switched to the side of the longer queue."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Light(gymnasium.Env):
    def __init__(self, cars=5):
        self.cars = cars
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.queues, self.left = self.np_random.integers(0, self.cars, 2), 4
        return (self.queues / self.cars).astype(np.float32), {}

    def step(self, action):
        passed, self.left = float(self.queues[action]), self.left - 1
        self.queues = self.np_random.integers(0, self.cars, 2)
        seen = (self.queues / self.cars).astype(np.float32)
        return seen, passed, self.left == 0, False, {"passed": passed}


gymnasium.register("Light-v0", "toylights:Light")
'''
FAMILY_DOMAIN = '''
"""What evaluation knows of lights."""

from typing import NamedTuple

from evaluate.domain import Domain, FamilySections
from evaluate.report.page import Section
from evaluate.results import BaselineNames
from evaluate.rollouts import Candidate


class Longest(NamedTuple):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return observation.argmax(axis=-1), state


def baselines(env, seed):
    return [Candidate("longest queue first", None, env, Longest())]


def sections(evaluation):
    passed = evaluation.results.steps["passed"].sum()
    return FamilySections((Section("Cars that passed", [f"{passed:.0f} in all."], [], []),))


DOMAIN = Domain(
    episode="phase",
    step="cycle",
    objective="throughput",
    baselines=BaselineNames(best_fixed="longest queue first"),
    baseline_policies=baselines,
    columns=lambda envs, step: {"passed": step.infos["passed"]},
    sections=sections,
)
'''


def test_a_sibling_is_added_in_an_afternoon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "toylights.py").write_text(FAMILY)
    (code / "toylights_domain.py").write_text(FAMILY_DOMAIN)
    (tmp_path / "lights.yaml").write_text(
        "env: {id: 'toylights:Light-v0', kwargs: {cars: 9}}\ntotal_timesteps: 2000\n"
        "a2c: {n_envs: 8}\nreference: {n_envs: 8}\nevaluation: {n_eval_episodes: 12, seed: 1}\n"
    )
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.setitem(domain.DOMAINS, "toylights", "toylights_domain")
    config, runs = str(tmp_path / "lights.yaml"), ["--runs-dir", str(tmp_path / "runs")]
    assert train([config, *runs]) == 0
    assert main([config, *runs, "--out", str(tmp_path / "report")]) == 0
    assert "playing 2 trained policies and 1 baseline on 12 phases" in capsys.readouterr().out
    results = pd.read_csv(tmp_path / "report/results.csv")
    assert list(results.columns) == ["policy", "seed", "phase", "cycle", "passed"]
    assert set(results["policy"]) == {"a2c", "reference", "longest queue first"}
    page = (tmp_path / "report/index.html").read_text()
    assert f"<p>{results['passed'].sum():.0f} in all.</p>" in page
    assert "<h2>Comparison with the baselines</h2>" in page
    assert "a2c earns a mean throughput of " in page
    assert "<td>longest queue first</td>" in page
    assert "throughput_over_training" in {path.stem for path in (tmp_path / "report").iterdir()}
    assert "campaign" not in re.sub(r"base64,[^\"]*", "", page)


def earned(env: EnvConfig, name: str) -> float:
    """What a baseline earns in a campaign."""
    chosen = [part for part in DOMAIN.baseline_policies(env, 0) if part.name == name]
    return float(play_all(chosen, 1, 0, DOMAIN.columns).episodes["engagement"].iloc[0])


@pytest.mark.parametrize(
    "kwargs",
    [
        {"days": 4, "observation": "day"},
        {"observation": "totals", "privileged": True},
        {"observation": "belief", "days": 5},
    ],
)
def test_baselines_earn_the_same_whatever_an_agent_observes(kwargs: dict[str, Any]) -> None:
    days = kwargs.get("days", 7)
    params = make_params("dynamic", days=days)
    env = EnvConfig(id=DYNAMIC, kwargs=kwargs)
    assert earned(env, best_name(params)) == pytest.approx(planner.plan(params).engagement)
    plain = EnvConfig(id=DYNAMIC, kwargs={"days": days})
    assert earned(env, "myopic") == earned(plain, "myopic")


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("observation", ["history", "totals", "belief"])
def test_channel_agents_of_uncertain_campaigns_are_evaluated(
    tmp_path: Path, observation: str
) -> None:
    report = report_of(
        tmp_path,
        f"env: {{id: '{UNCERTAIN}', kwargs: {{action: channel, observation: {observation}}}}}\n"
        "total_timesteps: 200\na2c: {n_envs: 4, n_steps: 7}\nreference: {n_envs: 4, n_steps: 7}\n"
        "evaluation: {n_eval_episodes: 4}\n",
    )
    steps = pd.read_csv(report / "results.csv").set_index("policy")
    for agent in ("a2c", "reference"):
        mix = steps.loc[[f"{agent} (mix)"], ["posts", "ads", "rewards"]].to_numpy()
        np.testing.assert_allclose(mix.sum(axis=1), 100.0, rtol=1e-6)
        assert (mix > 0).all()


def test_each_baseline_draws_from_its_own_generator() -> None:
    params = make_params("dynamic")
    seen = np.eye(7)[[0, 0, 0]]
    first, second = (baseline_policies(params, 3) for _ in range(2))
    for policy in first.values():
        policy.predict(seen)
    drawn = first["random"].predict(seen)[0]
    second["random"].predict(seen)
    assert (second["random"].predict(seen)[0] == drawn).all()


def test_what_stands_behind_a_plan() -> None:
    params = make_params("dynamic", max_spend=[100.0, 100.0, 60.0])
    behind = plan_diagnostics(params, planner.plan(params).spend)
    for worth, limit in zip(behind.marginal_engagement, behind.active_constraint, strict=True):
        inside = worth[limit == ""]
        np.testing.assert_allclose(inside, inside.mean(), rtol=1e-3)
    assert behind.active_constraint[0].tolist() == ["", "", "at max"]
    worth = behind.marginal_engagement[0]
    assert worth[2] > 1.05 * worth[1]  # more rewards would pay, were they allowed
    linear = make_params("linear")
    ads = plan_diagnostics(linear, np.tile([0.0, 100.0, 0.0], (7, 1)))
    assert ads.active_constraint.tolist() == [["at 0", "all", "at 0"]] * 7
    np.testing.assert_allclose(ads.marginal_engagement, [[3.6, 8.5, 8.0]] * 7)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, [["all", "at 0", "at 0"], ["", "", "at 0"], ["", "", ""]]),
        (
            {"max_spend": [100, 40, 40]},
            [["all", "at 0", "at 0"], ["", "at max", "at 0"], ["", "", ""]],
        ),
        (
            {"min_spend": [[0, 0, 0], [59, 0, 0], [0, 30, 0]]},
            [["all", "at 0", "at 0"], ["", "", "at 0"], ["", "", ""]],
        ),
        (
            {"min_spend": [[0, 0, 0], [59.75, 0, 0.25], [0, 31, 0]]},
            [["all", "at 0", "at 0"], ["at min", "", "at min"], ["", "at min", ""]],
        ),
    ],
)
def test_a_spend_is_named_by_the_limit_that_it_stands_at(
    changes: dict[str, Any], names: list[list[str]]
) -> None:
    """Within half a percent of the budget it stands there."""
    spend = np.array([[99.5, 0.5, 0.0], [60.0, 39.5, 0.5], [33.0, 31.5, 35.5]])
    params = make_params("dynamic", days=3, **changes)
    assert plan_diagnostics(params, spend).active_constraint.tolist() == names


def test_loyalty_grows_from_nothing_and_ads_start_effective() -> None:
    params = make_params("dynamic")
    behind = plan_diagnostics(params, planner.plan(params).spend)
    assert (behind.loyalty[0], behind.effectiveness[0].tolist()) == (0.0, [1.0] * 3)
    assert (behind.loyalty.shape, behind.effectiveness.shape) == ((7,), (7, 3))
    # 70 % of 88 rewards on their own day, saturated
    assert behind.loyalty[1] == pytest.approx(0.348, abs=0.005)


def test_the_explanation_follows_the_parameters() -> None:
    linear = explanation(make_params("linear"))
    assert linear.startswith("Spending all on ads is right here because the response is linear")
    dearer = make_params("linear", counts=((9.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0)))
    assert explanation(dearer).startswith("Spending all on posts is right")
    text = explanation(make_params("dynamic"))
    for part in (
        "4,659.8",
        "saturate",
        "loyalty",
        "up to 300%",
        "tires of ads",
        "88 and 6 budget units on rewards",
    ):
        assert part in text
    without = explanation(make_params("dynamic", fatigue=[0, 0, 0], loyalty_lift=[0.5, 0, 0]))
    assert "tires" not in without
    assert "up to 50%" in without


@pytest.mark.parametrize(("most", "is_limited"), [((100, 40, 100), True), ((100, 100, 100), False)])
def test_limits_are_blamed_where_they_bind(most: tuple[float, ...], is_limited: bool) -> None:
    text = explanation(make_params("linear", max_spend=tuple(map(float, most))))
    assert "Every unit on a channel earns the same" in text
    assert ("hold the plan back" in text) == is_limited


@pytest.mark.parametrize(
    ("preset", "changes", "name", "end"),
    [
        ("dynamic", {}, "optimal plan", "an independent search found no better one."),
        ("linear", {"days": 3}, "optimal plan", "As the response is linear, no plan is better."),
        ("dynamic", {"days": 3}, "best plan found", "there may be a better one elsewhere."),
        ("uncertain", {}, "nominal plan", "an independent search found no better one."),
    ],
)
def test_what_is_proved_of_the_best_plan_is_said(
    preset: str, changes: dict[str, Any], name: str, end: str
) -> None:
    params = make_params(preset, **changes)
    assert best_name(params) == name
    text = how_sure(params)
    assert re.search(r" stationary to \d(e-\d+)? of its .* \d+ of the planner's \d+ starts", text)
    assert text.endswith(end)


WIDTHS = ", ".join(f"{name}: {1e-6 if name == 'counts_log_sd' else 0}" for name in PRIOR_WIDTHS)
ALIKE = f"'{UNCERTAIN}', kwargs: {{days: 3, {WIDTHS}}}"
"""Drawn campaigns without a gap: they differ too little."""


def unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the support of the planner's check away."""
    solve = planner.plan

    def doubted(params: CampaignParams) -> planner.Plan:
        best = solve(params)
        return best._replace(check=best.check._replace(found_by=1, starts=20))

    monkeypatch.setattr(planner, "plan", doubted)


@pytest.mark.parametrize("env", [f"'{DYNAMIC}', kwargs: {{days: 3}}", ALIKE])
def test_a_plan_without_support_is_not_called_the_optimum(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unsupported(monkeypatch)
    assert best_name(make_params("dynamic")) == "best plan found"
    assert best_name(make_params("linear")) == "best plan found"
    config, runs = str(tmp_path / "short.yaml"), ["--runs-dir", str(tmp_path / "runs")]
    Path(config).write_text(
        f"env: {{id: {env}}}\ntotal_timesteps: 200\n"
        "a2c: {n_envs: 4, n_steps: 3}\nevaluation: {n_eval_episodes: 2}\n"
    )
    assert train([config, "--seeds", "0", "1", "--jobs", "1", *runs]) == 0
    capsys.readouterr()
    assert main([config, *runs, "--seeds", "all", "--out", str(tmp_path / "report")]) == 0
    page = re.sub(r"base64,[^\"]*", "", (tmp_path / "report/index.html").read_text())
    for text in (page, capsys.readouterr().out):
        assert not re.search(r"optimum|optimal", text)
    assert "share of the best plan found" in page
    assert "1 of the planner&#39;s 20 starts reached it. There may well be a better one" in page


def test_drawn_campaigns_share_an_optimum_only_where_confirmed() -> None:
    assert DOMAIN.best_name(EnvConfig(id=UNCERTAIN)) == "optimum"
    no_preset = EnvConfig(id=UNCERTAIN, kwargs={"days": 3})
    assert DOMAIN.best_name(no_preset) == "best plan found"


@pytest.mark.parametrize("budget", [100.0, 0.05, 1e6])
def test_the_plan_to_copy_never_costs_more_than_the_budget(budget: float) -> None:
    params = make_params("linear", days=28, daily_budget=budget)
    plan = budget * np.random.default_rng(0).dirichlet(np.ones(3), 28)
    days = pd.DataFrame(plan, columns=["posts", "ads", "rewards"])
    days = days.assign(day=range(1, 29), seed=0, campaign=0)
    section = _the_plan(days, "a2c", params)
    rows = section.tables[0].rows
    texts = {text.get_text() for text in section.charts[0].figure.axes[0].texts}
    assert texts
    assert budget > 1e5 or texts <= {cell for _, *split, _ in rows for cell in split}
    for row, exact in zip(rows, plan, strict=True):
        *spend, total = (float(value.replace(",", "")) for value in row[1:])
        assert sum(spend) <= budget * (1 + 1e-9)
        assert total == pytest.approx(sum(spend))
        np.testing.assert_allclose(spend, exact, atol=budget * 2e-3)


def test_engagement_is_written_with_its_weights(tmp_path: Path) -> None:
    report = report_of(
        tmp_path,
        f"env: {{id: '{LINEAR}', kwargs: {{metric_weights: [1, 0, 2.5]}}}}\ntotal_timesteps: 100\n"
        "reference: {n_envs: 4, n_steps: 7}\nevaluation: {n_eval_episodes: 2}\n",
    )
    page = (report / "index.html").read_text()
    assert "over the campaign: likes + 2.5 shares." in page


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three seeds, of which seed 1 diverged and seed 2 was interrupted."""
    folder = tmp_path_factory.mktemp("series")
    (folder / "short.yaml").write_text(
        f"env: {{id: '{LINEAR}'}}\ntotal_timesteps: 200\nreference: {{n_envs: 4, n_steps: 7}}\n"
        "evaluation: {n_eval_episodes: 2}\n"
    )
    runs = ["--runs-dir", str(folder / "runs"), "--jobs", "1"]
    assert train([str(folder / "short.yaml"), "--seeds", "0", "1", "2", "3", *runs]) == 0
    for seed, state in ((1, "diverged"), (2, "interrupted")):
        run = folder / f"runs/short/reference-seed{seed}-1"
        described = json.loads((run / "run.json").read_text()) | {"state": state}
        (run / "run.json").write_text(json.dumps(described))
        (run / "model.pt").unlink()
    return folder


def test_seeds_that_did_not_finish_are_named_and_failed(
    series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, out = ["--runs-dir", str(series / "runs")], series / "report"
    argv = [str(series / "short.yaml"), "--seeds", "all", *runs, "--out", str(out)]
    assert main(argv) == 0
    printed, page = capsys.readouterr().out, (out / "index.html").read_text()
    assert "training did not finish: " in printed
    assert "reference-seed1-1 (diverged)" in printed
    assert "reference-seed2-1 (interrupted)" in printed
    assert re.search(r"of 4 \(seed 1 diverged, seed 2 interrupted", page)
    assert "short/reference-seed1-1: " in page
    failures = json.loads((out / "summary.json").read_text())["statistics"]["reference"]["failures"]
    assert failures["failed"] >= 2
    assert failures["seeds"] == 4


def test_a_seed_without_a_finished_run_may_be_asked_for(series: Path) -> None:
    target = find_target((series / "short.yaml",), ("0", "1"), series / "runs")
    assert [run.state.seed for run in target.runs] == [0]
    assert [run.state.state for run in target.unfinished] == ["diverged"]
    newest = find_target((series / "short.yaml",), (), series / "runs")
    assert [run.state.seed for run in newest.runs] == [3]
    assert newest.unfinished == []


def test_the_newest_run_does_not_depend_on_the_clock(series: Path) -> None:
    os.utime(series / "runs/short/reference-seed3-1/model.pt", (0, 0))
    newest = find_target((series / "short.yaml",), (), series / "runs")
    assert [run.state.seed for run in newest.runs] == [3]


def test_a_linked_folder_of_runs_keeps_its_name(series: Path, tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to((series / "runs/short").rename(series / "runs/elsewhere"))
    runs = find_target((series / "short.yaml",), (), tmp_path).runs
    (series / "runs/elsewhere").rename(series / "runs/short")
    assert [label(run, "short") for run in runs] == ["reference"]


def test_baselines_are_played_with_the_day_in_sight() -> None:
    for env_id, observation in ((DYNAMIC, "day"), (UNCERTAIN, "history")):
        env = baseline_env(EnvConfig(id=env_id, kwargs={"observation": "totals"}))
        assert env.kwargs["observation"] == observation
        envs = make_env(env, 1)
        assert envs.reset()[0][0, :7].tolist() == [1.0] + [0.0] * 6
        envs.close()
