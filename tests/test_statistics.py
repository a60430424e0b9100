"""The statistics against hand-computed cases, complete enumeration and the figures of the published package."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluate import statistics
from evaluate.statistics import (
    Interval,
    Scores,
    difference,
    gap_closed,
    interval,
    mean,
    probability_of_improvement,
    scores_of,
)

ONE = np.array(
    [
        [0.90, 0.40, 0.70],
        [0.95, 0.10, 0.80],
        [0.20, 0.50, 0.75],
        [0.99, 0.45, 1.20],
        [0.97, 0.30, 0.60],
    ]
)
OTHER = np.array([[0.80, 0.42, 0.70], [0.96, 0.20, 0.90], [0.50, 0.50, 0.65], [0.70, 0.35, 1.10]])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def column(*values: float) -> Scores:
    """Training seeds on one campaign."""
    return Scores(np.array(values)[:, np.newaxis])


def ends(estimate: Interval) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_the_measures_are_those_of_the_published_package() -> None:
    """The figures are rliable 1.2.0's: aggregate_mean, _iqm, _optimality_gap, probability_of_improvement, profiles."""
    assert mean(ONE) == pytest.approx(0.654)
    assert statistics.interquartile_mean(ONE) == pytest.approx(0.6722222222222223)
    assert statistics.optimality_gap(ONE) == pytest.approx(0.3593333333333333)
    assert probability_of_improvement(Scores(ONE), Scores(OTHER), rng()).value == pytest.approx(
        0.55
    )
    profile = statistics.performance_profile(ONE, np.array([0.3, 0.5, 0.8]))
    assert profile == pytest.approx([0.8, 0.6, 1 / 3])


def test_the_middle_half_by_hand() -> None:
    scores = column(0, 1, 2, 3, 4, 5, 60, 1000)
    assert interval(scores, rng(), statistics.interquartile_mean).value == 3.5
    assert interval(scores, rng()).value == 134.375
    batch = statistics.interquartile_mean(
        np.stack([scores.values, 2 * scores.values, scores.values + 1])
    )
    assert batch.tolist() == [3.5, 7.0, 4.5]


def test_the_optimality_gap_by_hand() -> None:
    assert statistics.optimality_gap(np.array([[0.5], [1.5]])) == 0.25
    assert statistics.optimality_gap(np.array([[0.5], [1.5]]), target=2.0) == 1.0


def test_the_interval_is_that_of_all_possible_resamples() -> None:
    """Skewed scores tell the ends apart: 5 seeds have 3125 resamples, whose 2.5 and 97.5 % points are counted out."""
    seeds = (0.0, 0.0, 1.0, 2.0, 20.0)
    means = [np.mean(drawn) for drawn in itertools.product(seeds, repeat=5)]
    expected = np.quantile(means, [0.025, 0.975])
    low, high = ends(interval(column(*seeds), rng()))
    assert low == expected[0] == 0.2
    assert high == pytest.approx(expected[1], abs=0.5)


def test_the_training_seed_is_the_unit_however_many_campaigns_it_plays() -> None:
    """Two seeds that differ by 1 on each of 400 campaigns: a resample has both of one kind half of the time."""
    noise = rng(1).normal(0, 0.1, size=(1, 400))
    low, high = ends(interval(Scores(np.array([[0.0], [1.0]]) + noise), rng()))
    assert low == pytest.approx(0.0, abs=0.02)
    assert high == pytest.approx(1.0, abs=0.02)


def test_campaigns_are_a_layer_of_their_own() -> None:
    """Seeds that are all the same leave the spread of the campaigns' mean, which is sd / sqrt(campaigns)."""
    drawn = rng(2).normal(10, 3, size=(1, 900))
    low, high = ends(interval(Scores(np.repeat(drawn, 6, axis=0)), rng()))
    assert high - low == pytest.approx(2 * 1.96 * 3 / 30, rel=0.1)
    rule = interval(Scores(drawn, trained=False), rng())
    assert ends(rule) == pytest.approx((low, high), abs=0.05)


