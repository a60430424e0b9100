"""What happens when something goes wrong while a run is trained, and what a user reads of it."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tools.programs import run
from tests.tools.resuming import PROCESSES, Crash, Job, Outcome, crash_after, outcome
from tests.toy_envs import NOT_A_NUMBER, SECRETIVE
from train.__main__ import main
from train.errors import InputError
from train.logs.training_log import TrainingLog
from train.storage import run_folder
from train.storage.run_folder import find_run, load_run, lock
from train.storage.state import dump, load

SIZE = 16 * 8
JOB = Job("cartpole", "reference", steps=12 * SIZE, every=2 * SIZE)
N_STEPS = 8


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """How the run ends that nothing happens to."""
    runs = tmp_path_factory.mktemp("whole")
    assert main(JOB.argv(runs)) == 0
    return outcome(JOB.folder(runs))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return JOB.folder(tmp_path)


def start_and_crash(tmp_path: Path, rollouts: int = 9) -> None:
    with crash_after(rollouts * N_STEPS), pytest.raises(Crash):
        main(JOB.argv(tmp_path))


def resume(folder: Path, *words: str) -> int:
    return main(["--resume", str(folder), *words])


def checkpoints(folder: Path) -> list[str]:
    return sorted(
        (path.name for path in (folder / "checkpoint").iterdir()),
        key=lambda name: (len(name), name),
    )


def test_the_last_two_checkpoints_are_kept(tmp_path: Path, folder: Path) -> None:
    start_and_crash(tmp_path)
    assert checkpoints(folder) == [f"{6 * SIZE}.pt", f"{8 * SIZE}.pt"]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda content: flipped(content, len(content) // 2), "does not match its checksum"),
        (lambda content: flipped(content, content.index(b"data.pkl")), "is damaged"),
        (lambda content: content[:-9], "is not a zip archive"),
        (lambda content: content[: len(content) // 2], "is not a zip archive"),
        (lambda _: b"", "is not a zip archive"),
        (lambda _: dump({"timesteps": 8 * SIZE}), "does not hold the state after step 1,024"),
        (lambda _: dump({"timesteps": 1, "parts": {}}), "does not hold the state after step 1,024"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    tmp_path: Path, folder: Path, whole: Outcome, harm: Callable[[bytes], bytes], reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    start_and_crash(tmp_path)
    newest = folder / f"checkpoint/{8 * SIZE}.pt"
    newest.write_bytes(harm(newest.read_bytes()))
    assert resume(folder) == 0
    said = capsys.readouterr()
    assert f"checkpoint {newest} is damaged: " in said.err
    assert reason in said.err
    assert f"resumes after step {6 * SIZE:,}" in said.out
    assert outcome(folder) == whole
    assert f"damaged-{8 * SIZE}.pt" in checkpoints(folder)


def flipped(content: bytes, place: int) -> bytes:
    """The same with one bit changed."""
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed() -> None:
    state = {
        "a": np.arange(40.0),
        "b": torch.ones(20),
        "c": np.random.default_rng(1),
        "d": [1, "x"],
    }
    content = dump(state)
    expected = plain(load(content))
    for place in range(len(content)):
        with contextlib.suppress(ValueError):
            assert plain(load(flipped(content, place))) == expected, place


def plain(state: Any) -> str:
    """Everything in a state, as text."""
    return f"{state['a']} {state['b']} {state['c'].bit_generator.state} {state['d']} {len(state)}"


def test_checkpoints_of_an_earlier_format_are_refused(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_and_crash(tmp_path)
    shutil.rmtree(folder / "checkpoint")
    (folder / f"checkpoint/{8 * SIZE}").mkdir(parents=True)
    assert resume(folder) == 2
    assert "have the format of an earlier version, which is not read" in capsys.readouterr().err


def test_without_a_good_checkpoint_a_run_starts_from_the_beginning(
    tmp_path: Path, folder: Path, whole: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    start_and_crash(tmp_path)
    for path in (folder / "checkpoint").iterdir():
        path.write_text("{}")
    assert resume(folder) == 0
    said = capsys.readouterr()
    assert said.err.count("is damaged") == 2
    assert "starts from the beginning" in said.out
    assert outcome(folder) == whole


def test_a_run_that_is_being_written_is_told_from_one_that_died(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_and_crash(tmp_path)
    assert find_run(folder).state.state == "running"
    with pytest.raises(InputError, match=r"it died .* resume it with python -m train --resume"):
        load_run(folder)
    with lock(folder):
        assert resume(folder) == 2
        assert "another process is writing it" in capsys.readouterr().err
        with pytest.raises(InputError, match=r"state: running"):
            load_run(folder)


def test_a_finished_run_is_left_as_it_is_or_goes_further(
    tmp_path: Path, folder: Path, whole: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(JOB.argv(tmp_path)) == 0
    assert resume(folder) == 0
    assert "is finished already" in capsys.readouterr().out
    assert outcome(folder) == whole
    assert resume(folder, "--total-timesteps", str(JOB.steps)) == 2
    assert "1,536 steps already" in capsys.readouterr().err
    assert resume(folder, "--total-timesteps", str(2 * JOB.steps)) == 0
    assert "differs from that of a run of so many steps from the start" in capsys.readouterr().out
    further = find_run(folder)
    assert (further.config.total_timesteps, further.state.timesteps) == (
        2 * JOB.steps,
        2 * JOB.steps,
    )
    assert outcome(folder).progress.startswith(whole.progress)
    assert (folder / "command.txt").read_text().count("--resume") == 1


def test_a_killed_run_is_not_shortened_below_its_checkpoint(
    tmp_path: Path, folder: Path, whole: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    start_and_crash(tmp_path)
    config = (folder / "config.yaml").read_bytes()
    assert resume(folder, "--total-timesteps", str(8 * SIZE)) == 2
    assert "--total-timesteps 1024" in (said := capsys.readouterr().err)
    assert "has 1,024 steps already" in said
    assert (folder / "config.yaml").read_bytes() == config
    assert resume(folder) == 0
    assert outcome(folder) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("n_steps: 8", "reference.n_steps 9, the checkpoint was made with 8"),
        ("use_rms_prop: true", "reference.use_rms_prop False, the checkpoint was made with True"),
        ("torch_threads: 1", "torch_threads 9, the checkpoint was made with 1"),
        ("kwargs: {}", "env.kwargs.sutton_barto_reward True, the checkpoint was made with None"),
        ("total_timesteps: 1536", "total_timesteps 9, the checkpoint was made with 1536"),
    ],
)
def test_a_config_changed_since_the_checkpoint_is_named(
    tmp_path: Path, folder: Path, whole: Outcome, change: str, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    start_and_crash(tmp_path)
    path = folder / "config.yaml"
    before = path.read_text()
    name, _, value = change.partition(": ")
    other = {"{}": "{sutton_barto_reward: true}", "true": "false"}.get(value, "9")
    assert change in before
    path.write_text(before.replace(change, f"{name}: {other}"))
    for words in ([], ["--total-timesteps", "9000"]):
        if "total" not in name or not words:
            assert resume(folder, *words) == 2
            assert f"config.yaml says {message}" in capsys.readouterr().err
    path.write_text(before.replace("checkpoint_every: 256", "checkpoint_every: 384"))
    assert resume(folder) == 0
    assert outcome(folder) == whole


def test_a_later_end_in_a_config_is_announced(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_and_crash(tmp_path)
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace(f"{JOB.steps}", f"{2 * JOB.steps}"))
    assert resume(folder) == 0
    assert "trains to 3,072 steps instead of 1,536" in capsys.readouterr().out


def test_a_run_killed_before_its_model_was_saved_only_saves_it(
    tmp_path: Path, folder: Path, whole: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("train.agents.reference_agent.save", crash)
        with pytest.raises(Crash):
            main(JOB.argv(tmp_path))
    assert not (folder / "model.pt").exists()
    assert resume(folder) == 0
    assert outcome(folder) == whole


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_at_a_rollout_and_loses_nothing(
    tmp_path: Path,
    folder: Path,
    whole: Outcome,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    when_called(monkeypatch, 9 * N_STEPS + 3, lambda: os.kill(os.getpid(), number))
    assert main(JOB.argv(tmp_path)) == 130
    assert f"python -m train --resume {folder}" in capsys.readouterr().err
    assert find_run(folder).state == run_folder.RunState(
        agent="reference", seed=0, state="interrupted", timesteps=10 * SIZE, order=1
    )
    assert load_run(folder).model.is_file()
    monkeypatch.undo()
    assert resume(folder) == 0
    assert outcome(folder) == whole


def when_called(monkeypatch: pytest.MonkeyPatch, steps: int, do: Callable[[], object]) -> None:
    """Does something in the ``steps``-th vector step of training."""
    before, count = TrainingLog.step, [0]

    def step(log: TrainingLog, infos: dict[str, Any]) -> None:
        count[0] += 1
        if count[0] == steps:
            do()
        before(log, infos)

    monkeypatch.setattr(TrainingLog, "step", step)


def test_a_full_disk_stops_training_and_harms_no_checkpoint(
    tmp_path: Path, folder: Path, whole: Outcome, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def write(path: Path, content: bytes) -> int:
        if path.suffix == ".pt" and (folder / f"checkpoint/{6 * SIZE}.pt").exists():
            path.write_text("half of i")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", write)
    assert main(JOB.argv(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "cannot be written: No space left on device" in said
    assert f"python -m train --resume {folder}" in said
    assert "Traceback" not in said
    assert checkpoints(folder) == [f"{4 * SIZE}.pt", f"{6 * SIZE}.pt"]
    monkeypatch.undo()
    assert resume(folder) == 0
    assert outcome(folder) == whole


def in_little_room(argv: list[str], errors: str) -> None:
    """Runs the program where no file may grow beyond 16 KiB, which the system sees to."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))
    with open(errors, "w") as sys.stderr:
        code = main(argv)
    raise SystemExit(code)


