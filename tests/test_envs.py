"""Conformance: what every campaign has to do in every form that it offers."""

import copy
import itertools
import pickle
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import envs
from envs.campaign.allocation import ALLOCATIONS
from envs.campaign.env import CampaignEnv
from envs.campaign.observation import OBSERVATIONS
from envs.campaign.options import REWARDS
from tests.tools.campaigns import advice_declined, agree, deal, make, make_vec, play

IDS = sorted(
    f"envs:{name}"
    for name, spec in gymnasium.registry.items()
    if str(spec.entry_point).startswith("envs.campaign.")
)
UNCERTAIN = "envs:UncertainCampaign-v0"
FORMS = list(itertools.product(IDS, ALLOCATIONS, OBSERVATIONS, REWARDS))


def test_the_ids_are_there() -> None:
    assert envs.__doc__
    assert "envs:LinearCampaign-v0" in IDS


def kwargs_of(form: tuple[str, ...], **others: Any) -> dict[str, Any]:
    return dict(zip(("action", "observation", "reward"), form[1:], strict=True)) | others


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_the_checkers_of_gymnasium_and_sb3_pass_every_form(form: tuple[str, ...]) -> None:
    with advice_declined(form[1]):
        check_env(make(form[0], **kwargs_of(form)).unwrapped)
        sb3_check_env(make(form[0], **kwargs_of(form)))


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("render_mode", ["ansi", "rgb_array"])
def test_the_checkers_pass_every_render_mode(env_id: str, render_mode: str) -> None:
    with advice_declined("logits"):
        check_env(make(env_id, render_mode=render_mode).unwrapped)
        sb3_check_env(make(env_id, render_mode=render_mode), skip_render_check=False)


@pytest.mark.parametrize("form", FORMS, ids="-".join)
@pytest.mark.parametrize("num_envs", [None, 3])
def test_a_copy_in_mid_campaign_resumes_like_the_original(
    form: tuple[str, ...], num_envs: int | None
) -> None:
    def start(seed: int) -> Any:
        kwargs = kwargs_of(form, days=3, privileged=True)
        env = make(form[0], **kwargs) if num_envs is None else make_vec(form[0], num_envs, **kwargs)
        env.reset(seed=seed)
        return env.unwrapped

    env, restored = start(seed=1), start(seed=2)
    env.action_space.seed(0)
    first, *actions = [env.action_space.sample() for _ in range(3)]
    env.step(first)
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), restored]
    restored.set_state(env.get_state())
    expected = play(env, actions)
    for other in copies:
        assert play(other, actions) == expected
        assert other.np_random.random() == copy.deepcopy(env).np_random.random()


@pytest.mark.parametrize("env_id", IDS)
def test_a_state_is_restored_whatever_the_latent_parameters_were(env_id: str) -> None:
    env, fresh = make_vec(env_id, 2).unwrapped, make_vec(env_id, 2).unwrapped
    for options in ({}, {"latent": {"counts": np.eye(3)}}, {}):
        env.reset(seed=0, options=options)
        fresh.set_state(env.get_state())
        assert play(fresh, [np.ones((2, 3))]) == play(env, [np.ones((2, 3))])


@pytest.mark.parametrize("form", FORMS, ids="-".join)
@settings(max_examples=5, deadline=None)  # the first end of a campaign solves its optimum
@given(seed=st.integers(0, 2**31), num_envs=st.integers(1, 5), days=st.sampled_from([1, 3, 7]))
def test_single_and_vector_environments_agree_bit_for_bit(
    form: tuple[str, ...], seed: int, num_envs: int, days: int
) -> None:
    agree(form[0], num_envs, seed, **kwargs_of(form, days=days))


