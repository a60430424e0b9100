"""The state of any environment and of a run as plain data: taken, saved, and put into another."""

import random
from collections import deque
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toy_envs import TWO_NAMES_GENERATOR, TWO_NAMES_LIST, TWO_NAMES_VIEW
from train.config import EnvConfig
from train.env_state import get_env_state, set_env_state
from train.environment import BatchEnv, make_training_env
from train.storage.state import (
    BIT_GENERATORS,
    NotPlainError,
    dump,
    get_random_state,
    load,
    set_random_state,
)

CAMPAIGNS = ("envs:LinearCampaign-v0", "envs:DynamicCampaign-v0")
OTHERS = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "FrozenLake-v1",
    "CliffWalking-v1",
    "Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3",
    "Blackjack-v1",
)


def play(envs: BatchEnv, steps: int, seed: int) -> list[Any]:
    """What an environment answers to actions drawn from a seed."""
    envs.action_space.seed(seed)
    answers = []
    for _ in range(steps):
        *step, infos = envs.step(envs.action_space.sample())
        answers.append(([part.tobytes() for part in step], _told(infos)))
    return answers


def _told(infos: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in infos.items():
        if isinstance(value, dict):
            told[name] = {
                part: inner for part, inner in _told(value).items() if part != "t"
            }  # the time it took
        else:
            told[name] = str(value.tolist() if isinstance(value, np.ndarray) else value)
    return told


@pytest.mark.parametrize("env_id", [*CAMPAIGNS, *OTHERS])
@pytest.mark.parametrize("steps", [0, 11])
def test_an_environment_goes_on_as_the_one_whose_state_it_got(env_id: str, steps: int) -> None:
    try:
        first, second = (make_training_env(EnvConfig(id=env_id), 3, 10) for _ in range(2))
    except gymnasium.error.DependencyNotInstalled:
        pytest.skip("needs another package")
    first.reset(seed=1)
    play(first, steps, seed=2)
    second.reset(seed=3)
    play(second, 4, seed=4)
    set_env_state(second, load(dump(get_env_state(first))))
    assert play(second, 60, seed=5) == play(first, 60, seed=5)
    assert list(second.return_queue) == list(first.return_queue)


@pytest.mark.parametrize("env_id", CAMPAIGNS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_campaigns_state_is_all_that_it_goes_on_from(env_id: str, mode: AutoresetMode) -> None:
    make: dict[str, Any] = {
        "num_envs": 3,
        "vectorization_mode": "vector_entry_point",
        "autoreset_mode": mode,
    }
    first, second = (gymnasium.make_vec(env_id, **make) for _ in range(2))
    actions = np.random.default_rng(0).normal(size=(9, 3, 3)).astype(np.float32)
    days = 9 if mode is not AutoresetMode.DISABLED else 6
    first.reset(seed=1)
    second.reset(seed=2)
    for action in actions[:4]:
        first.step(action)
    state = first.unwrapped.get_state()  # type: ignore[attr-defined]
    second.unwrapped.set_state(state)  # type: ignore[attr-defined]
    for action in actions[4:days]:
        ours, theirs = first.step(action), second.step(action)
        assert [part.tobytes() for part in ours[:4]] == [part.tobytes() for part in theirs[:4]]
        assert _told(ours[4]) == _told(theirs[4])
    assert first.np_random.random() == second.np_random.random()
    third = gymnasium.make_vec(env_id, **make)
    third.reset(seed=3)
    third.unwrapped.set_state(state)  # type: ignore[attr-defined]  # what has been played since is not in it
    assert third.step(actions[4])[0].tobytes() != first.unwrapped._campaigns.observations.tobytes()  # type: ignore[attr-defined]


def test_what_the_nominal_plan_would_still_earn_is_part_of_the_state() -> None:
    first, second = (
        gymnasium.make_vec("envs:UncertainCampaign-v0", num_envs=3, reward="shaped")
        for _ in range(2)
    )
    first.reset(seed=1)
    second.reset(seed=2)
    actions = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    first.step(actions[0])
    second.unwrapped.set_state(first.unwrapped.get_state())  # type: ignore[attr-defined]
    assert second.step(actions[1])[1].tobytes() == first.step(actions[1])[1].tobytes()


def test_a_single_campaigns_state_too() -> None:
    first, second = (gymnasium.make("envs:DynamicCampaign-v0").unwrapped for _ in range(2))
    first.reset(seed=1)
    second.reset(seed=2)
    first.step(np.array([1.0, 2.0, 0.0]))
    second.set_state(first.get_state())  # type: ignore[attr-defined]
    action = np.array([0.0, 2.0, 1.0])
    assert first.step(action)[0].tobytes() == second.step(action)[0].tobytes()
    assert first.np_random.random() == second.np_random.random()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"past": np.zeros((1, 7, 6))},
            r"past is float64 \(1, 7, 6\), must be float64 \(2, 7, 6\)",
        ),
        ({"day": np.zeros(2)}, r"day is float64"),
        ({"nonsense": np.zeros(2)}, "must have"),
    ],
)
def test_the_state_of_another_campaign_is_refused(change: dict[str, Any], message: str) -> None:
    envs: Any = gymnasium.make_vec(
        "envs:LinearCampaign-v0", num_envs=2, vectorization_mode="vector_entry_point"
    )
    envs.reset(seed=0)
    state = envs.unwrapped.get_state()
    state["campaigns"] |= change
    with pytest.raises(ValueError, match=message):
        envs.unwrapped.set_state(state)