def test_paired_campaigns_cancel() -> None:
    """What each campaign does to both is gone from the difference; drawn apart they would spread it by 13 or so."""
    campaigns = rng(3).normal(0, 100, size=(1, 400))
    one, other = (
        Scores(campaigns + np.array([[0.0], [0.1], [0.2]]) + shift) for shift in (5.0, 0.0)
    )
    found = difference(one, other, rng())
    assert found.value == pytest.approx(5.0)
    low, high = ends(found)
    assert 4.75 < low < high < 5.25
    rule = Scores(campaigns, trained=False)
    assert str(difference(rule._replace(values=campaigns + 5), rule, rng())) == "5 (exact)"


def test_seeds_of_two_agents_are_not_paired() -> None:
    agent = column(0.0, 1.0, 2.0)
    low, high = ends(difference(agent, column(0.0, 1.0, 2.0), rng()))
    assert (low < -1, high > 1) == (True, True)


def test_a_rule_that_scores_the_same_everywhere_is_paired_with_any_number_of_campaigns() -> None:
    agent, rule = Scores(ONE), Scores(np.array([[0.5]]), trained=False)
    assert difference(agent, rule, rng()).value == pytest.approx(0.154)
    with pytest.raises(ValueError, match="played 3 and 2 campaigns"):
        difference(agent, Scores(ONE[:, :2]), rng())


@pytest.mark.parametrize(
    ("one", "other", "chance"),
    [
        ((2, 3), (0, 1), "1 (exact)"),
        ((0, 1), (2, 3), "0 (exact)"),
        ((1, 1), (1, 1), "0.5 (exact)"),
        ((0, 0), (0, 0), "0.5 (exact)"),
    ],
)
def test_the_chance_to_beat_by_hand(
    one: tuple[float, ...], other: tuple[float, ...], chance: str
) -> None:
    assert str(probability_of_improvement(column(*one), column(*other), rng())) == chance


def test_the_chance_to_beat_has_an_interval() -> None:
    found = probability_of_improvement(column(1, 3, 5, 7), column(2, 4, 6), rng())
    assert found.value == pytest.approx(0.5)
    assert ends(found)[0] < 0.2
    assert ends(found)[1] > 0.8


def test_no_spread_is_exact_and_one_seed_has_no_interval() -> None:
    assert str(interval(column(0.5, 0.5, 0.5), rng())) == "0.5 (exact)"
    assert str(interval(Scores(np.array([[0.5]]), trained=False), rng())) == "0.5 (exact)"
    single = interval(Scores(rng().normal(size=(1, 50))), rng())
    assert (single.low, single.high, single.exact) == (None, None, False)
    assert str(single).endswith("(one training seed, spread unknown)")
    tiny = interval(column(0.99999, 0.99998, 0.99999), rng())
    assert tiny.show(lambda value: f"{value:.2f}") == "1.00 (spread smaller than the last digit)"
    assert str(Interval(0.5, 0.25, 0.75)) == "0.5 (95% interval 0.25 to 0.75)"


@settings(max_examples=25, deadline=None)
@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)
    )
)
def test_an_interval_is_never_nan_and_holds_between_the_extremes(values: np.ndarray) -> None:
    for statistic in (mean, statistics.interquartile_mean):
        found = interval(Scores(values), rng(), statistic)
        assert "nan" not in str(found)
        if found.low is not None:
            low, high = ends(found)
            slack = 1e-9 * np.abs(values).max()
            assert values.min() - slack <= low <= high <= values.max() + slack


@pytest.mark.parametrize(
    "measure",
    [
        lambda draw: interval(Scores(ONE), draw),
        lambda draw: difference(Scores(ONE), Scores(OTHER), draw),
        lambda draw: probability_of_improvement(Scores(ONE), Scores(OTHER), draw),
        lambda draw: gap_closed(Scores(ONE), rule(0.1, 0.2, 0.3), rule(1.5, 0.9, 1.1), draw),
    ],
)
def test_the_same_generator_gives_the_same_interval(
    measure: Callable[[np.random.Generator], Interval],
) -> None:
    np.random.seed(1)
    first = measure(rng(7))
    np.random.seed(2)
    assert measure(rng(7)) == first
    assert measure(rng(8)) != first


def rule(*values: float) -> Scores:
    """What a rule scores on each campaign."""
    return Scores(np.array([values]), trained=False)


