"""The statistics against hand-computed cases, textbook intervals and simulated truths."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from evaluate import statistics
from evaluate.statistics import (
    FloatArray,
    Interval,
    Kind,
    Scores,
    difference,
    failure_rate,
    gap_closed,
    interquartile_mean,
    mean,
    optimality_gap,
    probability_of_improvement,
    scores_of,
)
from tests.benchmarks import coverage

FIRST = np.array(
    [
        [0.90, 0.40, 0.70],
        [0.95, 0.10, 0.80],
        [0.20, 0.50, 0.75],
        [0.99, 0.45, 1.20],
        [0.97, 0.30, 0.60],
    ]
)
SECOND = np.array([[0.80, 0.42, 0.70], [0.96, 0.20, 0.90], [0.50, 0.50, 0.65], [0.70, 0.35, 1.10]])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def column(*values: float) -> Scores:
    """Training seeds on episodes that draw nothing."""
    return Scores(np.array(values)[:, np.newaxis], is_deterministic=True)


def rule(*values: float) -> Scores:
    """What a policy without training scores on each episode."""
    return Scores(np.array([values]), is_trained=False)


def ends(estimate: Interval) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_the_measures_are_those_of_the_published_package() -> None:
    """The figures are rliable 1.2.0's."""
    assert mean(Scores(FIRST)).value == pytest.approx(0.654)
    assert interquartile_mean(Scores(FIRST)).value == pytest.approx(0.6722222222222223)
    assert optimality_gap(Scores(FIRST)).value == pytest.approx(0.3593333333333333)
    chance = probability_of_improvement(Scores(FIRST), Scores(SECOND))
    assert chance.value == pytest.approx(0.55)
    profile = statistics.performance_profile(FIRST, np.array([0.3, 0.5, 0.8]))
    assert profile == pytest.approx([0.8, 0.6, 1 / 3])


def test_the_middle_half_by_hand() -> None:
    scores = column(0, 1, 2, 3, 4, 5, 60, 1000)
    assert interquartile_mean(scores).value == pytest.approx(3.5)
    assert mean(scores).value == 134.375


def test_the_optimality_gap_by_hand() -> None:
    assert optimality_gap(column(0.5, 1.5)).value == 0.25
    assert optimality_gap(column(0.5, 1.5), target=2.0).value == 1.0
    low, high = ends(optimality_gap(column(0.5, 1.5, 0.7)))
    assert (low, high) == pytest.approx(student(np.array([0.5, 0.0, 0.3])))


def student(values: FloatArray) -> tuple[float, float]:
    """The textbook interval of a mean."""
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(low), float(high)


def test_seeds_alone_give_the_interval_of_student() -> None:
    for values in ([1.0, 4.0], [0.0, 0.0, 1.0, 2.0, 20.0]):
        assert ends(mean(column(*values))) == pytest.approx(student(np.array(values)))


def test_episodes_alone_give_the_interval_of_student() -> None:
    drawn = rng(2).normal(10, 3, size=900)
    assert ends(mean(rule(*drawn))) == pytest.approx(student(drawn))
    single = mean(Scores(drawn[np.newaxis]))
    assert ends(single) == pytest.approx(student(drawn))
    assert (single.kind, mean(rule(*drawn)).kind) == ("one seed", "episodes")


def test_seeds_of_two_agents_give_the_interval_of_welch() -> None:
    first, second = np.array([1.0, 3.0, 4.0, 9.0]), np.array([2.0, 2.5, 2.0])
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert ends(difference(column(*first), column(*second))) == pytest.approx(tuple(welch))


def test_episodes_of_two_policies_are_paired() -> None:
    first, second = rng(3).normal(0, 100, size=(2, 50))
    paired = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert ends(difference(rule(*first), rule(*second))) == pytest.approx(tuple(paired))


def test_both_layers_add_up_by_hand() -> None:
    """Rows 0, 2, 4 and columns -3, 3: the squared standard errors are 4 / 3 and 9, nothing else."""
    scores = Scores(np.array([[0.0], [2.0], [4.0]]) + np.array([-3.0, 3.0]))
    half = (stats.t.ppf(0.975, 2) ** 2 * 4 / 3 + stats.t.ppf(0.975, 1) ** 2 * 9) ** 0.5
    assert ends(mean(scores)) == pytest.approx((2 - half, 2 + half))


