"""Plays a policy for one whole episode in each environment of a batch."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from train.environment import BatchEnv


class Policy(Protocol):
    """Anything that decides: the signature of Stable-Baselines3's ``predict``."""

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Observations (n_envs, size) to actions (n_envs, ...) and the next state."""


class Step(NamedTuple):
    """One step of every environment that is still in its first episode.

    Attributes:
        active: Which environments that is, (n_envs,).
        rewards: (n_envs,).
        ended: Which of them ended with this step, (n_envs,).
        infos: The info of the step, names to arrays (n_envs, ...); an episode's last step included.
    """

    active: NDArray[np.bool_]
    rewards: NDArray[np.float64]
    ended: NDArray[np.bool_]
    infos: dict[str, Any]


def play(
    policy: Policy, envs: BatchEnv, seed: int, options: dict[str, Any] | None = None
) -> Iterator[Step]:
    """Plays until every environment has finished one episode; ``envs`` is in same-step mode, reset with ``options``."""
    observations, _ = envs.reset(seed=seed, options=options)
    active = np.ones(envs.num_envs, dtype=bool)
    state, starts = None, active
    while active.any():
        actions, state = policy.predict(observations, state, starts, deterministic=True)
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        starts = terminated | truncated
        yield Step(active, rewards, active & starts, _of_this_step(infos))
        active = active & ~starts


def mean_score(policy: Policy, envs: BatchEnv, seed: int) -> dict[str, float]:
    """Mean of every episode metric over one episode per environment; of the return where there is none."""
    returns = np.zeros(envs.num_envs)
    metrics: dict[str, NDArray[np.float64]] = {}
    for step in play(policy, envs, seed):
        returns[step.active] += step.rewards[step.active]
        for name, value in episode_metrics(step.infos).items():
            metrics.setdefault(name, np.zeros(envs.num_envs))[step.ended] = value[step.ended]
    return {name: float(value.mean()) for name, value in (metrics or {"return": returns}).items()}


def percent(share: float) -> str:
    """A share in percent; what is less than all of it is never rounded up to 100 %."""
    return ">99.99%" if 0.99995 <= share < 1 - 1e-9 else f"{share:.2%}"


def episode_metrics(infos: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """The metrics of the episodes that ended, flat names to arrays (n_envs,); empty where none did."""
    return {
        name: value
        for name, value in infos.get("episode_metrics", {}).items()
        if not name.startswith("_")
    }


def _of_this_step(infos: dict[str, Any]) -> dict[str, Any]:
    """Joins the info of running environments with that of the ones whose episode ended in this step."""
    final = infos.get("final_info")
    if not final:
        return infos
    joined = {
        name: value
        for name, value in infos.items()
        if name not in {"final_info", "_final_info", "final_obs"}
    }
    for name, value in final.items():
        mask = final.get(f"_{name}")
        if mask is None or name not in joined or isinstance(value, dict):
            joined[name] = value
        else:
            joined[name] = np.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, joined[name])
    return joined
