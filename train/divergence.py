"""How training that has diverged is recognised: by losses or weights that are NaN or infinite."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from train.errors import InputError

LARGEST_WEIGHT = 1e12


class DivergedError(InputError):
    """Training has diverged; the message says where."""


def check_finite(timesteps: int, losses: Mapping[str, float], weights: torch.Tensor) -> None:
    """Checks the losses of an update, by name, and any one tensor of the weights after it.

    One tensor suffices: clipping the norm of all gradients spreads a NaN in one to every other.

    Raises:
        DivergedError: There is one; the message names it.
    """
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if not bad and math.isfinite(weights.detach().sum().item()):
        return
    what = ", ".join(f"{name} is {value}" for name, value in bad.items())
    what = what or "the weights are not finite"
    raise DivergedError(f"training diverged at step {timesteps:,}: {what}")


def has_diverged(state: Any) -> bool:
    """Whether a tensor in nested dicts and lists holds NaN, or a number beyond all reason."""
    return any(not bool((tensor.abs() < LARGEST_WEIGHT).all()) for tensor in _tensors(state))


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, (dict, list, tuple)):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _tensors(part)