def test_what_seeds_and_episodes_share_counts_once() -> None:
    """Without effects of either layer all spread is residual, and so is the interval's width."""
    halves = []
    for seed in range(200):
        estimate = mean(Scores(rng(seed).normal(size=(10, 40))))
        halves.append(ends(estimate)[1] - estimate.value)
    assert np.mean(halves) == pytest.approx(2.3 / 20, rel=0.08)
    pure = np.array([[1.0, -1.0], [-1.0, 1.0]])  # means of rows and columns are all 0
    assert ends(mean(Scores(pure))) == (0.0, 0.0)


def test_the_middle_half_has_the_interval_of_yuen() -> None:
    """By hand: of 8 seeds 2 go at each end, 4 stay; winsorized they are 2, 2, 2, 3, 4, 5, 5, 5."""
    scores = column(0, 1, 2, 3, 4, 5, 60, 1000)
    winsorized = np.array([2.0, 2, 2, 3, 4, 5, 5, 5])
    error = (winsorized.var(ddof=1) * 7 / (4 * 3)) ** 0.5
    half = stats.t.ppf(0.975, 3) * error
    assert ends(interquartile_mean(scores)) == pytest.approx((3.5 - half, 3.5 + half))


@pytest.mark.parametrize("layout", coverage.LAYOUTS[:3], ids=lambda layout: layout.name)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_hold_the_truth_as_often_as_stated(layout: coverage.Layout, seeds: int) -> None:
    """Of 400 repeats; .95 has a standard error of .011."""
    for name, share in coverage.coverage(layout, (seeds, seeds), 400).items():
        assert 0.92 <= share <= 0.985, name


def test_the_program_prints_what_a_bootstrap_covers_too() -> None:
    layout = coverage.LAYOUTS[0]
    before = coverage.coverage(layout, (3, 3), 200, coverage.bootstrap_intervals)
    assert before["mean"] < 0.8
    few = coverage.table(2, coverage.LAYOUTS[:2], (2, 3))
    assert few.shape == (6, 4)
    assert few.notna().all(axis=None)


def test_a_policy_without_draws_is_paired_with_any_number_of_episodes() -> None:
    agent, constant = Scores(FIRST), Scores(np.array([[0.5]]), False, is_deterministic=True)
    assert difference(agent, constant).value == pytest.approx(0.154)
    with pytest.raises(ValueError, match="played 3 and 2 episodes"):
        difference(agent, Scores(FIRST[:, :2]))


KINDS: list[tuple[Scores, Kind, bool]] = [
    (Scores(np.array([[0.5]]), False, is_deterministic=True), "exact", True),
    (rule(3.0, 3.0, 3.0), "exact", True),
    (rule(0.3, 0.4), "episodes", True),
    (rule(3.0), "one episode", False),
    (Scores(FIRST[:1]), "one seed", True),
    (column(3.0), "one seed", False),
    (Scores(FIRST[:1, :1]), "one seed on one episode", False),
    (Scores(FIRST[:2]), "seeds", True),
    (column(3.0, 4.0), "seeds", True),
    (column(3.0, 3.0), "seeds", True),
    (Scores(FIRST[:, :1]), "seeds on one episode", True),
]


@pytest.mark.parametrize(("scores", "kind", "has_ends"), KINDS)
def test_an_interval_says_what_it_covers(scores: Scores, kind: Kind, has_ends: bool) -> None:
    for statistic in (mean, interquartile_mean, optimality_gap):
        estimate = statistic(scores)
        assert (estimate.kind, estimate.low is not None) == (kind, has_ends)
        assert (estimate.low is None) == (estimate.high is None)


def test_one_episode_is_not_exact() -> None:
    floor, ceiling = rule(1.0), rule(4.0)
    assert gap_closed(floor, floor, ceiling).kind == "one episode"
    assert difference(Scores(np.array([[3.0], [2.0]])), floor).kind == "seeds on one episode"
    assert difference(Scores(np.array([[3.0]])), floor).low is None


