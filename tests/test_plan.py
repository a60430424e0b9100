"""Tomorrow's split as its user asks for it: every campaign, every form of past days, refusals."""

import contextlib
import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.campaign.presets import PRESETS
from evaluate.campaign.fit import fit_of
from evaluate.campaign.past_days import PastDays, parse_past, read_bytes
from evaluate.campaign.plan import main, parse_campaign_past
from evaluate.campaign.rounding import grouped, rounded, written
from evaluate.policies import load_candidates
from evaluate.report.wording import column, in_text
from tests.tools.five import COUNTED, FIVE, make_five
from tests.tools.programs import ROOT, run
from train.__main__ import main as train
from train.config import EnvConfig
from train.environment import make_env
from train.errors import InputError
from train.play import play
from train.storage.run_folder import load_run

HEADER = "day,posts,ads,rewards,likes,comments,shares"
CHANNELS = ("posts", "ads", "rewards")
DAYS: list[list[Any]] = [[20, 30, 50, 240, 70, 121], [45.5, 14.5, 40, 402, 97.5, 118]]
CAMPAIGNS = {
    "linear": "{id: 'envs:LinearCampaign-v0', kwargs: {daily_budget: 250}}",
    "dynamic": "{id: 'envs:DynamicCampaign-v0', kwargs: {days: 4}}",
    "article": "{id: 'envs:LinearCampaign-v0', kwargs: {action: channel, observation: totals}}",
    "uncertain": "{id: 'envs:UncertainCampaign-v0', "
    "kwargs: {observation: belief, privileged: true}}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run on each campaign, two agents on the article's, and one on another problem."""
    folder = tmp_path_factory.mktemp("plan")
    for name, env in {**CAMPAIGNS, "cartpole": "{id: CartPole-v1}"}.items():
        config = folder / f"{name}.yaml"
        also = "reference: {n_envs: 4}\n" if name == "article" else ""
        config.write_text(
            f"env: {env}\ntotal_timesteps: 28\na2c: {{n_envs: 4, n_steps: 7}}\n{also}"
        )
        assert train([str(config), "--runs-dir", str(folder / "runs")]) == 0
    (folder / "so_far.csv").write_text(as_csv(DAYS))
    return folder


def as_csv(days: list[list[Any]]) -> str:
    rows = (",".join(map(str, [day, *row])) for day, row in enumerate(days, start=1))
    return "\n".join([HEADER, *rows]) + "\n"


def asked(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """What the program answers with ``--json``."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def parsed(data: bytes) -> PastDays:
    return parse_campaign_past(data, "days.csv", PRESETS["dynamic"])


def refused(data: bytes) -> str:
    """The message about a file."""
    with pytest.raises(InputError) as caught:
        parsed(data)
    return str(caught.value)


@pytest.mark.parametrize("name", CAMPAIGNS)
@pytest.mark.parametrize("played", [0, 2])
def test_the_plan_is_what_the_policy_does_after_the_days_so_far(
    runs: Path, name: str, played: int, capsys: pytest.CaptureFixture[str]
) -> None:
    past: list[str | Path] = ["--past", runs / "so_far.csv"] if played else []
    plan = asked(capsys, runs / "runs" / name / "a2c-seed0-1", *past)
    last_day = 4 if name == "dynamic" else 7
    assert (plan["day"], plan["last_day"], plan["agent"]) == (played + 1, last_day, "a2c")
    assert [row["day"] for row in plan["days"]] == list(range(played + 1, last_day + 1))
    assert {channel: plan["days"][0][channel] for channel in CHANNELS} == plan["split"]
    budget = 250 if name == "linear" else 100
    for row in plan["days"]:
        assert sum(row[channel] for channel in CHANNELS) == pytest.approx(budget)
    left = plan["days_left"]
    assert left["expected_engagement"] == pytest.approx(
        sum(row["expected_engagement"] for row in plan["days"])
    )
    assert left["exact"] == (name != "uncertain" and not played)
    assert left["campaigns"] == (1000 if name == "uncertain" else 1)
    (entry,) = load_candidates([load_run(runs / "runs" / name / "a2c-seed0-1")], main=name)[:1]
    envs = make_env(entry.env, 3)
    observations, _ = envs.reset(seed=5, options={"past": DAYS[:played]})
    infos = envs.step(entry.policy.predict(observations, deterministic=True)[0])[4]
    np.testing.assert_allclose(infos["spend"], [list(plan["split"].values())] * 3, atol=1e-4)


@pytest.mark.parametrize("name", ["linear", "dynamic", "article"])
def test_without_chance_the_expectation_is_what_a_campaign_of_these_splits_earns(
    runs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = asked(capsys, runs / "runs" / name / "a2c-seed0-1", "--past", runs / "so_far.csv")
    entry = load_candidates([load_run(runs / "runs" / name / "a2c-seed0-1")], main=name)[0]
    kwargs = {"action": "spend", "observation": "history"}
    envs = make_env(entry.env.model_copy(update={"kwargs": entry.env.kwargs | kwargs}), 1)
    envs.reset(seed=0)
    earned = []
    decided = [[row[channel] for channel in CHANNELS] for row in plan["days"]]
    for split in [row[:3] for row in DAYS] + decided:
        infos = envs.step(np.array([split]))[4]
        earned.append(infos.get("final_info", infos)["engagement"][0])
    left = plan["days_left"]
    assert sum(earned[2:]) == pytest.approx(left["expected_engagement"])
    assert left["low"] == left["high"] == pytest.approx(left["expected_engagement"])


def test_the_range_holds_four_fifths_of_the_campaigns_and_weak_days_lower_it(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs / "runs/uncertain/a2c-seed0-1"
    (entry,) = load_candidates([load_run(folder)], main="uncertain")
    left = {}
    for name, factor in (("weak", 0.4), ("strong", 2.0)):
        days = [[*row[:3], *(factor * count for count in row[3:])] for row in DAYS]
        (tmp_path / "days.csv").write_text(as_csv(days))
        plan = asked(capsys, folder, "--past", tmp_path / "days.csv")
        left[name] = plan["days_left"]
        steps = play(entry.policy, make_env(entry.env, 1000), seed=99, options={"past": days})
        again = np.sum([step.infos["engagement"] for step in steps], axis=0)
        inside = (plan["days_left"]["low"] <= again) & (again <= plan["days_left"]["high"])
        assert inside.mean() == pytest.approx(0.8, abs=0.06)
    assert left["weak"]["high"] < left["strong"]["low"]
    assert left["weak"]["low"] < left["weak"]["expected_engagement"] < left["weak"]["high"]


def test_a_program_asked_twice_says_the_same_and_a_header_alone_is_day_1(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.csv").write_text(HEADER + "\n")
    folder = runs / "runs/uncertain/a2c-seed0-1"
    assert (
        asked(capsys, folder)
        == asked(capsys, folder, "--past", tmp_path / "none.csv")
        == asked(capsys, folder)
    )


def test_the_printed_split_can_be_a_past_day(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--runs-dir", runs / "runs", "--past", runs / "so_far.csv"]
    capsys.readouterr()
    assert main([str(word) for word in (runs / "uncertain.yaml", *words)]) == 0
    out = capsys.readouterr().out
    assert "Tomorrow is day 3 of 7. Spend in budget units: posts " in out
    assert re.search(
        r"80% of 1,000 simulated campaigns that fit the past days earn [\d,]+ to [\d,]+\.", out
    )
    split = [
        float(value) for value in re.findall(r"(?:posts|ads|rewards) ([\d.]+)", out.splitlines()[0])
    ]
    assert sum(split) == pytest.approx(100)
    assert len(parsed(as_csv([*DAYS, [*split, 300, 80, 90]]).encode()).values) == 3


def test_the_program_run_as_its_user_runs_it(runs: Path) -> None:
    done = run(
        "evaluate.campaign.plan", runs / "runs/article/a2c-seed0-1", "--past", runs / "so_far.csv"
    )
    assert done.returncode == 0, done.stderr
    assert "Tomorrow is day 3 of 7. Spend in budget units: posts " in done.stdout
    assert "Expected engagement of days 3 to 7: " in done.stdout


def test_the_table_says_what_is_exact_and_who_decided(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                str(runs / "article.yaml"),
                "--runs-dir",
                str(runs / "runs"),
                "--agent",
                "reference (mix)",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "Tomorrow is day 1 of 7." in out
    assert "(exact: chance has no part in this campaign)" in out
    assert "Decided by reference (mix), " in out
    assert len(re.findall(r"^ +[1-7] ", out, re.MULTILINE)) == 7


def days_of(kind: str, days: int, factor: float = 1.0, seed: int = 0) -> Any:
    """Past days of campaigns drawn, (100, days, 6), every channel factor times as strong."""
    env = EnvConfig(id=f"envs:{kind.title()}Campaign-v0", kwargs={"action": "spend"})
    envs = make_env(env, 100)
    counts = (factor * np.array(PRESETS[kind].counts)).tolist()
    envs.reset(seed=seed, options={"latent": {"counts": counts}} if factor != 1 else {})
    spend = np.random.default_rng(seed).dirichlet(np.full(3, 2.0), days) * 100
    infos = [envs.step(np.tile(row, (100, 1)))[4] for row in spend]
    metrics = [[info[name] for name in HEADER.split(",")[4:]] for info in infos]
    envs.close()
    return np.concatenate(
        [np.broadcast_to(spend, (100, days, 3)), np.moveaxis(np.array(metrics), -1, 0)], axis=-1
    )


@pytest.mark.parametrize(
    ("factor", "days", "least", "most"),
    [(1, 3, 0, 2), (1, 6, 0, 2), (5, 3, 17, 20), (0.1, 3, 19, 20)],
)
def test_days_of_other_campaigns_are_noticed(
    factor: float, days: int, least: int, most: int
) -> None:
    env = EnvConfig(id="envs:UncertainCampaign-v0")
    many = days_of("uncertain", days, factor)[:20]
    fits = [fit_of(env, PRESETS["uncertain"], past, 0) for past in many]
    assert least <= sum(not fit.holds_range for fit in fits if fit) <= most


def test_past_days_without_chance_are_compared_with_the_model() -> None:
    env, params = EnvConfig(id="envs:DynamicCampaign-v0"), PRESETS["dynamic"]
    past = days_of("dynamic", 6)[0]
    past[:, 3:] = np.round(past[:, 3:])
    assert fit_of(env, params, past[:0], 0) is None
    fit = fit_of(env, params, past, 0)
    assert fit is not None
    assert fit.is_usual
    usual = past[3, 4]
    past[3, 4] += 5
    fit = fit_of(env, params, past, 0)
    assert fit is not None
    assert (fit.is_usual, fit.day, fit.metric, fit.counted) == (False, 4, "comments", usual + 5)
    assert fit.low == fit.high == pytest.approx(usual, abs=0.5)


IMPOSSIBLE: dict[str, list[Any]] = {
    "huge": [[20, 30, 50, 1e11, 70, 121]],
    "none": [[20, 30, 50, 0, 0, 0], [20, 30, 50, 0, 0, 0]],
    "unpaid": [[0, 0, 0, 300, 0, 0]],
}


@pytest.mark.parametrize("days", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_days_that_cannot_be_are_answered_and_said_first(
    runs: Path, name: str, days: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "past.csv").write_text(as_csv(days))
    words = [str(runs / "runs" / name / "a2c-seed0-1"), "--past", str(tmp_path / "past.csv")]
    plan = asked(capsys, *words)
    assert plan["past_days_fit"]["is_usual"] is False
    assert plan["past_days_fit"]["metric"] == "likes"
    assert plan["days_left"]["share_in_range"] is None
    assert plan["days_left"]["exact"] is False
    assert main(words) == 0
    out = capsys.readouterr().out
    first = (
        f"The past days do not fit this campaign. Furthest off: day {plan['past_days_fit']['day']}"
    )
    assert out.startswith(first)
    assert "80% of 1,000" not in out
    assert "exact" not in out


def test_days_that_fit_are_answered_without_a_warning(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("linear", "dynamic", "uncertain"):
        (tmp_path / "past.csv").write_text(
            as_csv((np.floor(days_of(name, 2)[0] * 100) / 100).tolist())
        )
        words = [str(runs / "runs" / name / "a2c-seed0-1"), "--past", str(tmp_path / "past.csv")]
        plan = asked(capsys, *words)
        assert plan["past_days_fit"]["holds_range"] is True
        assert plan["days_left"]["share_in_range"] == (0.8 if name == "uncertain" else 1.0)


@st.composite
def splits_within_limits(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Splits of a budget of any size, and limits around them, written in few decimals or not."""
    budget = 10.0 ** draw(st.floats(-2, 9))
    days = draw(st.integers(1, 4))
    shares = np.array(
        draw(st.lists(st.tuples(*[st.floats(0.01, 1)] * 3), min_size=days, max_size=days))
    )
    split = budget * shares / shares.sum(axis=1, keepdims=True) * draw(st.floats(0.1, 1))
    tight = draw(st.sampled_from([0.0, 1e-4, 0.3, 1.0]))
    digits = draw(st.integers(2, 4)) - int(np.floor(np.log10(budget)))
    low = np.round(split * (1 - tight), digits) if tight else np.zeros_like(split)
    high = np.round(split * (1 + tight), digits) if tight else np.full_like(split, np.inf)
    held = np.clip(split, low, high)
    return held, np.minimum(low, held), np.maximum(high, held)


@given(case=splits_within_limits())
def test_rounded_splits_can_be_spent(case: tuple[Any, Any, Any]) -> None:
    split, low, high = case
    near, texts = rounded(split, low, high), written(split, low, high)
    allowed = 1e-9 * split.sum(axis=1).max()
    assert (near.sum(axis=1) <= split.sum(axis=1) + 3 * allowed).all()
    assert (near >= low - 2 * allowed).all()
    assert (near <= high + 2 * allowed).all()
    np.testing.assert_allclose(near, np.array(texts, dtype=float), rtol=1e-15)
    largest = split.sum(axis=1).max() * (1 + 1e-6)  # as the digits are counted
    unit = 10.0 ** -max(0, 3 - np.floor(np.log10(largest)))
    assert (np.abs(near - split) < 2.01 * unit).all()


@given(splits=st.lists(st.tuples(*[st.floats(0, 1e6)] * 3), min_size=1, max_size=7))
def test_without_limits_rounding_loses_less_than_a_unit(splits: list[tuple[float, ...]]) -> None:
    exact = np.array(splits)
    near = rounded(exact)
    most = exact.sum(axis=1).max()
    unit = 10.0 ** -max(0, 3 - np.floor(np.log10(most))) if most > 1e-12 else 0.1
    assert (exact.sum(axis=1) - near.sum(axis=1) < 1.001 * unit).all()
    assert (np.abs(near - exact) < 1.001 * unit).all()


@pytest.mark.parametrize(
    ("split", "low", "high", "texts"),
    [
        ([52.04, 12.38, 35.58], 0, np.inf, ["52.0", "12.4", "35.6"]),
        ([33.34, 33.34, 33.32], 0, 33.34, ["33.3", "33.3", "33.3"]),
        ([33.34, 33.34, 33.32], 33.32, 33.34, ["33.34", "33.34", "33.32"]),
        ([33.31, 33.34, 33.34999999999], 0, 33.35, ["33.3", "33.3", "33.3"]),
        ([33.34, 33.34, 33.32], [33.34, 0, 0], np.inf, ["33.4", "33.3", "33.3"]),
        ([0.0051, 0.0049, 0], 0, np.inf, ["0.00510", "0.00490", "0.00000"]),
        ([0.0, -1e-12, 10.0], [-0.0, 0, 0], 10, ["0.00", "0.00", "10.00"]),
        ([0.25, 0.125, 0.125], 0, np.inf, ["0.2500", "0.1250", "0.1250"]),
        ([811.6, 788.1, 400.3], 0, np.inf, ["812", "788", "400"]),
        ([811.6, 788.1, 400.3], [0, 788.25, 0], np.inf, ["811", "789", "400"]),
        ([5e5, 250000.4, 249999.6], 0, np.inf, ["500000", "250000", "250000"]),
        ([5e8, 250000000.4, 249999999.6], 0, np.inf, ["500000000", "250000000", "250000000"]),
    ],
)
def test_digits_follow_the_size_of_the_budget(
    split: list[float], low: Any, high: Any, texts: list[str]
) -> None:
    assert written(np.array([split]), np.array(low), np.array(high)) == [texts]


def test_numbers_in_text_have_separators_and_no_exponents() -> None:
    numbers = [0.0, 1e-5, 0.0512345, 33.34567, 700.0, 1234.5678, 9999.96, 1e9]
    texts = ["0", "0.00001", "0.05123", "33.35", "700", "1,235", "10,000", "1,000,000,000"]
    assert [in_text(number) for number in numbers] == texts
    assert column([0.5, 1234.5]) == ["0", "1,234"]
    assert column([0.005, 0.0012]) == ["0.005000", "0.001200"]
    assert list(map(grouped, ["1234.50", "0.00510", "500000000"])) == [
        "1,234.50",
        "0.00510",
        "500,000,000",
    ]


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_five(tmp_path_factory.mktemp("five"), 2000.0, max_spend=[2000, 2000, 2000, 300, 99])


def test_five_channels_are_planned_as_their_user_asks(five: Path, tmp_path: Path) -> None:
    past = tmp_path / "so_far.csv"
    past.write_text(
        "orders;Search;tv;Day;EMAIL;Rewards;influencers;Sign_ups;clicks;shares\n"
        "2.200;700,5;500;1;250;50;300;1.500;9.100;80\n"
    )
    plain = run("evaluate.campaign.plan", five, "--past", past)
    assert (plain.returncode, plain.stderr) == (0, "")
    (tomorrow,) = re.findall(r"^Tomorrow is day 2 of 4\. Spend in EUR: (.*)$", plain.stdout, re.M)
    split = {name: float(number) for name, number in map(str.split, tomorrow.split(", "))}
    assert tuple(split) == FIVE
    assert sum(split.values()) <= 2000
    assert (split["email"], split["rewards"]) <= (300, 99)
    done = run("evaluate.campaign.plan", five, "--past", past, "--json")
    plan = json.loads(done.stdout)
    assert (plan["unit"], plan["day"], tuple(plan["split"])) == ("EUR", 2, FIVE)
    for name, spend in plan["split"].items():
        assert split[name] == pytest.approx(spend, abs=1.01)
    decided = np.array([[row[name] for name in FIVE] for row in plan["days"]])
    spends = np.concatenate([[[700.5, 500, 300, 250, 50]], decided])
    config = load_run(five).config.env
    kwargs = config.kwargs | {"action": "spend", "observation": "day", "privileged": False}
    envs = make_env(EnvConfig(id=config.id, kwargs=kwargs), 1)
    envs.reset(seed=0)
    infos = [envs.step(day[np.newaxis])[4] for day in spends]
    earned = sum(info["engagement"][0] for info in infos[1:-1])
    earned += infos[-1].get("final_info", infos[-1])["engagement"][0]
    assert plan["days_left"]["expected_engagement"] == pytest.approx(earned)


def test_wrong_columns_are_answered_with_those_of_the_campaign(five: Path, tmp_path: Path) -> None:
    past = tmp_path / "so_far.csv"
    past.write_text("day,search,TV,influencer,rewards,clicks,sign_ups,shares,orders\n")
    done = run("evaluate.campaign.plan", five, "--past", past)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: past {past}: 2 faults; expected the header "
        "day,search,TV,influencers,email,rewards,clicks,sign_ups,shares,orders and a row for each "
        "past day\n"
        "  row 1, column influencers: is missing (did you mean 'influencer'?)\n"
        "  row 1, column email: is missing\n"
        "  channels: search, TV, influencers, email, rewards\n"
        "  metrics: clicks, sign_ups, shares, orders\n"
    )


@pytest.mark.parametrize("budget", [0.01, 1e9])
def test_budgets_of_any_size_are_written_in_figures(
    tmp_path: Path, budget: float, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_five(tmp_path, budget, max_spend=[budget] * 3 + [0.1 * budget] * 2)
    capsys.readouterr()
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert not re.search(r"\d[eE][+-]?\d", out)
    rows = re.findall(r"^ +[1-4] +(.+)$", out, re.M)
    spends = [[float(cell.replace(",", "")) for cell in row.split()] for row in rows]
    assert len(spends) == 4
    for *split, earned in spends:
        assert 0.99 * budget < sum(split) <= budget * (1 + 1e-12)
        assert max(split[3:]) <= 0.1 * budget * (1 + 1e-12)
        assert earned > 0
    assert f"{budget:,.0f}".startswith("1,000,000,000") == ("," in rows[0])
    (tmp_path / "past.csv").write_text(
        f"day,{','.join(FIVE + COUNTED)}\n1{f',{budget}' * 5},1,1,1,1"
    )
    assert main([str(folder), "--past", str(tmp_path / "past.csv")]) == 2
    amounts = {0.01: "0.05 EUR spent, must be 0.01", 1e9: "5,000,000,000 EUR spent, must be 1,000,"}
    assert amounts[budget] in capsys.readouterr().err


def test_the_printed_plan_keeps_to_a_maximum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "limited.yaml"
    config.write_text(
        "env: {id: 'envs:DynamicCampaign-v0', kwargs: {max_spend: [33.34, 33.34, 33.34]}}\n"
        "total_timesteps: 28\na2c: {n_envs: 4, n_steps: 7}\n"
    )
    assert train([str(config), "--runs-dir", str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    assert main([str(config), "--runs-dir", str(tmp_path / "runs")]) == 0
    rows = re.findall(r"^ +[1-7] +([\d.]+) +([\d.]+) +([\d.]+) ", capsys.readouterr().out, re.M)
    assert len(rows) == 7
    assert np.array(rows, dtype=float).max() <= 33.34


@given(data=st.data())
def test_harmless_spellings_are_read_as_the_same_numbers(data: st.DataObject) -> None:
    counts = st.integers(0, 10**6) | st.floats(0, 1e9)
    days = data.draw(st.lists(st.tuples(*[st.floats(0, 33.3)] * 3, *[counts] * 3), max_size=6))
    names = HEADER.split(",")
    order = data.draw(st.permutations(names))
    rows = [dict(zip(names, [day, *row], strict=True)) for day, row in enumerate(days, start=1)]
    text = spelled([[row[name] for name in order] for row in rows], order, data.draw)
    np.testing.assert_array_equal(parsed(text.encode()).values, np.array(days).reshape(-1, 6))


def spelled(rows: list[list[float]], names: list[str], draw: Callable[[Any], Any]) -> str:
    """The table as a CSV file, with spaces, quotes, line ends and blank lines as they come."""
    file = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(file, lineterminator=draw(st.sampled_from(["\n", "\r\n"])), quoting=quoting)
    blank, trailing = draw(st.booleans()), draw(st.integers(0, 2))
    spaces = st.sampled_from(["", " ", "  "])
    for row in [names, *([number(value, draw) for value in row] for row in rows)]:
        writer.writerow([f"{draw(spaces)}{cell}{draw(spaces)}" for cell in row] + [""] * trailing)
        if blank:
            writer.writerow([""] * trailing)
    return file.getvalue().removesuffix("\n" if draw(st.booleans()) else "")


def number(value: float, draw: Callable[[Any], Any]) -> str:
    """A number as a person or a program may write it."""
    ways = [
        repr(value),
        repr(float(value)),
        f"+{value!r}",
        f"{float(value):.17e}",
        *([f"{value:.0f}"] * (value % 1 == 0)),
    ]
    return str(draw(st.sampled_from(ways)))


@given(data=st.data())
def test_tables_in_forms_of_spreadsheets_read_back(data: st.DataObject) -> None:
    cents = st.integers(0, 3330).map(lambda number: number / 100)
    counts = st.integers(0, 10**8).map(lambda number: number / 100)
    days = data.draw(st.lists(st.tuples(*[cents] * 3, *[counts] * 3), min_size=1, max_size=6))
    past = parsed(spreadsheet(days, data.draw))
    np.testing.assert_array_equal(past.values, np.array(days))


def spreadsheet(days: list[tuple[float, ...]], draw: Callable[[Any], Any]) -> bytes:
    """The days as a program of any country may save them, all with two decimals."""
    mark = draw(st.sampled_from(".,"))
    thousands = draw(
        st.sampled_from({".": ["", ",", "'", " "], ",": ["", ".", "\u00a0", "\u202f"]}[mark])
    )
    separator = draw(st.sampled_from(",;\t|"))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    if encoding == "cp1252" and thousands == "\u202f":
        thousands = ""
    dated, extra, sep_line, blank = (draw(st.booleans()) for _ in range(4))
    start = draw(st.dates(date(2020, 1, 1), date(2030, 1, 1)))
    names = ["date" if dated else "day", *HEADER.split(",")[1:], *["Bemerkung \u00fc"] * extra]
    style = draw(st.sampled_from([str, str.upper, str.title, lambda name: f" {name} "]))
    file = io.StringIO(newline="")
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    file.write(f"sep={separator}{end}" * sep_line)
    writer = csv.writer(file, delimiter=separator, lineterminator=end)
    writer.writerow([*map(style, names), ""])
    for index, day in enumerate(days):
        first = (start + timedelta(index)).isoformat() if dated else str(index + 1)
        cells = [
            f"{value:,.2f}".translate(str.maketrans({",": thousands, ".": mark})) for value in day
        ]
        writer.writerow([first, *cells, *["gr\u00f6\u00dfer, 1;2"] * extra, ""])
        if blank:
            writer.writerow([])
    text = file.getvalue()
    return text.encode(encoding)


TABLE = np.array(DAYS)
SAVED: dict[str, bytes] = {
    "Excel, CSV": as_csv(DAYS).replace("\n", "\r\n").encode(),
    "Excel, CSV UTF-8": as_csv(DAYS).replace("\n", "\r\n").encode("utf-8-sig"),
    "Excel, CSV Macintosh": as_csv(DAYS).replace("\n", "\r").encode(),
    "Excel, Unicode Text": as_csv(DAYS).replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, big endian": b"\xfe\xff" + as_csv(DAYS).encode("utf-16-be"),
    "Excel, German": b"Day;Posts;Ads;Rewards;Likes;Comments;Shares;Gr\xf6\xdfe;\r\n"
    b"1;20;30;50;240;70;121;klein;\r\n2;45,5;14,5;40;402;97,5;118;;\r\n;;;;;;;;\r\n",
    "Excel, declared": b"sep=;\r\n" + as_csv(DAYS).replace(",", ";").replace("\n", "\r\n").encode(),
    "LibreOffice": as_csv(DAYS).encode(),
    "LibreOffice, German": f"{HEADER}\n1,20,30,50,240,70,121\n".encode()
    + b'2,"45,5","14,5",40,402,"97,5",118\n',
    "LibreOffice, all quoted": re.sub(r"([^,\n]+)", r'"\1"', as_csv(DAYS)).encode(),
    "dates": f"{HEADER}\n".replace("day", "date").encode()
    + b"2026-03-30,20,30,50,240,70,121\n2026-03-31 00:00:00,45.5,14.5,40,402,97.5,118\n",
}


@pytest.mark.parametrize("data", SAVED.values(), ids=SAVED)
def test_files_of_spreadsheets_are_read(data: bytes) -> None:
    np.testing.assert_array_equal(parsed(data).values, TABLE)


def test_columns_not_used_are_named() -> None:
    data = as_csv(DAYS).replace("shares\n", "shares,Note,cost\n").encode()
    assert parsed(data).notices == ("days.csv: columns not used: note, cost",)
    assert parsed(as_csv(DAYS).encode()).notices == ()


def test_a_date_on_another_weekday_is_named() -> None:
    assert parsed(SAVED["dates"]).notices == ()  # a Monday, as the campaign starts
    assert parsed(SAVED["dates"].replace(b"-30", b"-29").replace(b"-31", b"-30")).notices == (
        "days.csv: day 1 is a Sunday; the campaign starts on a Monday",
    )


def test_the_reader_takes_any_columns() -> None:
    data = b"Radio;Day;sold\n1.200,5;1;3\n"
    kinds = {"articles": ("Sold",), "media": ("RADIO",)}
    past = parse_past(data, "x.csv", kinds, 2, lambda _: {})
    assert past.values.tolist() == [[3.0, 1200.5]]
    with pytest.raises(InputError, match=r"column RADIO: is missing(.|\n)*media: RADIO"):
        parse_past(data.replace(b"Radio", b"TV"), "x.csv", kinds, 2, lambda _: {})


FAULTY: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["row 1: the file is empty, expected at least the header"]),
    "blank": (b"\n \r\n\n", ["row 1: the file is empty, expected at least the header"]),
    "bytes": (
        as_csv(DAYS).replace("402", "4\u00a002").encode("latin-1"),
        [r"row 3, column likes: '4\xa002', must be a number such as 33.3"],
    ),
    "no header": (b"1,20,30,50,240,70,121\n", ["row 1: '1,20,30,50,240,70,121' is not the header"]),
    "columns": (
        b"day,posts,ads,reward,likes,comments,shares,ads\n1,90,1,1,1,1,1,20\n2,90,11,,1,1,1,2\n",
        [
            "row 1, column ads: stands twice, expected once",
            "row 1, column rewards: is missing (did you mean 'reward'?)",
            "row 3, column posts + ads + rewards: 101 budget units spent, must be 100 or less",
            "channels: posts, ads, rewards",
            "metrics: likes, comments, shares",
        ],
    ),
    "values": (
        f"{HEADER}\n1,60,60,3,4,5,6\n\n2,-1,inf,nan,x,,1e13\n"
        "3,1,2,3,4,5\n4,1,2,3,4,5,6,7\n5,2_0,0x1,1 0,1e999,5,6\n".encode(),
        [
            "row 2, column posts + ads + rewards: 123 budget units spent, must be 100 or less",
            "row 4, column posts: -1, must be a finite number from 0 to 1e+12",
            "row 4, column ads: 'inf', must be a number such as 33.3",
            "row 4, column rewards: 'nan', must be a number such as 33.3",
            "row 4, column likes: 'x', must be a number such as 33.3",
            "row 4, column comments: is empty, must be a number such as 33.3",
            "row 4, column shares: 1e+13, must be a finite number from 0 to 1e+12",
            "row 5, column shares: is empty, must be a number such as 33.3",
            "row 6: 8 values, expected 7, one for each column",
            "row 7, column posts: '2_0', must be a number such as 33.3",
            "row 7, column ads: '0x1', must be a number such as 33.3",
            "row 7, column rewards: '1 0', must be a number such as 33.3",
            "row 7, column likes: inf, must be a finite number",
        ],
    ),
    "either": (
        HEADER.replace(",", ";").encode() + b"\n1;33.333;1,234;3;4;5;6",
        [
            "row 2, column posts: '33.333', must be either 33.333 or 33333, thou",
            "row 2, column ads: '1,234', must be either 1.234 or 1234, thousands not separated",
        ],
    ),
    "either, quoted": (
        f'{HEADER}\n1,33.333,"1,234",3,4,5,6'.encode(),
        ["row 2, column ads: '1,234', must be either 1.234 or 1234, thousands not separated"],
    ),
    "mixed": (
        HEADER.replace(",", ";").encode() + b"\n1;33,3;1,5;3.5;4;5;6",
        ["row 2, column rewards: '3.5', must be a number such as 33.3"],
    ),
    "declared": (
        f"sep=;\n{HEADER}\n".replace(",", ";").encode() + b"\n1;x;1,5;3;4;5;6",
        ["row 3, column posts: 'x', must be a number such as 33.3"],
    ),
    "days": (
        "\n".join(
            [HEADER, *(f"{day},1,2,3,4,5,6" for day in (1, 1, 3, 2, "x", 1.5, -1, 5, 9, "nan"))]
        ).encode(),
        [
            "row 3, column day: 1, must be 2: days start with the first and follow one another",
            "row 4, column day: 3, must be 2: days start with",
            "row 5, column day: 2, must be 4: days start with",
            "row 6, column day: 'x', must be a number",
            "row 7, column day: 1.5, must be 4: days start with",
            "row 8, column day: -1, must be 5: days start with",
            "row 9, column day: 5, must be 6: days start with",
            "row 10, column day: 9, must be 6: days start with",
            "row 11, column day: 'nan', must be a number",
        ],
    ),
    "dates": (
        "\n".join(
            [
                HEADER.replace("day", "date"),
                *(f"2026-02-{day},1,2,3,4,5,6" for day in (27, 28, 27, 30)),
                "1.3.2026,1,2,3,4,5,6",
            ]
        ).encode(),
        [
            "row 4, column date: 2026-02-27, must be 2026-03-01: days start with the first",
            "row 5, column date: '2026-02-30', must be a date such as 2026-03-31",
            "row 6, column date: '1.3.2026', must be a date such as 2026-03-31",
        ],
    ),
    "all played": (
        as_csv([DAYS[0]] * 7).encode(),
        ["row 8, column day: 7, must be before 7, the last day: after it nothing is left"],
    ),
    "quotes": (f'{HEADER}\n\n1,"20,30,50,240,70,121\n'.encode(), ["row 3: is not a row of a CSV"]),
}


@pytest.mark.parametrize(("data", "expected"), FAULTY.values(), ids=FAULTY)
def test_every_fault_of_a_file_is_named_at_once(data: bytes, expected: list[str]) -> None:
    first, *lines = refused(data).splitlines()
    faults = [line for line in lines if line.startswith("  row")]
    counted = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    assert first.startswith(f"past days.csv: {counted}; expected the header da")
    assert first.endswith(f"e{HEADER[3:]} and a row for each past day") or HEADER in first
    assert len(lines) == len(expected), lines
    for line, start in zip(lines, expected, strict=True):
        assert line.strip().startswith(start)


@given(
    data=st.sampled_from([*SAVED.values(), b"sep=;\n", b""]),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), max_size=5
    ),
)
def test_any_bytes_are_read_or_refused(
    data: bytes, changes: list[tuple[float, int, bytes]]
) -> None:
    for place, cut, new in changes:
        at = int(place * len(data))
        data = data[:at] + new + data[at + cut :]
    with contextlib.suppress(InputError):
        assert parsed(data).values.shape[1] == 6


