"""The traffic signal: its model, the optimum against known values, its forms, its report."""

import copy
import itertools
import pickle
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env

from envs.traffic_signal import model, planner, timing
from envs.traffic_signal.batch import HIGHS
from envs.traffic_signal.env import TrafficSignalEnv
from envs.traffic_signal.params import FIELDS, STEP, make_params, rates_at
from evaluate.__main__ import main
from evaluate.traffic_signal import charts
from evaluate.traffic_signal.domain import DOMAIN, params_of
from evaluate.traffic_signal.policies import FORM, GAP_OUT, LONGEST, OPTIMUM, WEBSTER, policies
from tests.tools.campaigns import make, make_vec, play
from train.__main__ import main as train
from train.config import EnvConfig, load_config
from train.environment import make_env
from train.play import episode_metrics
from train.play import play as run

ID = "envs:TrafficSignal-v0"
RUSH: dict[str, Any] = {"rates": (0.08, 0.08), "rush": (0.265, 0.265), "episode": 14400}
KNOWN = {  # rates: mean delay [s/veh] of optimum, gap-out, longest queue + 2, Webster
    (0.15, 0.15): (12.3, 12.3, 14.7, 17.9),
    (0.22, 0.08): (10.8, 11.1, 12.7, 16.7),
    (0.20, 0.20): (22.4, 22.8, None, 38.0),
}
FORMS = [{}, {"observation": "state"}, {"detection": 0.7}, RUSH | {"episode": 600}]


def played(kwargs: dict[str, Any], episodes: int, name: str) -> dict[str, Any]:
    """Metrics of a baseline in the same episodes for each of them, arrays (episodes,)."""
    metrics: dict[str, Any] = {}
    envs = make_env(EnvConfig(id=ID, kwargs=kwargs | FORM), episodes)
    for step in run(policies(make_params(**kwargs))[name], envs, seed=1):
        metrics |= episode_metrics(step.infos)
    return {key.removeprefix("traffic/"): value for key, value in metrics.items()}


@pytest.mark.parametrize("rates", KNOWN)
def test_the_optimum_has_its_known_delay(rates: tuple[float, float]) -> None:
    assert planner.optimum(make_params(rates=rates), 50).delay == pytest.approx(
        KNOWN[rates][0], rel=0.02
    )


@pytest.mark.slow
@pytest.mark.parametrize("rates", KNOWN)
def test_rules_have_their_known_delays(rates: tuple[float, float]) -> None:
    """Four hours: at a load of .8 less would lie below the long run, as roads start empty."""
    for name, known in zip((GAP_OUT, LONGEST, WEBSTER), KNOWN[rates][1:], strict=True):
        delay = played({"rates": rates, "episode": 14400}, 100, name)["delay"].mean()
        if known is None:
            assert delay > 100  # it grows without end
        else:
            assert delay == pytest.approx(known, rel=0.035)


def test_the_played_optimum_costs_what_was_promised() -> None:
    kwargs: dict[str, Any] = {"rates": (0.08, 0.08), "rush": (0.2, 0.2)}
    kwargs |= {"peaks": (450.0, 1350.0), "rush_width": 200.0, "episode": 1800}
    promised = planner.optimum(make_params(**kwargs)).delay
    metrics = played(kwargs, 300, OPTIMUM)
    ratio = (metrics["delay"] * metrics["vehicles"]).sum() / metrics["vehicles"].sum()
    assert ratio == pytest.approx(promised, rel=0.02)


def test_no_rule_beats_the_optimum() -> None:
    kwargs = {"rates": (0.22, 0.08)}
    best = played(kwargs, 100, OPTIMUM)["delay"]
    for name in (GAP_OUT, LONGEST, WEBSTER):
        difference = played(kwargs, 100, name)["delay"] - best
        assert difference.mean() > 2 * difference.std() / len(best) ** 0.5