@pytest.mark.parametrize("env_id", IDS)
def test_the_last_day_terminates_with_the_totals(env_id: str) -> None:
    env = make(env_id, action="spend", days=3)
    env.reset(seed=0)
    total = 0.0
    for day in range(1, 4):
        _, reward, terminated, truncated, info = env.step(
            np.array([20.0, 30.0, 40.0], dtype=np.float32)
        )
        total += info["engagement"]
        assert reward == info["engagement"]
        assert env_id == UNCERTAIN or info["engagement"] == info["expected_engagement"]
        assert info["engagement"] == pytest.approx(
            info["likes"] + 2 * info["comments"] + 3 * info["shares"]
        )
        assert (terminated, truncated) == (day == 3, False)
        assert ("episode_metrics" in info) == (day == 3)
    metrics = info["episode_metrics"]
    assert metrics["campaign/engagement"] == pytest.approx(total)
    assert (metrics["campaign/spend_posts"], metrics["campaign/spend_rewards"]) == (60.0, 120.0)
    assert (
        0 < metrics["campaign/share_of_optimum"] < (3 if env_id == UNCERTAIN else 1)
    )  # a lucky draw passes it


@pytest.mark.parametrize("env_id", IDS)
def test_a_step_after_the_end_is_refused(env_id: str) -> None:
    env = (
        CampaignEnv(days=1) if env_id.startswith("envs:Linear") else make(env_id, days=1).unwrapped
    )
    env.reset(seed=0)
    env.step(np.zeros(3))
    with pytest.raises(ResetNeeded, match="ended with day 1"):
        env.step(np.zeros(3))


@pytest.mark.parametrize("env_id", IDS)
def test_a_step_before_the_first_reset_is_refused(env_id: str) -> None:
    with pytest.raises(ResetNeeded, match="no campaign has been started; call reset"):
        make(env_id).unwrapped.step(np.zeros(3))
    for mode in AutoresetMode:
        vector = make_vec(env_id, 2, autoreset_mode=mode)
        with pytest.raises(ResetNeeded, match="no campaign has been started; call reset"):
            vector.step(np.zeros((2, 3)))
    vector.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"campaigns \[1\] are over; reset them"):
        vector.step(np.zeros((2, 3)))


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(
    ("action", "bad"),
    [
        ("logits", [np.nan, 0, 0]),
        ("spend", [-1, 0, 0]),
        ("spend", [1, 2]),
        ("channel", 3),
        ("spend", [np.inf, 0, 0]),
    ],
)
def test_a_refused_action_leaves_the_campaign_as_it_was(env_id: str, action: str, bad: Any) -> None:
    def second_day(disturb: bool) -> tuple[bytes, Any]:
        env = make(env_id, action=action).unwrapped
        env.reset(seed=0)
        env.action_space.seed(1)
        first, second = env.action_space.sample(), env.action_space.sample()
        env.step(first)
        if disturb:
            with pytest.raises(ValueError, match="action"):
                env.step(np.array(bad) if isinstance(bad, list) else bad)
        seen, reward, *_ = env.step(second)
        return seen.tobytes(), reward

    assert second_day(disturb=True) == second_day(disturb=False)


@pytest.mark.parametrize("env_id", IDS)
def test_a_refused_action_changes_no_campaign_of_a_batch(env_id: str) -> None:
    vector = make_vec(env_id, 2, action="spend")
    vector.reset(seed=0)
    with pytest.raises(ValueError, match=r"spend=-1\.0"):
        vector.step(np.array([[1.0, 2.0, 3.0], [-1.0, 0.0, 0.0]]))
    assert (
        vector.step(np.full((2, 3), 10.0))[0][0, 1] == 1.0
    )  # this is the first day that was played


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"action": "logit"}, "action='logit': must be one of 'logits', 'spend', 'channel'"),
        ({"observation": "x"}, "observation='x': must be one of 'history', 'totals'"),
        ({"daily_bugdet": 3}, "unknown parameter 'daily_bugdet'; did you mean 'daily_budget'?"),
        ({"days": 0}, "days=0"),
        ({"reward": "gain"}, "reward='gain' is now called 'shaped'"),
        ({"action": "gain"}, "action='gain': must be one of 'logits'"),
        ({"world": 1}, "unknown parameter 'world'"),
        ({"ad_wear": 1}, "ad_wear is now called fatigue"),
        ({"ad_recovery": 1}, "ad_recovery is now called fatigue_recovery"),
        ({"ad_wear_log_sd": 1}, "ad_wear_log_sd is now called fatigue_log_sd"),
        ({"counts": np.zeros((3, 3))}, "nothing can be earned"),
    ],
)
def test_bad_arguments_are_refused(env_id: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="campaign: ") as error:
        make(env_id, **kwargs)
    assert message in str(error.value)
    with pytest.raises(ValueError, match="campaign: ") as error:
        make_vec(env_id, 2, **kwargs)
    assert message in str(error.value)


