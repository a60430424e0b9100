"""What to try next: days that can be spent, what they tell, cost and are worth, in the program."""

import html
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.campaign import planner
from envs.campaign.calibration import Calibration, effects
from envs.campaign.limits import fill
from envs.campaign.params import FloatArray
from envs.campaign.posterior import Posterior, campaign_fields
from envs.campaign.presets import make_params
from evaluate.campaign.calibrate import __main__ as program
from evaluate.campaign.calibrate import trial
from evaluate.campaign.calibrate.fitted import Fitted, Range
from evaluate.campaign.calibrate.trial import Ahead, Trial, Trials
from evaluate.campaign.calibrate.trial_report import conclusion_of, trial_section
from evaluate.campaign.past_campaigns import read_campaigns
from tests.test_calibration_report import CHANNELS, fitted_to, varied

FIRST = date(2026, 1, 5)


def ahead_of(channels: int, days: int = 7, budget: float = 100.0) -> Ahead:
    return Ahead(days, budget, 0, np.zeros(channels), np.full(channels, budget))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few candidates and truths."""
    for name, value in (("CANDIDATES", 4), ("MOST_TRUTHS", 16), ("ITERATIONS", 12)):
        monkeypatch.setattr(trial, name, value)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_trials_stay_within_budget_and_limits(data: st.DataObject) -> None:
    channels = data.draw(st.sampled_from([1, 2, 3, 6]))
    budget = data.draw(st.sampled_from([0.07, 100.0, 31_415.9]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    # In whole hundredths of the budget: the digits that are written hold them.
    low = np.floor(100 * rng.uniform(0, 0.9 / channels, channels)) * budget / 100
    high = np.minimum(low + np.ceil(100 * rng.uniform(0, 1, channels)) * budget / 100, budget)
    ahead = Ahead(7, budget, 0, low, high)
    followed = np.repeat(fill(np.ones((1, channels)), low, high, budget), 28, axis=0)
    strength = data.draw(st.sampled_from([0.0, *trial.STRENGTHS]))
    spends = trial.candidates_of(ahead, followed, strength, rng)
    assert spends.shape == (trial.CANDIDATES if strength else 1, 28, channels)
    assert (spends.sum(axis=-1) <= budget * (1 + 1e-9)).all()
    assert (spends >= low - 1e-9 * budget).all()
    assert (spends <= high + 1e-9 * budget).all()


def test_the_stronger_the_further_from_the_plan() -> None:
    ahead, followed = ahead_of(3), np.tile([50.0, 30.0, 20.0], (28, 1))
    moved = [
        np.abs(trial.candidates_of(ahead, followed, s, np.random.default_rng(0)) - followed).mean()
        for s in (0.0, 0.25, 0.5, 1.0)
    ]
    assert moved[0] == 0.0
    np.testing.assert_allclose(np.array(moved[1:]) / moved[3], [0.25, 0.5, 1.0], atol=0.01)


def test_varied_splits_fill_the_space_and_are_held() -> None:
    ahead, followed = ahead_of(3), np.full((28, 3), 100 / 3)
    spends = trial.candidates_of(ahead, followed, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(spends.sum(axis=-1), 100.0, atol=1e-9)
    np.testing.assert_allclose(spends.mean(axis=(0, 1)), 100 / 3, atol=2.0)
    assert (spends.max(axis=(0, 1)) > 90.0).all()
    same = (np.diff(spends, axis=1) == 0).all(axis=-1)
    assert 0.4 < same.mean() < 0.6  # held for two days on average
    assert not (same[:, 2:] & same[:, 1:-1] & same[:, :-2]).any()


def test_one_channel_varies_by_level() -> None:
    spends = trial.candidates_of(ahead_of(1), np.full((28, 1), 100.0), 1.0, np.random.default_rng())
    assert spends.std() > 20.0


def test_counts_have_the_covariance_of_the_model() -> None:
    fitted = fitted_to(varied(20, 2))
    values = fitted.calibration.values(fitted.posterior.draws[0])
    values = values._replace(dispersion=np.array(4.0), shock_sd=np.array(0.4))
    mean, rng, count = np.array([30.0, 5.0]), np.random.default_rng(0), 400_000
    shock = np.exp(0.4 * rng.standard_normal((count, 1)) - 0.08)
    counts = rng.poisson(mean * shock * rng.gamma(4.0, 1 / 4.0, (count, 2)))
    np.testing.assert_allclose(trial.covariance(mean, values), np.cov(counts.T), rtol=0.03)


def information_by_hand(
    calibration: Calibration, point: FloatArray, spend: FloatArray, ahead: Ahead
) -> FloatArray:
    """Fisher information day by day, from means that loops compute."""

    def mean_of(point: FloatArray) -> FloatArray:
        values = calibration.values(point)
        effect = effects(values, spend, np.arange(len(spend)) % ahead.days == 0)
        rows = []
        for day, today in enumerate(effect):
            earned = sum(e * row for e, row in zip(today, values.nominal.counts, strict=True))
            rows.append((earned + values.base) * values.weekday[(ahead.weekday + day) % 7])
        return np.array(rows)

    values, mean, size = calibration.values(point), mean_of(point), len(point)
    step = 1e-5
    slopes = np.array([(mean_of(point + step * row) - mean) / step for row in np.eye(size)])
    total = np.zeros((size, size))
    second = np.exp(values.shock_sd**2)  # E z^2
    for day in range(len(spend)):
        m = mean[day]
        matrix = second * np.outer(m, m) - np.outer(m, m)
        for k in range(len(m)):
            matrix[k, k] = m[k] + m[k] ** 2 * (second * (1 + 1 / values.dispersion) - 1)
        total += slopes[:, day] @ np.linalg.solve(matrix, slopes[:, day].T)
    return total


def test_information_is_that_of_a_second_computation() -> None:
    fitted = fitted_to(varied(20, 3), 2)
    point, ahead = fitted.posterior.draws.mean(axis=0), Ahead(5, 100.0, 3, np.zeros(3), np.ones(3))
    spends = np.random.default_rng(0).uniform(0, 50, (2, 9, 3))
    found = trial.information(fitted.calibration, point, spends, ahead)
    for told, spend in zip(found, spends, strict=True):
        expected = information_by_hand(fitted.calibration, point, spend, ahead)
        np.testing.assert_allclose(told, expected, atol=1e-4 * expected.max())


def test_information_of_campaigns_adds_up() -> None:
    fitted, ahead = fitted_to(varied(20, 3)), ahead_of(3)
    point = fitted.posterior.draws.mean(axis=0)
    spends = np.random.default_rng(0).uniform(0, 50, (3, 28, 3))
    parts = [
        trial.information(fitted.calibration, point, part, ahead) for part in np.split(spends, 2, 1)
    ]
    whole = trial.information(fitted.calibration, point, spends, ahead)
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-9, atol=1e-12 * whole.max())


def test_more_weeks_never_leave_more_variance() -> None:
    fitted, ahead = fitted_to(varied(28, 3), sd=0.5), ahead_of(3)
    today = trial.today_of(fitted, ahead, np.random.default_rng(0))
    relevance = trial.relevance_of(fitted, ahead, today)
    followed = np.resize(today.plan, (28, 3))
    spends = trial.candidates_of(ahead, followed, 0.5, np.random.default_rng(0))
    left = [
        trial.share_left(
            today,
            relevance,
            trial.information(fitted.calibration, today.mean, spends[:, : 7 * weeks], ahead),
        )
        for weeks in range(1, 5)
    ]
    assert (np.diff(left, axis=0) <= 0).all()
    assert (left[0] < 1).all()
    assert (left[-1] > 0).all()


def test_the_plan_is_that_of_the_planner() -> None:
    fitted, ahead = fitted_to(varied(56, 3), 2), ahead_of(3, days=5)
    plan = trial.best_plan(fitted, ahead, fitted.posterior.draws.mean(axis=0))
    fields: dict[str, Any] = campaign_fields(fitted.posterior) | {
        "channels": CHANNELS[:3],
        "metrics": ("clicks", "sign_ups"),
        "metric_weights": fitted.weights,
        "days": 5,
        "latent_covariance": None,
    }
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}
    params = make_params("linear", **plain)
    best = planner.plan(params)
    assert planner.expected_engagement(params, plan) == pytest.approx(best.engagement, rel=1e-4)
    point = fitted.posterior.draws.mean(axis=0)[np.newaxis]
    earned = trial.worth(fitted, ahead, point)(best.spend[np.newaxis, np.newaxis])
    assert earned.item() == pytest.approx(best.engagement, rel=1e-9)


def test_what_is_learned_is_what_the_variance_loses() -> None:
    rng, count = np.random.default_rng(0), 100_000
    now = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.3], [0.0, 0.3, 0.5]])
    told = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    mean = np.array([1.0, -2.0, 0.0])
    truths = rng.multivariate_normal(mean, now, count)
    nothing = np.zeros((0, 3))
    today = trial.Today(mean, np.linalg.inv(now), nothing, truths, np.zeros(count))
    learned = trial.learned_means(today, told, rng.standard_normal((count, 3)))
    after = np.linalg.inv(np.linalg.inv(now) + told)
    np.testing.assert_allclose(np.cov(learned.T), now - after, atol=0.02)
    np.testing.assert_allclose(np.cov((truths - learned).T), after, atol=0.02)


@pytest.mark.usefixtures("quick")
def test_what_is_told_decides_what_regret_is_left() -> None:
    fitted, ahead = fitted_to(varied(28, 3), sd=0.5), ahead_of(3)
    today = trial.today_of(fitted, ahead, np.random.default_rng(0))
    relevance = trial.relevance_of(fitted, ahead, today)
    size = fitted.calibration.size
    told = np.array([1e-9, 3.0, 30.0, 1e6])[:, np.newaxis, np.newaxis] * np.eye(size)
    rng = np.random.default_rng(0)
    nothing, some, much, everything = trial.regret_left(fitted, ahead, today, relevance, told, rng)
    assert nothing == pytest.approx(1.0, abs=1e-3)
    assert 1.0 > some > much > everything
    # Prior precision is 4: 3 more leave 4 / 7 of every variance.
    assert some == pytest.approx(4 / 7, abs=0.1)
    assert everything < 0.02


def test_losses_add_up_over_the_horizon() -> None:
    cost = np.array([0.0, 0.1])
    loss = trial.loss_of(4, cost, 0.05, np.array([0.05, 0.02]))
    assert loss[0] == pytest.approx(0.05)
    # 4 weeks at .95 x .9 of the best, 22 at .98.
    assert loss[1] == pytest.approx(1 - (4 * 0.95 * 0.9 + 22 * 0.98) / 26)


@pytest.mark.usefixtures("quick")
def test_proposals_have_every_length_and_strength() -> None:
    fitted, ahead = fitted_to(varied(28, 3), sd=0.5), ahead_of(3)
    trials = trial.propose(fitted, ahead, np.random.default_rng(0))
    cells = [(each.strength, each.weeks) for each in trials.trials]
    assert cells == [(s, w) for s in (0.0, 0.25, 0.5, 1.0) for w in (2, 3, 4)]
    for each in trials.trials:
        assert each.spend.shape == (7 * each.weeks, 3)
        if not each.strength:
            np.testing.assert_allclose(each.cost, 0.0, atol=1e-4)
    strong = [each for each in trials.trials if each.strength == 1]
    assert all(each.cost.middle > 0.01 for each in strong)
    followed = trials.trials[2]  # as long as the last
    assert 0 < strong[-1].regret < followed.regret < trials.regret
    again = trial.propose(fitted, ahead, np.random.default_rng(0))
    assert [each.loss for each in again.trials] == [each.loss for each in trials.trials]


def made(fitted: Fitted, spend: FloatArray, losses: tuple[float, float]) -> Trials:
    """Trials that lose so much: one that follows the plan, and one that varies."""
    ahead = ahead_of(len(fitted.channels))
    cost = Range(*np.array([-0.001, 0.0204, 0.05]))
    each = [
        Trial(2, strength, spend, cost, regret, loss)
        for strength, regret, loss in zip((0.0, 0.5), (0.03, 0.012), losses, strict=True)
    ]
    return Trials(ahead, 0.031, tuple(each))


def test_the_verdict_compares_with_the_plan() -> None:
    fitted, spend = fitted_to(varied(28, 3)), varied(14, 3)
    good, bad = (made(fitted, spend, losses) for losses in ((0.03, 0.025), (0.03, 0.0312)))
    text = conclusion_of(fitted, good)
    assert text.startswith("A trial pays: 2 weeks in which half of the budget follows varied split")
    for part in (
        "2.0% (90% interval \N{MINUS SIGN}0.1% to 5.0%)",
        "1.20%",
        "today 3.10%",
        "0.50% more",
    ):
        assert part in text
    assert conclusion_of(fitted, bad).startswith("No trial pays: follow the plan")
    assert "it brings 0.12% less" in conclusion_of(fitted, bad)
    rows = trial_section(fitted, bad).tables[0].rows
    assert [row[1] for row in rows] == ["none: the plan", "half"]  # the best first


def test_one_channel_is_told_that_it_has_no_split() -> None:
    fitted = fitted_to(varied(28, 1))
    text = conclusion_of(fitted, made(fitted, varied(14, 1), (0.01, 0.02)))
    assert "varied spends" in text
    assert "no split to try" in text


@pytest.mark.parametrize("has_dates", [True, False])
def test_the_file_is_read_back_as_past_days(*, has_dates: bool) -> None:
    fitted, spend = fitted_to(varied(28, 3)), np.round(varied(14, 3), 1)
    if has_dates:
        fitted = replace(fitted, dates=tuple(FIRST + timedelta(day) for day in range(28)))
    trials = made(fitted, spend, (0.03, 0.02))
    trials = replace(trials, ahead=ahead_of(3, budget=200.0))
    head, *lines = trial.trial_csv(fitted, trials).splitlines()
    assert head == "date," * has_dates + "day,search,video,influencers"
    counted = "\n".join([f"{head},clicks", *(f"{line},7" for line in lines)])
    read = read_campaigns(counted.encode(), "trial.csv", fitted.channels, ("clicks",))
    np.testing.assert_allclose(read.spend, spend, atol=1e-12)
    assert read.has_dates == has_dates
    if read.dates is not None:
        assert read.dates[0] == np.datetime64("2026-02-02")  # the day after the last
        assert read.weekday[0] == trial.ahead_of(fitted, 7, 200.0).weekday


def test_campaigns_ahead_start_on_the_next_weekday() -> None:
    fitted = fitted_to(varied(24, 2))
    assert trial.ahead_of(fitted, 7, 100.0).weekday == 0
    dated = replace(fitted, dates=tuple(FIRST + timedelta(day) for day in range(24)))
    assert trial.ahead_of(dated, 7, 100.0).weekday == 3  # after a Wednesday


@pytest.mark.usefixtures("quick")
def test_the_program_proposes_and_saves_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spend = np.round(varied(28, 3), 2)
    fitted = fitted_to(spend, 3)
    rng = np.random.default_rng(0)

    def made_posterior(calibration: Calibration, *_: Any, **__: Any) -> Posterior:
        middle = fitted.posterior.draws.mean(axis=0)
        return Posterior(calibration, middle + 0.4 * rng.standard_normal((2, 800, len(middle))))

    monkeypatch.setattr(program, "fit", made_posterior)
    names = ("posts", "ads", "rewards", "likes", "comments", "shares")
    rows = [
        ",".join([str(FIRST + timedelta(day)), *map(str, (*spent, *counted))])
        for day, (spent, counted) in enumerate(zip(spend, fitted.past.metrics, strict=True))
    ]
    data = tmp_path / "shop.csv"
    data.write_text("\n".join([",".join(("date", *names)), *rows]))
    folders = ["--configs-dir", str(tmp_path / "c"), "--reports-dir", str(tmp_path / "r")]
    assert program.main([str(data), *folders]) == 0
    said = capsys.readouterr().out
    assert "what to try next: " in said
    file = tmp_path / "r" / "shop" / "trial.csv"
    assert f"trial: {file}" in said
    head, *days = file.read_text().splitlines()
    assert head == "date,day,posts,ads,rewards"
    assert days[0].startswith("2026-02-02,1,")
    assert len(days) in (14, 21, 28)
    page = html.unescape((tmp_path / "r" / "shop" / "calibration.html").read_text())
    assert "<h2>What to try next</h2>" in page
    assert next(line for line in said.splitlines() if "try next" in line)[18:] in page
