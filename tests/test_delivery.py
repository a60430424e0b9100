"""Deliveries: the equations, the optimum against a second solution, environment and report."""

import copy
import itertools
import json
import math
import pickle
import re
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from envs.delivery import model, solver
from envs.delivery.city import City, make_city
from envs.delivery.env import DeliveryEnv
from envs.delivery.observation import observe, state_of
from envs.delivery.params import FIELDS, DeliveryParams
from evaluate.__main__ import main as evaluate
from evaluate.delivery.domain import DOMAIN
from evaluate.delivery.policies import BLIND, FASTEST, OPTIMUM, REPLANNER, baseline_policies
from evaluate.domain import domain_of
from evaluate.rollouts import play_all
from tests.tools.campaigns import make, make_vec, outcome, play
from train.__main__ import main as train
from train.config import EnvConfig

DELIVERY = "envs:Delivery-v0"
DEFAULT = DeliveryParams()
SMALL: dict[str, Any] = {"rows": 2, "columns": 3, "evening": 12, "last_order": 10, "rush_peak": 6}
RUSH: dict[str, Any] = {"rush_width": 3.0, "avenues": 1, "least_blocks": 1, "one_way": 0.5}


def graph_of(city: City, minutes: Any) -> Any:
    """The city as networkx sees it, with these minutes (crossings, 4) on its streets."""
    graph = nx.DiGraph()
    for start, direction in np.argwhere(city.is_street):
        end = int(city.end[start, direction])
        graph.add_edge(int(start), end, minutes=float(minutes[start, direction]))
    return graph


def rides(params: DeliveryParams, count: int, seed: int) -> tuple[City, model.State]:
    """States of rides that have just started, drawn as the environment draws them."""
    city, rng = make_city(params), np.random.default_rng(seed)
    orders = city.orders[rng.integers(len(city.orders), size=count)]
    clock = rng.integers(params.last_order + 1, size=count)
    return city, model.start(params, city, orders, clock, rng.random((count, 4)))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 7),
    columns=st.integers(2, 7),
    one_way=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_every_crossing_can_be_reached_from_every_other(
    seed: int, rows: int, columns: int, one_way: float
) -> None:
    params = DeliveryParams(
        rows=rows, columns=columns, city_seed=seed, one_way=one_way, least_blocks=1, evening=1
    )
    city = make_city(params)
    assert nx.is_strongly_connected(graph_of(city, city.free))
    assert np.isfinite(city.usual).all()
    blocks = np.abs(city.place[city.end] - city.place[:, np.newaxis]).sum(axis=-1)
    assert (blocks == city.is_street).all()


def test_the_usual_time_is_dijkstras() -> None:
    city = make_city(DEFAULT)
    for clock in (0, DEFAULT.rush_peak, DEFAULT.evening):
        graph = graph_of(city, city.free + city.jam * city.chance[clock])
        lengths = dict(nx.all_pairs_dijkstra_path_length(graph, weight="minutes"))
        expected = [[lengths[start][end] for end in range(36)] for start in range(36)]
        np.testing.assert_allclose(city.usual[clock], expected)


def test_the_replanner_takes_the_shortest_path_by_what_is_seen() -> None:
    city, state = rides(DEFAULT, 200, seed=1)
    policy = baseline_policies(DEFAULT)[REPLANNER]
    turns, _ = policy.predict(observe(DEFAULT, city, state))
    for row, turn in enumerate(turns):
        at, goal, clock, _, minutes = (part[row] for part in state)
        usual = city.free + city.jam * city.chance[clock]
        usual[at] = minutes
        graph = graph_of(city, usual)
        length = nx.dijkstra_path_length(graph, at, goal, weight="minutes")
        end = city.end[at, turn]
        after = nx.dijkstra_path_length(graph, end, goal, weight="minutes")
        assert minutes[turn] + after == pytest.approx(length)