@pytest.mark.parametrize("env_id", IDS)
def test_more_bad_arguments_are_refused(env_id: str) -> None:
    with pytest.raises(
        ValueError, match="render_mode='human': must be one of None, 'ansi', 'rgb_array'"
    ):
        make(env_id).unwrapped.__class__(render_mode="human")
    with pytest.raises(ValueError, match="num_envs=0"):
        make_vec(env_id, 0)
    with pytest.raises(
        ValueError, match="autoreset_mode='Same': must be one of 'NextStep', 'SameStep', 'Disabled'"
    ):
        make_vec(env_id, 2, autoreset_mode="Same")
    with pytest.raises(ValueError, match="unknown option 'day'"):
        make(env_id).reset(options={"day": 3})
    for former, name in (("params", "latent"), ("world", "true_params")):
        with pytest.raises(ValueError, match=f"option '{former}' is now called '{name}'"):
            make(env_id).reset(options={former: {}})


@pytest.mark.parametrize("env_id", IDS)
def test_observations_and_infos_are_new_at_each_call(env_id: str) -> None:
    vector = make_vec(env_id, 3, autoreset_mode="SameStep", days=2)
    kept = [vector.reset(seed=0)[0]]
    for _ in range(4):
        seen, *_, infos = vector.step(vector.action_space.sample())
        kept += [
            seen,
            *(
                value
                for value in infos.values()
                if isinstance(value, np.ndarray) and value.dtype != object
            ),
        ]
    for first, second in itertools.combinations(kept, 2):
        assert not np.shares_memory(first, second)


@pytest.mark.parametrize("env_id", IDS)
def test_next_step_mode_is_that_of_gymnasium(env_id: str) -> None:
    ours = make_vec(env_id, 2, days=2, action="spend")
    theirs: Any = gymnasium.make_vec(
        env_id, num_envs=2, vectorization_mode="sync", days=2, action="spend"
    )
    assert ours.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    ours.reset(seed=0)
    theirs.reset(seed=0)
    ours.action_space.seed(0)
    for _ in range(7):
        actions = ours.action_space.sample()
        for row, single in enumerate(theirs.envs):
            deal(ours, row, single)
        (seen, *outcome, infos), (their_seen, *their_outcome, their_infos) = (
            ours.step(actions),
            theirs.step(actions),
        )
        assert seen.tobytes() == their_seen.tobytes()
        for mine, their in zip(outcome, their_outcome, strict=True):
            assert mine.tolist() == their.tolist()
        assert set(infos) == set(their_infos)


@pytest.mark.parametrize("env_id", IDS)
def test_same_step_mode_has_the_infos_of_gymnasiums_own(env_id: str) -> None:
    ours = make_vec(env_id, 2, days=2, autoreset_mode=AutoresetMode.SAME_STEP)
    vector_kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
    theirs: Any = gymnasium.make_vec(
        env_id, num_envs=2, vectorization_mode="sync", vector_kwargs=vector_kwargs, days=2
    )
    ours.reset(seed=0)
    theirs.reset(seed=0)
    for _ in range(5):
        actions = ours.action_space.sample()
        infos, their_infos = ours.step(actions)[-1], theirs.step(actions)[-1]
        assert set(infos) == set(their_infos)
        if "final_info" in infos:
            assert set(infos["final_info"]) == set(their_infos["final_info"])
            assert set(infos["final_info"]["episode_metrics"]) == set(
                their_infos["final_info"]["episode_metrics"]
            )
            assert infos["final_obs"].dtype == their_infos["final_obs"].dtype == object


