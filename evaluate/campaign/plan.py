"""``python -m evaluate.campaign.plan RUN --history so_far.csv``: tomorrow's split of a campaign, and what the days left earn.

It belongs to the campaign, as its charts do: it asks the environment for its days, and for those
    that were played.
"""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray

from evaluate.__main__ import DEFAULT_TARGET, find_target
from evaluate.__main__ import Args as Targets
from evaluate.campaign.past_days import History, read_history
from train.config import EnvConfig, InputError, nearest
from train.environment import make_env
from train.storage.run_folder import Run

CAMPAIGNS = 1_000
SHARE = 0.8  # of the campaigns that lie in the range
TOTAL, EXPECTED = "engagement", "expected_engagement"


class Args(NamedTuple):
    """Tells tomorrow's split of the budget after the days played so far, and what the days left will earn."""

    run: Annotated[
        Path,
        tyro.conf.Positional,
        tyro.conf.arg(
            help=f"folder of a run, or a config (its newest finished run of an agent); default: {DEFAULT_TARGET}"
        ),
    ] = DEFAULT_TARGET
    history: Annotated[
        Path | None,
        tyro.conf.arg(
            help="CSV file with a row for each past day: day,posts,ads,rewards,likes,comments,shares; "
            "default: nothing is played yet"
        ),
    ] = None
    agent: Annotated[
        str | None,
        tyro.conf.arg(help="agent to ask, where a config has several; default: its first one"),
    ] = None
    json: Annotated[bool, tyro.conf.arg(help="print JSON for programs instead of a table")] = False
    runs_dir: Annotated[Path, tyro.conf.arg(help="folder of the runs")] = Path("runs")


class Plan(NamedTuple):
    """What an agent would do on the days left, and what that earns.

    Attributes:
        run: Folder of the run that was asked.
        agent: Name of the agent.
        last_day: The day that ends the campaign, from 1.
        decided: Columns of the split.
        days: A row for each day left: the day, the split [bu/day] and the expected engagement
            [1/day], averaged over the campaigns. The split of the first row is the same in all of
            them.
        low: Engagement of the days left that a tenth of the campaigns stay below [1].
        high: The same of nine tenths [1].
        campaigns: How many campaigns were played, all of them after the days so far; 1 where chance
            has no part.
    """

    run: Path
    agent: str
    last_day: int
    decided: tuple[str, ...]
    days: pd.DataFrame
    low: float
    high: float
    campaigns: int

    @property
    def expected(self) -> float:
        """Expected engagement of the days left [1]."""
        return float(self.days[EXPECTED].sum())


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    flags = (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)
    try:
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate.campaign.plan", config=flags)
        subject = find_target(Targets(targets=(args.run,), runs_dir=args.runs_dir))
        history = history_of(subject.runs[0])
        past = (
            np.zeros((0, len(history.columns)))
            if args.history is None
            else read_history(args.history, history)
        )
        made = make_plan(subject.runs, args.agent, past)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(as_json(made), indent=2) if args.json else as_table(made))
    return 0


def history_of(run: Run) -> History:
    """What the environment of a run tells of days that have been played.

    Raises:
        InputError: It cannot start after such days.
    """
    return _history(make_env(run.config.env, n_envs=1), run.config.env)