def test_one_seed_of_either_agent_leaves_the_episodes() -> None:
    """The seeds of the other agent are taken as they are."""
    estimate = difference(Scores(FIRST), Scores(SECOND[:1]))
    assert estimate.kind == "one seed"
    assert ends(estimate) == pytest.approx(student(FIRST.mean(axis=0) - SECOND[0]))


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(1.0, 3.0, 1), (-3.0, -1.0, -1), (-1.0, 3.0, 0), (0.0, 3.0, 0)]
)
def test_a_sign_is_that_of_the_whole_interval(low: float, high: float, sign: int) -> None:
    estimate = Interval((low + high) / 2, low, high, "seeds")
    assert (estimate.sign, (-estimate).sign) == (sign, -sign)
    assert -estimate == Interval(-estimate.value, -high, -low, "seeds")
    without = Interval(1.0, None, None, "one seed")
    assert (without.sign, -without) == (0, Interval(-1.0, None, None, "one seed"))


def test_rounding_is_not_a_spread() -> None:
    noise = 1e-11 * rng(1).normal(size=(3, 50))
    agent, baseline = Scores(700 + noise), rule(*np.full(50, 700.0))
    assert ends(difference(agent, baseline)) == pytest.approx((0.0, 0.0), abs=1e-10)
    assert difference(rule(*(700 + noise[0])), baseline).kind == "exact"


@settings(max_examples=50, deadline=None)
@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)
    )
)
def test_an_interval_is_never_nan_and_surrounds_its_estimate(values: FloatArray) -> None:
    scores, other = Scores(values), Scores(values[::-1] + 1.0)
    for estimate in (
        mean(scores),
        interquartile_mean(scores),
        difference(scores, other),
        probability_of_improvement(scores, other),
    ):
        assert np.isfinite(estimate.value)
        assert estimate.low is None or estimate.low <= estimate.value <= ends(estimate)[1]


@pytest.mark.parametrize(
    ("first", "second", "chance"),
    [((2, 3), (0, 1), 1.0), ((0, 1), (2, 3), 0.0), ((1, 1), (1, 1), 0.5), ((0, 0), (0, 0), 0.5)],
)
def test_the_chance_to_beat_by_hand(
    first: tuple[float, ...], second: tuple[float, ...], chance: float
) -> None:
    """Two seeds that agree are two trials: winning both leaves .025 ** (1 / 2) or more."""
    estimate = probability_of_improvement(column(*first), column(*second))
    assert estimate.value == chance
    low, high = ends(estimate)
    if chance == 1.0:
        assert (low, high) == pytest.approx((0.025**0.5, 1.0))
    assert high - low > 0.8


def test_the_chance_to_beat_a_rule_is_a_proportion_of_seeds() -> None:
    """Of 20 seeds 15 win; the sample variance divides by 19, which leaves 19 trials."""
    agent = column(*[1.0] * 15, *[0.0] * 5)
    estimate = probability_of_improvement(agent, Scores(np.array([[0.5]]), False, True))
    assert estimate.value == 0.75
    expected = stats.beta.ppf([0.025, 0.975], [14.25, 15.25], [5.75, 4.75])
    assert ends(estimate) == pytest.approx(tuple(expected))


def test_the_chance_to_beat_on_many_episodes_with_one_seed() -> None:
    agent, baseline = Scores(np.tile([[1.0, 1.0, 1.0, 0.0]], 50)), rule(*np.full(200, 0.5))
    estimate = probability_of_improvement(agent, baseline)
    assert (estimate.kind, estimate.value) == ("one seed", 0.75)
    exact = stats.binomtest(150, 200).proportion_ci(0.95)
    assert ends(estimate) == pytest.approx((exact.low, exact.high), abs=0.001)
    sure = probability_of_improvement(Scores(np.ones((1, 200))), baseline)
    assert ends(sure) == pytest.approx((0.025 ** (1 / 200), 1.0))


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.94), (2.0, 0.94)])
def test_the_chance_to_beat_is_held_as_often_as_stated(shift: float, least: float) -> None:
    """Normal seeds of two agents, 5 each; few seeds make the interval wider than it need be."""
    true, held, draw = stats.norm.cdf(shift / 2**0.5), 0, rng(5)
    for _ in range(400):
        first, second = draw.normal(size=(2, 5, 1))
        agents = (Scores(values, is_deterministic=True) for values in (first + shift, second))
        low, high = ends(probability_of_improvement(*agents))
        held += low <= true <= high
    assert held / 400 >= least