@pytest.mark.parametrize("env_id", IDS)
def test_without_autoreset_a_mask_restarts_some_campaigns(env_id: str) -> None:
    vector = make_vec(env_id, 3, days=2, action="spend", autoreset_mode=AutoresetMode.DISABLED)
    vector.reset(seed=0)
    spend = np.full((3, 3), 10.0)
    vector.step(spend)
    seen, _ = vector.reset(options={"reset_mask": np.array([False, True, False])})
    assert seen[:, :2].tolist() == [[0, 1], [1, 0], [0, 1]]
    *_, terminated, _, infos = vector.step(spend)
    assert terminated.tolist() == [True, False, True]
    assert infos["_episode_metrics"].tolist() == [True, False, True]
    assert infos["episode_metrics"]["campaign/spend_ads"].tolist() == [20.0, 0.0, 20.0]
    with pytest.raises(ResetNeeded, match=r"campaigns \[0, 2\] are over"):
        vector.step(spend)
    with pytest.raises(ValueError, match="reset_mask"):
        vector.reset(options={"reset_mask": [1, 0, 1]})


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_campaigns_on_different_days_do_not_change_each_other(
    env_id: str, mode: AutoresetMode
) -> None:
    kwargs: dict[str, Any] = {"days": 3, "action": "spend"}
    vector = make_vec(env_id, 2, autoreset_mode=mode, **kwargs)
    alone = [
        gymnasium.vector.SyncVectorEnv([lambda: make(env_id, **kwargs)], autoreset_mode=mode)
        for _ in range(2)
    ]
    rng = np.random.default_rng(0)
    vector.reset(seed=0)
    for env in alone:
        env.reset(seed=0)
    spends = rng.uniform(0, 30, (2, 3))
    deal(vector, 1, alone[1].envs[0])
    vector.step(spends)
    alone[1].step(spends[1:])
    vector.reset(options={"reset_mask": np.array([True, False])})
    for _ in range(8):
        for row, env in enumerate(alone):
            deal(vector, row, env.envs[0])
        spends = rng.uniform(0, 30, (2, 3))
        seen, rewards, terminated, *_ = vector.step(spends)
        for row, env in enumerate(alone):
            alone_seen, reward, alone_terminated, *_ = env.step(spends[row : row + 1])
            assert seen[row].tobytes() == alone_seen[0].tobytes()
            assert (rewards[row], terminated[row]) == (reward[0], alone_terminated[0])


def test_the_reward_scale_scales_the_reward_and_nothing_else() -> None:
    plain, scaled = make(IDS[0], days=1), make(IDS[0], days=1, reward_scale=0.001)
    outcomes = []
    for env in (plain, scaled):
        env.reset(seed=0)
        outcomes.append(env.step(np.array([1.0, 2.0, 3.0])))
    (_, reward, *_, info), (_, small, *_, small_info) = outcomes
    assert small == pytest.approx(0.001 * reward, rel=1e-12)
    assert info["episode_metrics"] == small_info["episode_metrics"]