def test_the_second_best_way_is_dijkstras_by_another_street() -> None:
    city, clock = make_city(DEFAULT), 60
    usual = city.free + city.jam * city.chance[clock]
    graph = graph_of(city, usual)
    lengths = dict(nx.all_pairs_dijkstra_path_length(graph, weight="minutes"))
    for at, goal, turn in np.random.default_rng(0).integers(0, (36, 36, 4), (300, 3)):
        end = int(city.end[at, turn])
        ways = sorted(
            usual[end, street] + lengths[int(city.end[end, street])][int(goal)]
            for street in np.flatnonzero(city.is_street[end])
        )
        has_choice = city.is_street[at, turn] and end != goal and len(ways) > 1
        expected = ways[1] - ways[0] if has_choice else np.inf
        assert city.alternative[clock, at, goal, turn] == pytest.approx(expected, abs=1e-4)


def test_streets_are_jammed_by_their_chance_and_independently() -> None:
    city, rng = make_city(DEFAULT), np.random.default_rng(0)
    at, clock = np.full(40_000, 14), np.full(40_000, 75)
    minutes = model.street_minutes(DEFAULT, city, at, clock, rng.random((40_000, 4)))
    is_jammed = minutes > city.free[14]
    assert (is_jammed[:, ~city.is_street[14]] == 0).all()
    np.testing.assert_allclose(is_jammed.mean(axis=0), city.chance[75, 14], atol=0.01)
    streets = np.flatnonzero(city.is_street[14])
    together = np.corrcoef(is_jammed[:, streets].T) - np.eye(len(streets))
    assert len(streets) > 2
    assert np.abs(together).max() < 0.02


def test_a_move_takes_its_minutes_and_counts_the_late_ones() -> None:
    city = make_city(DEFAULT)
    at = int(np.argmax(city.is_street[:, 1]))
    state = model.State(*(np.array(part) for part in (at, 35, 20, 4, (3, 7, 3, 3))))
    after, moved = model.move(DEFAULT, city, state, np.array(1), np.ones(4))
    assert [int(part) for part in after[:4]] == [at + 1, 35, 27, -3]
    assert [int(part) for part in moved] == [7, 3]
    assert model.cost(DEFAULT, moved) == 10.0
    later, moved = model.move(DEFAULT, city, after, np.array(1), np.ones(4))
    assert moved.late == moved.minutes == later.clock - after.clock


def test_a_turn_without_a_street_loses_time_and_keeps_what_is_seen() -> None:
    city, state = rides(DEFAULT, 300, seed=2)
    for turn in range(4):
        walls = ~city.is_street[state.at, turn]
        after, moved = model.move(
            DEFAULT, city, state, np.full(300, turn), np.random.default_rng(0).random((300, 4))
        )
        for field in ("at", "minutes"):
            kept, before = getattr(after, field)[walls], getattr(state, field)[walls]
            np.testing.assert_array_equal(kept, before)
        assert (moved.minutes[walls] == DEFAULT.dead_end_minutes).all()


def test_losing_time_at_a_crossing_is_never_best() -> None:
    """So that the optimum among streets is the optimum among all actions."""
    city, state = rides(DEFAULT, 20_000, seed=3)
    now = solver.costs(DEFAULT, state).min(axis=-1)
    lost = DEFAULT.dead_end_minutes
    for left in (state.left, state.left - 20, state.left - 60):
        here = state._replace(left=left)
        waited = here._replace(clock=here.clock + lost, left=left - lost)
        late = model.lateness(waited.left) - model.lateness(left)
        after = lost + DEFAULT.late_penalty * late + solver.costs(DEFAULT, waited).min(axis=-1)
        now = solver.costs(DEFAULT, here).min(axis=-1)
        assert (after > now).all()
    assert not city.is_street.all()


def second_solution(params: DeliveryParams) -> Any:
    """Cost to go by recursion over every outcome, without an array; after the evening by rounds."""
    city = make_city(params)

    def expected(at: int, goal: int, clock: int, left: int, to_go: Any) -> float:
        if at == goal:
            return 0.0
        streets = np.flatnonzero(city.is_street[at])
        total = 0.0
        for jams in itertools.product((False, True), repeat=len(streets)):
            weight, options = 1.0, []
            for street, is_jammed in zip(streets, jams, strict=True):
                chance = city.chance[clock, at, street]
                weight *= chance if is_jammed else 1.0 - chance
                minutes = int(city.free[at, street] + is_jammed * city.jam[at, street])
                late = max(minutes - left, 0)
                after = to_go(
                    int(city.end[at, street]), goal, clock + minutes, max(left - minutes, 0)
                )
                options.append(minutes + params.late_penalty * late + after)
            total += weight * min(options)
        return total

    keys = list(
        itertools.product(range(len(city.end)), range(len(city.end)), range(city.most_left + 1))
    )
    last = dict.fromkeys(keys, 0.0)

    def after_evening(at: int, goal: int, _clock: int, left: int) -> float:
        return last[at, goal, left]

    for _ in range(80):
        rounds = {key: expected(*key[:2], params.evening, key[2], after_evening) for key in keys}
        last.update(rounds)

    @cache
    def to_go(at: int, goal: int, clock: int, left: int) -> float:
        if clock >= params.evening:
            return last[at, goal, left]
        return expected(at, goal, clock, left, to_go)

    return to_go