def test_the_gap_closed_by_hand() -> None:
    """Means 15, 10, 20 over two episodes; the mean of the episodes' ratios would be 5 / 8."""
    floor, ceiling = rule(10.0, 10.0), rule(18.0, 22.0)
    assert gap_closed(rule(18.0, 12.0), floor, ceiling).value == 0.5
    assert gap_closed(Scores(np.array([[18.0, 12.0], [10, 10]])), floor, ceiling).value == 0.25
    assert gap_closed(rule(9.0), rule(10.0), rule(20.0)).value == pytest.approx(-0.1)
    assert gap_closed(rule(0.25), rule(0.0), rule(1.0)).value == 0.25


def test_the_gap_closed_does_not_hang_on_the_unit_of_the_scores() -> None:
    assert gap_closed(rule(1.5e-6), rule(1e-6), rule(2e-6)).value == pytest.approx(0.5)


def test_the_ends_of_the_gap_are_exactly_none_and_all_of_it() -> None:
    floor, ceiling = rng(1).normal(5, 1, 200), rng(2).normal(9, 1, 200)
    for values, expected in ((floor, 0.0), (ceiling, 1.0)):
        estimate = gap_closed(rule(*values), rule(*floor), rule(*ceiling))
        assert estimate.kind == "exact"
        assert (estimate.value, *ends(estimate)) == pytest.approx((expected,) * 3)
        agent = gap_closed(Scores(np.tile(values, (3, 1))), rule(*floor), rule(*ceiling))
        assert agent.kind == "seeds"
        assert ends(agent) == pytest.approx((expected, expected))


def test_the_gap_closed_is_taken_on_the_same_episodes() -> None:
    """Each episode shifts all three alike by far more than the gap, which cancels."""
    shift = rng(3).normal(0, 100, 400)
    noise = rng(4).normal(0, 1, (3, 400))
    agent = Scores(shift + 4 + noise + np.array([[0.0], [0.2], [-0.2]]))
    estimate = gap_closed(agent, rule(*shift), rule(*(shift + 10)))
    low, high = ends(estimate)
    assert estimate.value == pytest.approx(0.4, abs=0.02)
    assert 0.33 < low < estimate.value < high < 0.47
    constant = gap_closed(rule(*(shift + 4)), rule(*shift), rule(*(shift + 10)))
    assert constant.kind == "exact"
    assert constant.value == pytest.approx(0.4)


def test_the_interval_of_the_gap_counts_the_spread_of_the_gap() -> None:
    """By hand: gains 2, 1, 7, 0 and gaps 4, 2, 7, 6; what ratio 10 / 19 leaves of each gain."""
    gain, gap = np.array([2.0, 1.0, 7.0, 0.0]), np.array([4.0, 2.0, 7.0, 6.0])
    floor = np.array([1.0, 3.0, 2.0, 1.0])
    estimate = gap_closed(rule(*(floor + gain)), rule(*floor), rule(*(floor + gap)))
    low, high = student((gain - 10 / 19 * gap) / 4.75)
    assert ends(estimate) == pytest.approx((10 / 19 + low, 10 / 19 + high))


def test_a_gap_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no gap to close: .* they are 2 and 2"):
        gap_closed(rule(1, 2), rule(1, 3), rule(2, 2))
    with pytest.raises(ValueError, match=r"no gap to close: .* they are 0 and 0"):
        gap_closed(rule(1), rule(0), rule(0))
    with pytest.raises(ValueError, match="played 2 and 3 episodes"):
        gap_closed(rule(1, 2), rule(1, 3, 4), rule(2, 2, 9))


