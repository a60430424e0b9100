"""The report of a campaign fitted to past days, on posteriors made without a sampler."""

import html
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from envs.campaign.calibration import Calibration, PastDays, Roles, effects
from envs.campaign.params import FloatArray
from envs.campaign.posterior import Posterior
from evaluate.campaign.calibrate.fit_check import check_fit
from evaluate.campaign.calibrate.fitted import Fitted, parameters_of, range_of
from evaluate.campaign.calibrate.report import report_of, write_report
from evaluate.campaign.calibrate.untold import is_split_untold, moved, warnings_of

CHANNELS = ("search", "video", "influencers", "email", "rewards", "radio")
METRICS = ("clicks", "sign-ups", "shares", "orders")
TITLES = (
    "What came out",
    "What was learned of each number",
    "What spend on each channel earns",
    "What engagement came from",
    "Does the fit explain the days?",
    "What one more EUR earns",
    "What these days cannot tell",
)


def varied(days: int, channels: int, seed: int = 0) -> FloatArray:
    """Spends whose split varies, (days, channels) [EUR/day]."""
    rng = np.random.default_rng(seed)
    return 100.0 * rng.dirichlet(np.full(channels, 1.2), days) * rng.uniform(0.5, 1.5, (days, 1))


def fitted_to(
    spend: FloatArray, metrics: int = 2, sd: float = 0.1, roles: Roles | None = None
) -> Fitted:
    """A campaign of these spends, and draws around the truth that its counts come from."""
    rng = np.random.default_rng(1)
    days, channels = spend.shape
    starts = np.arange(days) % 28 == 0
    if roles is None:
        roles = Roles((2,), (0,), (1,)) if channels > 2 else Roles()
    weekday, counts = np.arange(days) % 7, np.tile([300.0, 60.0, 90.0, 20.0][:metrics], (days, 1))
    calibration = Calibration(PastDays(spend, counts, weekday, starts), roles, 100.0)
    truth = 0.3 * rng.standard_normal(calibration.size)
    # The priors' scale is the mean count: strength and base are shifted until they bring that.
    excess = np.log(calibration.expected(truth)[0].mean(axis=0) / counts[0])
    position = 0
    for block in calibration.blocks:
        end = position + block.median.size
        if block.name in ("counts", "base"):
            truth[position:end] -= np.resize(excess, end - position)  # both have log-sd 1
        position = end
    mean, values = calibration.expected(truth)
    shock = np.exp(values.shock_sd * rng.standard_normal((days, 1)) - values.shock_sd**2 / 2)
    heterogeneity = rng.gamma(values.dispersion, 1 / values.dispersion, mean.shape)
    seen = rng.poisson(mean * shock * heterogeneity).astype(float)
    seen *= counts.mean(axis=0) / seen.mean(axis=0)
    past = PastDays(spend, np.round(seen), weekday, starts)
    calibration = Calibration(past, roles, 100.0)
    chains = truth + sd * rng.standard_normal((2, 200, calibration.size))
    posterior = Posterior(calibration, chains)
    return Fitted(
        posterior, CHANNELS[:channels], METRICS[:metrics], (1.0, 2.0, 3.0, 5.0)[:metrics], "EUR"
    )


def kinds_of(fitted: Fitted) -> list[str]:
    return [caveat.kind for caveat in warnings_of(fitted)]


@pytest.mark.parametrize(("channels", "metrics"), [(1, 1), (6, 4)])
def test_the_page_names_everything_it_shows(channels: int, metrics: int, tmp_path: Path) -> None:
    fitted = fitted_to(varied(40, channels), metrics)
    first = date(2026, 1, 5)
    dates = tuple(first + timedelta(day) for day in range(40))
    fitted = replace(fitted, dates=dates, notices=("Two columns were left aside.",))
    path = tmp_path / "calibration.html"
    write_report(fitted, path, title="Shop & sons")
    page = html.unescape(path.read_text(encoding="utf-8"))
    assert re.findall("<h2>(.*?)</h2>", page) == [*TITLES, "How this was made"]
    for text in (*fitted.channels, *fitted.metrics, "<h1>Shop & sons</h1>", *fitted.notices):
        assert text in page
    assert "40, 2026-01-05 to 2026-02-13" in page
    assert page.count("data:image/png;base64,") == 6
    text = re.sub('data:image/png;base64,[^"]*', "", page.split("</style>")[1])
    assert not re.search(r"\bnan\b|\binf\b|\{", text)
    assert [each.name for each in tmp_path.iterdir()] == ["calibration.html"]