@pytest.mark.parametrize(
    "data",
    [
        b'sep="\n' + as_csv(DAYS).encode(),
        b"sep=\r" + as_csv(DAYS).encode(),
        b"date" + HEADER[3:].encode() + b"\n9999-12-31,1,2,3,4,5,6\n9999-12-31,1,2,3,4,5,6",
        as_csv(DAYS).encode() + b'3,"' + b"1" * 200_000 + b'",1,1,1,1,1',
    ],
    ids=["quote", "return", "last date", "long"],
)
def test_odd_files_are_refused(data: bytes) -> None:
    assert "fault" in refused(data)


def test_a_workbook_is_named() -> None:
    assert refused(b"PK\x03\x04...") == (
        "past days.csv: is a workbook, expected a CSV file: save it as CSV"
    )


def test_what_is_not_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "so_far.csv").write_text(HEADER)

    def message(name: str) -> str:
        with pytest.raises(InputError) as caught:
            read_bytes(tmp_path / name)
        return str(caught.value)

    assert message("sofar.csv").endswith(
        f"no such file (did you mean '{tmp_path / 'so_far.csv'}'?); expected a CSV file"
    )
    assert "cannot be read: Is a directory; expected a CSV file" in message(".")
    assert "cannot be read: Not a directory" in message("so_far.csv/x")


