"""Whether past days look like days of the campaign that was fitted to them.

Each draw from the posterior brings days of its own, with noise: the posterior predictive
distribution. The past days are compared with them, count by count and by patterns that a right
model leaves to chance (posterior predictive checks, Gelman, Meng and Stern 1996).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from envs.campaign.params import FloatArray
from evaluate.campaign.calibrate.fitted import BAND, Fitted, Range, range_of

RARE = 0.01  # probability of so few counts in the band
RARE_PATTERN = 0.01  # probability of a pattern under the fitted campaign
MOST_MEAN = 1e15  # [counts/day]; NumPy draws no Poisson counts of larger means
WEEK = 7  # days
LEAST_DAYS = 8  # with which a pattern can be told


class FitCheck(NamedTuple):
    """How past days compare with those that the fitted campaign brings.

    Attributes:
        bands: Predictive median and band, arrays (days, metrics) [counts/day].
        is_within: Which of the past counts lie in the band, (days, metrics).
        few: Metrics of which clearly fewer counts lie in it than should.
        patterns: What chance does not explain, a sentence each.
    """

    bands: Range
    is_within: NDArray[np.bool_]
    few: tuple[str, ...]
    patterns: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of all past counts in the band [1]."""
        return float(self.is_within.mean())

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against the model."""
        return not self.few and not self.patterns


def check_fit(fitted: Fitted, rng: np.random.Generator) -> FitCheck:
    """Compares the past days with those of the fitted campaign."""
    seen, brought = fitted.past.metrics, predicted(fitted, rng)
    bands = range_of(brought)
    within = (seen >= bands.low) & (seen <= bands.high)
    chances = stats.binom.cdf(within.sum(axis=0), len(seen), BAND)
    few = tuple(name for name, chance in zip(fitted.metrics, chances, strict=True) if chance < RARE)
    patterns = tuple(text for chance, text in _patterns(fitted, brought) if chance < RARE_PATTERN)
    return FitCheck(bands, within, few, patterns)


def predicted(fitted: Fitted, rng: np.random.Generator) -> FloatArray:
    """Counts that each draw brings on the past days, (draws, days, metrics): equation (5)."""
    mean, values = fitted.expected, fitted.values
    sd = values.shock_sd[:, np.newaxis]
    shock = np.exp(sd * rng.standard_normal(mean.shape[:2]) - sd**2 / 2)
    r = values.dispersion[:, np.newaxis, np.newaxis]
    rate = mean * shock[..., np.newaxis] * rng.gamma(r, 1.0 / r, mean.shape)
    counts: FloatArray = rng.poisson(np.minimum(rate, MOST_MEAN)).astype(float)
    return counts


def _patterns(fitted: Fitted, brought: FloatArray) -> Iterator[tuple[float, str]]:
    """What the past days may have and those of the fitted campaign have not.

    By the residuals of whole days: what was counted over what was expected, as logarithms.

    Yields:
        The probability of as much of a pattern under the fitted campaign, and a sentence on it.
    """
    past, expected = fitted.past, np.log1p(fitted.expected)
    seen, usual = (
        (np.log1p(counts) - expected).mean(axis=-1) for counts in (past.metrics, brought)
    )
    follows, order = ~past.starts, np.arange(float(len(past.starts)))[:, np.newaxis]
    if len(order) < LEAST_DAYS:
        return
    drift = _correlation(seen, order)
    rises = "more" if drift.mean() > 0 else "less"
    yield (
        _chance(drift, _correlation(usual, order)),
        f"The longer, the {rises} the days bring than the model says. Something other than the "
        "spends has changed: leave the oldest days out.",
    )
    yield (
        float(np.mean(_serial(usual, past.starts) >= _serial(seen, past.starts))),
        "Good days come in a row, and so do bad ones, more than chance and carry-over explain: "
        "promotions, seasons or news that the file does not name. Leave such days out.",
    )
    before = np.roll(past.spend, 1, axis=0)[follows]
    chance, channel = _related(seen[:, follows], usual[:, follows], before)
    yield (
        chance,
        f"What a day brings depends on the spend of the day before on {fitted.channels[channel]} "
        "in another way than the model says: its effect may come with a delay.",
    )
    square = (past.spend - past.spend.mean(axis=0)) ** 2
    chance, channel = _related(seen, usual, square)
    yield (
        chance,
        f"Small and large spends on {fitted.channels[channel]} earn something else than its "
        "response curve says. Trust it only near the usual spend.",
    )
    day = int(np.abs(seen).mean(axis=0).argmax())
    when = fitted.dates[day].isoformat() if fitted.dates else f"day {day + 1}"
    yield (
        _chance(np.abs(seen).max(axis=1), np.abs(usual).max(axis=1)),
        f"One day, {when}, is further off than chance explains. If something special happened, "
        "leave it out.",
    )


def _related(seen: FloatArray, usual: FloatArray, columns: FloatArray) -> tuple[float, int]:
    """Probability of residuals as much related to a column (days, channels), and that column."""
    of_seen, of_usual = (np.abs(_correlation(part, columns)) for part in (seen, usual))
    column = int(of_seen.mean(axis=0).argmax())
    return _chance(of_seen.max(axis=1), of_usual.max(axis=1)), column


def _chance(seen: FloatArray, usual: FloatArray) -> float:
    """Share of draws in which a usual statistic is at least as far from 0 as the one seen [1]."""
    return float(np.mean(np.abs(usual) >= np.abs(seen)))


def _correlation(residuals: FloatArray, columns: FloatArray) -> FloatArray:
    """Correlation of residuals (draws, days) with columns (days, columns), (draws, columns)."""
    left = residuals - residuals.mean(axis=1, keepdims=True)
    right = columns - columns.mean(axis=0)
    scale = np.linalg.norm(left, axis=1)[:, np.newaxis] * np.linalg.norm(right, axis=0)
    correlation: FloatArray = left @ right / np.where(scale > 0, scale, np.inf)
    return correlation


def _serial(residuals: FloatArray, starts: NDArray[np.bool_]) -> FloatArray:
    """How far residuals (draws, days) stay on one side for days, (draws,).

    The correlations with up to six days before, in the same campaign, weighted as in the variance
    of a week's mean (Bartlett).
    """
    centred = residuals - residuals.mean(axis=1, keepdims=True)
    campaign, together = np.cumsum(starts), np.zeros(len(residuals))
    for lag in range(1, WEEK):
        is_same = campaign[lag:] == campaign[:-lag]
        pairs = (centred[:, lag:] * centred[:, :-lag])[:, is_same]
        together += (1.0 - lag / WEEK) * pairs.sum(axis=1)
    serial: FloatArray = together / np.square(centred).sum(axis=1)
    return serial