def test_value_iteration_agrees_with_a_plain_loop() -> None:
    """One sweep on small queues, by summing over every arrival and capacity."""
    params = make_params(rates=(0.1, 0.3), saturation_flow=0.3, max_green=15)
    most = 4
    value = np.random.default_rng(0).normal(size=(2, 4, most + 1, most + 1))
    kernels = next(planner._kernels(params, np.array([params.rates]), most))
    swept, switches = planner._sweep(params, value, kernels)
    chances = timing.arrival_chances(np.array(params.rates) * STEP)
    every = np.indices((len(chances[0]), len(chances[1]), 2)).reshape(3, -1).T
    chance = chances[0, every[:, 0]] * chances[1, every[:, 1]] * 0.5
    draws = model.Draws(every[:, :2], 1 + every[:, 2])
    for phase, green, ns, ew in np.ndindex(value.shape):
        cost = []
        for switch in (False, True):
            state = model.State(np.array([ns, ew]), np.array(phase), np.array(green), np.array(0))
            after = model.transition(params, state, np.array(switch), draws)
            queues = np.minimum(after.queues, most)
            to_go = value[after.phase, min(int(after.green), 3), queues[:, 0], queues[:, 1]]
            cost.append(chance @ (queues.sum(axis=1) + to_go))
        assert swept[phase, green, ns, ew] == pytest.approx(min(cost) if 0 < green < 3 else cost[0])
        assert switches[phase, green, ns, ew] == (green == 3 or (green > 0 and cost[1] < cost[0]))


@pytest.mark.parametrize(
    "kwargs", [{"rates": (0.2, 0.2)}, RUSH | {"peaks": (2000.0, 5600.0), "episode": 7200}]
)
def test_a_programme_has_its_exact_delay(kwargs: dict[str, Any]) -> None:
    metrics, expected = played(kwargs, 200, WEBSTER), timing.programme_delay(make_params(**kwargs))
    vehicles = metrics["vehicles"]
    waiting = metrics["delay"] * vehicles
    ratio = waiting.sum() / vehicles.sum()
    error = (waiting - ratio * vehicles).std() / len(vehicles) ** 0.5 / vehicles.mean()
    assert abs(ratio - expected) < 4 * error
    assert error < 0.05 * ratio
    np.testing.assert_allclose(metrics["time_saved"], expected - metrics["delay"])


def test_webster_splits_the_green_by_the_loads() -> None:
    """A cycle of 20 / (1 - .6) = 50 s: 40 s of green, 3 to 1; re-timed when rush hours move."""
    params = make_params(rates=(0.225, 0.075))
    assert timing.daily_programme(params).greens.tolist() == [[6, 2]]
    moving = timing.hourly_programme(make_params(**RUSH))
    assert moving.greens[1, 0] > moving.greens[0, 0]
    assert moving.greens[3].tolist() == moving.greens[1, ::-1].tolist()
    assert moving.at(np.array([719, 720, 5000])).tolist() == moving.greens[[0, 1, 3]].tolist()


def test_the_load_at_the_peaks_is_as_configured() -> None:
    params = params_of(load_config(Path("configs/traffic_signal_rush.yaml")).env)
    for peak in params.peaks:
        load = rates_at(params, peak).sum() / params.saturation_flow
        assert load == pytest.approx(0.85, abs=0.005)


def test_a_step_moves_vehicles_by_the_equation() -> None:
    params = make_params()
    state = model.State(
        np.array([[3, 5], [1, 2], [0, 7]]),
        np.array([0, 1, 0]),
        np.array([2, 3, 0]),
        np.zeros(3, int),
    )
    draws = model.Draws(np.array([[1, 2], [0, 0], [1, 1]]), np.array([2, 3, 3]))
    after = model.transition(params, state, np.array([False, True, True]), draws)
    assert after.queues.tolist() == [[2, 7], [1, 2], [0, 8]]
    assert after.phase.tolist() == [0, 0, 0]  # the third may not switch again at once
    assert after.green.tolist() == [3, 0, 1]


def test_a_green_ends_at_its_longest() -> None:
    env = make(ID, rates=(0.0, 0.0), max_green=20, observation="state")
    env.reset(seed=0)
    greens = [env.step(0)[0][5] for _ in range(10)]
    assert greens == [10, 15, 20, 0, 5, 10, 15, 20, 0, 5]


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_vehicles_are_neither_lost_nor_made(actions: list[int], seed: int) -> None:
    env = make(ID, rates=(0.3, 0.2), detection=0.6, observation="state")
    env.reset(seed=seed)
    before, phases = np.zeros(2), []
    for action in actions:
        seen, reward, _, _, info = env.step(action)
        arrived = np.array([info["arrivals_ns"], info["arrivals_ew"]])
        left = before + arrived - seen[:2]
        assert (left >= 0).all()
        assert left[1 - info["phase"]] == 0
        assert left.sum() <= (0 if info["switched"] else 3)
        assert (seen[2:4] <= seen[:2]).all()
        assert reward == pytest.approx(-0.02 * STEP * seen[:2].sum())
        before = seen[:2].copy()
        phases.append(info["switched"])
    assert not any(first and second for first, second in itertools.pairwise(phases))


