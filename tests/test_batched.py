"""Conformance: what an environment of any family has to do as a single and as a vector form."""

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from tests.tools.campaigns import make, make_vec, outcome, play
from train.config import EnvConfig
from train.env_state import get_env_state, set_env_state
from train.environment import make_training_env
from train.storage.state import dump, load

AD_TIMING = "envs:AdTiming-v0"
FORMS: list[tuple[str, dict[str, Any]]] = [
    (AD_TIMING, {}),
    (AD_TIMING, {"users": "mixed", "privileged": True, "max_items": 5, "f": 0.5}),
]
FAMILIES = {form[0]: form[1] for form in reversed(FORMS)}
every_form = pytest.mark.parametrize(("env_id", "kwargs"), FORMS)


def actions_of(env: Any, count: int) -> list[Any]:
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(count)]


@every_form
@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array"])
def test_the_checkers_of_gymnasium_and_sb3_pass(
    env_id: str, kwargs: dict[str, Any], render_mode: str | None
) -> None:
    check_env(make(env_id, render_mode=render_mode, **kwargs).unwrapped)
    sb3_check_env(make(env_id, render_mode=render_mode, **kwargs), skip_render_check=False)


@every_form
def test_a_vector_of_one_is_the_single_form(env_id: str, kwargs: dict[str, Any]) -> None:
    single, vector = make(env_id, **kwargs), make_vec(env_id, 1, **kwargs)
    seeds = range(30)
    assert single.metadata["privileged"] == vector.metadata["privileged"]
    for seed in seeds:
        seen, batch = single.reset(seed=seed)[0], vector.reset(seed=seed)[0]
        assert seen.tobytes() == batch.tobytes()
        ended = False
        while not ended:
            action = actions_of(single, 1)[0]
            *step, info = single.step(action)
            *steps, infos = vector.step(np.asarray(action)[np.newaxis])
            for part, parts in zip(step, steps, strict=True):
                assert np.asarray(part).tobytes() == parts.tobytes()
            metrics = info.pop("episode_metrics", {})
            for name, value in info.items():
                assert np.asarray(value).tobytes() == infos[name][0].tobytes()
            for name, value in metrics.items():
                assert value == infos["episode_metrics"][name][0]
            ended = step[2] or step[3]
            assert bool(metrics) == ended


@every_form
def test_episodes_of_a_batch_do_not_change_each_other(env_id: str, kwargs: dict[str, Any]) -> None:
    mode = {"autoreset_mode": AutoresetMode.DISABLED}
    vector, alone = (make_vec(env_id, count, **mode, **kwargs) for count in (3, 1))
    vector.reset(seed=0)
    state = vector.unwrapped.get_state()
    name = next(key for key in state if key != "generator")
    alone.reset(seed=0)
    row = {key: value[[1]] for key, value in state[name].items()}
    alone.unwrapped.set_state({name: row, "generator": state["generator"]})
    for _ in range(200):
        actions = vector.action_space.sample()
        seen, rewards, terminated, truncated, _ = vector.step(actions)
        other = alone.step(actions[1:2])
        for mine, theirs in zip((seen, rewards, terminated, truncated), other, strict=False):
            assert mine[1].tobytes() == theirs[0].tobytes()
        ended = terminated | truncated
        if ended[1]:
            return
        if ended.any():
            vector.reset(options={"reset_mask": ended})
    pytest.fail("no episode ended")


@every_form
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_autoreset_has_the_steps_and_infos_of_gymnasium(
    env_id: str, kwargs: dict[str, Any], mode: AutoresetMode
) -> None:
    ours = make_vec(env_id, 1, autoreset_mode=mode, **kwargs)
    theirs = SyncVectorEnv([lambda: make(env_id, **kwargs)], autoreset_mode=mode)
    assert ours.reset(seed=3)[0].tobytes() == theirs.reset(seed=3)[0].tobytes()
    ends = 0
    for action in actions_of(ours, 60):
        *mine, infos = ours.step(action)
        *step, their_infos = theirs.step(action)
        for part, their_part in zip(mine, step, strict=True):
            assert np.array_equal(part, their_part)
        assert set(infos) == set(their_infos)
        if "final_info" in infos:
            assert infos["final_obs"][0].tobytes() == their_infos["final_obs"][0].tobytes()
            assert set(infos["final_info"]) == set(their_infos["final_info"])
        ends += int((mine[2] | mine[3]).sum())
    assert ends > 3


