"""Several runs at once, each in a process of its own, with the results of one after another."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from train.errors import InputError
from train.signals import sigterm_as_ctrl_c

Result = TypeVar("Result")
PRELOAD = ["train.run", "scipy.optimize"]  # loaded once, before the processes part
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(
    work: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    at_once: int,
    done: Callable[[Result], None],
) -> list[Result]:
    """Calls ``work(*job)`` for every job, ``at_once`` of them at the same time, in no fixed order.

    Ctrl-C and a job that fails stop each running process once, wait for what it still has to save,
    and start no other. A process whose parent has died stops in the same way.

    ``work`` is a function of a module, which takes ``KeyboardInterrupt`` for the wish to end early;
    ``done`` is called with each result as it comes.

    Raises:
        InputError: A job raised it.
        RuntimeError: A job failed in another way; it has said how.
        KeyboardInterrupt: Interrupted before any result came.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    for name in ONE_THREAD:  # else linear algebra would wait for the cores of the other processes
        os.environ.setdefault(name, "1")
    waiting, running, results = list(jobs), dict[Connection, Any](), list[Result]()
    failure: BaseException | None = None
    while running or waiting:
        try:
            while waiting and len(running) < at_once:
                running.update([_start(context, work, waiting.pop(0))])
            for end in wait(list(running)):
                result = _result(end, running.pop(end))  # type: ignore[arg-type, call-overload]
                if result is not None:
                    results.append(result)
                    done(result)
        except (KeyboardInterrupt, InputError, RuntimeError) as error:
            waiting.clear()
            if failure is None or isinstance(error, KeyboardInterrupt):
                for process in running.values():
                    process.terminate()
            failure = failure or error
    if failure is not None and not (isinstance(failure, KeyboardInterrupt) and results):
        raise failure
    return results


def _start(context: Any, work: Callable[..., Any], job: tuple[Any, ...]) -> tuple[Connection, Any]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, job), daemon=True)
    process.start()
    sender.close()
    return receiver, process


def _child(sender: Connection, work: Callable[..., Any], job: tuple[Any, ...]) -> None:
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    with suppress(BrokenPipeError), sigterm_as_ctrl_c():
        try:
            os.setpgid(0, 0)  # a terminal's Ctrl-C goes to the parent alone, which hands it on once
            sender.send(work(*job))
        except KeyboardInterrupt:
            sender.send(None)
        except InputError as error:
            sender.send(error)


def _stop_with_parent() -> None:
    """Sends this process SIGTERM when the one that started it has died."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _result(end: Connection, process: Any) -> Any:
    try:
        result = end.recv()
    except EOFError:
        process.join()
        what = f"a run ended with exit code {process.exitcode} and without a result"
        raise RuntimeError(what) from None
    process.join()
    if isinstance(result, InputError):
        raise result
    return result
