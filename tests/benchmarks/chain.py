"""What calibration is worth to a brand: ``python -m tests.benchmarks.chain``.

Each brand is drawn from the prior and has some weeks of habit behind it. They are fitted, an agent
is trained on the posterior, and a week is played under the truth by the habit, by plans, by the
daily re-planner, by the agent and by the clairvoyant. Prints a table of brands and the agent's
lead with its interval.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from envs.campaign import baselines, planner
from envs.campaign.batch import CampaignBatch
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.posterior import fields_at, fit
from evaluate.campaign.calibrate.config import config_of
from evaluate.campaign.domain import baseline_env, params_of
from evaluate.campaign.policies import REPLANNER, baseline_policies
from evaluate.policies import load_candidates
from evaluate.rollouts import Candidate
from evaluate.targets import find_target
from tests.benchmarks.calibration import LENGTH, as_fitted, campaign
from tests.tools.histories import BUDGET, history, wandering
from train.play import Policy

WEEKS = 200  # played by each policy under the truth of a brand
AGENT, HABIT, PLAN = "agent", "habit", "plan of the mean"


def brand(case: int, seed: int, days: int, folder: Path) -> dict[str, Any]:
    """A row of the table: what each policy earns in a week, as a share of the clairvoyant's."""
    rng = np.random.default_rng([seed, case])
    past = history(rng, days, wandering)
    posterior = fit(past.calibration, rng, processes=1)
    channels, metrics = past.calibration.past.spend.shape[1], past.calibration.past.metrics.shape[1]
    truth = campaign(channels, metrics, **fields_at(past.origin, past.truth))
    config = folder / f"brand-{case}.yaml"
    config.write_text(
        config_of(as_fitted(posterior), LENGTH, BUDGET, "its habit"), encoding="utf-8"
    )
    trained = train(config)
    believed = params_of(trained.env)
    earned = week_under(truth, case)
    fixed: dict[str, Callable[[], FloatArray]] = {
        HABIT: lambda: np.tile(past.calibration.past.spend.mean(axis=0), (LENGTH, 1)),
        "best constant split": partial(baselines.best_constant_split, believed),
        PLAN: lambda: planner.plan(believed).spend,
        "best fixed plan": partial(baselines.best_fixed, believed),
    }
    most = planner.plan(truth).engagement
    spends = {name: float(planner.expected_engagement(truth, of())) for name, of in fixed.items()}
    adaptive = {
        REPLANNER: earned(
            baseline_policies(believed, case)[REPLANNER], baseline_env(trained.env).kwargs
        ),
        AGENT: earned(trained.policy, trained.env.kwargs),
    }
    shares = {name: value / most for name, value in (spends | adaptive).items()}
    return {"brand": case, "converged": posterior.is_converged, "clairvoyant": most, **shares}


def train(config: Path) -> Candidate:
    """An agent trained on a config by the program itself."""
    runs = config.with_name("runs")
    program = [sys.executable, "-m", "train", str(config), "--agents", "a2c", "--runs-dir"]
    subprocess.run([*program, str(runs)], check=True, capture_output=True)
    run = find_target((config,), (), runs).runs[0]
    return load_candidates([run], main=run.config_name)[0]


def week_under(truth: CampaignParams, seed: int) -> Callable[[Policy, dict[str, Any]], float]:
    """Plays weeks under a truth, the same chance for every policy; returns what does so."""
    true = dataclasses.asdict(truth)

    def earned(policy: Policy, kwargs: dict[str, Any]) -> float:
        """Mean expected engagement of a week [1], for a policy trained with ``kwargs``."""
        rng = np.random.default_rng(seed)
        world = CampaignBatch(WEEKS, preset="uncertain", action="spend", observation="day", **true)
        seen = CampaignBatch(WEEKS, **{"preset": "uncertain"} | kwargs)
        world.reset(rng)
        seen.reset(rng)
        state, total, starts = None, 0.0, np.ones(WEEKS, dtype=bool)
        for _ in range(LENGTH):
            actions, state = policy.predict(seen.observations.copy(), state, starts, True)
            day = world.play(seen.read(actions, (WEEKS,)))
            seen.play(day.spend, metrics=day.metrics)
            total += float(day.expected_engagement.mean())
            starts = np.zeros(WEEKS, dtype=bool)
        return total

    return earned


def leads(table: pd.DataFrame) -> pd.DataFrame:
    """By how much the agent's share exceeds each other's, the mean over brands and its interval."""
    rows = []
    for name in table.columns.drop(["brand", "converged", "clairvoyant", AGENT]):
        lead = table[AGENT] - table[name]
        half = stats.t.ppf(0.975, len(lead) - 1) * stats.sem(lead)
        rows.append(
            {"agent less": name, "mean": lead.mean(), "low": lead.mean() - half}
            | {"high": lead.mean() + half, "brands ahead": (lead > 0).sum()}
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Plays all brands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brands", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=0, help="brand to begin with")
    parser.add_argument("--days", type=int, default=56)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        study = partial(brand, seed=args.seed, days=args.days, folder=Path(folder))
        for row in pool.map(study, range(args.first, args.first + args.brands)):
            rows.append(row)
            print(pd.DataFrame([row]).round(4).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    numbers = table.drop(columns=["brand", "converged"]).mean()
    print(numbers.round(4).to_string(), leads(table).round(4).to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    main()
