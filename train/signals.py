"""What Ctrl-C and SIGTERM do: they end a program, or stop training where it can be saved.

A signal that is ignored when the program starts, as ``nohup`` and scripts do, stays ignored.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


class StopRequest:
    """Whether a signal has asked training to stop at the next start of a rollout."""

    def __init__(self) -> None:
        self.is_made = False

    def make(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal: the first one asks, a second one stops at once."""
        if self.is_made:
            raise KeyboardInterrupt
        self.is_made = True


def sigterm_as_ctrl_c() -> AbstractContextManager[None]:
    """Lets SIGTERM end the program as Ctrl-C does, wherever it is."""
    return _handle((signal.SIGTERM,), signal.default_int_handler)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Lets the first Ctrl-C or SIGTERM stop training where a checkpoint can be written."""
    request = StopRequest()
    with _handle((signal.SIGINT, signal.SIGTERM), request.make):
        yield request


@contextmanager
def _handle(numbers: tuple[signal.Signals, ...], handler: Handler) -> Iterator[None]:
    """Handles signals that are not ignored; only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
