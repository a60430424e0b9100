"""What tests share: what each starts from, and a browser."""

import shutil
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tensorboard.summary.writer import event_file_writer


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts() -> Iterator[None]:
    """Lets Ctrl-C interrupt tests and what they start, also where a script ignores it for them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _event_files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts TensorBoard's files from 0 in every test.

    It reads the files of a run by name, in which the tenth of one process and second would come
    before the ninth.
    """
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


@pytest.fixture(scope="module")
def few_draws() -> Iterator[None]:
    """Baselines that plan over a few draws only."""
    from envs.campaign import baselines, robust_planner
    from evaluate.campaign import policies

    quick = pytest.MonkeyPatch()
    for name, value in (
        ("SCENARIOS", 4),
        ("DAILY_ITERATIONS", 6),
        ("FIXED_SCENARIOS", 50),
        ("FIXED_ITERATIONS", 15),
    ):
        quick.setattr(robust_planner, name, value)
    quick.setattr(policies, "PARTICLES", 300)
    baselines.best_fixed.cache_clear()
    yield
    quick.undo()
    baselines.best_fixed.cache_clear()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser: Chromium as the system has it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()
