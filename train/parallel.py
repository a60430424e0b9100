"""Several runs at once, each in a process of its own, with the results that they would have one after another."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from train.config import InputError

Result = TypeVar("Result")
PRELOAD = [
    "train.agents.registry",
    "torch._dynamo",
    "scipy.optimize",
]  # loaded once, before the processes part
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(
    work: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    at_once: int,
    done: Callable[[Result], None],
) -> list[Result]:
    """Calls ``work(*job)`` for every job, ``at_once`` of them at the same time; the results come in no fixed order.

    Ctrl-C interrupts each running process once, waits for what it still has to save, and starts no
    other.

    Args:
        work: A function of a module, which takes ``KeyboardInterrupt`` for the wish to end early.
        jobs: The arguments of each call.
        at_once: Processes at a time.
        done: Told of each result as it comes.

    Raises:
        InputError: A job raised it.
        RuntimeError: A job failed in another way; it has told how.
        KeyboardInterrupt: Interrupted before any result came.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    for name in (
        ONE_THREAD
    ):  # linear algebra in every process would wait for the cores of the others; torch has its own
        os.environ.setdefault(name, "1")
    waiting, running, results = list(jobs), dict[Connection, Any](), list[Result]()
    interrupted = False
    try:
        while running or waiting:
            try:
                while waiting and len(running) < at_once:
                    running.update([_start(context, work, waiting.pop(0))])
                for end in wait(list(running)):
                    result = _result(end, running.pop(end))  # type: ignore[arg-type, call-overload]
                    if result is not None:
                        results.append(result)
                        done(result)
            except KeyboardInterrupt:
                interrupted = True
                waiting.clear()
                _signal(running, signal.SIGINT)
    finally:
        _signal(running, signal.SIGTERM)
    if interrupted and not results:
        raise KeyboardInterrupt
    return results


def _start(context: Any, work: Callable[..., Any], job: tuple[Any, ...]) -> tuple[Connection, Any]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, job), daemon=True)
    process.start()
    sender.close()
    return receiver, process


def _child(sender: Connection, work: Callable[..., Any], job: tuple[Any, ...]) -> None:
    try:
        os.setpgid(0, 0)  # a terminal's Ctrl-C goes to the parent alone, which hands it on once
        sender.send(work(*job))
    except KeyboardInterrupt:
        sender.send(None)
    except InputError as error:
        sender.send(error)


def _result(end: Connection, process: Any) -> Any:
    try:
        result = end.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"a run ended with exit code {process.exitcode} and without a result"
        ) from None
    process.join()
    if isinstance(result, InputError):
        raise result
    return result


def _signal(running: dict[Connection, Any], number: signal.Signals) -> None:
    for process in running.values():
        if process.is_alive():
            os.kill(process.pid, number)