def test_detectors_see_seven_vehicles_in_ten() -> None:
    queues = np.tile([[4, 30]], (20_000, 1))
    seen = model.detect(make_params(detection=0.7), queues, np.random.default_rng(0))
    np.testing.assert_allclose(seen.mean(axis=0), [2.8, 21.0], rtol=0.02)
    assert (model.detect(make_params(), queues, np.random.default_rng(0)) == queues).all()


def test_the_same_seed_brings_every_policy_the_same_arrivals() -> None:
    brought = []
    for action in (0, 1):
        vector = make_vec(ID, 3, detection=0.7)
        vector.reset(seed=4)
        infos = [vector.step(np.full(3, action))[4] for _ in range(50)]
        brought.append([info["arrivals_ns"].tolist() for info in infos])
    assert brought[0] == brought[1]


@pytest.mark.parametrize("kwargs", FORMS)
def test_the_checkers_of_gymnasium_and_sb3_pass(kwargs: dict[str, Any]) -> None:
    for mode in (None, "ansi", "rgb_array"):
        check_env(make(ID, render_mode=mode, **kwargs).unwrapped)
        sb3_check_env(make(ID, render_mode=mode, **kwargs), skip_render_check=mode is None)


@pytest.mark.parametrize("kwargs", FORMS)
def test_a_vector_of_one_is_the_single_form(kwargs: dict[str, Any]) -> None:
    kwargs = kwargs | {"episode": 200}
    vector, single = make_vec(ID, 1, autoreset_mode="SameStep", **kwargs), make(ID, **kwargs)
    first, start = vector.reset(seed=5)[0], single.reset(seed=5)[0]
    assert first[0].tobytes() == start.tobytes()
    vector.action_space.seed(1)
    for step in range(1, 41):
        actions = vector.action_space.sample()
        seen, rewards, terminated, truncated, infos = vector.step(actions)
        after, reward, *ended, info = single.step(actions[0])
        assert (terminated[0], truncated[0]) == tuple(ended) == (False, step == 40)
        last = infos["final_info"] if step == 40 else infos
        assert (infos["final_obs"] if step == 40 else seen)[0].tobytes() == after.tobytes()
        assert rewards[0] == reward
        metrics = info.pop("episode_metrics", {})
        assert {name: last[name][0] for name in info} == info
        assert {name: last["episode_metrics"][name][0] for name in metrics} == metrics
    assert metrics["traffic/vehicles"] > 0