def test_the_gap_closed_by_hand() -> None:
    """Means 15, 10 and 20 over two campaigns; the mean of the campaigns' own ratios would be (1 + 1/4) / 2."""
    found = gap_closed(rule(18.0, 12.0), rule(10.0, 10.0), rule(18.0, 22.0), rng())
    assert found.value == 0.5
    assert (
        gap_closed(
            Scores(np.array([[18.0, 12.0], [10.0, 10.0]])), rule(10, 10), rule(18, 22), rng()
        ).value
        == 0.25
    )
    assert gap_closed(rule(9.0), rule(10.0), rule(20.0), rng()).value == pytest.approx(-0.1)
    assert gap_closed(rule(0.25), rule(0.0), rule(1.0), rng()).value == 0.25


def test_the_gap_closed_does_not_hang_on_the_unit_of_the_scores() -> None:
    assert gap_closed(rule(1.5e-6), rule(1e-6), rule(2e-6), rng()).value == pytest.approx(0.5)


def test_resamples_of_campaigns_without_a_gap_close_none_of_it() -> None:
    """The first campaign has no gap: of the four resamples of both, one draws it twice."""
    found = gap_closed(rule(3.0, 0.5), rule(3.0, 0.0), rule(3.0, 1.0), rng())
    assert (found.value, *ends(found)) == (0.5, 0.0, 0.5)


def test_the_ends_of_the_gap_are_exactly_none_and_all_of_it() -> None:
    floor, ceiling = rng(1).normal(5, 1, 200), rng(2).normal(9, 1, 200)
    for values, expected in ((floor, "0 (exact)"), (ceiling, "1 (exact)")):
        assert str(gap_closed(rule(*values), rule(*floor), rule(*ceiling), rng())) == expected
        agent = Scores(np.repeat(values[np.newaxis], 3, axis=0))
        assert str(gap_closed(agent, rule(*floor), rule(*ceiling), rng())) == expected


def test_the_gap_closed_is_taken_on_the_same_campaigns() -> None:
    """Each campaign shifts all three alike by far more than the gap; drawn apart the ratio would be anything."""
    shift = rng(3).normal(0, 100, 400)
    noise = rng(4).normal(0, 1, (3, 400))
    agent = Scores(shift + 4 + noise + np.array([[0.0], [0.2], [-0.2]]))
    found = gap_closed(agent, rule(*shift), rule(*(shift + 10)), rng())
    low, high = ends(found)
    assert found.value == pytest.approx(0.4, abs=0.02)
    assert 0.35 < low < found.value < high < 0.45
    constant = gap_closed(rule(*(shift + 4)), rule(*shift), rule(*(shift + 10)), rng())
    assert str(constant) == "0.4 (exact)"


def test_the_interval_of_the_gap_is_that_of_all_possible_resamples() -> None:
    """Numerator and denominator vary together: 4 campaigns have 256 resamples."""
    one, floor, ceiling = (
        np.array([3.0, 4.0, 9.0, 1.0]),
        np.array([1.0, 3.0, 2.0, 1.0]),
        np.array([5.0, 5.0, 9.0, 7.0]),
    )
    drawn = np.array(list(itertools.product(range(4), repeat=4)))
    ratios = (one - floor)[drawn].mean(axis=1) / (ceiling - floor)[drawn].mean(axis=1)
    found = gap_closed(rule(*one), rule(*floor), rule(*ceiling), rng())
    assert ends(found) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.03)


def test_a_gap_that_is_none_and_one_seed() -> None:
    single = gap_closed(Scores(np.array([[1.0, 3.0]])), rule(0, 1), rule(4, 5), rng())
    assert (single.value, single.low, single.high) == (0.375, None, None)
    with pytest.raises(ValueError, match=r"no gap to close: .* they are 2 and 2"):
        gap_closed(rule(1, 2), rule(1, 3), rule(2, 2), rng())
    with pytest.raises(ValueError, match=r"no gap to close: .* they are 0 and 0"):
        gap_closed(rule(1), rule(0), rule(0), rng())
    with pytest.raises(ValueError, match="played 2 and 3 campaigns"):
        gap_closed(rule(1, 2), rule(1, 3, 4), rule(2, 2, 9), rng())