@pytest.mark.parametrize("env_id", IDS)
def test_the_history_observation_is_laid_out_as_documented(env_id: str) -> None:
    env = make(env_id, action="spend", days=2)
    first, _ = env.reset(seed=0)
    assert first.tolist() == [1, 0] + [0] * 12
    second, *_, info = env.step(np.array([10.0, 20.0, 30.0]))
    ceiling = env.unwrapped.params.played_ceiling
    expected = [
        0.1,
        0.2,
        0.3,
        *(np.array([info["likes"], info["comments"], info["shares"]]) / ceiling[3:]),
    ]
    np.testing.assert_allclose(second, [0, 1, *expected, *[0] * 6], rtol=1e-6)
    third, *_, info = env.step(np.array([40.0, 0.0, 50.0]))
    later = [
        0.4,
        0.0,
        0.5,
        *(np.array([info["likes"], info["comments"], info["shares"]]) / ceiling[3:]),
    ]
    np.testing.assert_allclose(third, [0, 0, *expected, *later], rtol=1e-6)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_extreme_campaigns_stay_within_the_observation_space(
    env_id: str, observation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_such_a_campaign = SimpleNamespace(engagement=1.0)  # to solve it takes a while
    monkeypatch.setattr("envs.campaign.batch.nominal_plan", lambda _: for_such_a_campaign)
    for channel in range(3):
        env = make(env_id, action="channel", observation=observation, daily_budget=1e6, days=28)
        seen, _ = env.reset(seed=0)
        terminated = False
        while not terminated:
            assert env.observation_space.contains(seen)
            seen, _, terminated, *_ = env.step(channel)
        assert env.observation_space.contains(seen)


def _table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the class's page."""
    section = (CampaignEnv.__doc__ or "").split(f"## {heading}\n")[1].split("\n    ## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_has_the_action_spaces() -> None:
    spaces = {row[0]: row[1] for row in _table("Action Space")}
    assert spaces == {
        action: str(make(IDS[0], action=action).action_space) for action in ALLOCATIONS
    }


def test_the_page_has_the_bounds_of_the_observations() -> None:
    rows = _table("Observation Space")
    for observation in OBSERVATIONS:
        space = make("envs:LinearCampaign-v0", observation=observation).observation_space
        covered: list[int] = []
        for name, index, _, low, high, unit in rows:
            if name != observation:
                continue
            first, last = (
                int(i) for i in (index.split(" to ") if " to " in index else (index, index))
            )
            assert set(space.low[first : last + 1].tolist()) == {float(low)}
            np.testing.assert_allclose(space.high[first : last + 1], float(high), rtol=1e-6)
            assert unit.startswith("[")
            covered += range(first, last + 1)
        assert covered == list(range(space.shape[0]))


@pytest.mark.parametrize("env_id", IDS)
def test_a_campaign_can_be_printed_and_drawn_from_the_start(env_id: str) -> None:
    env = make(env_id, render_mode="ansi", action="spend", days=2)
    env.reset(seed=0)
    assert env.render().split()[:8] == [
        "day",
        "posts",
        "ads",
        "rewards",
        "likes",
        "comments",
        "shares",
        "engagement",
    ]
    env.step(np.array([10.0, 20.0, 30.0]))
    lines = env.render().splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:4] == ["1", "10.0", "20.0", "30.0"]
    assert lines[2].split()[0] == "total"
    drawing = make(env_id, render_mode="rgb_array", days=2)
    drawing.reset(seed=0)
    empty = drawing.render()
    drawing.step(np.zeros(3))
    drawn = drawing.render()
    assert empty.shape == drawn.shape == (400, 800, 3)
    assert drawn.dtype == np.uint8
    assert (empty != drawn).any()
    vector = make_vec(env_id, 2, render_mode="ansi")
    vector.reset(seed=0)
    assert len(vector.render()) == 2


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_own_wrappers_work(env_id: str) -> None:
    def wrapped() -> Any:
        env = make(env_id)
        env = gymnasium.wrappers.FlattenObservation(env)
        env = gymnasium.wrappers.RecordEpisodeStatistics(env)
        env = gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
        env = gymnasium.wrappers.ClipAction(env)
        env = gymnasium.wrappers.NormalizeObservation(env)
        env = gymnasium.wrappers.TransformObservation(
            env, lambda seen: np.clip(seen, -10, 10), env.observation_space
        )
        return gymnasium.wrappers.NormalizeReward(env)

    batch = gymnasium.vector.SyncVectorEnv([wrapped, wrapped])
    batch.reset(seed=0)
    finished = 0
    for _ in range(20):
        *_, infos = batch.step(batch.action_space.sample())
        finished += int(infos.get("_episode", np.zeros(2)).sum())
    assert finished == 4
    batch.close()


@pytest.mark.parametrize("env_id", IDS)
def test_environments_run_in_other_processes(env_id: str) -> None:
    batch: Any = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="async")
    alone = make(env_id)
    try:
        batch.reset(seed=0)
        alone.reset(seed=0)
        actions = batch.action_space.sample()
        assert batch.step(actions)[1][0] == alone.step(actions[0])[1]
    finally:
        batch.close()


@pytest.mark.parametrize("env_id", IDS)
def test_other_algorithms_learn_on_the_id_as_it_is(env_id: str) -> None:
    PPO("MlpPolicy", env_id, n_steps=14, batch_size=14, n_epochs=1, device="cpu").learn(28)
    SAC("MlpPolicy", env_id, learning_starts=10, batch_size=8, device="cpu").learn(20)
    model = A2C(
        "MlpPolicy", make_vec_env(env_id, n_envs=2, env_kwargs={"action": "channel"}), device="cpu"
    ).learn(30)
    monitored = make_vec_env(env_id, n_envs=1, env_kwargs={"action": "channel"})
    mean: Any = evaluate_policy(model, monitored, n_eval_episodes=2)[0]
    assert mean > 0
