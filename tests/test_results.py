"""What each policy earns, who wins, and how the report words it."""

import json

import numpy as np
import pandas as pd
import pytest

from evaluate.campaign.domain import DOMAIN
from evaluate.domain import Domain, Evaluation
from evaluate.report import sections, wording
from evaluate.report.result import result as result_of
from evaluate.results import (
    PolicyResult,
    as_json,
    best_simple_rule,
    comparison_metric,
    means,
    policy_results,
)
from evaluate.rollouts import Results
from evaluate.statistics import FailureRate, Interval, Kind
from train.config import EnvConfig, EvaluationConfig

EXPECTED = "expected_engagement"
NAMES = DOMAIN.baselines
FIXED = {"best fixed plan": [[10.0, 10.0]], "clairvoyant": [[20.0, 20.0]]}
MINUS = "\N{MINUS SIGN}"


def played(values: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Scores of each policy, a row for each training seed; ``a2c`` alone was trained."""
    rows = [
        (policy, seed if policy == "a2c" else None, campaign, score, score, score / 100)
        for policy, scores in values.items()
        for seed, by_campaign in enumerate(scores)
        for campaign, score in enumerate(by_campaign)
    ]
    columns = ["policy", "seed", "episode", "engagement", EXPECTED, "share_of_optimum"]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})


def seeds(*earned: float) -> list[list[float]]:
    """Training seeds that earn the same on both campaigns."""
    return [[value, value] for value in earned]


def results_of(values: dict[str, list[list[float]]], metric: str = EXPECTED) -> list[PolicyResult]:
    return policy_results(played(values), ["a2c"], metric, NAMES)


def evaluated(
    policies: list[PolicyResult], metric: str, episodes: int = 2, domain: Domain = DOMAIN
) -> Evaluation:
    """What the sections of a report are made from, without what was played."""
    settings = EvaluationConfig(n_eval_episodes=episodes, seed=0)
    nothing = Results(pd.DataFrame(), pd.DataFrame(), {})
    return Evaluation(domain, EnvConfig(id="none"), settings, nothing, policies, metric, {})


def result(policies: list[PolicyResult], metric: str) -> str:
    return result_of(evaluated(policies, metric))


def test_the_gap_counts_only_where_there_is_one() -> None:
    both = {"a2c": [[3.0, 4.0]], "best fixed plan": [[2.0, 3.0]], "clairvoyant": [[4.0, 7.0]]}
    assert comparison_metric(played(both), "engagement", NAMES) == EXPECTED
    agent, *_ = results_of(both)
    assert agent.gap_closed is not None
    assert agent.gap_closed.value == pytest.approx(1 / 3)
    assert agent.share_of_optimum is None
    same = both | {"clairvoyant": [[2.0, 3.0]]}
    alone = {name: both[name] for name in ("a2c", "best fixed plan")}
    for values in (same, alone):
        assert comparison_metric(played(values), "engagement", NAMES) == "engagement"
        agent, *_ = results_of(values, "engagement")
        assert agent.gap_closed is None
        assert agent.share_of_optimum is not None


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        (
            [14.0, 14.5, 15.0],
            "a2c wins against the daily re-planner, which closes 20.0%: it earns 2.5 (95% interval "
            "1.3 to 3.7) more on the same campaigns.",
        ),
        (
            [8.0, 8.5, 9.0],
            "The winner is the daily re-planner, which closes 20.0%: it earns 3.5 (95% interval "
            "2.3 to 4.7) more than a2c on the same campaigns.",
        ),
        (
            [11.0, 12.5, 14.0],
            "Neither it nor the daily re-planner, which closes 20.0%, can be said to win: the "
            f"difference is +0.5 (95% interval {MINUS}3.2 to +4.2) on the same campaigns.",
        ),
    ],
)
def test_a_winner_is_named_where_the_difference_is_sure(agents: list[float], sentence: str) -> None:
    values = FIXED | {"daily re-planner": [[12.0, 12.0]], "a2c": seeds(*agents)}
    assert result(results_of(values), EXPECTED).endswith(sentence)


def noisy(shift: float, count: int = 400) -> dict[str, list[list[float]]]:
    """An agent of one seed that earns ``shift`` more than the re-planner on campaigns that vary."""
    rng = np.random.default_rng(0)
    floor = rng.normal(1000, 300, count)
    gap, first, second = rng.gamma(4, 100, count), *rng.normal(0, 50, (2, count))
    replanner = floor + 0.5 * gap + first - first.mean()
    agent = replanner + second - second.mean() + shift
    policies = {"a2c": agent, "best fixed plan": floor, "clairvoyant": floor + gap}
    return {
        name: [row.tolist()] for name, row in (policies | {"daily re-planner": replanner}).items()
    }


@pytest.mark.parametrize(
    ("shift", "start", "end"),
    [
        (2.0, "Neither it nor the daily re-planner", "+7.2) {}."),
        (9.0, "a2c wins against the daily re-planner", ") more {}."),
        (-9.0, "The winner is the daily re-planner", ") more than a2c {}."),
    ],
)
def test_one_seed_wins_on_these_campaigns_alone(shift: float, start: str, end: str) -> None:
    """The standard error of the difference is 50 / 20 = 2.5."""
    sentence = result(results_of(noisy(shift)), EXPECTED)
    assert "% over 400 campaigns, with this one training seed): it earns" in sentence
    assert start in sentence
    assert end.format("on these campaigns, with this one training seed") in sentence


def test_one_campaign_and_one_seed_name_no_winner() -> None:
    values = {"daily re-planner": [[12.0]], "best fixed plan": [[10.0]], "clairvoyant": [[20.0]]}
    sentence = result(results_of(values | {"a2c": [[15.0]]}), EXPECTED)
    assert sentence == (
        "a2c closes 50.0% of the gap between the best fixed plan and the clairvoyant (one training "
        "seed and one campaign, spread unknown): it earns 15.0 expected engagement. Neither it nor "
        "the daily re-planner, which closes 20.0%, can be said to win: the difference is +3.0 (one "
        "training seed and one campaign, spread unknown) on this one campaign, with this one "
        "training seed."
    )
    several = result(results_of(values | {"a2c": [[15.0], [15.1], [14.9]]}), EXPECTED)
    assert "over 3 training seeds, on this one campaign): it earns 15.0" in several
    assert several.endswith("more on this one campaign.")


def test_one_campaign_is_not_called_exact() -> None:
    values = {"even split": [[12.0]], "random": [[9.0]], "a2c": [[15.0], [15.1], [14.9]]}
    policies = results_of(values, "engagement")
    section = sections.uncertain(evaluated(policies, "engagement", episodes=1))
    assert "draws nothing" not in " ".join(section.text)
    assert "exact" not in " ".join(section.text)
    assert section.text[0].startswith("One campaign was played, which says nothing about others")
    ends = {
        policy.name: wording.ends(policy.mean, wording.totals(10).number, "campaign")
        for policy in policies
    }
    assert ends["even split"] == ends["random"] == "one campaign"
    constant = {name: [[row[0], row[0]] for row in rows] for name, rows in values.items()}
    section = sections.uncertain(evaluated(results_of(constant, "engagement"), "engagement"))
    assert section.text[0].startswith("The campaign draws nothing")


@pytest.mark.parametrize("planner", NAMES.planners)
def test_a_planner_is_not_a_simple_rule(planner: str) -> None:
    values = {planner: [[20.0]], "all ads": [[12.0]], "even split": [[10.0]], "a2c": [[15.0]]}
    policies = results_of(values, "engagement")
    rule = best_simple_rule(policies, NAMES)
    assert rule is not None
    assert rule.name == "all ads"
    sentence = result(policies, "engagement")
    end = "all ads, on this one campaign, with this one training seed."
    assert sentence.endswith(f"3.0 more than the best simple rule, {end}")
    assert best_simple_rule(results_of({planner: [[20.0]], "a2c": [[15.0]]}), NAMES) is None


RULE = "the best simple rule, all ads"


@pytest.mark.parametrize(
    ("agents", "end"),
    [
        (
            (15.0,),
            "(one training seed, spread unknown), 15.00% of the optimum and 3.0 more than "
            f"{RULE}, with this one training seed.",
        ),
        (
            (15.0, 15.1, 15.2),
            "(95% interval 14.9 to 15.3 over 3 training seeds), 15.10% of the optimum and 3.1 more "
            f"than {RULE}.",
        ),
        (
            (11.0, 10.9),
            "(95% interval 10.3 to 11.6 over 2 training seeds), 10.95% of the optimum and 1.1 less "
            f"than {RULE}.",
        ),
        (
            (12.0, 12.0),
            "(spread smaller than the last digit over 2 training seeds), 12.00% of the optimum and "
            f"as much as {RULE}.",
        ),
        (
            (11.0, 14.0),
            f"(95% interval {MINUS}6.6 to 31.6 over 2 training seeds), 12.50% of the optimum. "
            f"Neither it nor {RULE}, can be said to earn more: the difference is +0.5 "
            f"(95% interval {MINUS}18.6 to +19.6).",
        ),
    ],
)
def test_the_result_against_the_best_simple_rule(agents: tuple[float, ...], end: str) -> None:
    values = {"all ads": seeds(12.0), "a2c": seeds(*agents)}
    sentence = result(results_of(values, "engagement"), "engagement")
    assert sentence.startswith("a2c earns ")
    assert sentence.endswith(end)


def test_no_interval_passes_the_optimum() -> None:
    values = {"optimal plan": seeds(100.0), "a2c": seeds(99.9, 100.0)}
    agent, _ = results_of(values, "engagement")
    assert agent.share_of_optimum is not None
    assert (agent.mean.high, agent.share_of_optimum.high) == (100.0, 1.0)
    varied = {"optimal plan": [[99.0, 101.0]], "a2c": [[98.9, 100.8], [99.1, 101.1]]}
    agent, _ = results_of(varied, "engagement")
    assert agent.mean.high is not None
    assert agent.mean.high > 100.0


@pytest.mark.parametrize(("shift", "failed"), [(-0.01, 1), (0.01, 0)])
def test_a_seed_below_the_best_fixed_plan_has_failed(shift: float, failed: int) -> None:
    agent, *_ = results_of(FIXED | {"a2c": seeds(10.0 + shift)})
    assert agent.failures is not None
    assert agent.failures.failed == failed


def test_seeds_that_did_not_finish_are_named() -> None:
    frame = played({"even split": seeds(10.0), "a2c": seeds(15.0, 9.0, 16.0)})
    unfinished = {"a2c": {3: "diverged", 4: "interrupted"}}
    policies = policy_results(frame, ["a2c"], "engagement", NAMES, unfinished)
    section = sections.uncertain(evaluated(policies, "engagement"))
    named = "Seeds that failed: a2c 3 of 5 (seed 3 diverged, seed 4 interrupted, chance to fail 15%"
    assert section.text[-1].startswith(named)
    only = frame[frame["policy"] == "a2c"]
    alone = policy_results(only, ["a2c"], "engagement", NAMES, unfinished)
    assert alone[0].failures is not None  # without a baseline nothing else is a failure
    assert wording.failures(alone[0].failures) == "2 of 5 (seed 3 diverged, seed 4 interrupted)"


def test_the_means_are_those_of_seeds_and_campaigns() -> None:
    table = means(played({"a2c": [[1.0, 3.0], [5.0, 7.0]], "even split": [[2.0, 4.0]]}))
    assert list(table.index) == ["a2c", "even split"]
    assert table["engagement"].tolist() == [4.0, 3.0]
    assert table["worst_seed"].tolist() == pytest.approx([0.02, 0.03])
    assert table["seeds"].tolist() == [2, 0]


def test_baselines_that_earn_the_same_stay_in_order() -> None:
    names = [f"rule {number}" for number in (3, 1, 5, 2, 4, 0)]
    values = {name: seeds(10.0) for name in names} | {"a2c": seeds(15.0)}
    policies = results_of(values, "engagement")
    assert [policy.name for policy in policies] == ["a2c", *names]


def test_an_optimum_of_nothing_has_no_share() -> None:
    frame = played({"even split": seeds(0.0), "a2c": seeds(0.0)}).assign(share_of_optimum=np.nan)
    agent, _ = policy_results(frame, ["a2c"], "engagement", NAMES)
    assert agent.share_of_optimum is None
    assert result([agent], "engagement").startswith(
        "a2c earns a mean engagement of 0.0 (one training seed"
    )


def test_the_results_are_plain_data() -> None:
    numbers = as_json(results_of(FIXED | {"a2c": seeds(15.0)}))
    assert json.loads(json.dumps(numbers)) == numbers
    mean = {"value": 15.0, "low": None, "high": None, "kind": "one seed"}
    assert numbers["a2c"]["mean"] == numbers["a2c"]["iqm"] == mean
    assert numbers["a2c"]["failures"]["seeds"] == 1
    assert "difference" not in numbers["a2c"]
    assert set(numbers["clairvoyant"]) == {
        *("mean", "iqm", "gap_closed", "difference", "probability_of_improvement")
    }


@pytest.mark.parametrize(
    ("kind", "low", "high", "cell", "bracket"),
    [
        ("exact", 5.0, 5.0, "exact", "exact"),
        ("episodes", 4.0, 6.0, "4.0 to 6.0", "95% interval 4.0 to 6.0 over 50 campaigns"),
        ("one episode", None, None, "one campaign", "one campaign, spread unknown"),
        ("one seed", None, None, "one training seed", "one training seed, spread unknown"),
        (
            "one seed",
            4.0,
            6.0,
            "4.0 to 6.0",
            "95% interval 4.0 to 6.0 over 50 campaigns, with this one training seed",
        ),
        (
            "seeds",
            4.0,
            6.0,
            "4.0 to 6.0",
            "95% interval 4.0 to 6.0 over 3 training seeds and 50 campaigns",
        ),
        (
            "seeds on one episode",
            4.99,
            5.01,
            "spread smaller than the last digit",
            "spread smaller than the last digit over 3 training seeds, on this one campaign",
        ),
    ],
)
def test_an_interval_in_words(
    kind: Kind, low: float | None, high: float | None, cell: str, bracket: str
) -> None:
    interval = Interval(5.0, low, high, kind)
    assert wording.ends(interval, wording.totals(10).number, "campaign") == cell
    over = wording.over(interval, 3, 50, "campaign")
    assert (
        wording.with_ends(interval, wording.totals(10).number, "campaign", over)
        == f"5.0 ({bracket})"
    )


def test_numbers_in_words() -> None:
    form = wording.totals(5950.0)
    assert form.number(4659.84) == "4,659.8"
    signs = [form.signed(value) for value in (1234.56, -0.26, 0.04, -0.04)]
    assert signs == ["+1,234.6", f"{MINUS}0.3", "0.0", "0.0"]
    assert [wording.share(value) for value in (0.5014, -0.2)] == ["50.1%", f"{MINUS}20.0%"]
    assert wording.failures(FailureRate(0, 10, 0.0, 0.31, {})) == "0 of 10"
    assert wording.failures(FailureRate(1, 10, 0.0, 0.45, {3: "diverged"})) == (
        "1 of 10 (seed 3 diverged)"
    )