@pytest.mark.parametrize("city_seed", [0, 4])
def test_the_optimum_is_that_of_a_second_solution(city_seed: int) -> None:
    params = DeliveryParams(city_seed=city_seed, **SMALL, **RUSH)
    values, to_go = solver.solve(params), second_solution(params)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, values.shape, (400, 4)):
        clock, at, goal, left = place.tolist()
        assert values[clock, at, goal, left] == pytest.approx(
            to_go(at, goal, clock, left), abs=1e-3
        )


def test_without_jams_the_optimum_is_the_shortest_path() -> None:
    params = DeliveryParams(
        avenue_jam=0.0, street_jam=0.0, avenue_rush=0.0, street_rush=0.0, evening=5, last_order=5
    )
    city = make_city(params)
    lengths = dict(nx.all_pairs_dijkstra_path_length(graph_of(city, city.free), weight="minutes"))
    expected = np.array([[lengths[start][end] for end in range(36)] for start in range(36)])
    values = solver.solve(params)
    np.testing.assert_allclose(values[0, :, :, -1], expected, atol=1e-4)
    np.testing.assert_allclose(values[0, :, :, 0], 2 * expected, atol=1e-4)


def played(name: str, pairs: str, count: int, seed: int) -> Any:
    """The metrics of a baseline's rides."""
    env = EnvConfig(id=DELIVERY, kwargs={"pairs": pairs})
    chosen = [part for part in DOMAIN.baseline_policies(env, 0) if part.name == name]
    chosen = [part._replace(env=env) for part in chosen]
    return play_all(chosen, count, seed, DOMAIN.columns).episodes


def test_the_optimum_played_costs_what_it_promises() -> None:
    vector, count = make_vec(DELIVERY, 8000, autoreset_mode="Disabled").unwrapped, 8000
    vector.reset(seed=5)
    at, goal, clock, left, _ = vector._batch._state
    promised = solver.solve(DEFAULT)[clock, at, goal, left]
    usual = make_city(DEFAULT).usual[clock, at, goal]
    saved = played(OPTIMUM, "training", count, seed=5)["minutes_saved"].to_numpy()
    surprise = (usual - saved) - promised
    assert abs(surprise.mean()) < 4 * surprise.std() / math.sqrt(count)
    assert surprise.std() / math.sqrt(count) < 0.06


@pytest.mark.parametrize("pairs", ["training", "held_out"])
def test_baselines_stand_in_the_order_of_what_they_know(pairs: str) -> None:
    saved = {
        name: played(name, pairs, 6000, seed=6)["minutes_saved"].mean()
        for name in (FASTEST, BLIND, REPLANNER, OPTIMUM)
    }
    assert saved[FASTEST] < saved[BLIND] < saved[REPLANNER] < saved[OPTIMUM]
    closed = (saved[REPLANNER] - saved[BLIND]) / (saved[OPTIMUM] - saved[BLIND])
    assert closed == pytest.approx(0.94, abs=0.04)


def test_held_out_pairs_are_never_drawn_in_training() -> None:
    city, pairs = make_city(DEFAULT), {}
    for name in ("training", "held_out", "all"):
        state = make_vec(DELIVERY, 20_000, pairs=name)
        state.reset(seed=0)
        at, goal, *_ = state.unwrapped._batch._state
        pairs[name] = set(zip(at.tolist(), goal.tolist(), strict=True))
    assert pairs["training"].isdisjoint(pairs["held_out"])
    assert pairs["all"] == pairs["training"] | pairs["held_out"]
    assert len(pairs["held_out"]) / len(pairs["all"]) == pytest.approx(0.2, abs=0.01)
    ends = np.array(sorted(pairs["all"]))
    assert np.abs(city.place[ends[:, 0]] - city.place[ends[:, 1]]).sum(axis=-1).min() == 3
    for end in (0, 1):  # every crossing is known as a restaurant and as a customer
        assert {pair[end] for pair in pairs["training"]} == set(range(36))


