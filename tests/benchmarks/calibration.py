"""How well past days are fitted: ``python -m tests.benchmarks.calibration STUDY``.

The truths are drawn from the prior, so what a fit finds can be held against them. Each study
prints a table; the numbers of cases and days are options.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from envs.campaign import planner, robust_planner
from envs.campaign.calibration import Calibration, PastDays, Roles
from envs.campaign.checks import PRIOR_WIDTHS
from envs.campaign.params import CampaignParams, FloatArray
from envs.campaign.posterior import Posterior, fields_at, fit
from envs.campaign.presets import make_params
from evaluate.campaign.calibrate.fit_check import check_fit
from evaluate.campaign.calibrate.fitted import Fitted
from evaluate.campaign.calibrate.trial import Ahead, value_and_gradient, worth
from evaluate.campaign.calibrate.untold import warnings_of
from tests.tools import histories
from tests.tools.histories import BUDGET, History, Split, history

WEIGHTS = (1.0, 2.0, 3.0, 5.0)
LENGTH = 7  # days of a campaign to come
BINS = 10  # of ranks
ITERATIONS = 60  # on the way to the best plan
SCENARIOS = 200  # of the posterior
RANKED = 99  # draws that a truth is ranked among


class Found(NamedTuple):
    """What the fit of one history gives.

    Attributes:
        seconds: Of one core [s].
        r_hat, effective: The worst of all parameters.
        regret: Of the plan from the posterior mean in the true world, share of the best plan's [1].
        least: Of the plan that earns most in the mean over the posterior: no plan is expected to
            have less [1].
        blind: Of the plan from the prior's mean [1].
        warned: Whether the split is said to be untold.
        is_good: Whether the check of fit finds nothing.
        within: Which truths lie in the 90 % interval, (parameters,).
        week: Whether next week's expected engagement under an even split does.
        ranks: Of the truths among ``RANKED`` draws, (parameters,).
        names: Of the parameters' priors.
    """

    seconds: float
    r_hat: float
    effective: float
    regret: float
    least: float
    blind: float
    warned: bool
    is_good: bool
    within: FloatArray
    week: bool
    ranks: FloatArray
    names: tuple[str, ...]


def campaign(channels: int, metrics: int, /, **fields: Any) -> CampaignParams:
    """A campaign to come, of a week."""
    names: dict[str, Any] = {
        "channels": [f"channel_{place}" for place in range(channels)],
        "metrics": [f"metric_{place}" for place in range(metrics)],
        "metric_weights": WEIGHTS[:metrics],
    }
    money: dict[str, Any] = {"days": LENGTH, "daily_budget": BUDGET, "reference_budget": BUDGET}
    return make_params("uncertain", **(dict.fromkeys(PRIOR_WIDTHS, 0.0) | names | money | fields))


def find(past: History, rng: np.random.Generator, is_scaled: bool = True) -> Found:
    """Fits a history.

    Args:
        past: The history.
        rng: Of the fit.
        is_scaled: Whether the prior is scaled by the counts, as it is for a user; else by what the
            truth was drawn from, so that the prior is exactly that of the truth.
    """
    calibration, truth = past.calibration, past.truth
    if not is_scaled:
        vars(calibration.past)["usual_metrics"] = past.origin.past.usual_metrics
    start = time.process_time()
    posterior = fit(calibration, rng, processes=1)
    seconds = time.process_time() - start
    in_truth = past.origin.location + past.origin.scale * truth
    point = (in_truth - calibration.location) / calibration.scale
    draws = posterior.draws
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    ranked = draws[rng.choice(len(draws), RANKED, replace=False)]
    seen, shape = as_fitted(posterior), calibration.blocks[0].shape
    plan, blind = (
        planner.plan(campaign(*shape, **fields_at(calibration, where))).spend
        for where in (draws.mean(axis=0), 0 * point)
    )
    return Found(
        seconds=seconds,
        r_hat=float(posterior.r_hat.max()),
        effective=float(posterior.effective.min()),
        regret=_regret(past, plan),
        least=_regret(past, _best_for(seen, plan)),
        blind=_regret(past, blind),
        warned=any(caveat.kind == "split" for caveat in warnings_of(seen)),
        is_good=check_fit(seen, rng).is_good,
        within=(low <= point) & (point <= high),
        week=_holds_week(posterior, past),
        ranks=(ranked < point).sum(axis=0),
        names=tuple(block.name for block in calibration.blocks for _ in range(block.median.size)),
    )


def as_fitted(posterior: Posterior) -> Fitted:
    """The posterior with names, as the report takes it."""
    past = posterior.calibration.past
    channels, metrics = past.spend.shape[1], past.metrics.shape[1]
    params = campaign(channels, metrics, **fields_at(posterior.calibration, posterior.draws[0]))
    return Fitted(posterior, params.channels, params.metrics, WEIGHTS[:metrics], "bu")


def _best_for(seen: Fitted, start: FloatArray) -> FloatArray:
    """The plan that earns most in the mean over draws from the posterior, (days, channels)."""
    channels = len(seen.channels)
    ahead = Ahead(LENGTH, BUDGET, 0, np.zeros(channels), np.full(channels, BUDGET))
    some = seen.posterior.draws[:: -(-len(seen.posterior.draws) // SCENARIOS)]
    each = worth(seen, ahead, some)

    def earned(plans: FloatArray) -> FloatArray:
        mean: FloatArray = each(np.repeat(plans, len(some), axis=0)).mean(axis=0, keepdims=True)
        return mean

    return _climb(earned, start)


def _climb(earned: Callable[[FloatArray], FloatArray], start: FloatArray) -> FloatArray:
    """The best plan (days, channels) found from a start, by plans (1, tried, ...) to (1, tried)."""
    slope = partial(value_and_gradient, earned, BUDGET)
    low, high = np.zeros_like(start), np.full_like(start, BUDGET)
    ends = robust_planner.ascend(slope, start[np.newaxis], low, high, BUDGET, ITERATIONS)
    best: FloatArray = ends[0]
    return best


def _regret(past: History, chosen: FloatArray) -> float:
    """What a plan (days, channels) [bu/day] loses in the true world [1]."""
    shape = past.calibration.blocks[0].shape
    truth = campaign(*shape, **fields_at(past.origin, past.truth))
    best = planner.plan(truth)
    if past.world is not histories.logistic:  # of the others: a week without what distorts
        return 1.0 - float(planner.expected_engagement(truth, chosen)) / best.engagement
    earned = partial(_earned, past)
    value = earned(np.stack([chosen, _climb(earned, best.spend)])[np.newaxis])[0]
    return float(1.0 - value[0] / value.max())


def _earned(past: History, plans: FloatArray) -> FloatArray:
    """What plans (1, tried, days, channels) earn in the true world, (1, tried) [1]."""
    metrics = len(past.calibration.past.metrics[0])
    totals = [
        past.world(_ahead(past.origin, spend), past.truth, np.random.default_rng(0)).sum(axis=0)
        for spend in plans[0]
    ]
    earned: FloatArray = np.array(totals)[np.newaxis] @ np.array(WEIGHTS[:metrics])
    return earned


def _holds_week(posterior: Posterior, past: History) -> bool:
    """Whether the 90 % interval of next week's expected engagement holds the truth."""
    channels = past.origin.past.spend.shape[1]
    week = np.tile(BUDGET / channels, (LENGTH, channels))
    draws = _week(past.calibration, posterior.draws, week)
    low, high = np.quantile(draws, [0.05, 0.95])
    return bool(low <= _week(past.origin, past.truth[np.newaxis], week)[0] <= high)


