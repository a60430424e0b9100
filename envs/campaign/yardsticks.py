"""What an agent is measured against: simple rules that anyone could follow without learning."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.campaign.params import CHANNELS, CampaignParams, FloatArray


class Policy(Protocol):
    """Anything that decides: the signature of Stable-Baselines3's ``predict``."""

    def predict(
        self, observation: NDArray[Any], state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[Any], Any]:
        """Observation (size,) or (batch, size) to spend (3,) or (batch, 3) [bu/day], and the state unchanged."""


class ConstantSplit(NamedTuple):
    """The same spend every day, (3 channels,) [bu/day]."""

    spend: FloatArray

    def predict(
        self, observation: NDArray[Any], state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[Any], Any]:
        """See ``Policy.predict``."""
        return np.broadcast_to(self.spend, (*observation.shape[:-1], len(CHANNELS))).copy(), state


class RandomSplit(NamedTuple):
    """A split drawn anew each day, uniformly among all splits of the whole budget."""

    daily_budget: float
    rng: np.random.Generator

    def predict(
        self, observation: NDArray[Any], state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[Any], Any]:
        """See ``Policy.predict``; random even where a deterministic action is asked for."""
        return self.daily_budget * self.rng.dirichlet(np.ones(len(CHANNELS)), observation.shape[:-1]), state


def yardsticks(params: CampaignParams, rng: np.random.Generator) -> dict[str, Policy]:
    """The yardsticks of a campaign by name, for environments with ``action="spend"``."""
    even = ConstantSplit(np.full(len(CHANNELS), params.daily_budget / len(CHANNELS)))
    single = {
        f"all {name}": ConstantSplit(params.daily_budget * unit)
        for name, unit in zip(CHANNELS, np.eye(len(CHANNELS)), strict=True)
    }
    return {"even split": even, **single, "random": RandomSplit(params.daily_budget, rng)}


def explanation(params: CampaignParams) -> str:
    """Says in plain words what the best plan is and why."""
    per_unit = np.einsum("ck,k->c", params.counts_array, params.weights_array)
    best = CHANNELS[int(per_unit.argmax())]
    earned = ", ".join(f"{name} {value:g}" for name, value in zip(CHANNELS, per_unit, strict=True))
    return (
        f"All {best} is right here because the response is linear: a unit of budget earns the same engagement "
        f"({earned}) whether it is the first or the hundredth, today or on the last day. Nothing saturates and "
        f"nothing is remembered, so every unit moved to the channel that earns most is a gain, and there is no "
        f"reason to spread. A real channel tires; a campaign that models it has its best plan in between."
    )