@pytest.mark.parametrize("reward", ["minutes", "saved"])
def test_rewards_add_up_to_what_a_ride_costs_or_saves(reward: str) -> None:
    env = make(DELIVERY, reward=reward, reward_scale=0.5, late_penalty=2.0)
    policy = baseline_policies(env.unwrapped.params)[BLIND]
    for seed in range(30):
        seen, _ = env.reset(seed=seed)
        total, is_over = 0.0, False
        while not is_over:
            seen, earned, terminated, truncated, info = env.step(int(policy.predict(seen)[0]))
            total, is_over = total + earned, terminated or truncated
        metrics = info["episode_metrics"]
        cost = metrics["delivery/minutes"] + 2.0 * metrics["delivery/minutes_late"]
        expected = metrics["delivery/minutes_saved"] if reward == "saved" else -cost
        assert total == pytest.approx(0.5 * expected)
        assert metrics["delivery/on_time"] == (metrics["delivery/minutes_late"] == 0)


def test_a_ride_ends_at_the_customer_and_is_cut_in_circles() -> None:
    env = make(DELIVERY, most_moves=9)
    env.reset(seed=0)
    wall = int(np.argmin(make_city(env.unwrapped.params).is_street[0]))
    ends = [env.step(turn)[2:4] for turn in [0] * 9]
    assert ends == [(False, False)] * 8 + [(False, True)]
    with pytest.raises(ResetNeeded, match="the ride is over; call reset"):
        env.unwrapped.step(wall)
    seen, _ = env.reset(seed=1)
    policy, is_over = baseline_policies(env.unwrapped.params)[OPTIMUM], False
    while not is_over:
        seen, _, is_over, truncated, info = env.step(int(policy.predict(seen)[0]))
        assert not truncated
    np.testing.assert_array_equal(seen[16:18], seen[18:20])
    assert info["end"].tolist() == (seen[18:20] * 5).round().tolist()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 8), columns=st.integers(2, 8))
def test_the_observation_tells_the_state(seed: int, rows: int, columns: int) -> None:
    params = DeliveryParams(rows=rows, columns=columns, evening=90, least_blocks=1, city_seed=seed)
    city, state = rides(params, 20, seed)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        seen = observe(params, city, state)
        shown = state._replace(
            clock=np.minimum(state.clock, params.evening),
            left=np.maximum(state.left, -city.most_left),
        )
        for part, expected in zip(state_of(params, city, seen), shown, strict=True):
            np.testing.assert_array_equal(part, expected)
        assert (seen <= make(DELIVERY).observation_space.high).all()
        state, _ = model.move(params, city, state, rng.integers(4, size=20), rng.random((20, 4)))


@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array"])
@pytest.mark.parametrize("reward", ["minutes", "saved"])
def test_the_checkers_of_gymnasium_and_sb3_pass(render_mode: str | None, reward: str) -> None:
    env = make(DELIVERY, render_mode=render_mode, reward=reward, pairs="all")
    check_env(env.unwrapped)
    sb3_check_env(env, skip_render_check=render_mode is None)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), num_envs=st.integers(1, 4), most_moves=st.sampled_from([5, 30]))
def test_single_and_vector_forms_agree_bit_for_bit(
    seed: int, num_envs: int, most_moves: int
) -> None:
    vector = make_vec(DELIVERY, num_envs, autoreset_mode="Disabled", most_moves=most_moves)
    singles = [make(DELIVERY, most_moves=most_moves).unwrapped for _ in range(num_envs)]
    vector.reset(seed=seed)
    batch = vector.unwrapped._batch
    for row, single in enumerate(singles):
        first, _ = single.reset(seed=seed)
        if num_envs == 1:  # the same draws, without help
            assert first.tobytes() == batch.observations[0].tobytes()
        state = {name: array[[row]] for name, array in batch.get_state().items()}
        single._batch.set_state(state)
    rng = np.random.default_rng(seed)
    while not batch.is_over.any():
        actions = rng.integers(4, size=num_envs)
        seen, rewards, terminated, truncated, infos = vector.step(actions)
        for row, single in enumerate(singles):
            after, reward, *ends, info = single.step(actions[row])
            assert (after.tobytes(), reward) == (seen[row].tobytes(), rewards[row])
            assert ends == [terminated[row], truncated[row]]
            metrics = info.pop("episode_metrics", {})
            for name, value in info.items():
                assert np.asarray(infos[name][row]).tolist() == np.asarray(value).tolist()
            for name, value in metrics.items():
                assert infos["episode_metrics"][name][row] == value