def _week(calibration: Calibration, points: FloatArray, spend: FloatArray) -> FloatArray:
    """Expected engagement of a new week of spends at points (count, size), (count,) [1]."""
    expected, _ = _ahead(calibration, spend).expected(points)
    earned: FloatArray = expected.sum(axis=1) @ np.array(WEIGHTS[: expected.shape[-1]])
    return earned


def _ahead(calibration: Calibration, spend: FloatArray) -> Calibration:
    """A calibration whose points mean the same, for a new campaign with spends (days, channels)."""
    past, days = calibration.past, np.arange(len(spend))
    metrics = np.repeat(past.metrics[:1], len(spend), axis=0)
    there = PastDays(spend, metrics, days % 7, days == 0)
    vars(there).update(usual_spend=past.usual_spend, usual_metrics=past.usual_metrics)
    return Calibration(there, calibration.roles, calibration.reference_budget)


def _study(
    case: int, seed: int, days: int, split: Split, is_scaled: bool = True, **form: Any
) -> Found:
    rng = np.random.default_rng([seed, case])
    return find(history(rng, days, split, **form), rng, is_scaled)


def run(jobs: int, cases: int, study: Callable[[int], Found]) -> list[Found]:
    """The cases of a study, some at a time."""
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(study, range(cases)))


