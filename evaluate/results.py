"""Where each policy stands: what it earns, how sure that is, and how the leading agent compares with it."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evaluate import statistics
from evaluate.statistics import FloatArray, Interval, Rate, Scores, scores_of

SHARE = "share_of_optimum"
FAILURE_THRESHOLD = (
    0.99  # a seed that stays below this part of what the best yardstick earns has failed
)
BEST_FIXED, CLAIRVOYANT = (
    "best fixed plan",
    "clairvoyant",
)  # where both are played, what counts is the gap between them
REPLANNER = "daily re-planner"
LEAST_GAP = 1e-4  # of what the floor earns; less is no more than how exactly plans are solved


class PolicyResult(NamedTuple):
    """One policy.

    Attributes:
        name: Label of the policy.
        learned: Whether it was trained.
        seeds: Its training seeds, in the order of the rows of its scores; none for a rule.
        scores: Its totals, in the unit of the metric.
        total: Mean total.
        middle: Interquartile mean of the total.
        share: Mean share of the optimum; none where there is no optimum, or a gap is what counts.
        closed: Which part of the gap between the best fixed plan and the clairvoyant it closes;
            none without these two.
        closed_by_seed: The same of each training seed, (seeds,).
        gap: Optimality gap: how far it stays below the optimum, what is above counting as no more;
            none as above.
        lead: By how much the leading agent earns more, campaign by campaign; none for the agent
            itself.
        beaten: The chance that the leading agent earns more on a campaign; none for the agent
            itself.
        failures: How many training seeds failed; none for a rule, or where there is no rule to be
            measured by.
    """

    name: str
    learned: bool
    seeds: list[int]
    scores: Scores
    total: Interval
    middle: Interval
    share: Interval | None
    closed: Interval | None
    closed_by_seed: FloatArray | None
    gap: Interval | None
    lead: Interval | None
    beaten: Interval | None
    failures: Rate | None


def comparison_metric(campaigns: pd.DataFrame, metric: str) -> str:
    """The column that policies are compared by: where a gap counts, what was to be expected, free of the days' luck."""
    expected = f"expected_{metric}"
    return expected if expected in campaigns and _gap(_totals(campaigns, expected)) else metric


def policy_results(
    campaigns: pd.DataFrame, learned: list[str], metric: str, seed: int
) -> list[PolicyResult]:
    """The leading agent, the other agents, then every yardstick with the best one first.

    Args:
        campaigns: A row per policy, training seed and campaign.
        learned: Names of the trained policies, the leading one first.
        metric: Column of the total that is compared.
        seed: Seed of the resamples, the same for every statistic.
    """
    totals = _totals(campaigns, metric)
    rules = sorted(set(totals) - set(learned), key=lambda name: -totals[name].values.mean())
    bar = FAILURE_THRESHOLD * float(totals[rules[0]].values.mean()) if rules else None
    if _gap(totals):
        bar = float(totals[BEST_FIXED].values.mean())
    return [_standing(campaigns, name, totals, learned, bar, seed) for name in [*learned, *rules]]


def _totals(campaigns: pd.DataFrame, metric: str) -> dict[str, Scores]:
    return {name: scores_of(campaigns, name, metric) for name in campaigns["policy"].unique()}


def _gap(totals: dict[str, Scores]) -> tuple[Scores, Scores] | None:
    """The two rules between which policies stand, if both were played and knowing more is worth anything."""
    if not {BEST_FIXED, CLAIRVOYANT} <= set(totals):
        return None
    least, most = (float(totals[name].values.mean()) for name in (BEST_FIXED, CLAIRVOYANT))
    return (
        (totals[BEST_FIXED], totals[CLAIRVOYANT]) if most - least > LEAST_GAP * abs(least) else None
    )


def _standing(
    campaigns: pd.DataFrame,
    name: str,
    totals: dict[str, Scores],
    learned: list[str],
    bar: float | None,
    seed: int,
) -> PolicyResult:
    def rng() -> np.random.Generator:
        return np.random.default_rng(seed)

    scores, leader = totals[name], totals[learned[0]]
    gap = _gap(totals)
    shares = scores_of(campaigns, name, SHARE) if SHARE in campaigns and not gap else None
    led = name != learned[0]
    return PolicyResult(
        name=name,
        learned=name in learned,
        seeds=sorted(campaigns.loc[campaigns["policy"] == name, "seed"].dropna().unique().tolist()),
        scores=scores,
        total=statistics.interval(scores, rng()),
        middle=statistics.interval(scores, rng(), statistics.interquartile_mean),
        share=statistics.interval(shares, rng()) if shares else None,
        closed=statistics.gap_closed(scores, *gap, rng()) if gap else None,
        closed_by_seed=_by_seed(scores, *gap) if gap else None,
        gap=statistics.interval(shares, rng(), statistics.optimality_gap) if shares else None,
        lead=statistics.difference(leader, scores, rng()) if led else None,
        beaten=statistics.probability_of_improvement(leader, scores, rng()) if led else None,
        failures=statistics.failure_rate(scores, bar)
        if name in learned and bar is not None
        else None,
    )


def _by_seed(scores: Scores, floor: Scores, ceiling: Scores) -> FloatArray:
    least, most = floor.values.mean(), ceiling.values.mean()
    return np.asarray((scores.by_seed - least) / (most - least), dtype=np.float64)


def numbers(found: list[PolicyResult]) -> dict[str, dict[str, Any]]:
    """The policy_results as plain data for ``summary.json``: the estimate and its ends, null where one seed has none."""
    fields = ("total", "middle", "share", "closed", "gap", "lead", "beaten")
    names = {
        "total": "mean",
        "middle": "interquartile_mean",
        "share": SHARE,
        "gap": "optimality_gap",
    }
    names["closed"] = "gap_closed"
    return {
        standing.name: {
            names.get(field, field): list(value)
            for field in fields
            if (value := getattr(standing, field)) is not None
        }
        | ({"failed_seeds": standing.failures.failed} if standing.failures else {})
        for standing in found
    }