@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_copy_in_mid_ride_resumes_like_the_original(num_envs: int | None) -> None:
    def start(seed: int) -> Any:
        env = make(DELIVERY) if num_envs is None else make_vec(DELIVERY, num_envs)
        env.reset(seed=seed)
        return env.unwrapped

    env, restored = start(seed=1), start(seed=2)
    env.action_space.seed(0)
    first, *actions = [env.action_space.sample() for _ in range(8)]
    env.step(first)
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), restored]
    restored.set_state(env.get_state())
    expected = play(env, actions)
    for other in copies:
        assert play(other, actions) == expected


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_autoreset_mode_starts_rides_as_gymnasium_says(mode: AutoresetMode) -> None:
    vector = make_vec(DELIVERY, 3, autoreset_mode=mode, most_moves=2, pairs="all")
    vector.reset(seed=0)
    north = np.zeros(3, dtype=np.int64)
    vector.step(north)
    seen, _, terminated, truncated, infos = vector.step(north)
    assert (terminated | truncated).all()
    if mode is AutoresetMode.DISABLED:
        with pytest.raises(ResetNeeded, match=r"rides \[0, 1, 2\] are over"):
            vector.step(north)
        vector.reset(options={"reset_mask": np.array([True, True, True])})
    elif mode is AutoresetMode.SAME_STEP:
        assert all(
            last.tobytes() != now.tobytes()
            for last, now in zip(infos["final_obs"], seen, strict=True)
        )
        assert set(infos["final_info"]["episode_metrics"]) >= {"delivery/minutes_saved"}
    else:
        seen, rewards, *_ = vector.step(north)
        assert rewards.tolist() == [0.0] * 3
    _, _, terminated, truncated, infos = vector.step(north)
    assert not truncated.any()
    assert infos["start"].shape == (3, 2)


@pytest.mark.parametrize("bad", [4, -1, 1.0, [0], None])
def test_a_refused_action_leaves_the_ride_as_it_was(bad: Any) -> None:
    env, twin = make(DELIVERY).unwrapped, make(DELIVERY).unwrapped
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        env.step(bad)
    assert outcome(env.step(1)) == outcome(twin.step(1))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rowz": 3}, "unknown parameter 'rowz'; did you mean 'rows'?"),
        ({"pair": "all"}, "unknown parameter 'pair'; did you mean 'pairs'?"),
        ({"pairs": "seen"}, "pairs='seen': must be one of 'training', 'held_out', 'all'"),
        ({"reward": "time"}, "reward='time': must be one of 'minutes', 'saved'"),
        ({"rows": 1}, "rows=1: input should be greater than or equal to 2 (crossings from north"),
        ({"rows": 3.0}, "rows=3.0: input should be a valid integer"),
        ({"slow": float("nan")}, "slow=nan: input should be a finite number"),
        ({"least_blocks": 11}, "least_blocks=11: must be 10 or less"),
        ({"avenues": 7}, "avenues=7: must be 6 or less"),
        ({"held_out": 0.0, "pairs": "held_out"}, "held_out=0 leaves no such pair"),
        ({"render_mode": "human"}, "render_mode='human': must be one of None, 'ansi'"),
    ],
)
def test_bad_arguments_are_refused(kwargs: dict[str, Any], message: str) -> None:
    for make_env in (DeliveryEnv, lambda **given: make_vec(DELIVERY, 2, **given)):
        with pytest.raises(ValueError, match="delivery: ") as error:
            make_env(**kwargs)
        assert message in str(error.value)


def test_numbers_of_numpy_are_taken_as_parameters() -> None:
    params = make(DELIVERY, rows=np.int64(3), slow=np.float64(0.5)).unwrapped.params
    assert (params.rows, params.slow) == (3, 0.5)