def test_equal_seeds_write_equal_pages(tmp_path: Path) -> None:
    fitted = fitted_to(varied(30, 3))
    for name in "ab":
        write_report(fitted, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_contributions_add_up_to_what_is_expected() -> None:
    fitted = fitted_to(varied(35, 3), 3)
    expected = fitted.expected @ np.array(fitted.weights)
    np.testing.assert_allclose(fitted.contributions.sum(axis=-1), expected, rtol=1e-12)
    assert fitted.shares.sum(axis=-1) == pytest.approx(1.0)


def test_a_channel_without_spend_contributes_nothing() -> None:
    spend = varied(30, 3)
    spend[28:, 1] = 0.0  # a campaign of its own, in which nothing is carried over
    contributions = fitted_to(spend).contributions
    assert (contributions[:, 28:, 1] == 0.0).all()
    assert (contributions[:, :28, 1] > 0.0).all()


def test_response_and_margin_are_those_of_long_steady_spend() -> None:
    fitted = fitted_to(varied(30, 2), 3)  # no loyalty, no fatigue
    usual, first = fitted.past.usual_spend, np.arange(400) == 0

    def steady(spend: FloatArray) -> FloatArray:
        effect = effects(fitted.values, np.tile(spend, (400, 1)), first)[:, -1]
        earned = effect[..., np.newaxis] * fitted.values.nominal.counts
        total: FloatArray = (earned * np.array(fitted.weights)).sum(axis=-1)
        return total

    np.testing.assert_allclose(fitted.response(usual), steady(usual), rtol=1e-9)
    slope = (steady(usual + 1e-4) - steady(usual - 1e-4)) / 2e-4
    np.testing.assert_allclose(fitted.marginal, slope, rtol=1e-6)


def test_parameters_have_the_bands_of_prior_and_posterior() -> None:
    fitted = fitted_to(varied(30, 3), sd=0.2)
    by_name = {
        (each.block, *each.places): each for each in parameters_of(fitted, np.random.default_rng(0))
    }
    half = by_name["half_saturation", "video"]
    median = 0.75 * np.median(fitted.past.spend[:, 1])
    ends = median * np.exp(0.7 * 1.6448536 * np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(half.before, ends, rtol=0.02)
    assert half.after.middle == pytest.approx(
        median * np.exp(0.7 * _middle(fitted, half.position)), rel=1e-4
    )
    assert half.narrowed == pytest.approx(0.8, abs=0.05)
    weekdays = [each for (block, *_), each in by_name.items() if block == "weekday"]
    assert np.mean([each.after.middle for each in weekdays]) == pytest.approx(1.0, abs=0.01)


def _middle(fitted: Fitted, position: int) -> float:
    return float(np.median(fitted.posterior.draws[:, position]))


def test_margins_stand_in_order() -> None:
    fitted = fitted_to(varied(40, 6))
    sections = report_of(fitted, "", np.random.default_rng(0)).sections
    rows = sections[5].tables[0].rows
    middle = range_of(fitted.marginal).middle
    assert [row[0] for row in rows] == [CHANNELS[i] for i in np.argsort(-middle)]
    assert CHANNELS[int(middle.argmax())] in sections[5].text[0]


def test_a_computation_without_agreement_is_said_first() -> None:
    fitted = fitted_to(varied(40, 2))
    chains = fitted.posterior.chains + np.array([0.0, 1.0]).reshape(2, 1, 1)
    apart = replace(fitted, posterior=Posterior(fitted.calibration, chains))
    report = report_of(apart, "", np.random.default_rng(0))
    assert report.result.startswith("The computation did not converge: trust none of these figures")
    assert "must not be used" in report.sections[0].text[0]


def test_most_days_of_a_right_model_lie_in_the_band() -> None:
    check = check_fit(fitted_to(varied(365, 3), sd=0.02), np.random.default_rng(0))
    assert 0.86 < check.share < 0.95
    assert not check.few


def changed(fitted: Fitted, factors: FloatArray) -> Fitted:
    """The same draws, beside counts that are so many times as high (days, 1)."""
    metrics = np.round(fitted.past.metrics * factors / factors.mean())
    calibration = replace(fitted.calibration, past=replace(fitted.past, metrics=metrics))
    return replace(fitted, posterior=Posterior(calibration, fitted.posterior.chains))


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (np.exp(np.linspace(-0.6, 0.6, 112)), "The longer, the more"),
        (np.exp(np.linspace(0.6, -0.6, 112)), "The longer, the less"),
        (np.where(np.arange(112) // 7 % 3 == 1, 2.5, 1.0), "come in a row"),
        (np.where(np.arange(112) == 50, 30.0, 1.0), "day 51"),
    ],
)
def test_days_that_no_spend_explains_are_said(factors: FloatArray, words: str) -> None:
    fitted = changed(fitted_to(varied(112, 3), sd=0.02), factors[:, np.newaxis])
    check = check_fit(fitted, np.random.default_rng(0))
    assert any(words in text for text in check.patterns)
    assert not check.is_good


def test_counts_too_far_apart_are_said() -> None:
    factors = np.where(np.arange(112) % 2 == 0, 3.0, 0.3)[:, np.newaxis]
    fitted = changed(fitted_to(varied(112, 3), sd=0.02), factors)
    check = check_fit(fitted, np.random.default_rng(0))
    assert check.few == fitted.metrics
    text = report_of(fitted, "", np.random.default_rng(0)).sections[4].text
    assert text[0].startswith("The fit does not hold for clicks and sign-ups")
    assert "too narrow" in text[1]


def test_varied_days_raise_nothing() -> None:
    assert kinds_of(fitted_to(varied(56, 3))) == []


def test_a_constant_split_is_always_warned_of() -> None:
    budget = np.random.default_rng(0).lognormal(4.0, 0.4, (56, 1))
    for split in ([0.5, 0.5], [0.7, 0.2, 0.1], [0.2] * 5):
        fitted = fitted_to(budget * np.array(split))
        assert is_split_untold(fitted)
        assert "split" in kinds_of(fitted)
        assert "together" not in kinds_of(fitted)  # the same once more
    assert "do not tell how to split" in report_of(fitted, "", np.random.default_rng(0)).result


def test_one_channel_has_no_split_to_tell() -> None:
    assert not is_split_untold(fitted_to(np.full((30, 1), 50.0)))


def test_the_share_moved_is_that_of_an_average_day() -> None:
    spend = np.array([[60.0, 40.0], [20.0, 80.0], [0.0, 0.0], [120.0, 80.0], [4.0, 16.0]])
    assert moved(spend) == pytest.approx(0.2)
    assert moved(np.zeros((3, 2))) == 0.0


def test_channels_that_move_together_are_one_group() -> None:
    spend = varied(56, 4)
    spend[:, [1, 3]] = spend[:, [0]] * np.array([0.5, 2.0])
    (caveat,) = warnings_of(fitted_to(spend))
    assert caveat.kind == "together"
    assert "search, video and email" in caveat.text


def test_steady_spends_are_named() -> None:
    spend = varied(56, 3)
    spend[:, 1] = np.where(np.arange(56) % 2, 20.0, 0.0)  # on or off: how much is never told
    (caveat,) = warnings_of(fitted_to(spend))
    assert caveat.kind == "steady"
    assert "that on video hardly varied" in caveat.text


def test_weekdays_never_seen_are_named() -> None:
    fitted = fitted_to(varied(56, 3))
    past = replace(fitted.past, weekday=np.arange(56) % 5)
    posterior = Posterior(replace(fitted.calibration, past=past), fitted.posterior.chains)
    (caveat,) = warnings_of(replace(fitted, posterior=posterior))
    assert caveat.kind == "weekday"
    assert "Saturday or a Sunday" in caveat.text


def test_numbers_that_stay_the_prior_are_named() -> None:
    fitted = fitted_to(varied(56, 3))
    chains = fitted.posterior.chains.copy()
    names = [(each.block, *each.places) for each in parameters_of(fitted, np.random.default_rng(0))]
    rng = np.random.default_rng(0)
    for name in (("carry_over", "video"), ("loyalty_decay",)):
        chains[..., names.index(name)] = rng.standard_normal(chains.shape[:2])
    posterior = Posterior(fitted.calibration, chains)
    (caveat,) = warnings_of(replace(fitted, posterior=posterior))
    assert caveat.kind == "prior"
    assert "before: carry-over of video; loyalty lost." in caveat.text
