"""Plays a policy for one whole episode in each environment of a batch."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from train.environment import BatchEnv

FINAL = {"final_info", "_final_info", "final_obs", "_final_obs"}  # of episodes that ended
MAX_STEPS = 1_000  # of an episode without a time limit; env.kwargs.max_episode_steps sets another


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
    """One step of every environment that is still in its first episode; arrays (n_envs, ...)."""

    active: NDArray[np.bool_]  # which environments that is
    rewards: NDArray[np.float64]
    ended: NDArray[np.bool_]  # whose episode ended with this step, cut ones included
    infos: dict[str, Any]  # names to arrays, those of an episode's last step included
    cut: NDArray[np.bool_]  # whose episode did not end by itself within step_limit steps


class Score(NamedTuple):
    """How well a policy plays.

    The means are those of each metric over the episodes that ended; where the environment has no
    metric, that of the return over all episodes.
    """

    means: dict[str, float]
    cut: str  # how many episodes were cut, and after how many steps; empty where all ended


def step_limit(envs: BatchEnv) -> int:
    """Steps after which ``play`` cuts an episode: the environment's time limit or a default."""
    spec: Any = envs.spec
    limit = spec and spec.kwargs.get("max_episode_steps", spec.max_episode_steps)
    return limit if limit and limit > 0 else MAX_STEPS


def play(
    policy: Policy, envs: BatchEnv, seed: int, options: dict[str, Any] | None = None
) -> Iterator[Step]:
    """Plays one episode in each environment of a same-step batch, at most ``step_limit`` steps."""
    observations, _ = envs.reset(seed=seed, options=options)
    active = np.ones(envs.num_envs, dtype=bool)
    state, starts = None, active
    for left in reversed(range(step_limit(envs))):
        actions, state = policy.predict(observations, state, starts, deterministic=True)
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        starts = terminated | truncated
        cut = active & ~starts if left == 0 else np.zeros_like(active)
        yield Step(active, rewards, active & starts | cut, _of_this_step(infos), cut)
        active = active & ~starts
        if not active.any():
            return


def mean_score(policy: Policy, envs: BatchEnv, seed: int) -> Score:
    """Plays one episode in each environment and averages over them."""
    returns, is_finished = np.zeros(envs.num_envs), np.ones(envs.num_envs, dtype=bool)
    metrics: dict[str, NDArray[np.float64]] = {}
    for step in play(policy, envs, seed):
        returns[step.active] += step.rewards[step.active]
        is_finished &= ~step.cut
        for name, value in episode_metrics(step.infos).items():
            metrics.setdefault(name, np.zeros(envs.num_envs))[step.ended] = value[step.ended]
    means = {name: float(value[is_finished].mean()) for name, value in metrics.items()}
    n_cut = np.count_nonzero(~is_finished)
    cut = f"{n_cut:,} of {envs.num_envs:,} episodes cut after {step_limit(envs):,} steps"
    return Score(means or {"return": float(returns.mean())}, cut if n_cut else "")


def percent(share: float) -> str:
    """A share in percent; what is less than all of it is never rounded up to 100 %."""
    return ">99.99%" if 0.99995 <= share < 1 - 1e-9 else f"{share:.2%}"


def episode_metrics(infos: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Metrics of the episodes that ended, flat names to arrays (n_envs,); empty where none did."""
    metrics = infos.get("episode_metrics", {}).items()
    return {name: value for name, value in metrics if not name.startswith("_")}


def _of_this_step(infos: dict[str, Any]) -> dict[str, Any]:
    """Joins the info of running environments with that of episodes that ended in this step."""
    final = infos.get("final_info")
    if not final:
        return infos
    joined = {name: value for name, value in infos.items() if name not in FINAL}
    for name, value in final.items():
        mask = final.get(f"_{name}")
        if mask is None or name not in joined or isinstance(value, dict):
            joined[name] = value
        else:
            joined[name] = np.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, joined[name])
    return joined
