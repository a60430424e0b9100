"""What the page shows, computed: a campaign with changed settings, and three plans played in it.

No formula stands here: every number is the environment's.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from envs.campaign import baselines, planner, robust_planner
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.past import columns
from evaluate.campaign.domain import DOMAIN, EXPECTED, baseline_env, params_of
from evaluate.campaign.explain import PlanDiagnostics, plan_diagnostics
from evaluate.campaign.fit import warning_of
from evaluate.campaign.past_days import DAY
from evaluate.campaign.plan import make_plan, play_days_left
from evaluate.campaign.policies import BEST_FIXED, best_name, planned
from evaluate.campaign.rounding import Limit, grouped, written
from evaluate.domain import domain_of
from evaluate.policies import load_candidates
from evaluate.report.wording import column, in_text
from evaluate.rollouts import Candidate
from train.agents.registry import REGISTRY
from train.config import EnvConfig
from train.errors import InputError
from train.storage.run_folder import Run, finished_runs, load_run

WITHIN = 1 - 1e-12  # of the budget, so that rounding does not pass it
Days = tuple[tuple[float, ...], ...]
"""Past days, a row for each: spends [bu/day] and metrics [counts/day]."""


class Change(NamedTuple):
    """What is set by hand: least and most are those of each channel on every day [bu/day]."""

    daily_budget: float  # [bu/day]
    start_weekday: int  # of the first day, 0 = Monday
    least: tuple[float | None, ...]  # None leaves the config's
    most: tuple[float | None, ...]


class Outcome(NamedTuple):
    """A plan, and what it brings."""

    name: str  # who made it
    spend: FloatArray  # past days included, (days, channels) [bu/day]
    engagement: FloatArray  # expected on each day left, (days left,) [1/day]
    diagnostics: PlanDiagnostics
    written: list[list[str]]  # the spend in few digits, within limits and budget
    notes: tuple[str, ...] = ()  # what has to be said about it
    warning: str = ""  # what has to be said before anything else

    @property
    def total(self) -> float:
        """Expected engagement of the days left [1]."""
        return float(self.engagement.sum())

    @property
    def frame(self) -> pd.DataFrame:
        """Spend in few digits by day, (days, channels)."""
        return self._by_day(self.written)

    def days(self) -> pd.DataFrame:
        """Spend by day under the name of the plan, as the charts take it."""
        return self._by_day(self.spend).assign(policy=self.name).reset_index()

    def table(self) -> pd.DataFrame:
        """The days for people: split, expected engagement, and any loyalty at the day's start."""
        played = len(self.spend) - len(self.engagement)
        table = self.frame.map(grouped)
        table["earns"] = ["played"] * played + column(self.engagement)
        if self.diagnostics.loyalty.any():
            table["loyalty"] = [f"{value:.2f}" for value in self.diagnostics.loyalty]
        return table.rename(str)

    def _by_day(self, spend: FloatArray | list[list[str]]) -> pd.DataFrame:
        days = pd.RangeIndex(1, len(spend) + 1, name=DAY)
        return pd.DataFrame(spend, index=days, columns=list(self.diagnostics.params.channels))


class Problem(NamedTuple):
    """A campaign with changed settings, and its past days."""

    env: EnvConfig  # that the run was trained in, with the settings changed
    past: Days
    seed: int  # of the campaigns that are played where chance has a part

    def __hash__(self) -> int:
        """A hash of the values, so that plans are solved once for each problem."""
        return hash((self.env.model_dump_json(), self.past, self.seed))

    @property
    def params(self) -> CampaignParams:
        """The parameters of the campaign."""
        return params_of(self.env)

    @property
    def past_array(self) -> FloatArray:
        """The past days, (past days, channels + metrics); sums over the budget scaled to it."""
        past = np.array(self.past, dtype=np.float64).reshape(-1, len(columns(self.params)))
        spend, budget = past[:, : len(self.params.channels)], self.params.daily_budget
        sums = spend.sum(axis=1, keepdims=True)
        spend *= np.where(sums > budget, budget * WITHIN / np.maximum(sums, budget), 1.0)
        return past

    @property
    def spent(self) -> FloatArray:
        """Spend on the past days, (past days, channels) [bu/day]."""
        return self.past_array[:, : len(self.params.channels)]


def trained(configs: Path, runs_dir: Path) -> dict[str, list[Run]]:
    """The configs of campaigns that have finished runs, by name, with these runs.

    A2C's come first, the newest before older ones.

    Raises:
        InputError: There is none.
    """
    agents = list(REGISTRY)
    campaigns = {}
    for name in sorted(path.stem for path in configs.glob("*.yaml")):
        runs = finished_runs(runs_dir, name)
        runs.sort(key=lambda run: (agents.index(run.state.agent), -run.state.order))
        with suppress(InputError):  # of an environment that is not there any more
            if runs and domain_of(runs[0].config.env) is DOMAIN:
                campaigns[name] = runs
    if not campaigns:
        raise InputError(f"no finished run of a campaign in {runs_dir}; train one: make train")
    return campaigns


def changed(env: EnvConfig, change: Change) -> EnvConfig:
    """The environment with the settings changed.

    Raises:
        InputError: They cannot be met; the message says why and what to change.
    """
    days, budget, old = params_of(env).days, change.daily_budget, env.kwargs
    kwargs = {
        "daily_budget": budget,
        "start_weekday": change.start_weekday,
        "min_spend": _limits(old.get("min_spend"), change.least, days, 0.0),
        "max_spend": _limits(old.get("max_spend"), change.most, days, budget),
    }
    new = EnvConfig(id=env.id, kwargs=old | kwargs)
    params_of(new)
    return new


