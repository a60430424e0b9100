"""Runs the programs as their users do: as processes, from the checkout's root."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def run(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """``python -m WORDS``; its exit code, output and errors."""
    pipes: dict[str, Any] = {"capture_output": True, "text": True}
    return subprocess.run(
        _command(words), cwd=cwd, env=_environment(), timeout=300, check=False, **pipes
    )


@contextlib.contextmanager
def started(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """``python -m WORDS`` at work; whatever of it is left afterwards is killed."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        _command(words), cwd=ROOT, env=_environment(), start_new_session=True, **pipes
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits for something to happen, but not for ever."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def _command(words: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", *map(str, words)]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
