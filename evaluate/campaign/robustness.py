"""``python -m evaluate.campaign.robustness``: the same agents and rivals where the world is not what they take it for.

The agents are not trained anew, and beliefs and rivals keep to the prior and the noise that they
know; only the clairvoyant knows what holds. It belongs to the campaigns that differ from each
other.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
import tyro

from envs.campaign.params import CHANNELS, PRIOR_WIDTHS, CampaignParams
from evaluate.__main__ import Args as Targets
from evaluate.__main__ import find_target
from evaluate.policies import entries, single_env, yardsticks
from evaluate.report.wording import with_ends
from evaluate.results import BEST_FIXED, CLAIRVOYANT, REPLANNER, PolicyResult, policy_results
from evaluate.rollouts import play_all
from train.config import InputError

DEFAULT_TARGET = Path("configs/uncertain.yaml")
COMPARED = (BEST_FIXED, REPLANNER, CLAIRVOYANT)
METRIC = "expected_engagement"


class Args(NamedTuple):
    """Plays trained runs and their rivals where draws are wider, days noisier or a channel is dead."""

    target: Annotated[
        Path,
        tyro.conf.Positional,
        tyro.conf.arg(help=f"config or folder of a run; default: {DEFAULT_TARGET}"),
    ] = DEFAULT_TARGET
    seeds: Annotated[
        tuple[str, ...],
        tyro.conf.arg(help="training seeds to take, or 'all'; default: the newest run alone"),
    ] = ()
    campaigns: Annotated[int, tyro.conf.arg(help="campaigns to play in each world")] = 300
    runs_dir: Annotated[Path, tyro.conf.arg(help="folder of the runs")] = Path("runs")


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each world and policy; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate.campaign.robustness")
        print(robustness(args).set_index(["world", "policy"]).to_string())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def worlds(params: CampaignParams) -> dict[str, dict[str, Any]]:
    """What holds in each world, as the option ``world`` of ``reset`` takes it, by what is unusual about it."""
    wide = {name: 2 * getattr(params, name) for name in PRIOR_WIDTHS}
    loud: dict[str, Any] = {"shock_sd": 2 * params.shock_sd}
    if params.dispersion is not None:
        loud["dispersion"] = params.dispersion / 4  # the standard deviation is 1 / sqrt(dispersion)
    dead = {f"{name} dead": {"counts": _without(params, i)} for i, name in enumerate(CHANNELS)}
    return {"as expected": {}, "draws twice as wide": wide, "noise twice as strong": loud, **dead}


def robustness(args: Args) -> pd.DataFrame:
    """A row for each world and policy: what it earns, which part of the gap it closes, and by how much an agent leads.

    Raises:
        InputError: There is no such run, or its campaigns do not differ from each other.
    """
    if args.campaigns < 2:
        raise InputError(f"--campaigns {args.campaigns}: must be 2 or more")
    subject = find_target(Targets(targets=(args.target,), seeds=args.seeds, runs_dir=args.runs_dir))
    params = getattr(single_env(subject.env), "params", None)
    if params is None or not params.is_drawn:
        raise InputError(
            f"{args.target}: {subject.env.id}: its campaigns do not differ, so nothing has to be adapted to"
        )
    trained = entries(subject.runs, main=subject.name)
    seed, learned = subject.evaluation.seed, list(dict.fromkeys(entry.name for entry in trained))
    played = trained + [entry for entry in yardsticks(subject.env, seed) if entry.name in COMPARED]
    rows = []
    for world, fields in worlds(params).items():
        print(f"playing {args.campaigns} campaigns: {world}", file=sys.stderr, flush=True)
        results = play_all(played, args.campaigns, seed, {"true_params": fields})
        rows += [
            _row(world, policy, learned[0])
            for policy in policy_results(results.campaigns, learned, METRIC)
        ]
    return pd.DataFrame(rows)


def _without(params: CampaignParams, channel: int) -> list[list[float]]:
    return [
        [0.0 if row == channel else count for count in counts]
        for row, counts in enumerate(params.counts)
    ]


def _row(world: str, policy: PolicyResult, leading: str) -> dict[str, str]:
    """One line; by how much the first agent earns more is taken campaign by campaign."""
    closed, lead = policy.gap_closed, policy.difference
    return {
        "world": world,
        "policy": policy.name,
        "expected engagement": f"{policy.mean.value:,.0f}",
        "gap closed": with_ends(closed, "{:.2f}".format) if closed else "",
        f"{leading} earns more by": with_ends(lead, "{:+,.0f}".format) if lead else "",
    }


if __name__ == "__main__":
    sys.exit(main())
