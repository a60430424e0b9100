"""``python -m evaluate.campaign.plan RUN --past so_far.csv``: tomorrow's split of the budget.

It plays the days left with a trained agent and says what they are expected to earn.
"""

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tyro
from tyro.conf import AvoidSubcommands, FlagCreatePairsOff, Positional

from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.past import columns, past_faults
from envs.campaign.planner import limits_of
from evaluate.campaign.domain import DOMAIN, EXPECTED, TOTAL, params_of
from evaluate.campaign.fit import RANGE, SHARE, Fit, fit_of, warning_of
from evaluate.campaign.past_days import DAY, PastDays, parse_past, read_bytes
from evaluate.campaign.rounding import grouped, written
from evaluate.domain import domain_of
from evaluate.report.wording import column, in_text
from evaluate.rollouts import Candidate
from evaluate.targets import DEFAULT_TARGET, find_target
from train.config import EnvConfig
from train.environment import make_env
from train.errors import InputError, nearest
from train.storage.run_folder import Run

CAMPAIGNS = 1_000
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Args(NamedTuple):
    """Prints tomorrow's split of the budget, and what the days left will earn."""

    # folder of a run, or a config (its newest finished run of an agent)
    run: Positional[Path] = DEFAULT_TARGET
    # CSV file with a row for each past day: day, then the spend on each channel and each metric by
    # its name; a column 'date' (such as 2026-03-31) serves instead of 'day'; default: nothing is
    # played yet
    past: Path | None = None
    # agent to ask, where a config has several; default: its first one
    agent: str | None = None
    json: bool = False  # print JSON for programs instead of a table
    runs_dir: Path = Path("runs")  # folder of the runs


class Plan(NamedTuple):
    """What an agent would do on the days left, and what that earns.

    ``days`` has a row for each day left: the day, the split [bu/day] and the expected engagement
    [1/day], averaged over the campaigns; the first split is the same in all of them.
    """

    run: Path  # folder of the run that was asked
    agent: str
    params: CampaignParams
    days: pd.DataFrame
    low: float  # engagement of the days left that a tenth of the campaigns stay below [1]
    high: float  # the same of nine tenths [1]
    campaigns: int  # played, all of them after the past days; 1 where chance has no part
    fit: Fit | None  # of the past days; None without any

    @property
    def split(self) -> FloatArray:
        """Spend on the days left, (days left, channels) [bu/day]."""
        return self.days[list(self.params.channels)].to_numpy()

    @property
    def expected(self) -> float:
        """Expected engagement of the days left [1]."""
        return float(self.days[EXPECTED].sum())

    @property
    def is_exact(self) -> bool:
        """Whether the days left bring just what is expected."""
        return self.campaigns == 1 and self.holds_range

    @property
    def holds_range(self) -> bool:
        """Whether the past days allow a range to be given."""
        return self.fit is None or self.fit.holds_range


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    flags = (AvoidSubcommands, FlagCreatePairsOff)
    try:
        _refuse_old_names(arguments)
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate.campaign.plan", config=flags)
        runs = find_target((args.run,), (), args.runs_dir).runs
        params = campaign_of(runs[0].config.env)
        past = PastDays(np.zeros((0, len(columns(params)))))
        if args.past is not None:
            past = parse_campaign_past(read_bytes(args.past), str(args.past), params)
        plan = make_plan(runs, args.agent, past.values)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    for notice in past.notices:
        print(f"note: {notice}", file=sys.stderr)
    print(json.dumps(as_json(plan), indent=2) if args.json else as_table(plan))
    return 0


def campaign_of(env: EnvConfig) -> CampaignParams:
    """The parameters of a campaign.

    Raises:
        InputError: The environment is another one, or refuses its arguments.
    """
    if domain_of(env) is not DOMAIN:
        raise InputError(
            f"env {env.id}: cannot start after past days, so there is nothing to plan; expected a "
            "run of an environment that can, such as envs:DynamicCampaign-v0"
        )
    return params_of(env)


def parse_campaign_past(data: bytes, where: str, params: CampaignParams) -> PastDays:
    """Past days of a campaign out of a CSV file, (past days, channels + metrics).

    Raises:
        InputError: Something in it is wrong; all faults are named.
    """
    kinds = {"channels": params.channels, "metrics": params.metrics}
    past = parse_past(data, where, kinds, params.days, partial(past_faults, params))
    weekday = params.start_weekday if past.first_date is None else past.first_date.weekday()
    if weekday == params.start_weekday or len(set(params.weekday_factors)) == 1:
        return past
    start = WEEKDAYS[params.start_weekday]
    notice = f"{where}: day 1 is a {WEEKDAYS[weekday]}; the campaign starts on a {start}"
    return past._replace(notices=(*past.notices, notice))