def test_a_file_that_cannot_grow_is_one_message(tmp_path: Path) -> None:
    process = PROCESSES.Process(
        target=in_little_room, args=(JOB.argv(tmp_path), str(tmp_path / "errors"))
    )
    process.start()
    process.join()
    said = (tmp_path / "errors").read_text()
    assert process.exitcode == 2
    assert "cannot be written: File too large" in said
    assert "Traceback" not in said


def test_a_deleted_folder_stops_training_and_stays_deleted(
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    when_called(monkeypatch, 5 * N_STEPS, lambda: shutil.rmtree(folder))
    assert main(JOB.argv(tmp_path)) == 2
    said = capsys.readouterr().err
    assert f"run {folder}: the folder was deleted while training" in said
    assert "Traceback" not in said
    assert not folder.exists()


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, folder: Path, whole: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, jump = time.time, 4e8
    when_called(
        monkeypatch, 3 * N_STEPS, lambda: monkeypatch.setattr(time, "time", lambda: now() - jump)
    )
    start_and_crash(tmp_path, rollouts=5)
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    with crash_after(3 * N_STEPS), pytest.raises(Crash):
        resume(folder)
    monkeypatch.setattr(time, "time", lambda: now() - 2 * jump)
    assert resume(folder) == 0
    assert outcome(folder) == whole


def write_config(path: Path, env: str, **changes: Any) -> Path:
    part = {"n_envs": 2, "n_steps": 4, "log_interval": 1, "use_rms_prop": False} | changes
    text = (
        ", ".join(f"{name}: {value}" for name, value in part.items())
        .replace("True", "true")
        .replace("False", "false")
    )
    path.write_text(
        f"env: {{id: '{env}'}}\ntotal_timesteps: 160\ncheckpoint_every: 16\n"
        f"a2c: {{{text}}}\nreference: {{{text}}}\nevaluation: {{n_eval_episodes: 1}}\n"
    )
    return path


@pytest.mark.parametrize("agent", ["a2c", "reference"])
def test_losses_that_are_no_numbers_stop_training_where_they_come_up(
    tmp_path: Path, agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "odd.yaml", NOT_A_NUMBER)
    assert main([str(config), "--agents", agent, "--runs-dir", str(tmp_path)]) == 2
    folder = tmp_path / f"odd/{agent}-seed0-1"
    said = capsys.readouterr().err
    assert "training diverged at step 88: policy_loss is nan, value_loss is nan" in said.replace(
        "train/", ""
    )
    assert "the last good checkpoint is that of step 80" in said
    assert find_run(folder).state.state == "diverged"
    assert checkpoints(folder) == ["64.pt", "80.pt"]
    assert not find_run(folder).model.exists()
    assert resume(folder) == 2
    assert "diverged at step 88" in capsys.readouterr().err
    assert checkpoints(folder) == ["64.pt", "80.pt"]


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("agent", ["a2c", "reference"])
def test_weights_that_are_no_numbers_stop_training(
    tmp_path: Path, agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(
        tmp_path / "wild.yaml", "CartPole-v1", learning_rate="1e30", max_grad_norm=".inf"
    )
    assert main([str(config), "--agents", agent, "--runs-dir", str(tmp_path)]) == 2
    assert "training diverged a" in capsys.readouterr().err
    assert find_run(tmp_path / f"wild/{agent}-seed0-1").state.state == "diverged"


@pytest.mark.parametrize("agent", ["a2c", "reference"])
def test_an_environment_that_cannot_be_saved_is_named_at_the_start(
    tmp_path: Path, agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "odd.yaml", SECRETIVE)
    argv = [str(config), "--agents", agent, "--runs-dir"]
    assert main([*argv, str(tmp_path / "whole")]) == 0
    assert "no checkpoints: tests.toy_envs:Secretive-v0 cannot be saved" in (
        said := capsys.readouterr().err
    )
    assert "_steps is a builtins.range_iterator" in said
    with crash_after(50), pytest.raises(Crash):
        main([*argv, str(tmp_path / "cut")])
    folder = tmp_path / f"cut/odd/{agent}-seed0-1"
    assert resume(folder) == 0
    assert "has no checkpoint: starts from the beginning" in capsys.readouterr().out
    assert outcome(folder) == outcome(tmp_path / f"whole/odd/{agent}-seed0-1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "run nowhere: no such folder"),
        (["configs"], "run configs: is not a complete run"),
        (["README.md"], "run README.md: is a file, not the folder of a run"),
        (
            ["configs", "--total-timesteps", "0"],
            "--total-timesteps 0: must be a whole number of 1 or more",
        ),
    ],
)
def test_what_cannot_be_resumed_is_named(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_program_resumes(tmp_path: Path, folder: Path, whole: Outcome) -> None:
    start_and_crash(tmp_path)
    done = run("train", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert f"resumes after step {8 * SIZE:,}" in done.stdout
    assert outcome(folder) == whole
