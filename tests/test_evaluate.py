"""Evaluation as its user meets it: the same campaigns for all, every file of the report, and every refusal."""

import json
import os
import re
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evaluate.__main__ import main
from evaluate.policies import entries, single_env, yardsticks
from evaluate.rollouts import play_all
from tests.programs import ROOT, run
from train.__main__ import main as train
from train.config import EnvConfig
from train.run_dir import load_run

FIGURES = json.loads((ROOT / "tests/article_figures.json").read_text(encoding="utf-8"))["seeds"]
LINEAR = EnvConfig(id="envs:LinearCampaign-v0")
COLUMNS = ["policy", "seed", "campaign", "day", "posts", "ads", "rewards", "likes", "comments", "shares", "engagement"]
ALWAYS = {"daily_metrics", "cumulative_engagement", "spend_by_day", "share_of_optimum", "engagement_over_training"}
LINEAR_CHARTS = ALWAYS | {"why_this_split"}
CHARTS = LINEAR_CHARTS | {"audience"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short runs of the linear config on two seeds, and of the article's on all of its seeds."""
    folder = tmp_path_factory.mktemp("runs")
    quick = ["--total-timesteps", "8000", "--jobs", "1", "--runs-dir", str(folder)]
    assert train(["configs/linear.yaml", "--seeds", "0", "1", *quick]) == 0
    assert train(["configs/article.yaml", "--seeds", *FIGURES, "--jobs", "1", "--runs-dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def report(runs: Path) -> Path:
    """The report of both configs over all seeds, made by the program itself."""
    out = runs / "report"
    configs = ["configs/linear.yaml", "configs/article.yaml"]
    done = run("evaluate", *configs, "--seeds", "all", "--runs-dir", runs, "--out", out)
    assert done.returncode == 0, done.stderr
    assert str(out / "index.html") in done.stdout
    assert "of the optimum" in done.stdout
    return out


@pytest.mark.parametrize("seed", FIGURES)
def test_the_articles_evaluation_is_the_mix_of_its_probabilities(runs: Path, seed: str) -> None:
    trained = entries([load_run(runs / f"article/reference-seed{seed}-1")], main="article")
    assert [entry.name for entry in trained] == ["reference", "reference (mix)"]
    results = play_all(trained, campaigns=2, seed=0)
    total = results.campaigns.groupby("policy")["engagement"].mean()
    assert total["reference (mix)"] == pytest.approx(FIGURES[seed]["evaluation_total_engagement"], abs=1e-3)
    mix = results.days[(results.days["policy"] == "reference (mix)") & (results.days["campaign"] == 0)]
    budgets = mix[["posts", "ads", "rewards"]].to_numpy()
    np.testing.assert_allclose(budgets, FIGURES[seed]["evaluation_budgets"], atol=1e-3)
    metrics = mix[["likes", "comments", "shares"]].to_numpy()
    np.testing.assert_allclose(metrics, FIGURES[seed]["evaluation_daily_metrics"], atol=1e-3)


def test_as_it_was_trained_the_likeliest_channel_takes_the_day(runs: Path) -> None:
    trained = entries([load_run(runs / "article/reference-seed0-1")], main="article")
    days = play_all(trained[:1], campaigns=1, seed=0).days
    assert days["ads"].tolist() + days["rewards"].tolist() == [100.0] + [0.0] * 7 + [100.0] * 6
    assert days["engagement"].tolist() == [850.0] + [800.0] * 6


def test_the_results_are_tidy_and_complete(report: Path) -> None:
    results = pd.read_csv(report / "results.csv")
    assert list(results.columns) == COLUMNS
    runs_of = results.groupby("policy")["seed"].nunique().to_dict()
    assert runs_of == {
        **{"a2c": 2, "reference": 2, "article/reference": 5, "article/reference (mix)": 5},
        **{"even split": 0, "all posts": 0, "all ads": 0, "all rewards": 0, "random": 0},
        **{"best constant split": 0, "myopic": 0, "optimal plan": 0},
    }
    per_campaign = results.groupby(["policy", "seed", "campaign"], dropna=False)["day"].apply(list)
    assert per_campaign.map(lambda days: days == [1, 2, 3, 4, 5, 6, 7]).all()
    assert results["campaign"].nunique() == 200
    likes = 2 * results["posts"] + 5 * results["ads"] + results["rewards"]
    assert results["likes"].to_numpy() == pytest.approx(likes.to_numpy())
    total = results["likes"] + 2 * results["comments"] + 3 * results["shares"]
    assert results["engagement"].to_numpy() == pytest.approx(total.to_numpy())


def test_the_summary_is_what_the_results_say(report: Path) -> None:
    results = pd.read_csv(report / "results.csv")
    campaigns = results.groupby(["policy", "seed", "campaign"], dropna=False, as_index=False)["engagement"].sum()
    summary = json.loads((report / "summary.json").read_text())["policies"]
    assert set(summary) == set(results["policy"])
    for policy, values in summary.items():
        engagement = campaigns.loc[campaigns["policy"] == policy, "engagement"].mean()
        assert values["engagement"] == pytest.approx(engagement)
        assert values["share_of_optimum"] == pytest.approx(engagement / 5950)
    known = {"even split": 4690.0, "all ads": 5950.0, "all rewards": 5600.0, "all posts": 2520.0}
    assert {name: summary[name]["engagement"] for name in known} == pytest.approx(known, abs=0.1)
    assert summary["random"]["engagement"] == pytest.approx(4690, abs=100)


def test_the_page_stands_alone_and_shows_every_chart(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="(?!data:)', page)) == set()
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == len(LINEAR_CHARTS)
    assert page.count("alt=") == len(LINEAR_CHARTS)
    assert 'alt=""' not in page
    assert len(page) < 2_000_000
    assert "All ads is right here because the response is linear" in page
    for policy in ("a2c", "article/reference (mix)", "even split"):
        assert f"<td>{policy}</td>" in page
    for name in LINEAR_CHARTS:
        picture = matplotlib.image.imread(report / f"{name}.png")
        assert picture.shape[1] > 600
        assert picture.std() > 0.01


def test_tensorboard_shows_the_evaluation(report: Path) -> None:
    accumulator = EventAccumulator(str(report / "tensorboard/even split"))
    accumulator.Reload()
    assert accumulator.Scalars("evaluation/engagement")[0].value == pytest.approx(4690)
    charts = EventAccumulator(str(report / "tensorboard/charts"))
    charts.Reload()
    assert set(charts.Tags()["images"]) == {f"evaluation/{name}" for name in LINEAR_CHARTS}


def test_every_policy_meets_the_same_campaigns_and_twice_the_same_ones() -> None:
    first, second = (play_all(yardsticks(LINEAR, seed=3), campaigns=5, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.days, second.days)
    other = play_all(yardsticks(LINEAR, seed=4), campaigns=5, seed=4)
    random = [result.campaigns.query("policy == 'random'")["engagement"].tolist() for result in (first, other)]
    assert random[0] != random[1]


def test_a_run_may_be_named_by_its_folder(runs: Path, tmp_path: Path) -> None:
    assert main([str(runs / "linear/a2c-seed1-1"), "--out", str(tmp_path)]) == 0
    results = pd.read_csv(tmp_path / "results.csv")
    assert set(results.loc[results["policy"] == "a2c", "seed"]) == {1}


def test_without_seeds_the_newest_run_of_each_agent_counts(runs: Path, tmp_path: Path) -> None:
    assert main(["configs/linear.yaml", "--runs-dir", str(runs), "--out", str(tmp_path)]) == 0
    results = pd.read_csv(tmp_path / "results.csv")
    assert results.dropna().groupby("policy")["seed"].unique().map(list).to_dict() == {"a2c": [1], "reference": [1]}


def test_the_table_of_an_environment_without_an_optimum(tmp_path: Path) -> None:
    quick = ["--total-timesteps", "2000", "--agents", "reference", "--runs-dir", str(tmp_path / "runs")]
    assert train(["configs/cartpole.yaml", *quick]) == 0
    out = tmp_path / "report"
    assert main(["configs/cartpole.yaml", "--runs-dir", str(tmp_path / "runs"), "--out", str(out)]) == 0
    assert list(pd.read_csv(out / "results.csv").columns) == ["policy", "seed", "campaign", "day", "reward"]
    summary = json.loads((out / "summary.json").read_text())["policies"]
    assert summary["reference"]["return"] == pd.read_csv(out / "results.csv")["reward"].sum() / 20
    page = (out / "index.html").read_text()
    assert "share of the optimum" not in page
    assert "<th>return</th>" in page


def test_the_report_of_the_dynamic_campaign_says_why_the_budget_is_split_so(tmp_path: Path) -> None:
    quick = ["--total-timesteps", "4000", "--agents", "reference", "--runs-dir", str(tmp_path / "runs")]
    assert train(["configs/dynamic.yaml", *quick]) == 0
    out = tmp_path / "report"
    assert main(["configs/dynamic.yaml", "--runs-dir", str(tmp_path / "runs"), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())["policies"]
    assert summary["optimal plan"]["engagement"] == pytest.approx(4659.8, abs=0.1)
    assert summary["optimal plan"]["share_of_optimum"] == pytest.approx(1.0, abs=1e-6)
    assert summary["best constant split"]["engagement"] == pytest.approx(4337.8, abs=0.1)
    page = (out / "index.html").read_text()
    assert {path.stem for path in out.glob("*.png")} == CHARTS
    assert page.count("data:image/png;base64,") == len(CHARTS)
    assert "Rewards build loyalty" in page
    assert "The best simple rule" in page


def test_a_plan_tells_what_one_more_unit_is_worth_and_where_a_limit_holds_it() -> None:
    env = single_env(EnvConfig(id="envs:DynamicCampaign-v0", kwargs={"max_spend": [100.0, 100.0, 60.0]}))
    insight = env.insight(env.yardsticks()["optimal plan"].predict(np.eye(7, 49))[0])
    inside = insight["binding"] == ""
    for marginal, free in zip(insight["marginal"], inside, strict=True):
        np.testing.assert_allclose(marginal[free], marginal[free].mean(), rtol=1e-3)
    assert insight["binding"][0].tolist() == ["", "", "at max"]
    assert insight["marginal"][0, 2] > 1.05 * insight["marginal"][0, 1]  # more rewards would pay, were they allowed
    assert (insight["loyalty"][0], insight["freshness"][0]) == (0.0, 1.0)
    linear = single_env(LINEAR)
    ads = linear.insight(linear.yardsticks()["all ads"].predict(np.eye(7, 49))[0])
    assert ads["binding"].tolist() == [["at 0", "all", "at 0"]] * 7
    np.testing.assert_allclose(ads["marginal"], [[3.6, 8.5, 8.0]] * 7)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing.yaml"], "config nothing.yaml: no such file"),
        (["configs/pendulum.yaml"], "no finished run in"),
        (["configs/linear.yaml", "--seeds", "7"], r"no finished run of seed 7; there are runs of the seeds \[0, 1\]"),
        (["configs/linear.yaml", "--seeds", "x"], "--seeds x: must be 'all' or whole numbers"),
        (["configs/linear.yaml", "--out", "README.md/report"], "reports folder README.md/report: cannot be written"),
        (["nothing"], "run nothing: no such folder"),
        (["configs"], "configs: is no complete run, config.yaml and run.json missing"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    runs: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--runs-dir", str(runs)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert re.search(message, err)
    assert "Traceback" not in err


def test_a_run_of_another_campaign_is_refused_and_the_report_stays(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "short.yaml"
    config.write_text(
        "env: {id: 'envs:LinearCampaign-v0', kwargs: {days: 3}}\ntotal_timesteps: 100\nreference: {n_envs: 4}\n"
    )
    assert train([str(config), "--runs-dir", str(tmp_path / "runs")]) == 0
    out = tmp_path / "report"
    assert main([str(runs / "linear/a2c-seed0-1"), "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    both = [str(runs / "linear/a2c-seed0-1"), str(tmp_path / "runs/short/reference-seed0-1")]
    assert main([*both, "--out", str(out)]) == 2
    assert "was trained on another campaign" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_damaged_model_is_named(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for agent, name in (("a2c", "model.zip"), ("reference", "model.pt")):
        folder = tmp_path / "linear" / f"{agent}-seed0-1"
        shutil.copytree(runs / "linear" / f"{agent}-seed0-1", folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:2000])
        assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
        assert f"{name}: is no model of its config" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class Payload:
    """Leaves a mark where something unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_no_code_of_a_model_file_runs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zipfile

    import torch

    mark = tmp_path / "mark"
    for agent, name in (("a2c", "model.zip"), ("reference", "model.pt")):
        folder = tmp_path / "linear" / f"{agent}-seed0-1"
        shutil.copytree(runs / "linear" / f"{agent}-seed0-1", folder)
        if name == "model.pt":
            torch.save({"actor": Payload(mark)}, folder / name)
        else:
            with zipfile.ZipFile(folder / name, "w") as archive, archive.open("policy.pth", "w") as file:
                torch.save(Payload(mark), file)
        assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
        assert "is no model of its config" in capsys.readouterr().err
        assert not mark.exists()
