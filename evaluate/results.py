"""What each policy earns, how sure that is, and how the leading agent compares with it."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evaluate import statistics
from evaluate.statistics import FailureRate, FloatArray, Interval, Scores, scores_of

SHARE = "share_of_optimum"
KEYS = ("policy", "seed", "episode")  # columns that are not metrics
FAILURE_THRESHOLD = 0.99  # of what the best baseline earns; a seed below it has failed
LEAST_GAP = 1e-4  # relative; smaller gaps are within the tolerance of the planner
OPTIMUM = "optimum"

Unfinished = dict[str, dict[int, str]]  # {"a2c": {3: "diverged"}}


class BaselineNames(NamedTuple):
    """What baselines with a part of their own in the report are called, if they exist."""

    optimum: str | None = None  # earns the most that is possible
    best_fixed: str | None = None  # the best one that does not adapt: the lower end of the gap
    clairvoyant: str | None = None  # knows the latent parameters: the upper end of the gap
    replanner: str | None = None  # adapts without being trained
    planners: tuple[str, ...] = ()  # all that are not simple rules
    gap_ends: str = ""  # what the two ends of the gap know, in sentences


NO_NAMES = BaselineNames()


class PolicyResult(NamedTuple):
    """What one policy earns in total on an episode, in the unit of the metric."""

    name: str
    is_trained: bool
    seeds: list[int]  # in the order of the rows of its scores; none for a baseline
    scores: Scores
    mean: Interval
    iqm: Interval  # interquartile mean
    share_of_optimum: Interval | None  # none where there is no optimum, or a gap is what counts
    gap_closed: (
        Interval | None
    )  # of the way from best fixed to clairvoyant; none if there is no way
    gap_closed_by_seed: FloatArray | None  # (seeds,)
    optimality_gap: Interval | None  # how far it stays below the optimum; none without the share
    difference: Interval | None  # by how much the leading agent earns more; none for itself
    probability_of_improvement: Interval | None  # the chance that it earns more; none for itself
    failures: FailureRate | None  # none where nothing says what a failure is


def means(episodes: pd.DataFrame) -> pd.DataFrame:
    """A row per policy in the order played: each metric's mean, the worst seed, how many seeds.

    ``episodes`` has a row per policy, training seed and episode.
    """
    metrics = [name for name in episodes.columns if name not in KEYS]
    worst = SHARE if SHARE in metrics else metrics[0]
    rows = {}
    for policy in episodes["policy"].unique():
        scores = {metric: scores_of(episodes, policy, metric) for metric in metrics}
        rows[policy] = {name: float(values.values.mean()) for name, values in scores.items()} | {
            "seeds": len(scores[worst].values) if scores[worst].is_trained else 0,
            "worst_seed": float(scores[worst].by_seed.min()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("policy")


def comparison_metric(episodes: pd.DataFrame, metric: str, names: BaselineNames) -> str:
    """The column that policies are compared by: its expectation where a gap counts."""
    expected = f"expected_{metric}"
    return expected if expected in episodes and _gap(_totals(episodes, expected), names) else metric


def policy_results(
    episodes: pd.DataFrame,
    trained: list[str],
    metric: str,
    names: BaselineNames,
    unfinished: Unfinished | None = None,
) -> list[PolicyResult]:
    """The leading agent, the other agents, then every baseline with the best one first.

    ``trained`` names the agents in that order, ``metric`` the column of ``episodes`` (a row per
    policy, training seed and episode) that is compared, ``unfinished`` the training seeds without
    a finished run and what became of them, by policy.
    """
    totals = _totals(episodes, metric)
    baselines = [name for name in totals if name not in trained]
    baselines.sort(key=lambda name: -totals[name].values.mean())
    threshold, missing = _failure_threshold(totals, baselines, names), unfinished or {}
    failures = {
        name: statistics.failure_rate(totals[name], threshold, missing.get(name))
        for name in trained
        if missing.get(name) or np.isfinite(threshold)
    }
    return [
        _policy_result(episodes, name, totals, trained, names, failures.get(name))
        for name in [*trained, *baselines]
    ]


def best_simple_rule(results: list[PolicyResult], names: BaselineNames) -> PolicyResult | None:
    """The best of the baselines that neither plan ahead nor know more than an agent."""
    rules = (part for part in results if not part.is_trained and part.name not in names.planners)
    return next(rules, None)


def as_json(results: list[PolicyResult]) -> dict[str, dict[str, Any]]:
    """Estimates, ends and kinds of the intervals for ``summary.json``; null where there is none."""
    return {
        result.name: {
            field: value._asdict()
            for field, value in result._asdict().items()
            if isinstance(value, Interval | FailureRate)
        }
        for result in results
    }


def _totals(episodes: pd.DataFrame, metric: str) -> dict[str, Scores]:
    return {name: scores_of(episodes, name, metric) for name in episodes["policy"].unique()}


def _gap(totals: dict[str, Scores], names: BaselineNames) -> tuple[Scores, Scores] | None:
    """The baselines between which policies stand, if both were played and they differ."""
    floor, ceiling = totals.get(names.best_fixed or ""), totals.get(names.clairvoyant or "")
    if floor is None or ceiling is None:
        return None
    least, most = float(floor.values.mean()), float(ceiling.values.mean())
    return (floor, ceiling) if most - least > LEAST_GAP * abs(least) else None


def _failure_threshold(
    totals: dict[str, Scores], baselines: list[str], names: BaselineNames
) -> float:
    """What a seed must earn not to have failed; minus infinity without a baseline."""
    if gap := _gap(totals, names):
        return float(gap[0].values.mean())
    if not baselines:
        return -np.inf
    return FAILURE_THRESHOLD * float(totals[baselines[0]].values.mean())


def _policy_result(
    episodes: pd.DataFrame,
    name: str,
    totals: dict[str, Scores],
    trained: list[str],
    names: BaselineNames,
    failures: FailureRate | None,
) -> PolicyResult:
    scores, leading = totals[name], totals[trained[0]]
    gap, optimal, optimum = _gap(totals, names), totals.get(names.optimum or ""), None
    if optimal and optimal.is_deterministic:  # where episodes vary luck may pass it
        optimum = float(optimal.values.mean())
    shares = scores_of(episodes, name, SHARE) if SHARE in episodes and not gap else None
    if shares and not np.isfinite(shares.values).all():  # the optimum is 0
        shares = None
    least, most = (side.values.mean() for side in gap) if gap else (0.0, 1.0)
    is_led = name != trained[0]
    seeds = episodes.loc[episodes["policy"] == name, "seed"].dropna().unique()
    return PolicyResult(
        name=name,
        is_trained=name in trained,
        seeds=sorted(seeds.tolist()),
        scores=scores,
        mean=statistics.mean(scores, optimum),
        iqm=statistics.interquartile_mean(scores),
        share_of_optimum=statistics.mean(shares, optimum and 1.0) if shares else None,
        gap_closed=statistics.gap_closed(scores, *gap) if gap else None,
        gap_closed_by_seed=(scores.by_seed - least) / (most - least) if gap else None,
        optimality_gap=statistics.optimality_gap(shares) if shares else None,
        difference=statistics.difference(leading, scores) if is_led else None,
        probability_of_improvement=(
            statistics.probability_of_improvement(leading, scores) if is_led else None
        ),
        failures=failures,
    )
