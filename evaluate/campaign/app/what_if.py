"""What the page shows, computed: a campaign with changed settings, and three plans played in it.

It belongs to the campaign, as its charts do. No formula stands here: every number is the
    environment's.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluate.campaign.plan import CAMPAIGNS, EXPECTED, history_of, make_plan, places, rounded
from evaluate.campaign.sections import CHANNELS, METRICS
from evaluate.policies import entries, single_env, yardsticks
from train.config import EnvConfig, InputError
from train.environment import make_env
from train.play import play
from train.storage.run_folder import Run, finished_runs, load_run

BEST = ("optimal plan", "best fixed plan")  # the first that a campaign has
Days = tuple[tuple[float, ...], ...]
"""Days played so far, a row for each: spend [bu/day] and metrics [counts/day]."""


class Change(NamedTuple):
    """What is set by hand.

    Attributes:
        daily_budget: Most that can be spent in a day [bu/day].
        start_weekday: Weekday of the first day, 0 = Monday.
        least: Least spend of each channel on every day [bu/day]; None leaves it as the config has
            it.
        most: Most spend of each channel on every day [bu/day]; None leaves it as the config has it.
    """

    daily_budget: float
    start_weekday: int
    least: tuple[float | None, ...]
    most: tuple[float | None, ...]


class Outcome(NamedTuple):
    """A plan, and what it brings.

    Attributes:
        name: Who made it.
        spend: All days, those already played included, (days, 3 channels) [bu/day].
        engagement: Expected on each day left, (days left,) [1/day].
        insight: What stands behind the plan, see ``CampaignEnv.insight``.
        notes: What has to be said of it.
    """

    name: str
    spend: NDArray[np.float64]
    engagement: NDArray[np.float64]
    insight: dict[str, NDArray[Any]]
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Expected engagement of the days left [1]."""
        return float(self.engagement.sum())

    @property
    def frame(self) -> pd.DataFrame:
        """The days and their spend in few digits; the digits of a day sum to no more than its budget."""
        digits = places(self.spend)
        table = pd.DataFrame({"day": range(1, len(self.spend) + 1)})
        for name, column in zip(CHANNELS, rounded(self.spend).T, strict=True):
            table[name] = [f"{value:.{digits}f}" for value in column]
        return table

    def days(self) -> pd.DataFrame:
        """Spend by day under the name of the plan, as the charts take it."""
        days = pd.DataFrame(self.spend, columns=list(CHANNELS))
        return days.assign(policy=self.name, day=range(1, len(days) + 1))

    def table(self) -> pd.DataFrame:
        """What is shown of each day: the split, what it is expected to earn, and the loyalty that it starts with."""
        played = len(self.spend) - len(self.engagement)
        earns = ["played"] * played + [f"{value:,.0f}" for value in self.engagement]
        loyalty = [f"{value:.2f}" for value in self.insight["loyalty"]]
        table = self.frame.assign(earns=earns, loyalty=loyalty)
        return table.set_index(table.pop("day").map(str))


class Problem(NamedTuple):
    """A campaign with changed settings, and the days of it that have been played.

    Attributes:
        env: The environment that the run was trained in, with the settings changed.
        past: The days so far.
        seed: Of the campaigns that are played where chance has a part.
    """

    env: EnvConfig
    past: Days
    seed: int

    def __hash__(self) -> int:
        """Of the values, so that plans are solved once for each problem."""
        return hash((self.env.model_dump_json(), self.past, self.seed))

    @property
    def played(self) -> NDArray[np.float64]:
        """The days so far, (days so far, 6)."""
        return np.array(self.past, dtype=np.float64).reshape(-1, len(CHANNELS) + len(METRICS))


class Fixed(NamedTuple):
    """Plays a spend for each day (days, 3 channels) [bu/day], whatever comes; its state is the day."""

    spend: NDArray[np.float64]

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Observations (n_envs, size) to spend (n_envs, 3) [bu/day] and the next day."""
        day = state or 0
        return np.tile(self.spend[day], (len(observation), 1)), day + 1


def trained(configs: Path, runs_dir: Path) -> dict[str, list[Run]]:
    """The configs of campaigns that have finished runs, by name, with these runs.

    Raises:
        InputError: There is none.
    """
    found = {
        path.stem: finished_runs(runs_dir, path.stem) for path in sorted(configs.glob("*.yaml"))
    }
    campaigns = {
        name: runs for name, runs in found.items() if runs and _is_campaign(runs[0].config.env)
    }
    if not campaigns:
        raise InputError(f"no finished run of a campaign in {runs_dir}; train one: make train")
    return campaigns


def settings_of(env: EnvConfig) -> Change:
    """The settings that the environment has, its limits left as they are."""
    params = single_env(env).problem
    unset = (None,) * len(CHANNELS)
    return Change(params.daily_budget, params.start_weekday, unset, unset)


def changed(env: EnvConfig, change: Change) -> EnvConfig:
    """The environment with the settings changed.

    Raises:
        InputError: They cannot be met; the message says why and what to change.
    """
    days, kwargs = single_env(env).problem.days, env.kwargs
    set_by_hand = {
        "daily_budget": change.daily_budget,
        "start_weekday": change.start_weekday,
        "min_spend": _limits(kwargs.get("min_spend"), change.least, days, 0.0),
        "max_spend": _limits(kwargs.get("max_spend"), change.most, days, change.daily_budget),
    }
    new = EnvConfig(id=env.id, kwargs=kwargs | set_by_hand)
    single_env(new)
    return new


def range_of(env: EnvConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and most spend of each channel over the days, each (3 channels,) [bu/day]."""
    params = single_env(env).problem
    if params.limits is None:
        return np.zeros(len(CHANNELS)), np.full(len(CHANNELS), params.daily_budget)
    low, high = params.limits
    return low.min(axis=0), high.max(axis=0)