def test_a_file_with_many_faults_does_not_flood_the_screen() -> None:
    lines = refused(as_csv([DAYS[0]] * 3000).encode()).splitlines()
    assert len(lines) == 202
    assert lines[-1] == "  and 2794 more"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["cartpole.yaml"],
            "env CartPole-v1: cannot start after past days, so there is nothing to plan",
        ),
        (
            ["article.yaml", "--agent", "refrence"],
            r"there is no run of it \(did you mean 'reference'\?\); known: a2c, ",
        ),
        (["runs/none"], "no such folder"),
        (["dynamic.yaml", "--past", "nothing.csv"], "past nothing.csv: no such file"),
        (["dynamic.yaml", "--history", "wrong.csv"], "--history is now called --past"),
        (["dynamic.yaml", "--history=wrong.csv"], "--history is now called --past"),
        (
            ["dynamic.yaml", "--past", "wrong.csv"],
            "2 faults(.|\n)*row 2, column ads: 'x'(.|\n)*row 2, column shares",
        ),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    runs: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(runs)
    Path("wrong.csv").write_text(f"{HEADER}\n1,2,x,3,4,5,-6\n")
    capsys.readouterr()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("error:") == 1
    assert re.search(message, captured.err), captured.err


def test_make_answers_the_old_name_with_the_new_one() -> None:
    done = subprocess.run(
        ["make", "-n", "plan", "HISTORY=x.csv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "HISTORY is now called PAST: make plan PAST=x.csv" in done.stderr


def test_the_environment_refuses_what_the_file_would_be_refused_for(runs: Path) -> None:
    envs = make_env(load_run(runs / "runs/dynamic/a2c-seed0-1").config.env, 1)
    with pytest.raises(
        ValueError,
        match=r"past: day 1, ads: -1, must be .*; day 2, posts \+ ads \+ rewards: 120 budget",
    ):
        envs.reset(options={"past": [[0, -1, 0, 0, 0, 0], [40, 40, 40, 0, 0, 0]]})
