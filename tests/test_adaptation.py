"""The report of campaigns that differ: the gap closed, who wins, and where adapting pays."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from envs.campaign.presets import make_params
from evaluate.__main__ import main
from evaluate.campaign import robustness
from evaluate.campaign.adaptation import Strengths, choose_examples, strengths_of
from train.__main__ import main as train
from train.config import EnvConfig, EvaluationConfig
from train.environment import make_env

ID = "envs:UncertainCampaign-v0"
CONFIG = """\
env: {id: envs:UncertainCampaign-v0, kwargs: {reward_scale: 0.0015}}
total_timesteps: 700
a2c: {n_envs: 20, n_steps: 7, gamma: 1.0}
evaluation: {n_eval_episodes: 24, seed: 20000}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two short runs of A2C alone, as arguments of the programs that judge them."""
    folder = tmp_path_factory.mktemp("uncertain")
    config, runs = folder / "short.yaml", ["--runs-dir", str(folder / "runs")]
    config.write_text(CONFIG)
    assert train([str(config), "--seeds", "0", "1", "--jobs", "1", *runs]) == 0
    return [str(config), "--seeds", "all", *runs]


@pytest.fixture(scope="module")
def report(
    trained: list[str], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """The report of these runs."""
    request.getfixturevalue("few_draws")
    out = tmp_path_factory.mktemp("judged") / "report"
    assert main([*trained, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def totals(report: Path) -> pd.DataFrame:
    """Expected engagement by campaign and policy, the mean over its seeds."""
    days = pd.read_csv(report / "results.csv").fillna({"seed": -1})
    by_seed = days.groupby(["policy", "seed", "campaign"], as_index=False)[
        "expected_engagement"
    ].sum()
    table: pd.DataFrame = by_seed.pivot_table(
        index="campaign", columns="policy", values="expected_engagement"
    )
    return table


@pytest.fixture(scope="module")
def strengths() -> Strengths:
    """How strong the channels were in the campaigns of the report."""
    strengths = strengths_of(EnvConfig(id=ID), EvaluationConfig(n_eval_episodes=24, seed=20000))
    assert strengths is not None
    return strengths


def statistics_of(report: Path) -> dict[str, Any]:
    statistics: dict[str, Any] = json.loads((report / "summary.json").read_text())["statistics"]
    return statistics


def test_the_gap_closed_is_what_the_results_say(report: Path, totals: pd.DataFrame) -> None:
    means = totals.mean()
    floor, ceiling = means["best fixed plan"], means["clairvoyant"]
    statistics = statistics_of(report)
    assert set(statistics) == set(means.index)
    for policy, values in statistics.items():
        closed = values["gap_closed"]
        expected = (means[policy] - floor) / (ceiling - floor)
        assert closed["value"] == pytest.approx(expected, abs=1e-6)
        assert closed["low"] <= closed["value"] <= closed["high"]
        assert values["mean"]["value"] == pytest.approx(means[policy])
    for policy, whole in (("best fixed plan", 0.0), ("clairvoyant", 1.0)):
        exact = dict.fromkeys(("value", "low", "high"), pytest.approx(whole)) | {"kind": "exact"}
        assert statistics[policy]["gap_closed"] == exact
    assert statistics["daily re-planner"]["gap_closed"]["value"] > 0.0


def test_the_page_leads_with_the_gap_and_says_who_wins(report: Path, totals: pd.DataFrame) -> None:
    page = (report / "index.html").read_text()
    sentence = re.findall(r'class="result">(.*?)</p>', page)[0]
    gap, lead = (
        statistics_of(report)["a2c"]["gap_closed"],
        statistics_of(report)["daily re-planner"]["difference"],
    )
    assert sentence.startswith(
        f"a2c closes {gap['value']:.1%} of the gap".replace("-", "\N{MINUS SIGN}")
    )
    assert "over 2 training seeds and 24 campaigns)" in sentence
    assert lead["value"] == pytest.approx((totals["a2c"] - totals["daily re-planner"]).mean())
    assert lead["high"] < 0.0  # untrained, as good as
    assert "The winner is the daily re-planner" in sentence
    assert (
        f"it earns {-lead['value']:,.1f} (95% interval {-lead['high']:,.1f} to "
        f"{-lead['low']:,.1f}) more than a2c on the same campaigns." in sentence
    )
    assert "share of the optimum" not in page
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", page))
    for chart in ("gap_closed", "gain_by_draw", "single_campaigns"):
        assert (report / f"{chart}.png").stat().st_size > 10_000


def test_the_gain_by_draw_is_taken_in_quarters_of_the_campaigns(
    report: Path, totals: pd.DataFrame, strengths: Strengths
) -> None:
    distance = np.linalg.norm((np.log(strengths.strength) + 0.125) / 0.5, axis=1)
    quarter = pd.Series(distance, index=totals.index).rank(method="first").sub(1).floordiv(6)
    for policy in ("a2c", "daily re-planner", "clairvoyant"):
        gain = (totals[policy] - totals["best fixed plan"]).groupby(quarter).mean()
        parts = statistics_of(report)[policy]["gain_by_draw"]
        assert [part["gain"]["value"] for part in parts] == pytest.approx(gain.tolist())
        assert [part["from"] for part in parts] == pytest.approx(np.sort(distance)[::6])
        assert [part["to"] for part in parts] == pytest.approx(np.sort(distance)[5::6])


def test_single_campaigns_are_shown_as_they_were(
    report: Path, totals: pd.DataFrame, strengths: Strengths
) -> None:
    page = (report / "index.html").read_text()
    days = pd.read_csv(report / "results.csv")
    for label, campaign in choose_examples(
        strengths.deviation, ("posts", "ads", "rewards")
    ).items():
        strength = [f"{value:.2f}" for value in strengths.strength[campaign]]
        known = f"{totals['clairvoyant'].loc[campaign]:,.0f}"
        row = next(part for part in page.split("<tr>") if f"<td>{label}</td>" in part)
        cells = re.findall(r"<td>(.*?)</td>", row)
        assert cells[1:5] == [str(campaign), *strength]
        assert cells[-2] == known
        played = days[
            (days["policy"] == "a2c") & (days["seed"] == 0) & (days["campaign"] == campaign)
        ]
        fourth: list[float] = (
            played[["posts", "ads", "rewards", "likes", "comments", "shares"]]
            .to_numpy()[3]
            .tolist()
        )
        spent, seen = (
            "/".join(f"{value:.0f}" for value in part) for part in (fourth[:3], fourth[3:])
        )
        assert f"day 4 spent {spent} and saw {seen}" in page


def test_single_campaigns_are_chosen_by_their_draws() -> None:
    deviation = np.array(
        [[0.5, 0.5, 0.5], [0.1, 1.9, 0.0], [2.5, 2.5, 0.0], [0.1, 0.0, -0.1], [0.3, 0.0, -1.7]]
    )
    channels = ("posts", "ads", "rewards")
    assert list(choose_examples(deviation, channels).items()) == [
        ("as usual as it gets", 3),
        ("ads unusually strong", 1),
        ("rewards unusually weak", 4),
    ]
    assert list(choose_examples(deviation[:1], channels).values()) == [0]


def test_strengths_are_those_of_the_campaigns_played() -> None:
    settings = EvaluationConfig(n_eval_episodes=4000, seed=1)
    env = EnvConfig(id=ID, kwargs={"counts_log_sd": 0.3})
    envs: Any = make_env(env, 4000)
    envs.reset(seed=1)
    counts, nominal = envs.latent_params.counts, envs.params.counts_array
    strengths = strengths_of(env, settings)
    assert strengths is not None
    strength, deviation = strengths
    assert strength == pytest.approx(counts[:, :, 1] / nominal[:, 1])
    assert deviation.mean(axis=0) == pytest.approx([0.0] * 3, abs=0.06)
    assert deviation.std(axis=0) == pytest.approx([1.0] * 3, abs=0.04)
    assert strengths_of(EnvConfig(id="envs:DynamicCampaign-v0"), settings) is None


def test_robustness_repeats_the_report_without_a_shift(trained: list[str], report: Path) -> None:
    config, *_, runs = trained
    table = robustness.robustness(robustness.Args(Path(config), ("all",), 24, Path(runs)))
    columns = (table[name] for name in ("case", "policy", "expected engagement", "gap closed"))
    rows = {
        (case, policy): (float(earned.replace(",", "")), closed)
        for case, policy, earned, closed in zip(*columns, strict=True)
    }
    cases = {case for case, _ in rows}
    assert cases == {"as expected", "draws twice as wide", "noise twice as strong"} | {
        f"{name} dead" for name in ("posts", "ads", "rewards")
    }
    for policy in ("a2c", "best fixed plan", "daily re-planner", "clairvoyant"):
        reported = statistics_of(report)[policy]
        earned, closed = rows["as expected", policy]
        assert earned == pytest.approx(reported["mean"]["value"], abs=0.51)
        assert closed.startswith(f"{reported['gap_closed']['value']:.2f}")
        assert len({rows[case, policy] for case in cases - {"as expected"}}) == len(cases) - 1
    for policy in ("best fixed plan", "clairvoyant", "daily re-planner"):
        is_affected = rows["noise twice as strong", policy] != rows["as expected", policy]
        assert is_affected == (policy == "daily re-planner")


def test_a_doubled_field_stays_in_its_range() -> None:
    params = make_params("uncertain", carry_over_range=0.6, counts_log_sd=1.0)
    cases = robustness.shifts(params)
    wide = cases["draws twice as wide (carry_over_range at most 1)"]
    assert (wide["carry_over_range"], wide["counts_log_sd"]) == (1.0, 2.0)
    envs: Any = make_env(EnvConfig(id=ID, kwargs={"carry_over_range": 0.6}), 2)
    for case in cases.values():
        envs.reset(seed=0, options={"true_params": case})


def test_what_cannot_be_asked_of_robustness_is_a_message(
    trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert robustness.main([*trained, "--campaigns", "1"]) == 2
    assert "--campaigns 1: must be 2 or more" in capsys.readouterr().err
    sure = tmp_path / "sure.yaml"
    sure.write_text(CONFIG.replace("Uncertain", "Dynamic"))
    runs = ["--runs-dir", str(tmp_path / "runs")]
    assert train([str(sure), *runs]) == 0
    assert robustness.main([str(sure), *runs]) == 2
    assert "its campaigns do not differ, so nothing has to be adapted to" in capsys.readouterr().err
