"""Policies times episodes: plays each policy on the same episodes into tidy frames."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from train.config import EnvConfig
from train.environment import BatchEnv, make_env
from train.errors import InputError
from train.play import Policy, Step, episode_metrics, play

RETURN = "return"  # the one metric of an environment that has none of its own

Columns = Callable[[BatchEnv, Step], dict[str, NDArray[Any]]]
"""What a step was, from the environments and the step: names to arrays (n_envs,)."""


class Candidate(NamedTuple):
    """A policy, the environment it is played in, and what it is called."""

    name: str
    seed: int | None  # that it was trained with; none for a baseline
    env: EnvConfig  # in the form that the policy was made for
    policy: Policy


class Results(NamedTuple):
    """What was played, in frames with a row per policy, training seed and episode."""

    steps: pd.DataFrame  # a row per step too, with the columns of its family
    episodes: pd.DataFrame  # with its episode metrics
    cut: dict[str, int]  # episodes of a policy that did not end by themselves, if any


def play_all(
    candidates: list[Candidate],
    episodes: int,
    seed: int,
    columns: Columns,
    options: dict[str, Any] | None = None,
) -> Results:
    """Plays every policy on the same episodes: all are reset with the same seed and options.

    Raises:
        InputError: An episode with metrics of its own does not end.
    """
    played = [_play(candidate, episodes, seed, columns, options) for candidate in candidates]
    cut = sum((Counter(results.cut) for results in played), Counter())
    return Results(
        pd.concat([results.steps for results in played], ignore_index=True),
        pd.concat([results.episodes for results in played], ignore_index=True),
        dict(cut),
    )


def reward_column(_envs: BatchEnv, step: Step) -> dict[str, NDArray[Any]]:
    """All that is known of a step of any environment."""
    return {"reward": step.rewards}


def _play(
    candidate: Candidate, episodes: int, seed: int, columns: Columns, options: dict[str, Any] | None
) -> Results:
    rows, returns, cut = [], np.zeros(episodes), np.zeros(episodes, dtype=bool)
    metrics: dict[str, NDArray[np.float64]] = {}
    with closing(make_env(candidate.env, episodes)) as envs:
        for number, step in enumerate(play(candidate.policy, envs, seed, options), start=1):
            returns += np.where(step.active, step.rewards, 0.0)
            cut |= step.cut
            record = {"step": np.full(episodes, number), **columns(envs, step)}
            rows.append(_frame(candidate, step.active, record))
            for name, values in episode_metrics(step.infos).items():
                short = name.rsplit("/", 1)[-1]
                metrics.setdefault(short, np.zeros(episodes))[step.ended] = values[step.ended]
    if metrics and cut.any():
        raise InputError(
            f"env {candidate.env.id}: an episode of {candidate.name} did not end within "
            f"{number:,} steps, so its metrics are unknown; set env.kwargs.max_episode_steps"
        )
    everywhere = np.ones(episodes, dtype=bool)
    return Results(
        pd.concat(rows).sort_values(["episode", "step"], kind="stable"),
        _frame(candidate, everywhere, metrics or {RETURN: returns}),
        {candidate.name: int(cut.sum())} if cut.any() else {},
    )


def _frame(
    candidate: Candidate, mask: NDArray[np.bool_], columns: dict[str, NDArray[Any]]
) -> pd.DataFrame:
    """The rows of the episodes that the mask marks."""
    chosen = {name: value[mask] for name, value in columns.items()}
    seeds = pd.array([candidate.seed] * int(mask.sum()), dtype="Int64")
    return pd.DataFrame(
        {"policy": candidate.name, "seed": seeds, "episode": np.flatnonzero(mask), **chosen}
    )
