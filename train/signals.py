"""Why training stops before its end: a signal, or losses that are no numbers any more."""

import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import torch

from train.config import InputError


class DivergedError(InputError):
    """Training has left the numbers; the message says where."""


class StopRequest:
    """Whether a signal has asked training to stop at the next start of a rollout."""

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Lets the first Ctrl-C or SIGTERM stop training where a checkpoint can be written; a second one stops at once."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, request._ask) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_finite(timesteps: int, losses: Mapping[str, float], weights: torch.Tensor) -> None:
    """Looks for what is no number after an update.

    Args:
        timesteps: Environment steps so far.
        losses: The terms of the update by name.
        weights: Any of the weights after it: one bound on the gradients of all of them carries what
            is no number in one of them into every other.

    Raises:
        DivergedError: There is one; the message names it.
    """
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if not bad and math.isfinite(weights.detach().sum().item()):
        return
    what = (
        ", ".join(f"{name} is {value}" for name, value in bad.items())
        or "the weights are no finite numbers"
    )
    raise DivergedError(f"training diverged at step {timesteps:,}: {what}")