def test_the_band_of_a_curve_is_the_interval_of_each_point() -> None:
    curves = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    center, low, high = statistics.band(curves, rng())
    assert center.tolist() == [3.0, 5.0]
    assert (low[0], high[0]) == pytest.approx(ends(interval(column(*curves[:, 0]), rng())), abs=0.3)
    assert (low[1], high[1]) == pytest.approx((5.0, 5.0))
    assert np.isnan(statistics.band(curves[:1], rng())[1]).all()


def test_the_ends_of_a_band_are_counted_out() -> None:
    """Of 7 seeds with four zeros (4 / 7) ** 7 = 2.0 % of the resamples are all zero: fewer than 2.5 %."""
    curves = np.array([0.0, 0.0, 0.0, 0.0, 7.0, 7.0, 7.0])[:, np.newaxis]
    assert [end.tolist() for end in statistics.band(curves, rng())] == [[3.0], [1.0], [6.0]]
    assert [end.tolist() for end in statistics.band(curves[3:5], rng())] == [[3.5], [0.0], [7.0]]
    even = np.arange(7.0)[
        :, np.newaxis
    ]  # the 2.5 and 97.5 % points of 7 ** 7 resamples: 11 / 7 and 31 / 7
    assert np.ravel(statistics.band(even, rng())) == pytest.approx([3.0, 11 / 7, 31 / 7], abs=0.15)


def test_how_often_seeds_fail() -> None:
    """With 0 of 10 failures the chance is below 1 - .025 ** (1 / 10), with 1 of 1 above .025."""
    scores = Scores(np.array([[0.5, 1.5]] * 9 + [[0.1, 1.5]]))
    rate = statistics.failure_rate(scores, 0.9)
    assert (rate.failed, rate.seeds) == (1, 10)
    none = statistics.failure_rate(scores, 0.8)
    assert (none.failed, none.low) == (0, 0.0)
    assert none.high == pytest.approx(1 - 0.025**0.1)
    assert str(none) == "0 of 10 (chance to fail 0% to 31% at 95%)"
    assert statistics.failure_rate(column(0.0), 1.0).low == pytest.approx(0.025)


def test_scores_come_from_a_tidy_frame() -> None:
    frame = pd.DataFrame(
        {
            "policy": ["a2c"] * 4 + ["even split"] * 2,
            "seed": pd.array([3, 3, 1, 1, None, None], dtype="Int64"),
            "campaign": [0, 1, 1, 0, 0, 1],
            "engagement": [5.0, 6.0, 8.0, 7.0, 4.0, 4.0],
        }
    )
    agent, rule = (
        scores_of(frame, "a2c", "engagement"),
        scores_of(frame, "even split", "engagement"),
    )
    assert (agent.values.tolist(), agent.trained) == ([[7.0, 8.0], [5.0, 6.0]], True)
    assert (rule.values.tolist(), rule.trained) == ([[4.0]], False)
    with pytest.raises(ValueError, match="no scores of 'myopic'; there are a2c, even split"):
        scores_of(frame, "myopic", "engagement")
    for broken in (frame.drop(index=1), pd.concat([frame, frame.iloc[:1]])):
        with pytest.raises(
            ValueError, match="a2c: every training seed must play every campaign once"
        ):
            scores_of(broken, "a2c", "engagement")


@pytest.mark.parametrize(
    ("scored", "kept"),
    [
        ([[5.0, 5.0], [7.0, 7.0]], [[5.0], [7.0]]),
        ([[0.0, 0.0], [7.0, 7.0]], [[0.0], [7.0]]),
        ([[1e-6, 2e-6], [3e-6, 3e-6]], None),
        ([[1e9, 1e9], [0.5, 0.25]], None),
    ],
)
def test_campaigns_are_one_where_each_seed_scores_the_same_on_all(
    scored: list[list[float]], kept: list[list[float]] | None
) -> None:
    frame = pd.DataFrame(
        [
            ("a2c", seed, campaign, scored[seed][campaign])
            for seed in range(2)
            for campaign in range(2)
        ],
        columns=["policy", "seed", "campaign", "engagement"],
    )
    assert scores_of(frame, "a2c", "engagement").values.tolist() == (kept or scored)
