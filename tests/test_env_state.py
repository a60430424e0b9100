"""The state of any environment and of a run as plain data: taken, packed, and put into another one."""

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

from train.config import EnvConfig
from train.env_state import get_env_state, set_env_state
from train.environment import BatchEnv, make_training_env
from train.storage.state import NotPlainError, get_random_state, pack, set_random_state, unpack

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
    set_env_state(second, unpack(pack(get_env_state(first))))
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
        gymnasium.make_vec("envs:UncertainCampaign-v0", num_envs=3, reward="shaped") for _ in range(2)
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


def test_what_is_no_plain_data_is_named() -> None:
    with pytest.raises(NotPlainError, match=r"a\.b\[1\] is a builtins.object"):
        pack({"a": {"b": [1, object()]}})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotPlainError, match="holds itself"):
        pack(endless)


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
    assert repr(unpack(pack(tree))) == repr(tree)


def test_arrays_tensors_and_generators_come_back_as_they_were() -> None:
    shared, rng = np.arange(6.0).reshape(2, 3).T, np.random.default_rng(5)
    rng.random(3)
    tree = {
        "a": shared,
        "same": [shared],
        "t": torch.arange(3, dtype=torch.uint8),
        "rng": rng,
        "deque": deque([1], 3),
    }
    back = unpack(pack(tree))
    assert back["a"].tobytes() == shared.tobytes()
    assert back["a"] is back["same"][0]
    assert (back["t"].dtype, back["t"].tolist()) == (torch.uint8, [0, 1, 2])
    assert back["rng"].random() == rng.random()
    assert (back["deque"], back["deque"].maxlen) == (deque([1]), 3)


def test_the_generators_of_the_process_come_back() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.rand(), float(torch.rand(1))

    random.gauss()
    state = unpack(pack(get_random_state()))
    before = draw()
    set_random_state(state)
    assert draw() == before