def make_plan(runs: list[Run], agent: str | None, past: NDArray[np.float64]) -> Plan:
    """Plays the days left after those of the past, many times where chance has a part.

    Args:
        runs: Runs of one config, one for each agent.
        agent: Which of their policies to ask; None takes the first.
        past: The days so far, (days so far, columns of the environment's history).

    Raises:
        InputError: There is no such agent, or its run cannot be loaded.
    """
    from evaluate.policies import entries
    from train.play import play

    loaded = [(run, entry) for run in runs for entry in entries([run], main=run.config_name)]
    names = [entry.name for _, entry in loaded]
    if agent is not None and agent not in names:
        raise InputError(
            f"--agent {agent}: there is no run of it{nearest(agent, names)}; known: {', '.join(names)}"
        )
    run, entry = loaded[names.index(agent) if agent else 0]
    history = history_of(run)
    envs: Any = make_env(entry.env, CAMPAIGNS if history.is_chance else 1)
    seed = run.config.evaluation.seed
    steps = [step.infos for step in play(entry.policy, envs, seed, options={"past": past})]
    engagement = sum(infos[TOTAL] for infos in steps)
    low, high = np.quantile(engagement, [(1 - SHARE) / 2, (1 + SHARE) / 2]).tolist()
    records = [{**envs.unwrapped.day_record(infos), EXPECTED: infos[EXPECTED]} for infos in steps]
    days = pd.DataFrame(
        [{name: value.mean() for name, value in record.items()} for record in records]
    )
    days.insert(0, "day", range(len(past) + 1, history.last_day + 1))
    shown = days[["day", *history.decided, EXPECTED]]
    return Plan(
        run.folder, entry.name, history.last_day, history.decided, shown, low, high, envs.num_envs
    )


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs: numbers as they are, not rounded."""
    first = plan.days.iloc[0]
    return {
        "run": str(plan.run),
        "agent": plan.agent,
        "day": int(first["day"]),
        "last_day": plan.last_day,
        "split": {name: float(first[name]) for name in plan.decided},
        "days_left": {
            EXPECTED: plan.expected,
            "low": plan.low,
            "high": plan.high,
            "share_in_range": 1.0 if plan.campaigns == 1 else SHARE,
            "exact": plan.campaigns == 1,
            "campaigns": plan.campaigns,
        },
        "days": plan.days.to_dict(orient="records"),
    }


def as_table(plan: Plan) -> str:
    """The plan for people; the rounded parts of a split add up, so that it can be spent as it stands."""
    splits = plan.days[list(plan.decided)].to_numpy()
    split, digits = rounded(splits), places(splits)
    table = pd.DataFrame({"day": plan.days["day"]})
    for name, column in zip(plan.decided, split.T, strict=True):
        table[name] = [f"{value:,.{digits}f}" for value in column]
    table[f"expected {TOTAL}"] = [f"{value:,.0f}" for value in plan.days[EXPECTED]]
    day = plan.days["day"].iloc[0]
    tomorrow = ", ".join(f"{name} {table[name].iloc[0]}" for name in plan.decided)
    return "\n".join(
        [
            f"Tomorrow is day {day} of {plan.last_day}. Spend: {tomorrow}",
            "",
            table.to_string(index=False),
            "",
            _range(plan),
            f"Decided by {plan.agent}, {plan.run}.",
        ]
    )


def rounded(split: NDArray[np.float64]) -> NDArray[np.float64]:
    """Splits (days, columns) in few digits that add up to no more than before: what is cut off goes to the most cut."""
    unit = 10.0 ** -places(split)
    whole = np.floor(split / unit + 1e-6)
    left = np.floor(split.sum(axis=1) / unit + 1e-6) - whole.sum(axis=1)
    order = np.argsort(np.argsort(whole - split / unit, axis=1, kind="stable"), axis=1)
    filled: NDArray[np.float64] = (whole + (order < left[:, np.newaxis])) * unit
    return filled


def places(split: NDArray[np.float64]) -> int:
    """Digits after the point: three or more that count in a day's sum, and at least one after the point."""
    most = float(split.sum(axis=1).max())
    return max(1, 2 - math.floor(math.log10(most))) if most > 0 else 1


def _range(plan: Plan) -> str:
    first, last = plan.days["day"].iloc[0], plan.last_day
    span = f"days {first} to {last}" if first < last else f"day {last}"
    earned = f"Expected {TOTAL} of {span}: {plan.expected:,.0f}"
    if plan.campaigns == 1:
        return f"{earned} (exact: chance has no part in this campaign)"
    later = (
        "\nSplits of later days are averages: each is decided anew once the day before is known."
        if first < last
        else ""
    )
    known = " that fit the days so far" if first > 1 else ""
    return (
        f"{earned}\n{SHARE:.0%} of {plan.campaigns:,} simulated campaigns{known} earn "
        f"{plan.low:,.0f} to {plan.high:,.0f}.{later}"
    )


def _history(envs: Any, env: EnvConfig) -> History:
    if not hasattr(envs.unwrapped, "history"):
        raise InputError(
            f"env {env.id}: cannot start after days already played, so there is nothing to plan; expected a run of an "
            "environment that can, such as envs:DynamicCampaign-v0"
        )
    history: History = envs.unwrapped.history
    return history


if __name__ == "__main__":
    sys.exit(main())
