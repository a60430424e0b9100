"""Policies times campaigns: plays each policy on the same campaigns into tidy frames."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evaluate.policies import Candidate
from train.environment import make_env
from train.play import episode_metrics, play


class Results(NamedTuple):
    """What was played.

    Attributes:
        days: A row per policy, training seed, campaign and day, with the environment's own columns.
        campaigns: A row per policy, training seed and campaign, with its episode metrics.
    """

    days: pd.DataFrame
    campaigns: pd.DataFrame


def play_all(
    entries: list[Candidate], campaigns: int, seed: int, options: dict[str, Any] | None = None
) -> Results:
    """Plays every policy on the same campaigns: all environments are reset with the same seed and options."""
    played = [_play(entry, campaigns, seed, options) for entry in entries]
    days = pd.concat([result.days for result in played], ignore_index=True)
    totals = pd.concat([result.campaigns for result in played], ignore_index=True)
    return Results(days, totals)


def _play(entry: Candidate, campaigns: int, seed: int, options: dict[str, Any] | None) -> Results:
    envs = make_env(entry.env, campaigns)
    rows, ends = [], []
    returns = np.zeros(campaigns)
    for day, step in enumerate(play(entry.policy, envs, seed, options), start=1):
        returns += np.where(step.active, step.rewards, 0.0)
        record = (
            envs.unwrapped.day_record(step.infos)
            if hasattr(envs.unwrapped, "day_record")
            else {"reward": step.rewards}
        )
        rows.append(_frame(entry, step.active, {"day": np.full(campaigns, day), **record}))
        if step.ended.any():
            metrics = {
                name.rsplit("/", 1)[-1]: value
                for name, value in episode_metrics(step.infos).items()
            }
            ends.append(_frame(entry, step.ended, metrics or {"return": returns.copy()}))
    envs.close()
    order = ["campaign", "day"]
    return Results(
        pd.concat(rows).sort_values(order, kind="stable"), pd.concat(ends).sort_values("campaign")
    )


def _frame(entry: Candidate, mask: Any, columns: dict[str, Any]) -> pd.DataFrame:
    """The rows of the campaigns that the mask marks."""
    chosen = {name: value[mask] for name, value in columns.items()}
    seeds = pd.array([entry.seed] * int(mask.sum()), dtype="Int64")
    return pd.DataFrame(
        {"policy": entry.name, "seed": seeds, "campaign": np.flatnonzero(mask), **chosen}
    )