def page_table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the page."""
    section = (DeliveryEnv.__doc__ or "").split(f"## {heading}\n")[1].split("\n    ## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_has_the_spaces_and_every_field() -> None:
    env = make(DELIVERY)
    assert [row[0] for row in page_table("Action Space")] == list(
        map(str, range(env.action_space.n))
    )
    covered: list[int] = []
    for index, _, low, high, _ in page_table("Observation Space"):
        first, _, last = index.partition(" to ")
        rows = list(range(int(first), int(last or first) + 1))
        covered += rows
        assert set(env.observation_space.low[rows].tolist()) == {float(low)}
        assert set(env.observation_space.high[rows].tolist()) == {float(high)}
    assert covered == list(range(env.observation_space.shape[0]))
    table = {row[0]: row[1] for row in page_table("Arguments")}
    assert table == {name: f"{field.default:g}" for name, field in FIELDS.items()}


def test_other_peoples_programs_run_unmodified() -> None:
    env = make_vec_env(DELIVERY, n_envs=2, seed=0)
    for agent in (A2C("MlpPolicy", env, n_steps=4), PPO("MlpPolicy", env, n_steps=8, batch_size=8)):
        mean, _ = evaluate_policy(agent.learn(64), env, n_eval_episodes=2)
        assert float(np.mean(mean)) < 0
    DQN("MlpPolicy", make(DELIVERY), learning_starts=10, buffer_size=100).learn(40)
    wrapped = gymnasium.wrappers.RecordEpisodeStatistics(make(DELIVERY, most_moves=3))
    wrapped.reset(seed=0)
    *_, info = [wrapped.step(0) for _ in range(3)][-1]
    assert info["episode"]["l"] == 3


def test_a_ride_is_drawn_as_a_table_and_on_the_map() -> None:
    table, picture = (make(DELIVERY, render_mode=mode) for mode in ("ansi", "rgb_array"))
    for env in (table, picture):
        env.reset(seed=3)
        first = env.render()
        env.step(1)
        assert np.asarray(first).tobytes() != np.asarray(env.render()).tobytes()
    assert picture.render().shape == (500, 500, 3)
    head, move, last = table.render().splitlines()
    assert head.split() == ["minute", "from", "turn", "to", "minutes"]
    assert re.search(r"\d+ +\(\d, \d\) +(east|none) +\(\d, \d\) +\d+$", move)
    assert re.fullmatch(r"after \d+ min at \(\d, \d\); the customer is at \(\d, \d\)", last)


def test_the_report_speaks_of_rides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert domain_of(EnvConfig(id=DELIVERY)) is DOMAIN
    runs, out = ["--runs-dir", str(tmp_path / "runs")], tmp_path / "report"
    config = str(tmp_path / "short.yaml")
    text = Path("configs/delivery.yaml").read_text()
    Path(config).write_text(re.sub(r"n_eval_episodes: \d+", "n_eval_episodes: 300", text))
    quick = ["--total-timesteps", "2000", "--seeds", "0", "1", "--jobs", "1"]
    assert train([config, *quick, *runs]) == 0
    assert evaluate([config, "--seeds", "all", *runs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    page = re.sub(r"base64,[^\"]*", "", (out / "index.html").read_text())
    results = pd.read_csv(out / "results.csv")
    assert list(results.columns[:4]) == ["policy", "seed", "ride", "move"]
    names = " ".join(str(path.relative_to(out)) for path in out.rglob("*"))
    words = ("campaign", "engagement", "day", "budget", "channel", "spend", "plan", "clairvoyant")
    for text in (page, (out / "summary.json").read_text(), names.replace("_", " "), printed):
        assert re.findall(rf"\b(?:{'|'.join(words)}|latent)s?\b", text, re.IGNORECASE) == []
    assert "of the gap between the shortest expected path and the optimum" in printed
    for part in ("On the map", "Pairs that were not trained on", "gap closed, pairs held out"):
        assert part in page
    summary = json.loads((out / "summary.json").read_text())["statistics"]
    assert summary["optimum"]["gap_closed_on_pairs_held_out"]["value"] == 1.0
    first = results[(results["policy"] == "optimum") & (results["move"] == 1)]
    assert len(first) == 300