def test_the_band_of_a_curve_is_the_interval_of_each_point() -> None:
    curves = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    centre, low, high = statistics.band(curves)
    assert centre.tolist() == [3.0, 5.0]
    assert (low[0], high[0]) == pytest.approx(ends(mean(column(*curves[:, 0]))))
    assert (low[1], high[1]) == (5.0, 5.0)


def test_two_seeds_have_no_band() -> None:
    for seeds in (1, 2):
        centre, low, high = statistics.band(np.arange(2.0 * seeds).reshape(seeds, 2))
        assert np.isfinite(centre).all()
        assert np.isnan([low, high]).all()
    assert np.isfinite(statistics.band(np.arange(6.0).reshape(3, 2))).all()


def test_how_often_seeds_fail() -> None:
    """With 0 of 10 failures the chance is below 1 - .025 ** (1 / 10), with 1 of 1 above .025."""
    scores = Scores(np.array([[0.5, 1.5]] * 9 + [[0.1, 1.5]]))
    assert failure_rate(scores, 0.9)[:2] == (1, 10)
    none = failure_rate(scores, 0.8)
    assert (none.failed, none.low) == (0, 0.0)
    assert none.high == pytest.approx(1 - 0.025**0.1)
    exact = stats.binomtest(1, 10).proportion_ci(0.95)
    assert failure_rate(scores, 0.9)[2:4] == pytest.approx((exact.low, exact.high))
    sure = failure_rate(column(0.0), 1.0)
    assert (sure.low, sure.high) == pytest.approx((0.025, 1.0))


def test_a_seed_that_did_not_finish_has_failed() -> None:
    rate = failure_rate(column(0.5, 1.0, 1.0), 0.9, {3: "diverged", 7: "interrupted"})
    assert rate[:2] == (3, 5)
    assert rate.unfinished == {3: "diverged", 7: "interrupted"}
    assert rate.high == pytest.approx(stats.binomtest(3, 5).proportion_ci(0.95).high)


def test_scores_come_from_a_tidy_frame() -> None:
    frame = pd.DataFrame(
        {
            "policy": ["a2c"] * 4 + ["even split"] * 2,
            "seed": pd.array([3, 3, 1, 1, None, None], dtype="Int64"),
            "episode": [0, 1, 1, 0, 0, 1],
            "engagement": [5.0, 6.0, 8.0, 7.0, 4.0, 4.0],
        }
    )
    agent, rule = (
        scores_of(frame, "a2c", "engagement"),
        scores_of(frame, "even split", "engagement"),
    )
    assert (agent.values.tolist(), agent.is_trained) == ([[7.0, 8.0], [5.0, 6.0]], True)
    assert (rule.values.tolist(), rule.is_trained) == ([[4.0]], False)
    with pytest.raises(ValueError, match="no scores of 'myopic'; there are a2c, even split"):
        scores_of(frame, "myopic", "engagement")
    for broken in (frame.drop(index=1), pd.concat([frame, frame.iloc[:1]])):
        with pytest.raises(
            ValueError, match="a2c: every training seed must play every episode once"
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
def test_episodes_are_one_where_each_seed_scores_the_same_on_all(
    scored: list[list[float]], kept: list[list[float]] | None
) -> None:
    frame = pd.DataFrame(
        [
            ("a2c", seed, episode, scored[seed][episode])
            for seed in range(2)
            for episode in range(2)
        ],
        columns=["policy", "seed", "episode", "engagement"],
    )
    scores = scores_of(frame, "a2c", "engagement")
    assert scores.values.tolist() == (kept or scored)
    assert scores.is_deterministic == (kept is not None)


def test_one_episode_does_not_show_whether_episodes_vary() -> None:
    rows = [("a2c", seed, 0, 5.0) for seed in range(2)]
    frame = pd.DataFrame(rows, columns=["policy", "seed", "episode", "engagement"])
    assert not scores_of(frame, "a2c", "engagement").is_deterministic


def test_a_score_that_is_not_a_number_was_played_all_the_same() -> None:
    rows = [("a2c", 0, episode, np.nan) for episode in range(2)]
    frame = pd.DataFrame(rows, columns=["policy", "seed", "episode", "share_of_optimum"])
    assert np.isnan(scores_of(frame, "a2c", "share_of_optimum").values).all()
