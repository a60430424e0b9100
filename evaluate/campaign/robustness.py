"""``python -m evaluate.campaign.robustness``: agents and baselines under distribution shift.

The agents are not trained for it, and beliefs and baselines keep to the prior and the noise of the
parameters; only the clairvoyant knows each campaign. It belongs to campaigns that differ.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import annotated_types
import numpy as np
import pandas as pd
import tyro
from tyro.conf import Positional

from envs.campaign.params import FIELDS, PRIOR_WIDTHS, CampaignParams
from evaluate.campaign.domain import DOMAIN, EXPECTED, params_of
from evaluate.campaign.policies import BEST_FIXED, CLAIRVOYANT, REPLANNER
from evaluate.domain import domain_of
from evaluate.policies import load_candidates
from evaluate.report.wording import digits, with_ends
from evaluate.results import PolicyResult, policy_results
from evaluate.rollouts import play_all
from evaluate.targets import find_target
from train.errors import InputError

DEFAULT_TARGET = Path("configs/uncertain.yaml")
COMPARED = (BEST_FIXED, REPLANNER, CLAIRVOYANT)


class Args(NamedTuple):
    """Plays trained runs and baselines where draws are wider, days noisier or a channel is dead."""

    target: Positional[Path] = DEFAULT_TARGET  # config or folder of a run
    # training seeds to take, or 'all'; default: the newest run alone
    seeds: tuple[str, ...] = ()
    campaigns: int = 300  # campaigns to play in each case
    runs_dir: Path = Path("runs")  # folder of the runs


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each case and policy; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = tyro.cli(Args, args=arguments, prog="python -m evaluate.campaign.robustness")
        print(robustness(args).set_index(["case", "policy"]).to_string())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def shifts(params: CampaignParams) -> dict[str, dict[str, Any]]:
    """The option ``true_params`` of ``reset`` for each case, by what is unusual about it.

    A field that would leave its range is set to the end of it, and the name of the case says so.
    """
    wide, at_most = _doubled(params, PRIOR_WIDTHS)
    noisy, loudest = _doubled(params, ["shock_sd"])
    if params.dispersion is not None:
        noisy["dispersion"] = params.dispersion / 4  # the sd is 1 / sqrt(dispersion)
    alive = 1 - np.eye(len(params.channels))[:, :, np.newaxis]  # a row for each dead channel
    counts = (alive * params.counts_array).tolist()
    return {
        "as expected": {},
        f"draws twice as wide{at_most}": wide,
        f"noise twice as strong{loudest}": noisy,
        **{
            f"{name} dead": {"counts": left}
            for name, left in zip(params.channels, counts, strict=True)
        },
    }


def robustness(args: Args) -> pd.DataFrame:
    """A row for each case and policy: what it earns, its gap closed, how much the agent leads by.

    Raises:
        InputError: There is no such run, or its campaigns do not differ from each other.
    """
    if args.campaigns < 2:
        raise InputError(f"--campaigns {args.campaigns}: must be 2 or more")
    target = find_target((args.target,), args.seeds, args.runs_dir)
    if domain_of(target.env) is not DOMAIN or not params_of(target.env).is_drawn:
        raise InputError(
            f"{args.target}: {target.env.id}: its campaigns do not differ, so nothing has to be "
            "adapted to"
        )
    trained = load_candidates(target.runs, main=target.name)
    agents = list(dict.fromkeys(candidate.name for candidate in trained))
    seed, rows = target.evaluation.seed, []
    for case, true_params in shifts(params_of(target.env)).items():
        print(f"playing {args.campaigns} campaigns: {case}", file=sys.stderr, flush=True)
        baselines = DOMAIN.baseline_policies(target.env, seed)  # what they draw starts again
        played = trained + [baseline for baseline in baselines if baseline.name in COMPARED]
        options = {"true_params": true_params}
        episodes = play_all(played, args.campaigns, seed, DOMAIN.columns, options).episodes
        policies = policy_results(episodes, agents, EXPECTED, DOMAIN.baselines)
        rows += [_row(case, policy, agents[0]) for policy in policies]
    return pd.DataFrame(rows)


def _doubled(params: CampaignParams, fields: Iterable[str]) -> tuple[dict[str, float], str]:
    """Twice the value of each field within its range, and which had to be brought into it."""
    values: dict[str, float] = {}
    clipped = []
    for name in fields:
        bounds: list[Any] = FIELDS[name].metadata
        most = next(float(bound.le) for bound in bounds if isinstance(bound, annotated_types.Le))  # type: ignore[arg-type]
        values[name] = 2 * getattr(params, name)
        if values[name] > most:
            values[name] = most
            clipped.append(f"{name} at most {most:g}")
    return values, f" ({', '.join(clipped)})" if clipped else ""


def _row(case: str, policy: PolicyResult, leading: str) -> dict[str, str]:
    """One line; by how much the first agent earns more is taken campaign by campaign."""
    closed, lead, episode = policy.gap_closed, policy.difference, DOMAIN.episode
    form = digits(policy.mean.value)
    return {
        "case": case,
        "policy": policy.name,
        "expected engagement": form.number(policy.mean.value),
        "gap closed": with_ends(closed, "{:.2f}".format, episode) if closed else "",
        f"{leading} earns more by": with_ends(lead, form.signed, episode) if lead else "",
    }


if __name__ == "__main__":
    sys.exit(main())