@every_form
@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_copy_in_mid_episode_resumes_like_the_original(
    env_id: str, kwargs: dict[str, Any], num_envs: int | None
) -> None:
    def start(seed: int) -> Any:
        form = make(env_id, **kwargs) if num_envs is None else make_vec(env_id, num_envs, **kwargs)
        form.reset(seed=seed)
        return form.unwrapped

    env, restored = start(seed=1), start(seed=2)
    first, *actions = actions_of(env, 40)
    while np.any(np.logical_or(*env.step(first)[2:4])):  # not yet in mid-episode
        env.reset()
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), restored]
    restored.set_state(env.get_state())
    expected = until_the_end(env, actions)
    for other in copies:
        assert until_the_end(other, actions) == expected


def until_the_end(env: Any, actions: list[Any]) -> list[Any]:
    """The steps of a single episode, or of a batch, whose episodes start again."""
    steps = []
    for action in actions:
        step = env.step(action)
        steps.append(outcome(step))
        if np.ndim(step[2]) == 0 and (step[2] or step[3]):
            break
    return steps


@every_form
def test_training_goes_on_from_a_saved_state(env_id: str, kwargs: dict[str, Any]) -> None:
    first, second = (make_training_env(EnvConfig(id=env_id, kwargs=kwargs), 3, 10) for _ in "ab")
    first.reset(seed=1)
    second.reset(seed=2)
    actions = actions_of(first, 30)
    play(first, actions[:9])
    set_env_state(second, load(dump(get_env_state(first))))
    for action in actions[9:]:
        mine, theirs = first.step(action), second.step(action)
        assert [part.tobytes() for part in mine[:4]] == [part.tobytes() for part in theirs[:4]]


@pytest.mark.parametrize("env_id", FAMILIES)
def test_steps_out_of_season_are_refused(env_id: str) -> None:
    single, vector = make(env_id, **FAMILIES[env_id]).unwrapped, make_vec(env_id, 2)
    for env, action in ((single, actions_of(single, 1)[0]), (vector, actions_of(vector, 1)[0])):
        with pytest.raises(ResetNeeded, match=r"no \w+ has been started; call reset"):
            env.step(action)
    single.reset(seed=0)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) for a new one"):  # noqa: PT012
        while True:
            single.step(actions_of(single, 1)[0])
    late = make_vec(env_id, 2, autoreset_mode="Disabled")
    late.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"s \[1\] are over; reset them"):
        late.step(actions_of(late, 1)[0])


@pytest.mark.parametrize("env_id", FAMILIES)
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"render_mod": "ansi"}, "unknown parameter 'render_mod'; did you mean 'render_mode'?"),
        ({"privileged": 3}, "privileged=3: must be one of False, True"),
        ({"num_envs": 0}, "num_envs=0: must be a whole number of 1 or more"),
        ({"autoreset_mode": "Same"}, "autoreset_mode='Same': must be one of 'NextStep', 'SameStep"),
    ],
)
def test_bad_arguments_of_any_family_are_refused(
    env_id: str, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        make_vec(env_id, **({"num_envs": 2} | kwargs))


@pytest.mark.parametrize("env_id", FAMILIES)
def test_bad_states_and_options_are_refused(env_id: str) -> None:
    vector = make_vec(env_id, 2)
    with pytest.raises(ValueError, match="unknown option 'day'; known: reset_mask"):
        vector.reset(options={"day": 3})
    vector.reset(seed=0)
    state = vector.unwrapped.get_state()
    name = next(key for key in state if key != "generator")
    state[name]["observations"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"observations is float64 \(3,\)"):
        vector.unwrapped.set_state(state)


@every_form
def test_other_algorithms_learn_on_any_id(env_id: str, kwargs: dict[str, Any]) -> None:
    env = make(env_id, **kwargs)
    PPO("MlpPolicy", env, n_steps=14, batch_size=14, n_epochs=1, device="cpu").learn(28)
    A2C("MlpPolicy", env, device="cpu").learn(20)
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        DQN("MlpPolicy", env, learning_starts=10, buffer_size=50, device="cpu").learn(30)


@pytest.mark.parametrize("env_id", FAMILIES)
def test_any_id_runs_in_wrappers_and_other_processes(env_id: str) -> None:
    def wrapped() -> Any:
        env: Any = gymnasium.wrappers.RecordEpisodeStatistics(make(env_id))
        env = gymnasium.wrappers.NormalizeObservation(env)
        return gymnasium.wrappers.NormalizeReward(env)

    batch = SyncVectorEnv([wrapped, wrapped])
    batch.reset(seed=0)
    ended = 0
    for action in actions_of(batch, 80):
        ended += int(batch.step(action)[-1].get("_episode", np.zeros(2)).sum())
    assert ended > 0
    processes: Any = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="async")
    alone = make(env_id)
    try:
        processes.reset(seed=0)
        alone.reset(seed=0)
        actions = actions_of(processes, 1)[0]
        assert processes.step(actions)[1][0] == alone.step(actions[0])[1]
    finally:
        processes.close()