def test_rows_of_a_batch_do_not_change_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same draws, each row of a batch is the single form, whenever it started."""
    dealt: dict[int, model.Draws] = {}

    def draw(params: Any, step: Any, _rng: Any) -> model.Draws:
        count = len(step)
        drawn = dealt.setdefault(-1, original(params, np.zeros(2, dtype=np.int64), source))
        rows = slice(row, row + 1) if count == 1 else slice(None)
        return model.Draws(drawn.arrivals[rows], drawn.capacity[rows])

    original, source, row = model.draw, np.random.default_rng(0), 0
    monkeypatch.setattr(model, "draw", draw)
    vector = make_vec(ID, 2, autoreset_mode="SameStep", episode=50)
    singles = [make(ID, episode=50) for _ in range(2)]
    vector.reset(seed=0)
    for single in singles:
        single.reset(seed=0)
    actions = np.random.default_rng(1).integers(0, 2, (30, 2))
    for number, both in enumerate(actions):
        if number == 3:
            vector.reset(options={"reset_mask": np.array([False, True])})
            singles[1].reset()
        seen = vector.step(both)[0]
        for row, single in enumerate(singles):
            after, _, _, over, _ = single.step(both[row])
            after = single.reset()[0] if over else after
            assert seen[row].tobytes() == after.tobytes()
        dealt.clear()


@pytest.mark.parametrize("kwargs", FORMS)
@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_copy_in_mid_episode_resumes_alike(kwargs: dict[str, Any], num_envs: int | None) -> None:
    def start(seed: int) -> Any:
        env = make(ID, **kwargs) if num_envs is None else make_vec(ID, num_envs, **kwargs)
        env.reset(seed=seed)
        return env.unwrapped

    env, restored = start(1), start(2)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(40)]
    play(env, actions[:20])
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), restored]
    restored.set_state(env.get_state())
    expected = play(env, actions[20:])
    for other in copies:
        assert play(other, actions[20:]) == expected
    with pytest.raises(ValueError, match="state: "):
        env.set_state(make_vec(ID, 7).unwrapped.get_state())


@pytest.mark.parametrize("mode", AutoresetMode)
def test_each_autoreset_mode_ends_as_gymnasiums_own(mode: AutoresetMode) -> None:
    ours = make_vec(ID, 2, episode=15, autoreset_mode=mode)
    theirs: Any = gymnasium.make_vec(
        ID, 2, "sync", vector_kwargs={"autoreset_mode": mode}, episode=15
    )
    for vector in (ours, theirs):
        vector.reset(seed=0)
    for number in range(1, 9):
        results = [vector.step(np.array([0, 1])) for vector in (ours, theirs)]
        assert results[0][3].tolist() == results[1][3].tolist()
        assert set(results[0][4]) == set(results[1][4])
        if mode is AutoresetMode.DISABLED and number % 3 == 0:
            with pytest.raises(ResetNeeded, match=r"episodes \[0, 1\] are over"):
                ours.step(np.array([0, 1]))
            for vector in (ours, theirs):
                vector.reset(options={"reset_mask": np.ones(2, dtype=bool)})


def test_a_step_out_of_turn_is_refused() -> None:
    env = TrafficSignalEnv(episode=5)
    with pytest.raises(ResetNeeded, match="no episode has been started; call reset"):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ResetNeeded, match="the episode ended after 5 s; call reset"):
        env.step(0)


@pytest.mark.parametrize("bad", [2, -1, 0.5, [0], None])
def test_a_bad_action_is_refused_and_changes_nothing(bad: Any) -> None:
    env, twin = TrafficSignalEnv(), TrafficSignalEnv()
    for one in (env, twin):
        one.reset(seed=0)
    with pytest.raises(ValueError, match="must be 0 \\(extend the green\\) or 1 \\(switch\\)"):
        env.step(bad)
    assert play(env, [0, 1]) == play(twin, [0, 1])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"detectoin": 1.0}, "unknown parameter 'detectoin'; did you mean 'detection'?"),
        ({"detection": 0.0}, "detection=0.0: input should be greater than 0"),
        ({"episode": 7}, "episode=7: input should be a multiple of 5 (length of an episode"),
        ({"rates": [0.1, -1.0]}, "rates[1]=-1.0: input should be greater than or equal to 0"),
        ({"max_green": 0}, "max_green=0: "),
        ({"observation": "x"}, "observation='x': must be one of 'detectors', 'state'"),
        ({"render_mode": "human"}, "render_mode='human': must be one of None, 'ansi'"),
    ],
)
def test_bad_arguments_are_named_with_what_is_allowed(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="traffic signal: ") as error:
        TrafficSignalEnv(**kwargs)
    assert message in str(error.value)
    with pytest.raises(ValueError, match="max_episode_steps=3: must be 720 or more"):
        make_vec(ID, 1, max_episode_steps=3)


def table_of(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the page."""
    section = (TrafficSignalEnv.__doc__ or "").split(f"## {heading}\n")[1].split("\n    ## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_has_the_spaces_and_the_arguments() -> None:
    assert f"``{make(ID).action_space}``" in (TrafficSignalEnv.__doc__ or "")
    for observation in HIGHS:
        space = make(ID, observation=observation).observation_space
        covered: list[int] = []
        for _, index, _, low, high, unit in (
            row for row in table_of("Observation Space") if row[0] == observation
        ):
            first, last = (int(end) for end in (index.split(" to ") * 2)[:2])
            covered += range(first, last + 1)
            assert set(space.low[first : last + 1]) == {float(low)}
            np.testing.assert_allclose(space.high[first : last + 1], float(high), rtol=1e-4)
            assert unit.startswith("[")
        assert covered == list(range(space.shape[0]))
    assert [row[0] for row in table_of("Arguments")] == list(FIELDS)


def test_pictures_show_the_lights_and_the_queues() -> None:
    env = make(ID, rates=(0.5, 0.5), render_mode="ansi")
    env.reset(seed=0)
    for _ in range(4):
        *_, info = env.step(0)
    text = env.render()
    assert text.startswith("0:00:20, green for 25 s")
    assert re.search(rf"east-west +red +{info['queue_ew']} o{{{info['queue_ew']}}}$", text, re.M)
    picture = make(ID, render_mode="rgb_array")
    picture.reset(seed=0)
    assert picture.render().shape == (400, 400, 3)


def test_what_a_step_returned_is_not_changed_later() -> None:
    vector = make_vec(ID, 3, autoreset_mode="SameStep", rates=(0.4, 0.4))
    kept = [vector.reset(seed=0)[0]]
    for _ in range(3):
        seen, *_, infos = vector.step(np.ones(3, dtype=int))
        kept += [seen, *infos.values()]
        own = vector.unwrapped._batch
        assert not any(
            np.shares_memory(given, array) for given in kept for array in own._arrays().values()
        )


def test_other_peoples_learners_run_it() -> None:
    for learner in (A2C, PPO):
        envs = make_vec_env(ID, n_envs=2, env_kwargs={"episode": 100})
        learner("MlpPolicy", envs, n_steps=32, device="cpu").learn(64)


def test_only_the_optimum_looks_at_true_queues() -> None:
    """With detectors that see nothing at green, gap-out switches where the optimum extends."""
    seen = np.array([[5.0, 3.0, 0.0, 3.0, 0.0, 20.0, 100.0]])
    chosen = policies(make_params())
    assert {name: int(chosen[name].predict(seen)[0][0]) for name in (GAP_OUT, OPTIMUM)} == {
        GAP_OUT: 1,
        OPTIMUM: 0,
    }


def test_steps_are_shown_as_they_were_before_the_decision() -> None:
    steps = pd.DataFrame(
        {
            "policy": "a",
            "seed": pd.array([None] * 3, dtype="Int64"),
            "episode": 0,
            "step": [1, 2, 3],
            "queue_ns": [1, 2, 3],
            "queue_ew": [7, 8, 9],
            "phase": [0, 1, 1],
            "switched": [False, True, False],
        }
    )
    before = charts.before_decisions(steps, ["a"])
    assert before["at_green"].tolist() == [0, 1, 8]
    assert before["at_red"].tolist() == [0, 7, 2]
    assert before["may_switch"].tolist() == [True, True, False]


@pytest.mark.slow
def test_a_short_training_comes_near_the_optimum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of both agents speaks of vehicles and seconds alone."""
    runs = ["--runs-dir", str(tmp_path / "runs"), "--jobs", "1"]
    config = "configs/traffic_signal_uneven.yaml"
    few = ["--total-timesteps", "150000", "--evaluation.n-eval-episodes", "10"]
    assert train([config, "--agents", "a2c", "reference", "--seeds", "0", *runs, *few]) == 0
    assert main([config, "--runs-dir", runs[1], "--out", str(tmp_path / "report")]) == 0
    steps = pd.read_csv(tmp_path / "report/results.csv")
    assert {"queue_ns", "queue_ew", "phase", "switched"} < set(steps.columns)
    page = re.sub(r"base64,[^\"]*", "", (tmp_path / "report/index.html").read_text())
    assert "<h2>When the signal switches</h2>" in page
    assert not re.search(r"\b(days?|budgets?|campaigns?|latent)\b", page.split("<footer")[0])
    summary = pd.read_json(tmp_path / "report/summary.json")["policies"]
    best = summary[OPTIMUM]["delay"]
    assert summary["a2c"]["delay"] < 1.1 * best
    assert summary["reference"]["delay"] < 1.2 * best
    assert "gap between the Webster programme and the optimum" in capsys.readouterr().out


def test_policies_of_one_junction_are_compared() -> None:
    env = EnvConfig(id=ID, kwargs={"rates": [0.2, 0.2]})
    other = EnvConfig(id=ID, kwargs={"rates": [0.2, 0.2], "reward_scale": 1.0})
    assert DOMAIN.comparison_key(env) == DOMAIN.comparison_key(other)
    changed = EnvConfig(id=ID, kwargs={"rates": [0.2, 0.1]})
    assert DOMAIN.comparison_key(env) != DOMAIN.comparison_key(changed)
