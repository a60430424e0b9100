"""Runs side by side: what comes back, and what happens when one fails or all are interrupted."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.tools.programs import ROOT
from train.config import InputError
from train.parallel import run_all


@pytest.fixture(autouse=True)
def nothing_loaded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.parallel.PRELOAD", [])


def work(what: str, folder: Path) -> str:
    """Stands for a run: leaves a mark, then does what it was told."""
    (folder / f"{what}-{os.getpid()}").touch()
    if what == "refuse":
        raise InputError("the runs folder is full")
    if what == "die":
        os._exit(7)
    try:
        time.sleep(60 if what == "wait" else 0)
    except KeyboardInterrupt:
        return "saved"
    return what


def test_every_result_comes_once_and_from_processes_of_their_own(tmp_path: Path) -> None:
    told: list[str] = []
    results = run_all(work, [(str(number), tmp_path) for number in range(5)], 2, told.append)
    assert sorted(results) == sorted(told) == ["0", "1", "2", "3", "4"]
    pids = {path.name.split("-")[1] for path in tmp_path.iterdir()}
    assert len(pids) == 5
    assert str(os.getpid()) not in pids


def test_no_more_run_at_once_than_was_asked_for(tmp_path: Path) -> None:
    seen: list[int] = []
    jobs = [(str(number), tmp_path) for number in range(4)]
    run_all(work, jobs, 1, lambda _: seen.append(len(list(tmp_path.iterdir()))))
    assert seen == [1, 2, 3, 4]


def test_bad_input_in_a_run_ends_all_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the runs folder is full"):
        run_all(work, [("wait", tmp_path), ("refuse", tmp_path)], 2, lambda _: None)
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()


def test_a_run_that_dies_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 7"):
        run_all(work, [("die", tmp_path)], 2, lambda _: None)


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


def test_ctrl_c_saves_each_of_the_runs(tmp_path: Path) -> None:
    words = [
        "configs/article.yaml",
        "--seeds",
        "0",
        "1",
        "--jobs",
        "2",
        "--total-timesteps",
        "50000000",
    ]
    command = [sys.executable, "-m", "train", *words, "--runs-dir", str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folders = [tmp_path / f"article/reference-seed{seed}-1" for seed in (0, 1)]
    end = time.monotonic() + 60
    while not all(
        path.exists() and path.stat().st_size > 500
        for path in (folder / "progress.csv" for folder in folders)
    ):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    for folder in folders:
        assert '"state": "interrupted"' in (folder / "run.json").read_text()
        assert f"python -m evaluate {folder}" in err
