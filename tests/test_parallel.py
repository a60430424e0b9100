"""Runs side by side: what comes back, and what happens when one fails or all are interrupted."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.tools.programs import started, wait_until
from tests.toy_envs import UNSTABLE
from train.__main__ import main
from train.errors import InputError
from train.parallel import run_all
from train.storage.run_folder import find_run, is_alive


@pytest.fixture(autouse=True)
def nothing_loaded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.parallel.PRELOAD", [])


def work(what: str, folder: Path) -> str:
    """Stands for a run: leaves a mark, then does ``what``."""
    (folder / f"{what}-{os.getpid()}").touch()
    while "later" in what and len(list(folder.iterdir())) < 3:
        time.sleep(0.05)
    if "refuse" in what:
        raise InputError("the runs folder is full")
    if "die" in what:
        os._exit(7)
    try:
        time.sleep(60 if what == "wait" else 0)
    except KeyboardInterrupt:
        return "saved"
    return what


def test_every_result_comes_once_and_from_processes_of_their_own(tmp_path: Path) -> None:
    came: list[str] = []
    results = run_all(work, [(str(number), tmp_path) for number in range(5)], 2, came.append)
    assert sorted(results) == sorted(came) == ["0", "1", "2", "3", "4"]
    pids = {path.name.split("-")[1] for path in tmp_path.iterdir()}
    assert len(pids) == 5
    assert str(os.getpid()) not in pids


def test_no_more_run_at_once_than_was_asked_for(tmp_path: Path) -> None:
    seen: list[int] = []
    jobs = [(str(number), tmp_path) for number in range(4)]
    run_all(work, jobs, 1, lambda _: seen.append(len(list(tmp_path.iterdir()))))
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [("refuse", InputError, "the runs folder is full"), ("die", RuntimeError, "exit code 7")],
)
def test_a_run_that_fails_lets_the_others_save(
    tmp_path: Path, what: str, error: type[Exception], message: str
) -> None:
    came: list[str] = []
    jobs = [("wait", tmp_path), ("wait", tmp_path), (f"{what} later", tmp_path), ("0", tmp_path)]
    with pytest.raises(error, match=message):
        run_all(work, jobs, 3, came.append)
    assert came == ["saved", "saved"]
    assert not multiprocessing.active_children()
    assert len(list(tmp_path.iterdir())) == 3


def test_ctrl_c_lets_every_running_one_save_and_starts_no_other(tmp_path: Path) -> None:
    def interrupt() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    results = run_all(work, [("wait", tmp_path)] * 3, 2, lambda _: None)
    assert results == ["saved", "saved"]
    assert len(list(tmp_path.iterdir())) == 2


def argv(runs_dir: Path) -> list[str]:
    """Two runs at a time that would take hours."""
    words = "configs/article.yaml --seeds 0 1 --jobs 2 --total-timesteps 50000000"
    often = ["--checkpoint-every", "700", "--runs-dir", str(runs_dir)]
    return ["train", *words.split(), *often]


def folders(runs_dir: Path) -> list[Path]:
    """Their folders, once both have a checkpoint."""
    paths = [runs_dir / f"article/reference-seed{seed}-1" for seed in (0, 1)]
    wait_until(lambda: all(list(path.glob("checkpoint/*.pt")) for path in paths))
    return paths


def test_ctrl_c_saves_each_of_the_runs(tmp_path: Path) -> None:
    with started(*argv(tmp_path)) as process:
        runs = folders(tmp_path)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    for folder in runs:
        assert find_run(folder).state.state == "interrupted"
        assert f"python -m evaluate {folder}" in err
        assert f"python -m train --resume {folder}" in err


def test_runs_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    with started(*argv(tmp_path)) as process:
        runs = folders(tmp_path)
        process.kill()
        process.wait(timeout=60)
        wait_until(lambda: not any(map(is_alive, runs)))
    for folder in runs:
        state = find_run(folder).state
        assert state.state == "interrupted"
        assert (folder / f"checkpoint/{state.timesteps}.pt").is_file()


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_run_that_diverges_does_not_end_the_others(
    tmp_path: Path, jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "odd.yaml"
    part = "{n_envs: 2, n_steps: 4, use_rms_prop: false}"
    config.write_text(
        f"env: {{id: '{UNSTABLE}'}}\ntotal_timesteps: 160\na2c: {part}\n"
        "evaluation: {n_eval_episodes: 1}\n"
    )
    words = ["--seeds", "0", "10", "20", "--jobs", jobs, "--runs-dir", str(tmp_path)]
    assert main([str(config), *words]) == 2
    said = capsys.readouterr()
    runs = {seed: find_run(tmp_path / f"odd/a2c-seed{seed}-1") for seed in (0, 10, 20)}
    states = [run.state.state for run in runs.values()]
    assert sorted(states) == ["diverged", "finished", "finished"]
    diverged = next(run.folder for run in runs.values() if run.state.state == "diverged")
    assert f"error: run {diverged}: training diverged" in said.err
    assert said.err.count("error: ") == 1
    assert "a2c seed 10: diverged" in said.out