def range_of(env: EnvConfig) -> tuple[FloatArray, FloatArray]:
    """Least and most spend of each channel over the days, each (channels,) [bu/day]."""
    low, high = planner.limits_of(params_of(env))
    return low.min(axis=0), high.max(axis=0)


def limits_set(params: CampaignParams) -> list[tuple[str, str]]:
    """Least and most of each channel in words, as the config has them."""
    low, high = planner.limits_of(params)
    return [
        (_in_words(least, 0.0), _in_words(most, params.daily_budget))
        for least, most in zip(low.T, high.T, strict=True)
    ]


@lru_cache(maxsize=64)
def agents_of(folder: Path) -> list[str]:
    """Policies of a run: the agent, and the mix of its probabilities where it picks channels."""
    run = load_run(folder)
    return [candidate.name for candidate in load_candidates([run], main=run.config_name)]


@lru_cache(maxsize=256)
def agents_plan(
    run: Path,
    agent: str,
    model_mtime: float,  # noqa: ARG001 - for the cache
    problem: Problem,
) -> Outcome:
    """What one of a run's policies does on the days left.

    After another training, when the model is written again, it is asked again.

    Raises:
        InputError: The run cannot be loaded.
    """
    loaded = load_run(run)
    asked = loaded._replace(config=loaded.config.model_copy(update={"env": problem.env}))
    plan = make_plan([asked], agent, problem.past_array)
    notes: tuple[str, ...] = ()
    if plan.campaigns > 1:
        many = "Four of five" if plan.holds_range else "The closest"
        notes = (
            f"{many} campaigns earn {in_text(plan.low)} to {in_text(plan.high)}.",
            "Later days are averages: each is decided once the day before is known.",
        )
    outcome = _outcome(problem, agent, plan.split, plan.days[EXPECTED].to_numpy(), notes)
    return outcome._replace(warning=warning_of(plan.fit))


@lru_cache(maxsize=256)
def best_plan(problem: Problem) -> Outcome:
    """The best plan for the days left, after the past days.

    Where campaigns differ it is the best fixed plan for what is likely after them.
    """
    params = problem.params
    if not params.is_drawn:
        return _best_nominal_plan(problem)
    if not problem.past:
        return earned(problem, BEST_FIXED, baselines.best_fixed(params))
    rng = np.random.default_rng(problem.seed)
    left = robust_planner.best_fixed_plan(params, rng, problem.past_array)
    notes = ("Planned for what is likely after the past days.",)
    return earned(problem, BEST_FIXED, np.concatenate([problem.spent, left]), notes)


def earned(problem: Problem, name: str, spend: FloatArray, notes: tuple[str, ...] = ()) -> Outcome:
    """What a plan (days, channels) [bu/day], brought within limits, brings on the days left."""
    policy = planned(problem.params, lambda _: spend)
    candidate = Candidate(name, None, baseline_env(problem.env), policy)
    days = play_days_left(candidate, problem.params, problem.past_array, problem.seed)
    played = np.array([infos["spend"][0] for infos in days])
    engagement = np.array([infos[EXPECTED].mean() for infos in days])
    return _outcome(problem, name, played, engagement, notes)


def after(run: Run, change: Change, past: Days) -> Problem:
    """The campaign of a run with its settings changed, after the past days."""
    return Problem(changed(run.config.env, change), past, run.config.evaluation.seed)


def _best_nominal_plan(problem: Problem) -> Outcome:
    """The best plan of the campaign itself, its past days held at what was spent."""
    params = problem.params
    if problem.past:
        limits = _limits_left(problem, problem.spent, problem.spent)
        least, most = (tuple(map(tuple, limit.tolist())) for limit in limits)
        params = dataclasses.replace(params, min_spend=least, max_spend=most)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spend = planner.plan(params).spend
    notes = tuple(str(warning.message) for warning in caught)
    return earned(problem, best_name(params), spend, notes)


def _outcome(
    problem: Problem, name: str, left: FloatArray, engagement: FloatArray, notes: tuple[str, ...]
) -> Outcome:
    """A plan from its spend on the days left (days left, channels) [bu/day]."""
    spend = np.concatenate([problem.spent, left])
    shown = written(spend, *_limits_left(problem, 0.0, np.inf))  # the past had limits of its own
    diagnostics = plan_diagnostics(problem.params, spend)
    return Outcome(name, spend, engagement, diagnostics, shown, notes)


def _limits_left(problem: Problem, low: Limit, high: Limit) -> tuple[FloatArray, FloatArray]:
    """Least and most spend, (days, channels) [bu/day]; ``low`` and ``high`` on the past days."""
    least, most = (limits.copy() for limits in planner.limits_of(problem.params))
    least[: len(problem.past)], most[: len(problem.past)] = low, high
    return least, most


def _in_words(limits: FloatArray, absent: float) -> str:
    """A channel's limits by day (days,) [bu/day] in words; ``absent`` is none."""
    ends = {in_text(float(end), 6) for end in limits if end != absent}
    return "none" if not ends else ends.pop() if len(ends) == 1 else "differs by day"


def _limits(limits: Any, by_hand: Sequence[float | None], days: int, absent: float) -> Any:
    """A row of limits for each day, those set by hand replaced; as they are if none is.

    The config's limits are a number for each channel, a row of them for each day, or None, for
    which ``absent`` stands; all in [bu/day].
    """
    new = np.array(by_hand, dtype=np.float64)  # NaN for None
    if np.isnan(new).all():
        return limits
    rows = np.broadcast_to(absent if limits is None else np.array(limits), (days, len(new)))
    return np.where(np.isnan(new), rows, new).tolist()
