"""Ad timing: its equations, the optimum, the page, baselines, and the report in its own words."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.ad_timing import model
from envs.ad_timing.env import AdTimingEnv
from envs.ad_timing.optimum import best_value, solutions, solve
from envs.ad_timing.params import AdTimingParams, make_params
from evaluate.__main__ import main
from evaluate.ad_timing import schedules
from evaluate.ad_timing.domain import DOMAIN
from evaluate.ad_timing.policies import ADAPTIVE, BEST_THRESHOLD, CLAIRVOYANT
from evaluate.ad_timing.sections import with_k
from evaluate.domain import domain_of
from evaluate.rollouts import play_all
from tests.tools.campaigns import make, make_vec
from train.__main__ import main as train
from train.config import EnvConfig

ID = "envs:AdTiming-v0"
MIXED: dict[str, Any] = {"users": "mixed", "h": 0.02, "b1": 0.2}
VARIANTS = st.fixed_dictionaries(
    {
        "h": st.floats(0.02, 1.0),
        "u": st.floats(0.01, 2.0),
        "b1": st.floats(0.0, 1.0),
        "tau": st.floats(0.5, 20.0),
        "b0": st.floats(0.0, 1.0),
        "f": st.sampled_from([0.0, 0.5]),
        "max_items": st.integers(1, 20),
    }
)


@pytest.mark.parametrize(
    ("changes", "threshold", "value"),
    [
        ({}, 5, 3.29),
        ({"b1": 0.3}, 3, 3.98),
        ({"b0": 0.05}, 6, 3.07),
        ({"f": 0.5}, 6, 3.15),
        ({"u": 0.2}, 9, 6.23),
        ({"h": 0.1}, 1, 2.03),
        ({"tau": 8.0}, 7, 2.53),
    ],
)
def test_the_optimum_has_the_known_values(
    changes: dict[str, Any], threshold: int, value: float
) -> None:
    best = solve(make_params((), changes))
    assert best.threshold == threshold
    assert best.value == pytest.approx(value, abs=0.005)
    assert (np.diff(best.shows.astype(int), axis=0) >= 0).all()  # a threshold for every m


@pytest.mark.parametrize(
    ("least", "value"), [(0, 2.12), (200, 1.25), (3, 3.01), (6, 3.29), (10, 2.88)]
)
def test_simple_rules_have_the_known_values(least: int, value: float) -> None:
    params = AdTimingParams()
    schedule = schedules.threshold_schedule(params, least)
    assert schedules.mean_value(params, schedule) == pytest.approx(value, abs=0.005)


@given(changes=VARIANTS)
@settings(max_examples=20, deadline=None)
def test_no_schedule_beats_the_optimum(changes: dict[str, Any]) -> None:
    params = make_params((), changes)
    best = solve(params)
    rng = np.random.default_rng(0)
    for _ in range(5):
        schedule = rng.random(params.max_items) < rng.random()
        assert schedules.value_of(params, schedule) <= best.value + 1e-8
    assert (best.losses >= 0).all()
    assert (best.losses.min(axis=0) == 0).all()


def test_a_decision_earns_and_ends_as_the_equations_say() -> None:
    params = AdTimingParams(b0=0.1, f=0.5)
    state = model.State(
        np.array([0, 4, 4]), np.array([0, 2, 2]), np.array([0, 9, 9]), np.array([0.0, 1.0, 1.0])
    )
    chance = model.leave_at_ad(params, state.k, state.m)
    assert chance == pytest.approx([0.6, *[0.5 * np.exp(-1) + 0.1 * (1 + 0.5 * 2)] * 2])
    show, luck = np.array([True, True, False]), chance - 1e-9
    left = model.transition(params, state, show, luck)
    assert left.reward.tolist() == [1.0, 1.0, 0.05]
    assert left.is_left.tolist() == [True, True, False]
    assert left.is_watched.tolist() == [False, False, True]
    stayed = model.transition(params, state, show, chance + (1 - chance) * 0.04 + 1e-9)
    assert stayed.reward == pytest.approx([1.05, 1.05, 0.05])
    assert not stayed.is_left.any()
    assert stayed.after.k.tolist() == [1, 1, 5]
    assert stayed.after.m.tolist() == [1, 3, 2]
    assert stayed.after.annoyance == pytest.approx([1.0, 1.0 + np.exp(-1), 1.0])


@pytest.mark.parametrize("kwargs", [{}, {"f": 0.5, "max_items": 9}, MIXED])
def test_expected_values_have_the_mean_of_the_values(kwargs: dict[str, Any]) -> None:
    sessions, rng = (
        make_vec(ID, 20_000, autoreset_mode="Disabled", **kwargs),
        np.random.default_rng(0),
    )
    sessions.reset(seed=0)
    batch = sessions.unwrapped._batch
    for _ in range(sessions.unwrapped.params.max_items):
        batch.step(rng.random(20_000) < 0.2, ~batch.is_over, rng)
    totals = batch.episode_metrics()
    value, expected = totals["ad_timing/value"], totals["ad_timing/expected_value"]
    cut = kwargs.get("max_items", 200) < 200
    error = np.std(value - expected) / np.sqrt(len(value))
    if cut:  # a session that is cut off counts as if it went on
        assert expected.mean() > value.mean() + 4 * error
    else:
        assert abs(value.mean() - expected.mean()) < 4 * error


def test_the_best_rule_gives_nothing_away_whatever_the_luck() -> None:
    results = play_all(DOMAIN.baseline_policies(EnvConfig(id=ID), 0), 50, 0, DOMAIN.columns)
    best = results.episodes[results.episodes["policy"] == "optimal rule"]
    assert (best["share_of_optimum"] == 1.0).all()
    assert best["value"].std() > 1.0


def test_baselines_of_mixed_users_stand_in_the_order_of_what_they_know() -> None:
    env = EnvConfig(id=ID, kwargs=MIXED)
    results = play_all(DOMAIN.baseline_policies(env, 0), 4_000, 0, DOMAIN.columns)
    means = results.episodes.groupby("policy")["expected_value"].mean()
    params = make_params((), MIXED)
    schedule = schedules.adaptive_schedule(params)
    assert means[ADAPTIVE] == pytest.approx(schedules.mean_value(params, schedule), rel=0.02)
    assert means[CLAIRVOYANT] == pytest.approx(best_value(params), rel=0.05)
    assert means[BEST_THRESHOLD] < means[ADAPTIVE] < means[CLAIRVOYANT]


def test_the_adaptive_schedule_is_the_best_of_all_short_ones() -> None:
    params = AdTimingParams(users="mixed", h=0.05, b1=0.2, impatient_h=1.0, impatient_b1=1.0, r=0.3)
    best = schedules.adaptive_schedule(params)
    worth = schedules.mean_value(params, best)
    for number in range(2**8):  # every other beginning
        start = np.array([number >> place & 1 for place in range(8)], dtype=bool)
        other = np.concatenate([start, best[8:]])
        assert schedules.mean_value(params, other) <= worth + 1e-6


def test_users_who_are_all_of_a_type_need_no_adapting() -> None:
    for share, number in ((0.0, 0), (1.0, 1)):
        params = make_params((), MIXED | {"impatient_share": share, "h": 0.1})
        best = schedules.mean_value(params, schedules.adaptive_schedule(params))
        assert best == pytest.approx(solutions(params)[number].value, abs=1e-6)


def test_a_cut_session_is_truncated_and_a_left_one_terminated() -> None:
    sessions = make_vec(ID, 2_000, max_items=3, autoreset_mode="Disabled")
    sessions.reset(seed=0)
    batch, ended = sessions.unwrapped._batch, []
    for _ in range(3):
        played = batch.step(np.zeros(2_000, bool), ~batch.is_over, np.random.default_rng(0))
        ended.append((played.terminated.copy(), played.truncated.copy()))
    assert not any((terminated & truncated).any() for terminated, truncated in ended)
    assert [truncated.any() for _, truncated in ended] == [False, False, True]
    left = batch.episode_metrics()["ad_timing/items"] < 3
    assert left.mean() == pytest.approx(1 - 0.96**2, abs=0.03)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"h": 0}, "h=0: must be a number from 0.005 to 1"),
        ({"h": 2, "tau": -1}, "h=2: must be a number from 0.005 to 1; tau=-1: must be a number"),
        ({"b1": float("nan")}, "b1=nan: must be a number from 0 to 1"),
        ({"max_items": 2.5}, "max_items=2.5: must be a whole number from 1 to 1000"),
        ({"users": "mix"}, "users='mix': must be 'alike' or 'mixed'"),
        ({"u": 0, "r": 0}, "u=0, r=0: nothing can be earned"),
        ({"impatient_b": 0.1}, "unknown parameter 'impatient_b'; did you mean 'impatient_b1'?"),
        ({"users": True}, "users=True: must be 'alike'"),
    ],
)
def test_bad_arguments_are_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="ad timing: ") as error:
        make(ID, **kwargs)
    assert message in str(error.value)


@pytest.mark.parametrize("bad", [2, -1, 0.5, [1], True, "1"])
def test_a_bad_action_changes_nothing(bad: Any) -> None:
    env = make(ID).unwrapped
    env.reset(seed=0)
    before = repr(env.get_state())
    with pytest.raises(ValueError, match="action"):
        env.step(bad)
    assert repr(env.get_state()) == before


def table(heading: str) -> list[list[str]]:
    """The rows of a table of the page."""
    section = (AdTimingEnv.__doc__ or "").split(f"## {heading}\n")[1].split("\n    ## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_has_the_spaces_and_the_arguments() -> None:
    env = make(ID)
    actions = table("Action Space")
    assert [row[0] for row in actions] == ["0", "1"]
    assert {row[1] for row in actions} == {str(env.action_space)}
    rows, space = table("Observation Space"), env.observation_space
    assert [int(row[0]) for row in rows] == list(range(space.shape[0]))
    assert [float(row[2]) for row in rows] == space.low.tolist()
    assert [float(row[3]) for row in rows] == space.high.tolist()
    fields = AdTimingParams.__dataclass_fields__
    assert [(row[0], row[1]) for row in table("Arguments")] == [
        (name, str(field.default)) for name, field in fields.items()
    ]


def test_observations_are_as_documented() -> None:
    env, rng = make(ID, privileged=True, **MIXED), np.random.default_rng(0)
    for seed in range(20):
        seen, _ = env.reset(seed=seed)
        k = m = items = 0
        annoyance, ended = 0.0, False
        while not ended:
            counts = np.log1p([k, m, items]) / np.log1p(200)
            expected = [np.exp(-k / 4), *counts, annoyance / (1 + annoyance)]
            assert seen[:5] == pytest.approx(expected, rel=1e-5)
            assert seen[5] in (0.0, 1.0)
            assert seen in env.observation_space
            show = rng.integers(2)
            annoyance += show * np.exp(-k / 4)
            k, m, items = (1, m + 1, items + 1) if show else (k + 1, m, items + 1)
            seen, _, terminated, truncated, _ = env.step(show)
            ended = terminated or truncated


def test_a_session_can_be_printed_and_drawn() -> None:
    drawing, text = (make(ID, render_mode=mode) for mode in ("rgb_array", "ansi"))
    for env in (drawing, text):
        env.reset(seed=1)
    empty = drawing.render()
    for env in (drawing, text):
        env.step(0)
        env.step(1)
    assert text.render() == ".A\n2 items, 1 ads, value 1.10\n"
    assert (drawing.render() != empty).any(axis=-1).sum() == 2 * 8 * 8
    assert drawing.render().shape == (4 * 8, 50 * 8, 3)


def test_k_is_read_off_the_steps() -> None:
    steps = pd.DataFrame(
        {"policy": "a", "seed": 0, "episode": [0] * 5 + [1] * 2, "step": [1, 2, 3, 4, 5, 1, 2]}
    ).assign(ad=[0, 1, 0, 1, 1, 1, 0])
    assert with_k(steps)["k"].tolist() == [0, 1, 1, 2, 1, 0, 1]


FOREIGN = ("campaign", "day", "budget", "channel", "plan", "spend", "engagement", "episode")


@pytest.mark.parametrize("kwargs", [{}, MIXED])
def test_the_report_speaks_of_sessions(
    kwargs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, runs = tmp_path / "short.yaml", ["--runs-dir", str(tmp_path / "runs")]
    config.write_text(
        f"env: {{id: '{ID}', kwargs: {kwargs}}}\ntotal_timesteps: 600\n"
        "a2c: {n_envs: 8}\nreference: {n_envs: 8}\nevaluation: {n_eval_episodes: 60}\n"
    )
    assert domain_of(EnvConfig(id=ID)) is DOMAIN
    assert train([str(config), "--seeds", "0", "1", "--jobs", "1", *runs]) == 0
    out = tmp_path / "report"
    assert main([str(config), "--seeds", "all", *runs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    page = re.sub(r"base64,[^\"]*", "", (out / "index.html").read_text())
    names = [path.name for path in out.rglob("*")]
    assert {"show_by_k.png", "timeline.png"} <= set(names)
    shown = re.sub(r"(?s)<h2>How it was made.*", "", page)
    found = re.findall(rf"\b(?:{'|'.join(FOREIGN)})s?\b", shown + " ".join(names), re.IGNORECASE)
    assert found == []
    assert "baselines on 60 sessions" in printed
    assert ("gap closed" in page) == ("users" in kwargs)
    header = (out / "results.csv").read_text().splitlines()[0]
    assert header == "policy,seed,session,item,ad,watched,left,value"


@pytest.mark.slow
def test_a_short_training_comes_close_to_the_optimum(tmp_path: Path) -> None:
    runs = ["--runs-dir", str(tmp_path)]
    assert (
        train(["configs/ad_timing.yaml", *runs, "--agents", "a2c", "--total-timesteps", "300000"])
        == 0
    )
    progress = pd.read_csv(next(tmp_path.rglob("progress.csv")))
    assert progress["share_of_optimum"].iloc[-1] > 0.97