def recovery(args: argparse.Namespace) -> None:
    """Regret of the plan after days of several splits and lengths."""
    rows = []
    for name, days in itertools.product(args.splits, args.days):
        study = partial(_study, seed=args.seed, days=days, split=histories.SPLITS[name])
        rows.append({"split": name, "days": days} | summary(run(args.jobs, args.cases, study)))
        _print(rows)


def summary(found: Sequence[Found]) -> dict[str, Any]:
    """A row of a table: means over histories."""
    regret = np.array([each.regret for each in found])
    return {
        "histories": len(found),
        "converged": np.mean([each.r_hat <= 1.05 and each.effective >= 400 for each in found]),
        "seconds": np.mean([each.seconds for each in found]),
        "regret": regret.mean(),
        "worst": regret.max(),
        "least": np.mean([each.least for each in found]),
        "without data": np.mean([each.blind for each in found]),
        "split warned": np.mean([each.warned for each in found]),
        "fit doubted": np.mean([not each.is_good for each in found]),
        "parameters held": np.mean([each.within for each in found]),
        "week held": np.mean([each.week for each in found]),
    }


def coverage(args: argparse.Namespace) -> None:
    """Simulation-based calibration (Talts et al. 2018): ranks, and how often intervals hold."""
    form: dict[str, Any] = {"channels": 2, "metrics": 2, "roles": Roles((1,), (0,), (0,))}
    study = partial(
        _study, seed=args.seed, days=args.days[0], split=histories.varied, is_scaled=False, **form
    )
    found = run(args.jobs, args.cases, study)
    ranks = np.array([each.ranks for each in found])
    within = np.array([each.within for each in found])
    bins = np.array([np.bincount(rank * BINS // (RANKED + 1), minlength=BINS) for rank in ranks.T])
    chances = stats.chisquare(bins, axis=1).pvalue
    rows = [
        {"parameter": name, "held": held, "p of uniform ranks": chance}
        for name, held, chance in zip(found[0].names, within.mean(axis=0), chances, strict=True)
    ]
    _print(rows)
    print(
        f"{len(found)} histories of {args.days[0]} days; next week held "
        f"{np.mean([each.week for each in found]):.3f}; all parameters held {within.mean():.3f}; "
        f"least p {chances.min():.4f} of {len(chances)}; of the p values themselves, "
        f"Kolmogorov-Smirnov: {stats.kstest(chances, 'uniform').pvalue:.3f}"
    )


def misfit(args: argparse.Namespace) -> None:
    """How often the check of fit doubts a fit where the world is another one, and the regret."""
    rows = []
    for days in args.days:
        for name, world in histories.WORLDS.items():
            study = partial(_study, seed=args.seed, days=days, split=histories.varied, world=world)
            rows.append({"world": name, "days": days} | summary(run(args.jobs, args.cases, study)))
            _print(rows)


STUDIES: dict[str, Callable[[argparse.Namespace], None]] = {
    study.__name__: study for study in (recovery, coverage, misfit)
}


def _print(rows: Iterable[dict[str, Any]]) -> None:
    frame = pd.DataFrame(rows)
    print(frame.to_string(index=False, float_format="{:.4g}".format), flush=True)


def main() -> None:
    """Runs one study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--days", type=int, nargs="+", default=[28, 56, 365])
    parser.add_argument(
        "--splits", nargs="+", default=[*histories.SPLITS], choices=histories.SPLITS
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    STUDIES[args.study](args)


if __name__ == "__main__":
    main()
