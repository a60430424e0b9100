"""Evaluation as its user meets it: the same for all, every file, and every refusal."""

import base64
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evaluate.__main__ import main
from evaluate.campaign.domain import DOMAIN
from evaluate.policies import load_candidates
from evaluate.report import wording
from evaluate.report.page import Report, Table, lock_report_dir, read_logo, write
from evaluate.results import means
from evaluate.rollouts import play_all
from tests.tools.programs import ROOT, run
from train.__main__ import main as train
from train.config import EnvConfig
from train.errors import InputError
from train.storage.run_folder import load_run

FIGURES = json.loads((ROOT / "tests/article_figures.json").read_text(encoding="utf-8"))["seeds"]
LINEAR = EnvConfig(id="envs:LinearCampaign-v0")
COLUMNS = [
    "policy",
    "seed",
    "campaign",
    "day",
    "posts",
    "ads",
    "rewards",
    "likes",
    "comments",
    "shares",
    "engagement",
]
LEARNING = {"engagement_over_training", "engagement_over_time"}
ONE_SEED = LEARNING | {
    "plan",
    "daily_metrics",
    "cumulative_engagement",
    "spend_by_day",
    "share_of_optimum",
}
LINEAR_CHARTS = ONE_SEED | {"why_this_split", "performance_profile"}
CHARTS = ONE_SEED | {"why_this_split", "audience"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short runs of the linear config on two seeds, and of the article's on all of its seeds."""
    folder = tmp_path_factory.mktemp("runs")
    quick = ["--total-timesteps", "8000", "--jobs", "1", "--runs-dir", str(folder)]
    assert train(["configs/linear.yaml", "--seeds", "0", "1", *quick]) == 0
    assert (
        train(
            ["configs/article.yaml", "--seeds", *FIGURES, "--jobs", "1", "--runs-dir", str(folder)]
        )
        == 0
    )
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


@pytest.fixture(scope="module")
def branded(runs: Path) -> Path:
    """The report of one run, named by its folder, under a title and a logo of the user's own."""
    matplotlib.image.imsave(runs / "logo.png", np.zeros((4, 9, 3)))
    brand = ["--title", "Spring & <friends>", "--logo", str(runs / "logo.png")]
    assert main([str(runs / "linear/a2c-seed1-1"), "--out", str(runs / "branded"), *brand]) == 0
    return runs / "branded"


@pytest.mark.parametrize("seed", FIGURES)
def test_the_articles_evaluation_is_the_mix_of_its_probabilities(runs: Path, seed: str) -> None:
    trained = load_candidates([load_run(runs / f"article/reference-seed{seed}-1")], main="article")
    assert [entry.name for entry in trained] == ["reference", "reference (mix)"]
    results = play_all(trained, 2, 0, DOMAIN.columns)
    total = results.episodes.groupby("policy")["engagement"].mean()
    assert total["reference (mix)"] == pytest.approx(
        FIGURES[seed]["evaluation_total_engagement"], abs=1e-3
    )
    mix = results.steps.query("policy == 'reference (mix)' and episode == 0")
    budgets = mix[["posts", "ads", "rewards"]].to_numpy()
    np.testing.assert_allclose(budgets, FIGURES[seed]["evaluation_budgets"], atol=1e-3)
    metrics = mix[["likes", "comments", "shares"]].to_numpy()
    np.testing.assert_allclose(metrics, FIGURES[seed]["evaluation_daily_metrics"], atol=1e-3)


def test_as_it_was_trained_the_likeliest_channel_takes_the_day(runs: Path) -> None:
    trained = load_candidates([load_run(runs / "article/reference-seed0-1")], main="article")
    days = play_all(trained[:1], 1, 0, DOMAIN.columns).steps
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
    campaigns = results.groupby(["policy", "seed", "campaign"], dropna=False, as_index=False)[
        "engagement"
    ].sum()
    summary = json.loads((report / "summary.json").read_text())["policies"]
    assert set(summary) == set(results["policy"])
    for policy, values in summary.items():
        engagement = campaigns.loc[campaigns["policy"] == policy, "engagement"].mean()
        assert values["engagement"] == pytest.approx(engagement)
        assert values["share_of_optimum"] == pytest.approx(engagement / 5950)
    known = {"even split": 4690.0, "all ads": 5950.0, "all rewards": 5600.0, "all posts": 2520.0}
    assert {name: summary[name]["engagement"] for name in known} == pytest.approx(known, abs=0.1)
    assert summary["random"]["engagement"] == pytest.approx(4690, abs=100)


@pytest.mark.parametrize(
    ("steps", "label"),
    [(0.5, "0.5"), (500, "500"), (5e3, "5k"), (2e5, "200k"), (1e6, "1M"), (5e7, "50M")],
)
def test_an_axis_writes_large_numbers_short(steps: float, label: str) -> None:
    assert wording.short(steps, exact_below=1e3) == label


def test_the_page_stands_alone_and_shows_every_chart(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="(?!data:)', page)) == set()
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == len(LINEAR_CHARTS)
    assert page.count("alt=") == len(LINEAR_CHARTS)
    assert 'alt=""' not in page
    assert len(page) < 2_000_000
    assert "Spending all on ads is right here because the response is linear" in page
    for policy in ("a2c", "article/reference (mix)", "even split"):
        assert f"<td>{policy}</td>" in page
    for name in LINEAR_CHARTS:
        picture = matplotlib.image.imread(report / f"{name}.png")
        assert picture.shape[1] > 600
        assert picture.std() > 0.01


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table, the head first."""
    found = re.findall(r"<table.*?</table>", page, re.DOTALL)
    rows = [re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL) for table in found]
    return [[re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in of] for of in rows]


def test_every_number_of_the_page_comes_from_the_results(report: Path) -> None:
    results = pd.read_csv(report / "results.csv").fillna({"seed": -1})
    totals = results.groupby(["policy", "seed", "campaign"])["engagement"].sum()
    by_seed = totals.groupby(["policy", "seed"]).mean()
    plan, compared, end, seeds = tables((report / "index.html").read_text())
    spend = results[results["policy"] == "a2c"].groupby("day")[["posts", "ads", "rewards"]].mean()
    assert plan[0] == ["day", "posts", "ads", "rewards", "sum"]
    for row, (day, values) in zip(plan[1:], spend.iterrows(), strict=True):
        shown = [float(cell) for cell in row[1:]]
        assert row[0] == str(day)
        assert shown[-1] == pytest.approx(sum(shown[:-1]))
        assert shown[-1] <= 100
        np.testing.assert_allclose(shown[:-1], values, atol=0.1)
    assert {row[0] for row in compared[1:]} == set(results["policy"])
    for policy, total, share, ends, lead, _, chance in compared[1:]:
        expected = by_seed[policy].mean()
        assert total == f"{expected:,.1f}"
        assert share in {f"{expected / 5950:.2%}", "&gt;99.99%"}
        if policy != "a2c":
            assert float(lead.replace(",", "").replace("\N{MINUS SIGN}", "-")) == pytest.approx(
                by_seed["a2c"].mean() - expected, abs=0.051
            )
            pairs = by_seed["a2c"].to_numpy()[:, None] - by_seed[policy].to_numpy()
            if policy != "random":
                assert chance == f"{(pairs > 1e-6).mean() + (np.abs(pairs) <= 1e-6).mean() / 2:.0%}"
        assert (ends == "exact") == (
            policy not in {"a2c", "reference", "random"} and not policy.startswith("article")
        )
    assert [row[1] for row in end[1:]] == ["2", "2", "5", "5"]
    for policy, _, mean, *_, worst, _, failed in end[1:]:
        assert mean == f"{by_seed[policy].mean() / 5950:.2%}"
        assert worst == f"{by_seed[policy].min() / 5950:.2%}"
        assert failed == f"{(by_seed[policy] < 0.99 * 5950).sum()} of {len(by_seed[policy])}"
    for policy, seed, total, share in seeds[1:]:
        assert total == f"{by_seed[policy, int(seed)]:,.1f}"
        assert share == f"{by_seed[policy, int(seed)] / 5950:.2%}"


def test_the_intervals_are_those_of_the_training_seeds(report: Path) -> None:
    results = pd.read_csv(report / "results.csv").fillna({"seed": -1})
    policy = "article/reference (mix)"
    totals = results[results["policy"] == policy].groupby(["seed", "campaign"])["engagement"].sum()
    seeds = totals.groupby("seed").mean().to_numpy()
    expected = stats.ttest_1samp(seeds, 0.0).confidence_interval(0.95)
    found = json.loads((report / "summary.json").read_text())["statistics"]
    mean = found[policy]["mean"]
    assert mean["kind"] == "seeds"
    assert mean["value"] == pytest.approx(seeds.mean())
    assert mean["low"] == pytest.approx(expected.low)
    assert mean["high"] == pytest.approx(min(expected.high, 5950))
    failed = (seeds < 0.99 * 5950).sum()
    assert (found[policy]["failures"]["failed"], found[policy]["failures"]["seeds"]) == (failed, 5)
    even = found["even split"]["mean"]
    assert even.pop("kind") == "exact"
    assert list(even.values()) == pytest.approx([4690.0] * 3)


def test_the_page_goes_from_the_result_to_how_it_was_made(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "The plan",
        "Comparison with the baselines",
        "Day by day",
        "Why this split",
        "How it learned",
        "What was uncertain",
        "How this was made",
    ]
    assert re.search(
        r'class="result">a2c earns [\d,.]+ engagement \(95% interval [\d,.]+ to [\d,.]+ over 2',
        page,
    )
    made = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL))
    assert made["training seeds"] == "0, 1, 2, 3, 4"
    assert "total_timesteps: 8000" in made["config"]
    assert "torch" in made["packages"]
    assert "python -m train configs/linear.yaml" in made["trained by"]
    assert re.search(r"a2c [\d.]+ s, ", made["training time"])
    for medium in ("@media print", "prefers-color-scheme: dark", "max-width: 34rem"):
        assert medium in page


def test_one_training_seed_has_no_interval_and_the_page_says_so(branded: Path) -> None:
    page = (branded / "index.html").read_text()
    assert "(one training seed, spread unknown)" in page
    assert "make train SEEDS=" in page
    assert not re.search(r"\bnan\b|±|\+/-", page)
    mean = json.loads((branded / "summary.json").read_text())["statistics"]["a2c"]["mean"]
    assert (mean["low"], mean["high"], mean["kind"]) == (None, None, "one seed")


def test_a_report_carries_the_brand_of_who_sends_it(runs: Path, branded: Path) -> None:
    page = (branded / "index.html").read_text()
    assert "<h1>Spring &amp; &lt;friends&gt;</h1>" in page
    assert (
        f"data:image/png;base64,{base64.b64encode((runs / 'logo.png').read_bytes()).decode()}"
        in page
    )


def test_a_vector_picture_is_a_logo_too(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    assert read_logo(logo).startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"text", "is not a picture of a kind that browsers show: png, jpeg"),
        (b"\x89PNG\r\n\x1a\nbroken", "is not a picture of a kind"),
        (b"0" * 500_001, "takes 500,001 bytes, at most 500,000"),
    ],
)
def test_a_logo_that_is_no_picture_leaves_the_report_alone(
    runs: Path,
    tmp_path: Path,
    content: bytes | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logo, out = tmp_path / "logo.png", tmp_path / "out"
    if content is not None:
        logo.write_bytes(content)
    assert main([str(runs / "linear/a2c-seed1-1"), "--out", str(out), "--logo", str(logo)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_two_evaluations_into_one_folder_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with lock_report_dir(out):
        assert main([str(runs / "linear/a2c-seed1-1"), "--out", str(out)]) == 2
        assert "another evaluation is writing into it" in capsys.readouterr().err
        assert list(out.iterdir()) == []
    assert not out.exists()
    with lock_report_dir(out):
        (out / "index.html").touch()
    assert out.exists()


@pytest.mark.parametrize("broken", ["_write_tensorboard", "os.replace"])
def test_whatever_fails_the_earlier_report_is_as_it_was(
    branded: Path, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(branded, tmp_path / "out")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    results = play_all(DOMAIN.baseline_policies(LINEAR, 0)[:1], 1, 0, DOMAIN.columns)
    original = os.replace

    def full(*paths: Path, **_: object) -> None:
        if broken != "os.replace" or "results.csv" in str(paths[1]):
            monkeypatch.undo()
            raise OSError(28, "No space left on device")
        original(*paths)

    monkeypatch.setattr(broken if "." in broken else f"evaluate.report.page.{broken}", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write(out, Report("new", None, "new", [], {}), results.steps, means(results.episodes), {})
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not list(out.glob(".new-*"))
    write(out, Report("new", None, "new", [], {}), results.steps, means(results.episodes), {})
    assert "<h1>new</h1>" in (out / "index.html").read_text()
    assert not list(out.glob(".new-*"))


def copied(run: Path, target: Path, **values: object) -> Path:
    """A run's folder under another name, with other values in its config or its state."""
    shutil.copytree(run, target)
    for name in ("config.yaml", "run.json"):
        text = (target / name).read_text()
        for key, value in values.items():
            text = re.sub(
                rf'(^"?{key}"?: |  "{key}": )[^,\n]+', rf"\g<1>{value}", text, flags=re.MULTILINE
            )
        (target / name).write_text(text)
    return target


def test_runs_that_are_no_repetitions_of_each_other_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = str(runs / "linear/a2c-seed0-1")
    longer = copied(
        runs / "linear/a2c-seed1-1", tmp_path / "linear/a2c-seed1-1", total_timesteps=9000
    )
    again = copied(runs / "linear/a2c-seed0-1", tmp_path / "linear/a2c-seed0-2")
    for second, message in (
        (
            longer,
            "does not repeat .*: total_timesteps 9,000 instead of 8,000; choose runs of equal",
        ),
        (again, "has the agent and the seed of"),
    ):
        assert main([first, str(second), "--out", str(tmp_path / "out")]) == 2
        assert re.search(message, capsys.readouterr().err)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("progress.csv", None, "is incomplete, progress.csv missing"),
        ("progress.csv", "\n", "progress.csv holds no rows of training"),
        ("progress.csv", 'timesteps\n"', "progress.csv cannot be read"),
        ("timing.csv", "timesteps,seconds\n", "timing.csv holds no rows of training"),
        ("versions.json", "{", "versions.json: is not what training writes"),
    ],
)
def test_a_half_written_run_is_named(
    runs: Path,
    tmp_path: Path,
    name: str,
    content: str | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copied(runs / "linear/a2c-seed0-1", tmp_path / "linear/a2c-seed0-1")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tensorboard_shows_the_evaluation(report: Path) -> None:
    accumulator = EventAccumulator(str(report / "tensorboard/even split"))
    accumulator.Reload()
    assert accumulator.Scalars("evaluation/engagement")[0].value == pytest.approx(4690)
    charts = EventAccumulator(str(report / "tensorboard/charts"))
    charts.Reload()
    assert set(charts.Tags()["images"]) == {f"evaluation/{name}" for name in LINEAR_CHARTS}


def test_every_policy_meets_the_same_campaigns_and_twice_the_same_ones() -> None:
    first, second, other = (
        play_all(DOMAIN.baseline_policies(LINEAR, seed), 5, seed, DOMAIN.columns)
        for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(first.steps, second.steps)
    random = [
        result.episodes.query("policy == 'random'")["engagement"].tolist()
        for result in (first, other)
    ]
    assert random[0] != random[1]


def test_a_run_may_be_named_by_its_folder(branded: Path) -> None:
    results = pd.read_csv(branded / "results.csv")
    assert set(results.loc[results["policy"] == "a2c", "seed"]) == {1}


def test_without_seeds_the_newest_run_of_each_agent_counts(runs: Path, tmp_path: Path) -> None:
    assert main(["configs/linear.yaml", "--runs-dir", str(runs), "--out", str(tmp_path)]) == 0
    results = pd.read_csv(tmp_path / "results.csv")
    assert results.dropna().groupby("policy")["seed"].unique().map(list).to_dict() == {
        "a2c": [1],
        "reference": [1],
    }


def test_the_table_of_an_environment_without_an_optimum(tmp_path: Path) -> None:
    cartpole, out = (
        ["configs/cartpole.yaml", "--runs-dir", str(tmp_path / "runs")],
        tmp_path / "out",
    )
    assert train([*cartpole, "--total-timesteps", "2000", "--agents", "reference"]) == 0
    assert main([*cartpole, "--out", str(out)]) == 0
    columns = ["policy", "seed", "episode", "step", "reward"]
    assert list(pd.read_csv(out / "results.csv").columns) == columns
    summary = json.loads((out / "summary.json").read_text())["policies"]
    assert summary["reference"]["return"] == pd.read_csv(out / "results.csv")["reward"].sum() / 20
    page = (out / "index.html").read_text()
    assert "share of the optimum" not in page
    assert '<th scope="col">return, mean</th>' in page


def test_the_report_of_the_dynamic_campaign_says_why_the_budget_is_split_so(tmp_path: Path) -> None:
    quick = [
        "--total-timesteps",
        "4000",
        "--agents",
        "reference",
        "--runs-dir",
        str(tmp_path / "runs"),
    ]
    assert train(["configs/dynamic.yaml", *quick]) == 0
    out = tmp_path / "report"
    assert (
        main(["configs/dynamic.yaml", "--runs-dir", str(tmp_path / "runs"), "--out", str(out)]) == 0
    )
    summary = json.loads((out / "summary.json").read_text())["policies"]
    assert summary["optimal plan"]["engagement"] == pytest.approx(4659.8, abs=0.1)
    assert summary["optimal plan"]["share_of_optimum"] == pytest.approx(1.0, abs=1e-6)
    assert summary["best constant split"]["engagement"] == pytest.approx(4337.8, abs=0.1)
    page = (out / "index.html").read_text()
    assert {path.stem for path in out.glob("*.png")} == CHARTS
    assert page.count("data:image/png;base64,") == len(CHARTS)
    assert "Spend on rewards builds loyalty" in page
    assert "the best simple rule" in page


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing.yaml"], "config nothing.yaml: no such file"),
        (["configs/pendulum.yaml"], "no finished run in"),
        (
            ["configs/linear.yaml", "--seeds", "7"],
            r"no finished run of seed 7; there are runs of the seeds \[0, 1\]",
        ),
        (["configs/linear.yaml", "--seeds", "x"], "--seeds x: must be 'all' or whole numbers"),
        (
            ["configs/linear.yaml", "--out", "README.md/report"],
            "reports folder README.md/report: cannot be written",
        ),
        (["nothing"], "run nothing: no such folder"),
        (["configs"], "configs: is not a complete run, config.yaml and run.json missing"),
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
    runs: Path, branded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "short.yaml"
    config.write_text(
        "env: {id: 'envs:LinearCampaign-v0', kwargs: {days: 3}}\n"
        "total_timesteps: 100\nreference: {n_envs: 4}\n"
    )
    assert train([str(config), "--runs-dir", str(tmp_path / "runs")]) == 0
    out = shutil.copytree(branded, tmp_path / "report")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    both = [str(runs / "linear/a2c-seed0-1"), str(tmp_path / "runs/short/reference-seed0-1")]
    assert main([*both, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "was trained on another campaign, envs:LinearCampaign-v0 {days: 3}, than" in error
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_damaged_model_is_named(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for agent, name in (("a2c", "model.zip"), ("reference", "model.pt")):
        folder = tmp_path / "linear" / f"{agent}-seed0-1"
        shutil.copytree(runs / "linear" / f"{agent}-seed0-1", folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:2000])
        assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
        assert f"{name}: is not a model of its config" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class Payload:
    """Leaves a mark where something unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_no_code_of_a_model_file_runs(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import zipfile

    import torch

    mark = tmp_path / "mark"
    for agent, name in (("a2c", "model.zip"), ("reference", "model.pt")):
        folder = tmp_path / "linear" / f"{agent}-seed0-1"
        shutil.copytree(runs / "linear" / f"{agent}-seed0-1", folder)
        if name == "model.pt":
            torch.save({"actor": Payload(mark)}, folder / name)
        else:
            with (
                zipfile.ZipFile(folder / name, "w") as archive,
                archive.open("policy.pth", "w") as file,
            ):
                torch.save(Payload(mark), file)
        assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
        assert "is not a model of its config" in capsys.readouterr().err
        assert not mark.exists()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_browser_shows_the_page_without_a_fault_or_a_request(
    report: Path, browser: Any, width: int, scheme: str
) -> None:
    faults, requests = [], []
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((report / "index.html").as_uri())
    assert faults == []
    assert [url for url in requests if not url.startswith("data:")] == [
        (report / "index.html").as_uri()
    ]
    pictures = page.evaluate(
        "[...document.images].map(i => [i.naturalWidth, i.clientWidth, i.alt.length])"
    )
    assert len(pictures) == len(LINEAR_CHARTS)
    assert all(natural > 600 and shown > 300 and words > 20 for natural, shown, words in pictures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(23, 22, 28)")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (
        page.evaluate("getComputedStyle(document.querySelector('details.screen')).display")
        == "none"
    )
    page.close()


def test_a_browser_copies_and_saves_the_plan(report: Path, browser: Any, tmp_path: Path) -> None:
    days = pd.read_csv(report / "results.csv").query("policy == 'a2c'").groupby("day")
    spend = days[["posts", "ads", "rewards"]].mean().reset_index()
    page = browser.new_page()
    page.goto((report / "index.html").as_uri())
    page.click("summary >> nth=0")
    page.click("pre.copy >> nth=0")
    copied = page.evaluate("getSelection().toString()")
    with page.expect_download() as download:
        page.click("a[download='plan.csv']")
    download.value.save_as(tmp_path / "plan.csv")
    for text in (copied, (tmp_path / "plan.csv").read_text()):
        plan = pd.read_csv(io.StringIO(text))
        pd.testing.assert_frame_equal(plan[list(spend)], spend, atol=0.1, check_dtype=False)
        assert plan["sum"].to_numpy() == pytest.approx(100.0)
    page.close()


def test_a_copied_table_holds_numbers_that_programs_read() -> None:
    rows = [["a2c, mix", "\N{MINUS SIGN}1,234.5", "99.5%"]]
    assert Table("", ["policy", "return", "share"], rows).csv == (
        'policy,return,share\n"a2c, mix",-1234.5,99.5%\n'
    )