def test_the_state_of_another_environment_is_refused() -> None:
    first, second = (
        make_training_env(EnvConfig(id=env_id), 2, 10) for env_id in ("CartPole-v1", CAMPAIGNS[0])
    )
    first.reset(seed=0)
    second.reset(seed=0)
    with pytest.raises(ValueError, match="not of"):
        set_env_state(second, get_env_state(first))


def test_what_is_not_plain_data_is_named() -> None:
    with pytest.raises(NotPlainError, match=r"a\.b\[1\] is a builtins.object"):
        dump({"a": {"b": [1, object()]}})
    for odd in (len, np.ndarray, 1j, np.array([None]), np.zeros(1, "i4, f8"), np.longdouble(1)):
        with pytest.raises(NotPlainError, match=r"a\[0\] is a "):
            dump({"a": [odd]})
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotPlainError, match="too many lists"):
        dump(deep)


SCALARS = st.one_of(
    st.integers(-9, 9).map(np.int32), st.floats(width=32).map(np.float32), st.text().map(np.str_)
)
NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), SCALARS)
TREES = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.booleans()), inner),
        st.lists(inner, max_size=3).map(lambda items: deque(items, maxlen=4)),
    ),
    max_leaves=20,
)


@given(tree=TREES)
@settings(max_examples=60, deadline=None)
def test_a_tree_comes_back_as_it_was(tree: Any) -> None:
    assert repr(load(dump(tree))) == repr(tree)


def test_arrays_tensors_and_generators_come_back_as_they_were() -> None:
    arrays = {
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "permuted": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1).copy(order="K"),
        "reversed": np.arange(9, dtype=np.uint64)[::-2],
        "large": np.random.default_rng(0).random(9999),
        "spread": np.broadcast_to(np.float32(3), (2, 2)),
        "frozen": np.frombuffer(b"abcd", np.uint8),
        "big-endian": np.array([1, 2], dtype=">i4"),
        "text": np.array(["", "abc"]),
        "dates": np.array(["2001-01-01"], "M8[D]"),
        "none": np.zeros((0, 3)),
        "number": np.array(5),
    }
    tree = arrays | {"t": torch.arange(3, dtype=torch.uint8), "deque": deque([1], 3)}
    back = load(dump(tree))
    for name, array in arrays.items():
        again = back[name]
        assert (again.dtype, again.strides) == (array.dtype, array.strides), name
        assert (again.tobytes(), again.shape) == (array.tobytes(), array.shape), name
    assert (back["t"].dtype, back["t"].tolist()) == (torch.uint8, [0, 1, 2])
    assert (back["deque"], back["deque"].maxlen) == (deque([1]), 3)


@pytest.mark.parametrize("kind", BIT_GENERATORS)
def test_a_generator_draws_on_where_it_was(kind: str) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(5))
    rng.random(3)
    assert load(dump(rng)).random(9).tolist() == rng.random(9).tolist()


@pytest.mark.parametrize("size", [4, 9999])
def test_two_names_of_one_thing_stay_two_names_of_it(size: int) -> None:
    array, rng, row = np.arange(4.0 * size), np.random.default_rng(5), [1]
    views = [array.reshape(4, size), array.reshape(4, size)[1:, ::-1], array[::2]]
    endless: list[Any] = []
    endless.append(endless)
    back = load(dump([array, array, *views, rng, rng, row, (row,), endless]))
    back = load(dump(back))  # a run may be resumed twice
    array, same, board, corner, every_second, rng, same_rng, row, (same_row,), endless = back
    assert array is same
    array[:] = -1.0
    assert (board == -1).all()
    corner[0, 0] = 7.0
    assert array[2 * size - 1] == board[1, -1] == 7.0
    assert np.shares_memory(every_second, board)
    assert (rng is same_rng, row is same_row, endless[0] is endless) == (True, True, True)


@pytest.mark.parametrize("env_id", [TWO_NAMES_GENERATOR, TWO_NAMES_VIEW, TWO_NAMES_LIST])
def test_an_environment_with_two_names_for_one_thing_continues(env_id: str) -> None:
    first, second = (make_training_env(EnvConfig(id=env_id), 2, 10) for _ in range(2))
    first.reset(seed=1)
    play(first, 5, seed=2)
    second.reset(seed=3)
    set_env_state(second, load(dump(get_env_state(first))))
    assert play(second, 30, seed=4) == play(first, 30, seed=4)


def test_the_generators_of_the_process_come_back() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002

    random.gauss()
    state = load(dump(get_random_state()))
    before = draw()
    set_random_state(state)
    assert draw() == before