@lru_cache(maxsize=64)
def agents_of(folder: Path) -> list[str]:
    """Names of the policies of a run: the agent, and the mix of its probabilities where it picks channels."""
    run = load_run(folder)
    return [entry.name for entry in entries([run], main=run.config_name)]


@lru_cache(maxsize=256)
def agents_plan(run: Path, agent: str, written: float, problem: Problem) -> Outcome:
    """What a trained agent does on the days left.

    Args:
        run: Folder of its run.
        agent: Name of one of the run's policies.
        written: When its model was written: a new one is asked anew.
        problem: The campaign to play.

    Raises:
        InputError: The run cannot be loaded.
    """
    loaded = load_run(run)
    asked = loaded._replace(config=loaded.config.model_copy(update={"env": problem.env}))
    made = make_plan([asked], agent, problem.played)
    spend = np.concatenate([_spent(problem), made.days[list(made.decided)].to_numpy()])
    in_range = f"Four of five campaigns earn {made.low:,.0f} to {made.high:,.0f}."
    notes = (
        () if made.campaigns == 1 else (in_range, "Later days are averages: each is decided anew.")
    )
    return Outcome(
        agent, spend, made.days[EXPECTED].to_numpy(), single_env(problem.env).insight(spend), notes
    )


@lru_cache(maxsize=256)
def best_plan(problem: Problem) -> Outcome:
    """The best plan for the days left: those already played are held at what was spent."""
    kwargs = problem.env.kwargs
    days = single_env(problem.env).problem.days
    held = {
        name: [
            *_spent(problem).tolist(),
            *_rows(kwargs[name], days, other)[len(problem.past) :].tolist(),
        ]
        for name, other in (("min_spend", 0.0), ("max_spend", kwargs["daily_budget"]))
    }
    env = EnvConfig(id=problem.env.id, kwargs=kwargs | (held if problem.past else {}))
    policies = {entry.name: entry for entry in yardsticks(env, problem.seed)}
    name = next(name for name in BEST if name in policies)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps = play(policies[name].policy, make_env(policies[name].env, 1), problem.seed)
        spend = np.concatenate([step.infos["spend"] for step in steps])
    return earned(problem, name, spend)._replace(
        notes=tuple(str(warning.message) for warning in caught)
    )


def earned(problem: Problem, name: str, spend: NDArray[np.float64]) -> Outcome:
    """What a plan (days, 3 channels) [bu/day] brings on the days left, brought within limits and budget if need be."""
    env = problem.env
    form = EnvConfig(id=env.id, kwargs=env.kwargs | single_env(env).baseline_env_kwargs)
    envs: Any = make_env(form, 1)
    if envs.unwrapped.history.is_chance:
        envs = make_env(form, CAMPAIGNS)
    left = Fixed(spend[len(problem.past) :])
    steps = [
        step.infos for step in play(left, envs, problem.seed, options={"past": problem.played})
    ]
    played = np.concatenate([_spent(problem), *(infos["spend"][:1] for infos in steps)])
    engagement = np.array([infos[EXPECTED].mean() for infos in steps])
    return Outcome(name, played, engagement, single_env(env).insight(played))


def after(run: Run, change: Change, past: Days) -> Problem:
    """The campaign of a run with its settings changed, after the days so far."""
    return Problem(changed(run.config.env, change), past, run.config.evaluation.seed)


def history_in(run: Run, env: EnvConfig) -> Any:
    """What days already played look like in a run's campaign with changed settings."""
    return history_of(run._replace(config=run.config.model_copy(update={"env": env})))


def _is_campaign(env: EnvConfig) -> bool:
    try:
        return hasattr(single_env(env), "insight")
    except InputError:
        return False


def _limits(given: Any, by_hand: Sequence[float | None], days: int, other: float) -> Any:
    """A row of limits for each day, the channels set by hand replaced; as they were given if none is."""
    if all(value is None for value in by_hand):
        return given
    rows = _rows(given, days, other)
    for channel, value in enumerate(by_hand):
        if value is not None:
            rows[:, channel] = value
    return rows.tolist()


def _rows(limits: Any, days: int, other: float) -> NDArray[np.float64]:
    """Limits as a row for each day, (days, 3) [bu/day]; ``other`` where there are none."""
    return np.broadcast_to(
        other if limits is None else np.array(limits), (days, len(CHANNELS))
    ).astype(np.float64)


def _spent(problem: Problem) -> NDArray[np.float64]:
    """What was spent on the days so far, (days so far, 3) [bu/day]; sums rounded up are brought back to the budget."""
    if not problem.past:
        return np.zeros((0, len(CHANNELS)))
    spend = problem.played[:, : len(CHANNELS)]
    budget = problem.env.kwargs["daily_budget"]
    scaled: NDArray[np.float64] = spend * (
        budget / np.maximum(spend.sum(axis=1, keepdims=True), budget)
    )
    return scaled
