"""Training as its user meets it: folders, logs, repeatability, interruption and every refusal."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pandas as pd
import pytest
import torch
from stable_baselines3 import A2C
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tools.programs import ROOT, run, started, wait_until
from train.__main__ import main
from train.config import load_config
from train.errors import InputError
from train.signals import stop_on_signals
from train.storage.files import write_file
from train.storage.run_folder import create_run, finished_runs, load_run

FIGURES = json.loads((ROOT / "tests/article_figures.json").read_text(encoding="utf-8"))["seeds"]
QUICK = ("--total-timesteps", "8000")
FILES = {"config.yaml", "command.txt", "versions.json", "run.json", "progress.csv", "timing.csv"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of both agents on the linear campaign, made by the program itself."""
    folder = tmp_path_factory.mktemp("runs")
    done = run("train", "configs/linear.yaml", "--runs-dir", folder, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "of the optimum" in done.stdout
    assert "python -m evaluate configs/linear.yaml" in done.stdout
    assert "tensorboard" in done.stdout
    return folder / "linear"


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return accumulator


@pytest.mark.parametrize("seed", FIGURES)
def test_the_articles_learning_curve_to_the_digit(seed: str, tmp_path: Path) -> None:
    argv = [
        "configs/article.yaml",
        "--agents",
        "reference",
        "--seeds",
        seed,
        "--runs-dir",
        str(tmp_path),
    ]
    assert main(argv) == 0
    progress = pd.read_csv(tmp_path / f"article/reference-seed{seed}-1/progress.csv")
    assert progress["engagement"].tolist() == FIGURES[seed]["training_total_engagement"]
    assert progress["timesteps"].tolist() == list(range(7, 701, 7))
    assert progress["episodes"].tolist() == list(range(1, 101))


@pytest.mark.parametrize(("agent", "model"), [("a2c", "model.zip"), ("reference", "model.pt")])
def test_a_run_leaves_everything_that_re_creates_it(runs: Path, agent: str, model: str) -> None:
    folder = runs / f"{agent}-seed0-1"
    names = {
        path.name for path in folder.iterdir() if not path.name.startswith("events.out.tfevents")
    }
    assert names == FILES | {model, "checkpoint"}
    assert load_run(folder).config.total_timesteps == 8000
    assert load_config(folder / "config.yaml").a2c == load_config(Path("configs/linear.yaml")).a2c
    assert "python -m train configs/linear.yaml" in (folder / "command.txt").read_text()
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["packages"]["torch"].startswith("2.13.0")
    assert json.loads((folder / "run.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("agent", ["a2c", "reference"])
def test_the_progress_counts_episodes_and_tells_unscaled_metrics(runs: Path, agent: str) -> None:
    folder = runs / f"{agent}-seed0-1"
    progress = pd.read_csv(folder / "progress.csv")
    assert list(progress.columns[:3]) == ["timesteps", "episodes", "engagement"]
    assert (progress["timesteps"] == 7 * progress["episodes"]).all()
    assert progress["timesteps"].iloc[-1] >= 8000
    assert progress["engagement"].between(2520, 5950).all()
    spent = progress[["spend_posts", "spend_ads", "spend_rewards"]].sum(axis=1)
    assert spent.to_numpy() == pytest.approx(700.0)
    assert (
        progress[["policy_loss", "value_loss", "entropy_loss", "learning_rate", "std"]]
        .notna()
        .all(axis=None)
    )
    timing = pd.read_csv(folder / "timing.csv")
    assert timing["timesteps"].tolist() == progress["timesteps"].tolist()
    assert not {"seconds", "fps"} & set(progress.columns)


def test_both_agents_lie_on_the_same_tensorboard_charts(runs: Path) -> None:
    tags = {}
    for agent in ("a2c", "reference"):
        accumulator = events(runs / f"{agent}-seed0-1")
        tags[agent] = set(accumulator.Tags()["scalars"])
        progress = pd.read_csv(runs / f"{agent}-seed0-1/progress.csv")
        engagement = accumulator.Scalars("campaign/engagement")
        assert [event.step for event in engagement] == progress["timesteps"].tolist()
        assert [event.value for event in engagement] == pytest.approx(
            progress["engagement"].tolist(), rel=1e-6
        )
    assert tags["a2c"] == tags["reference"]
    expected = (
        {"ep_rew_mean", "ep_len_mean"},
        {"value_loss", "policy_loss", "entropy_loss", "explained_variance", "std"},
    )
    assert {f"rollout/{name}" for name in expected[0]} | {
        f"train/{name}" for name in expected[1]
    } <= tags["a2c"]
    assert {
        "campaign/share_of_optimum",
        "campaign/spend_ads",
        "train/learning_rate",
        "time/fps",
    } <= tags["a2c"]


def test_the_losses_of_a_row_are_those_of_its_own_rollout(runs: Path) -> None:
    progress = pd.read_csv(runs / "a2c-seed0-1/progress.csv")
    done = (progress["timesteps"] / 8000).clip(upper=1.0)
    assert progress["learning_rate"].to_numpy() == pytest.approx(0.01 * (1 - done), abs=1e-9)
    assert progress["timesteps"].tolist() == [
        3584,
        7168,
        10752,
    ]  # the first, every second, and the last rollout


def test_sb3_opens_the_model_and_it_is_the_policy_we_load(runs: Path) -> None:
    from evaluate.policies import load_candidates

    env = gymnasium.make("envs:LinearCampaign-v0")
    seen, _ = env.reset(seed=0)
    trusted = A2C.load(runs / "a2c-seed0-1/model.zip", device="cpu")
    (ours,) = load_candidates([load_run(runs / "a2c-seed0-1")], main="linear")
    assert (
        trusted.predict(seen, deterministic=True)[0].tolist()
        == ours.policy.predict(seen, deterministic=True)[0].tolist()
    )


def test_the_same_seed_gives_the_same_run_in_another_process_beside_others(
    runs: Path, tmp_path: Path
) -> None:
    done = run(
        "train",
        "configs/linear.yaml",
        "--runs-dir",
        tmp_path,
        "--seeds",
        "1",
        "0",
        "--jobs",
        "2",
        *QUICK,
    )
    assert done.returncode == 0, done.stderr
    assert "4 runs, 2 at a time" in done.stdout
    for agent in ("a2c", "reference"):
        first, second = (
            load_run(runs / f"{agent}-seed0-1"),
            load_run(tmp_path / f"linear/{agent}-seed0-1"),
        )
        other = load_run(tmp_path / f"linear/{agent}-seed1-1")
        assert weights(first.model) == weights(second.model) != weights(other.model)
        progress = [(each.folder / "progress.csv").read_bytes() for each in (first, second, other)]
        assert progress[0] == progress[1] != progress[2]


def weights(model: Path) -> list[bytes]:
    if model.suffix == ".zip":
        states = [A2C.load(model, device="cpu").policy.state_dict()]
    else:
        states = [torch.load(model, weights_only=True)]
    return [value.numpy().tobytes() for state in states for value in state.values()]


@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_other_environments_train_through_the_same_command(name: str, tmp_path: Path) -> None:
    assert (
        main([f"configs/{name}.yaml", "--total-timesteps", "6000", "--runs-dir", str(tmp_path)])
        == 0
    )
    for agent in ("a2c", "reference"):
        folder = tmp_path / name / f"{agent}-seed0-1"
        progress = pd.read_csv(folder / "progress.csv")
        assert progress["ep_rew_mean"].notna().all()
        assert progress["ep_len_mean"].iloc[-1] == (
            200 if name == "pendulum" else pytest.approx(100, abs=90)
        )
        assert "rollout/ep_rew_mean" in events(folder).Tags()["scalars"]


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "MountainCarContinuous-v0"])
def test_other_spaces_are_learned_too(env_id: str, tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    part = "{n_envs: 4, n_steps: 8, log_interval: 1}"
    config.write_text(
        f"env: {{id: {env_id}}}\ntotal_timesteps: 1100\na2c: {part}\nreference: {part}\n"
        "evaluation: {n_eval_episodes: 1}\n"
    )
    assert main([str(config), "--runs-dir", str(tmp_path / "runs")]) == 0
    assert len(finished_runs(tmp_path / "runs", "other")) == 2


def test_a_cut_off_episode_is_valued_as_if_it_went_on(tmp_path: Path) -> None:
    # In a task that is only ever cut off the value is that of going on for ever: 1 / (1 - gamma)
    # for a reward of 1.
    from tests.toy_envs import ENDLESS  # registers the id

    for agent in ("a2c", "reference"):
        config = tmp_path / f"{agent}.yaml"
        part = "{n_envs: 16, n_steps: 5, gamma: 0.9, learning_rate: 0.01, use_rms_prop: false}"
        config.write_text(
            f"env: {{id: {ENDLESS}}}\ntotal_timesteps: 24000\n{agent}: {part}\n"
            "evaluation: {n_eval_episodes: 1}\n"
        )
        assert main([str(config), "--runs-dir", str(tmp_path)]) == 0
        value = critic_value(tmp_path / agent / f"{agent}-seed0-1")
        assert value == pytest.approx(10.0, rel=0.02)


def critic_value(folder: Path) -> float:
    from train.agents.registry import REGISTRY
    from train.environment import flat_observation_space, make_env

    found = load_run(folder)
    envs = make_env(found.config.env, 1)
    agent = found.state.agent
    policy: Any = (
        REGISTRY[agent]
        .module()
        .load(
            found.model,
            found.config.agent(agent),
            flat_observation_space(envs),
            envs.single_action_space,
        )
    )
    zeros = torch.zeros(1, 1)
    with torch.no_grad():
        return float(policy.predict_values(zeros) if agent == "a2c" else policy.agent.value(zeros))


def test_ctrl_c_saves_what_there_is(tmp_path: Path) -> None:
    words = "configs/linear.yaml --agents a2c --total-timesteps 50000000 --runs-dir"
    folder = tmp_path / "linear/a2c-seed0-1"
    progress = folder / "progress.csv"
    with started("train", *words.split(), tmp_path) as process:
        wait_until(lambda: progress.exists() and progress.read_text().count("\n") > 3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert f"saved in {folder}" in err
    assert "python -m evaluate" in err
    run = load_run(folder)
    assert run.state.state == "interrupted"
    assert run.state.timesteps > 0
    assert "engagement" in out
    assert finished_runs(tmp_path, "linear") == []


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.is_made
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_made
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing.yaml"], "config nothing.yaml: no such file"),
        (["configs/linaer.yaml"], "did you mean 'configs/linear.yaml'?"),
        (["configs/linear.yaml", "--agents", "ppo"], "unknown agent"),
        (
            ["configs/article.yaml", "--agents", "a2c"],
            "the config has no part 'a2c'; it has: reference",
        ),
        (["configs/linear.yaml", "--a2c.gamma", "1.5"], "a2c.gamma=1.5"),
        (
            ["configs/linear.yaml", "--env.id", "envs:LinearCampain-v0"],
            "did you mean 'envs:LinearCampaign-v0'?",
        ),
        (
            ["configs/linear.yaml", "--env.id", "nothing:Linear-v0"],
            "cannot import the module 'nothing'",
        ),
        (["configs/linear.yaml", "--env.kwargs.reward-scale", "-1"], "reward_scale=-1.0"),
        (["configs/linear.yaml", "--jobs", "-1"], "--jobs -1: must be a whole number of 0 or more"),
        (
            ["configs/linear.yaml", "--runs-dir", "README.md/runs"],
            "runs folder README.md/runs: cannot be written",
        ),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_too_little_memory_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["configs/linear.yaml", "--runs-dir", str(tmp_path)]
    for error in (
        MemoryError("Unable to allocate 1 TiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("train.agents.a2c.build", fail)
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert "error: not enough memory" in err
        assert str(error) in err
    monkeypatch.setattr("train.agents.a2c.build", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(argv)


def test_bad_environments_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kwargs, message in (
        ("{dayz: 3}", "unknown parameter 'dayz'; did you mean 'days'?"),
        ("{days: 99}", "days=99"),
        ("{action: fly}", "action='fly': must be one of"),
    ):
        config = tmp_path / "c.yaml"
        config.write_text(
            f"env: {{id: 'envs:LinearCampaign-v0', kwargs: {kwargs}}}\n"
            "total_timesteps: 10\na2c: {}\n"
        )
        assert main([str(config), "--runs-dir", str(tmp_path / "runs")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "runs").exists()


def test_bad_input_comes_from_the_program_without_a_traceback() -> None:
    done = run("train", "configs/linear.yaml", "--a2c.n-envs", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: command line: a2c.n_envs=0")


def test_help_does_not_wait_for_torch() -> None:
    script = (
        "import sys\nfrom train.__main__ import main\n"
        "try: main(['configs/linear.yaml', '--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'gymnasium' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    config = load_config(Path("configs/linear.yaml"))
    made = [create_run(tmp_path, "linear", config, "a2c", 0) for _ in range(3)]
    assert [run.folder.name for run in made] == ["a2c-seed0-1", "a2c-seed0-2", "a2c-seed0-3"]
    other = create_run(tmp_path, "linear", config, "reference", 1)
    assert [run.state.order for run in [*made, other]] == [1, 2, 3, 4]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("before")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_file(target, fail)
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", None, "run.json missing"),
        ("config.yaml", None, "config.yaml missing"),
        ("model.zip", None, "model.zip missing"),
        ("run.json", "{", "run.json cannot be read"),
        ("config.yaml", "env: 3", "env=3"),
    ],
)
def test_an_incomplete_run_is_named(
    runs: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    folder = tmp_path / "linear/a2c-seed0-1"
    folder.mkdir(parents=True)
    for path in (runs / "a2c-seed0-1").iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(InputError, match=message):
        load_run(folder)


def test_the_newest_finished_run_of_a_seed_counts(tmp_path: Path) -> None:
    argv = ["configs/article.yaml", "--runs-dir", str(tmp_path), "--total-timesteps", "14"]
    for _ in range(2):
        assert main(argv) == 0
    (found,) = finished_runs(tmp_path, "article")
    assert found.folder.name == "reference-seed0-2"
    found.model.unlink()
    (found,) = finished_runs(tmp_path, "article")
    assert found.folder.name == "reference-seed0-1"


def test_which_run_is_newest_does_not_depend_on_the_clock(tmp_path: Path) -> None:
    words = "configs/article.yaml --total-timesteps 14 --jobs 1 --seeds 2 1 --runs-dir"
    assert main([*words.split(), str(tmp_path)]) == 0
    os.utime(tmp_path / "article/reference-seed1-1/model.pt", (0, 0))
    runs = finished_runs(tmp_path, "article")
    assert [(run.state.seed, run.state.order) for run in runs] == [(1, 2), (2, 1)]
    path = runs[0].folder / "run.json"
    path.write_text(path.read_text().replace(',\n  "order": 2', ""))
    assert load_run(runs[0].folder).state.order == 0


def test_a_run_is_called_after_the_folder_that_was_named(tmp_path: Path) -> None:
    config = load_config(Path("configs/linear.yaml"))
    run = create_run(tmp_path, "linear", config, "a2c", 0)
    (tmp_path / "alias").symlink_to(tmp_path / "linear")
    assert run.config_name == "linear"
    assert run._replace(folder=tmp_path / "alias" / run.folder.name).config_name == "alias"


def test_infinity_is_not_in_the_log(runs: Path) -> None:
    progress = pd.read_csv(runs / "reference-seed0-1/progress.csv")
    assert not any(
        math.isinf(value) for value in progress.select_dtypes("number").to_numpy().flatten()
    )
