"""Observations for the critic alone: an asymmetric actor-critic (Pinto et al. 2018).

An environment says in ``metadata["privileged"]`` how many of its last columns they are.
"""

from typing import Any

import torch
from torch import nn

from train.environment import BatchEnv


def mask_privileged_inputs(actor: nn.Module, envs: BatchEnv) -> None:
    """Zeroes an actor's first weights from the privileged columns, and keeps their gradients 0.

    The network keeps its shape, so that a saved actor runs anywhere.
    """
    columns = envs.metadata.get("privileged", 0)
    if not columns:
        return
    first: Any = next(layer for layer in actor.modules() if isinstance(layer, nn.Linear))
    mask = torch.ones_like(first.weight)
    mask[:, -columns:] = 0.0
    with torch.no_grad():
        first.weight.mul_(mask)
    first.weight.register_hook(lambda gradient: gradient * mask)