def make_plan(runs: list[Run], agent: str | None, past: FloatArray) -> Plan:
    """Asks a policy, by default the first, of a config's runs for the days left.

    They come after the past ones (past days, channels + metrics).

    Raises:
        InputError: There is no such agent, or its run cannot be loaded.
    """
    run, candidate = _choose(runs, agent)
    params, seed = campaign_of(candidate.env), run.config.evaluation.seed
    steps = play_days_left(candidate, params, past, seed)
    days = pd.DataFrame(
        [infos["spend"].mean(axis=0) for infos in steps], columns=list(params.channels)
    )
    days.insert(0, DAY, range(len(past) + 1, params.days + 1))
    days[EXPECTED] = [infos[EXPECTED].mean() for infos in steps]
    totals = np.sum([infos[TOTAL] for infos in steps], axis=0)  # (campaigns,)
    low, high = np.quantile(totals, RANGE).tolist()
    fit = fit_of(candidate.env, params, past, seed)
    return Plan(run.folder, candidate.name, params, days, low, high, len(totals), fit)


def play_days_left(
    candidate: Candidate, params: CampaignParams, past: FloatArray, seed: int
) -> list[dict[str, Any]]:
    """The infos of each day left after the past ones, in many campaigns where chance has a part."""
    from train.play import play

    campaigns = CAMPAIGNS if params.is_noisy or params.is_drawn else 1
    with closing(make_env(candidate.env, campaigns)) as envs:
        return [step.infos for step in play(candidate.policy, envs, seed, options={"past": past})]


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs: numbers as they are, not rounded."""
    first = plan.days.iloc[0]
    share = 1.0 if plan.is_exact else SHARE if plan.campaigns > 1 and plan.holds_range else None
    return {
        "run": str(plan.run),
        "agent": plan.agent,
        "day": int(first[DAY]),
        "last_day": plan.params.days,
        "unit": plan.params.unit,
        "past_days_fit": plan.fit and plan.fit._asdict() | {"holds_range": plan.holds_range},
        "split": {name: float(first[name]) for name in plan.params.channels},
        "days_left": {
            EXPECTED: plan.expected,
            "low": plan.low,
            "high": plan.high,
            "share_in_range": share,
            "exact": plan.is_exact,
            "campaigns": plan.campaigns,
        },
        "days": plan.days.to_dict(orient="records"),
    }


def as_table(plan: Plan) -> str:
    """The plan for people; the rounded parts of a split can be spent as they stand."""
    params = plan.params
    limits = (limit[-len(plan.split) :] for limit in limits_of(params))
    table = pd.DataFrame(written(plan.split, *limits), columns=list(params.channels)).map(grouped)
    tomorrow = ", ".join(f"{name} {spend}" for name, spend in table.iloc[0].items())
    table.insert(0, DAY, plan.days[DAY])
    table[f"expected {TOTAL}"] = column(plan.days[EXPECTED])
    warning = warning_of(plan.fit)
    lines = [
        *([warning, ""] if warning else []),
        f"Tomorrow is day {plan.days[DAY].iloc[0]} of {params.days}. "
        f"Spend in {params.unit}: {tomorrow}",
        "",
        table.to_string(index=False),
        "",
        *_earnings(plan),
        f"Decided by {plan.agent}, {plan.run}.",
    ]
    return "\n".join(lines)


def _refuse_old_names(arguments: list[str]) -> None:
    if any(word.partition("=")[0] == "--history" for word in arguments):
        raise InputError("--history is now called --past")


def _choose(runs: list[Run], agent: str | None) -> tuple[Run, Candidate]:
    """The run and the policy to ask; the first without an agent's name."""
    from evaluate.policies import load_candidates

    known = {
        candidate.name: (run, candidate)
        for run in runs
        for candidate in load_candidates([run], main=run.config_name)
    }
    name = next(iter(known)) if agent is None else agent
    if name not in known:
        hint = f"{nearest(name, known)}; known: {', '.join(known)}"
        raise InputError(f"--agent {name}: there is no run of it{hint}")
    return known[name]


def _earnings(plan: Plan) -> list[str]:
    """What the days left earn, as lines."""
    first, last = plan.days[DAY].iloc[0], plan.params.days
    span = f"days {first} to {last}" if first < last else f"day {last}"
    earned = f"Expected {TOTAL} of {span}: {in_text(plan.expected)}"
    if plan.campaigns == 1:
        return [earned + " (exact: chance has no part in this campaign)" * plan.is_exact]
    spread = f"{in_text(plan.low)} to {in_text(plan.high)}"
    known = " that fit the past days" if first > 1 else ""
    lines = [earned, f"{SHARE:.0%} of {plan.campaigns:,} simulated campaigns{known} earn {spread}."]
    if not plan.holds_range:
        lines[1] = f"The simulated campaigns closest to the past days earn about {spread}."
    later = "Splits of later days are averages: each is decided once the day before is known."
    return [*lines, later] if first < last else lines


if __name__ == "__main__":
    sys.exit(main())
