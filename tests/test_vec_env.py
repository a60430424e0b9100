"""The adapter of vector environments to Stable-Baselines3, against SB3's ``DummyVecEnv``."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import A2C
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from tests.toy_envs import TARGET, Endless
from train.agents import a2c, reference
from train.agents.vec_env import SB3VecEnv
from train.config import AgentConfig

SAME_STEP = AutoresetMode.SAME_STEP


def batch(env_id: str, num_envs: int, **kwargs: Any) -> SB3VecEnv:
    vector_kwargs = {"autoreset_mode": SAME_STEP}
    envs = gymnasium.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs, **kwargs
    )
    return SB3VecEnv(envs)


def native(num_envs: int, **kwargs: Any) -> SB3VecEnv:
    envs = gymnasium.make_vec(
        "envs:LinearCampaign-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=SAME_STEP,
        **kwargs,
    )
    return SB3VecEnv(envs)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes_are_refused_with_the_reason(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")], autoreset_mode=mode)
    with pytest.raises(ValueError, match=r"must be AutoresetMode.SAME_STEP: .* filler transitions"):
        SB3VecEnv(envs)


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("CartPole-v1", {"max_episode_steps": 12}),
        ("Pendulum-v1", {"max_episode_steps": 5}),
        ("envs:LinearCampaign-v0", {"days": 3}),
        ("envs:LinearCampaign-v0", {"days": 3, "action": "channel"}),
    ],
)
def test_it_steps_as_dummy_vec_env_does(env_id: str, kwargs: dict[str, Any]) -> None:
    ours = batch(env_id, 3, **kwargs)
    theirs = DummyVecEnv([lambda: gymnasium.make(env_id, **kwargs)] * 3)
    assert ours.seed(7) == theirs.seed(7)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ours.action_space.seed(0)
    timeouts = 0
    for _ in range(40):
        actions = np.array([ours.action_space.sample() for _ in range(3)])
        (seen, rewards, dones, infos), expected = ours.step(actions), theirs.step(actions)
        np.testing.assert_array_equal(seen, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        assert (rewards.dtype, dones.dtype) == (expected[1].dtype, expected[2].dtype)
        for info, their_info in zip(infos, expected[3], strict=True):
            last = info.get(
                "terminal_observation", 0
            )  # asked first, as Stable-Baselines3 does: nothing is built yet
            np.testing.assert_array_equal(last, their_info.get("terminal_observation", 0))
            assert set(info) - {"TimeLimit.truncated"} == set(their_info) - {"TimeLimit.truncated"}
            assert info.get("TimeLimit.truncated", False) == their_info.get(
                "TimeLimit.truncated", False
            )
            np.testing.assert_array_equal(
                info.get("terminal_observation", 0), their_info.get("terminal_observation", 0)
            )
            timeouts += int(info.get("TimeLimit.truncated", False))
    assert (timeouts > 0) == ("max_episode_steps" in kwargs)


def test_an_episode_that_ends_at_its_limit_is_not_truncated() -> None:
    ours = batch("tests.toy_envs:Endless-v0", 1, days=7)
    ours.reset()
    for _ in range(7):
        *_, dones, infos = ours.step(np.array([0]))
    assert dones.tolist() == [True]
    assert infos[0]["TimeLimit.truncated"] is False


def test_only_an_episode_that_has_ended_has_a_last_observation() -> None:
    envs = SyncVectorEnv(
        [lambda: Endless(days=1), lambda: Endless(days=2)], autoreset_mode=SAME_STEP
    )
    ours = SB3VecEnv(envs)
    ours.reset()
    infos = ours.step(np.array([0, 0]))[3]
    assert infos[0].get("terminal_observation", "none").shape == (1,)
    assert infos[1].get("terminal_observation", "none") == "none"
    assert infos[1].get("TimeLimit.truncated", "none") == "none"


def test_infos_of_an_episode_end_with_it() -> None:
    ours = batch(TARGET, 2)
    theirs = DummyVecEnv([lambda: gymnasium.make(TARGET)] * 2)
    ours.reset()
    theirs.reset()
    for _ in range(9):
        assert ours.reset_infos == theirs.reset_infos
        actions = np.zeros((2, 2), dtype=np.float32)
        infos, their_infos = ours.step(actions)[3], theirs.step(actions)[3]
        for info, their_info in zip(infos, their_infos, strict=True):
            assert set(info) | {"TimeLimit.truncated"} == set(their_info)
            assert (info["steps"], info["last"]) == (their_info["steps"], 1)
    assert ours.reset_infos == [{"episodes": 3, "last": "reset"}] * 2


def test_returns_of_episodes_stay_in_their_infos() -> None:
    envs = gymnasium.make_vec(TARGET, 2, vector_kwargs={"autoreset_mode": SAME_STEP})
    ours = SB3VecEnv(RecordEpisodeStatistics(envs))
    ours.reset()
    for _ in range(4):
        infos = ours.step(np.ones((2, 2), dtype=np.float32))[3]
    assert [(info["episode"]["r"], info["episode"]["l"]) for info in infos] == [(4.0, 4)] * 2
    assert all("episode" not in info for info in ours.reset_infos)


def test_observations_of_several_parts_are_dicts_of_batches() -> None:
    ours = batch(TARGET, 2, observation="dict")
    step: Any = ours.step
    for seen in (ours.reset(), step(np.zeros((2, 2), dtype=np.float32))[0]):
        assert {name: part.shape for name, part in seen.items()} == {"near": (2, 2), "far": (2, 3)}
    model = A2C("MultiInputPolicy", ours, n_steps=4, device="cpu").learn(16)
    assert model.num_timesteps == 16


def reused_buffers(num_envs: int) -> SyncVectorEnv[Any, Any]:
    """A batch that writes every observation into the same array; observed are the steps so far."""
    make = [lambda: gymnasium.make(TARGET)] * num_envs
    return SyncVectorEnv(make, autoreset_mode=SAME_STEP, copy=False)


def test_sb3_learns_from_observations_before_the_step() -> None:
    agent = a2c.build(RecordEpisodeStatistics(reused_buffers(2)), AgentConfig(n_envs=2), seed=0)
    agent.learn(10)
    seen = agent.rollout_buffer.observations[..., 0]
    assert seen.tolist() == [[steps % 4] * 2 for steps in range(5)]


def test_the_reference_learns_from_observations_before_the_step() -> None:
    envs = reused_buffers(2)
    space: Any = envs.single_observation_space
    agent = reference.ActorCritic(space, envs.single_action_space, AgentConfig(n_envs=2), seed=0)
    rollouts: list[reference.Rollout] = []

    def ignore(_: object) -> None:
        return

    reference.learn(
        agent, envs, 10, 0, ignore, ignore, lambda rollout, *_: rollouts.append(rollout)
    )
    assert rollouts[0].observations[..., 0].tolist() == [[steps % 4] * 2 for steps in range(5)]


def test_the_native_campaign_is_the_single_ones_side_by_side() -> None:
    ours, theirs = native(2, days=2), batch("envs:LinearCampaign-v0", 2, days=2)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for _ in range(5):
        actions = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
        mine, their = ours.step(actions), theirs.step(actions)
        for left, right in zip(mine[:3], their[:3], strict=True):
            np.testing.assert_array_equal(left, right)
        for info, their_info in zip(mine[3], their[3], strict=True):
            assert set(info) == set(their_info)
            assert info["likes"] == their_info["likes"]
            assert info.get("episode_metrics") == their_info.get("episode_metrics")


def test_an_info_can_be_read_changed_and_copied_like_a_dict() -> None:
    envs = native(2, days=1)
    envs.reset()
    infos: Any = envs.step(np.zeros((2, 3), dtype=np.float32))[3]
    first = infos[0]
    assert first.get("terminal_observation").shape == (7,)
    assert first.get("TimeLimit.truncated") is False
    assert first.get("nothing", 3) == 3
    assert first["likes"] == pytest.approx(800 / 3)
    first["mine"] = 1
    assert infos[0]["mine"] == 1
    copied = first.copy()
    del first["mine"]
    assert "mine" not in infos[0]
    assert copied["mine"] == 1
    assert "likes" in repr(first)
    assert len(infos[-2:]) == len(infos) == 2
    with pytest.raises(IndexError):
        infos[2]
    assert infos[1].get("mine") is None


def test_attributes_and_methods_of_the_environments_are_reached() -> None:
    ours, single = native(2, days=5), batch("Pendulum-v1", 2)
    assert ours.get_attr("params")[1].days == 5
    assert set(ours.env_method("get_state", indices=[0])[0]) == {"campaigns", "generator"}
    assert ours.env_is_wrapped(TimeLimit) == [False, False]
    assert single.env_is_wrapped(TimeLimit, indices=1) == [True]
    single.set_attr("g", 3.0, indices=[1])
    assert single.get_attr("g") == [10.0, 3.0]
    assert not ours.has_attr("nothing")
    assert ours.render_mode is None


def test_seeds_and_options_reach_the_next_reset_alone() -> None:
    ours = batch("CartPole-v1", 2)
    ours.seed(3)
    first = ours.reset()
    assert not np.array_equal(ours.reset(), first)
    ours.seed(3)
    np.testing.assert_array_equal(ours.reset(), first)
    ours.set_options({"low": -0.01, "high": 0.01})
    assert np.abs(ours.reset()).max() <= 0.01
    assert np.abs(np.concatenate([ours.reset() for _ in range(5)])).max() > 0.01
    ours.set_options([{"low": -0.01, "high": 0.01}, {}])
    with pytest.raises(ValueError, match="same reset options"):
        ours.reset()


def test_pictures_are_tiled() -> None:
    ours = native(4, render_mode="rgb_array", days=1)
    ours.reset()
    picture = ours.render()
    assert picture is not None
    assert picture.shape == (800, 1600, 3)


def test_sb3s_own_wrappers_and_evaluation_take_it() -> None:
    wrapped = VecMonitor(VecNormalize(native(3)))
    model = A2C("MlpPolicy", wrapped, n_steps=7, device="cpu").learn(84)
    assert model.ep_info_buffer
    mean: Any = evaluate_policy(model, VecMonitor(native(3)), n_eval_episodes=4)[0]
    assert 2520 <= mean <= 5950


def test_training_on_it_is_training_on_dummy_vec_env() -> None:
    def weights(envs: Any) -> list[Any]:
        model = A2C("MlpPolicy", envs, seed=5, device="cpu").learn(300)
        return [value.numpy() for value in model.policy.state_dict().values()]

    theirs = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1", max_episode_steps=7)] * 4)
    for ours, their in zip(
        weights(batch("Pendulum-v1", 4, max_episode_steps=7)), weights(theirs), strict=True
    ):
        np.testing.assert_array_equal(ours, their)
