"""Whether past days look like days of the campaign that was fitted to them.

Each draw from the posterior brings days of its own, with noise: the posterior predictive
distribution. The past days are compared with them, count by count and by patterns that a right model
leaves to chance (posterior predictive checks, Gelman, Meng and Stern 1996).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from envs.campaign.params import FloatArray
from evaluate.campaign.fitted import BAND, Fitted, Range, range_of
from evaluate.report.wording import listed

RARE = 0.01  # probability of a pattern, or of so few counts in the band, under the right model
MOST_MEAN = 1e15  # [counts/day]; NumPy draws no Poisson counts of larger means
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
    is_within: FloatArray
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
    return FitCheck(bands, within, few, tuple(_patterns(fitted, brought)))


def predicted(fitted: Fitted, rng: np.random.Generator) -> FloatArray:
    """Counts that each draw brings on the past days, (draws, days, metrics): equation (5)."""
    mean, values = fitted.expected, fitted.values
    sd = values.shock_sd[:, np.newaxis]
    shock = np.exp(sd * rng.standard_normal(mean.shape[:2]) - sd**2 / 2)
    r = values.dispersion[:, np.newaxis, np.newaxis]
    rate = mean * shock[..., np.newaxis] * rng.gamma(r, 1.0 / r, mean.shape)
    counts: FloatArray = rng.poisson(np.minimum(rate, MOST_MEAN)).astype(float)
    return counts


def _patterns(fitted: Fitted, brought: FloatArray) -> Iterator[str]:
    """What the past days have and those of the fitted campaign have not, a sentence each.

    By the residuals of whole days: what was counted over what was expected, as logarithms.
    """
    past, expected = fitted.past, np.log1p(fitted.expected)
    seen, usual = (
        (np.log1p(counts) - expected).mean(axis=-1) for counts in (past.metrics, brought)
    )
    days, follows = np.arange(len(past.starts)), ~past.starts
    if len(days) < LEAST_DAYS:
        return
    if _is_rare(*(_correlation(part, days[:, np.newaxis])[:, 0] for part in (seen, usual))):
        rises = "more" if _correlation(seen, days[:, np.newaxis]).mean() > 0 else "less"
        yield (
            f"Over time the days bring more and more, or less and less, than the model says: {rises} "
            "towards the end. Something outside the spends has changed: leave the oldest days out."
        )
    if _is_rare(*(_serial(part, follows) for part in (seen, usual))):
        yield (
            "Good days follow good days, and bad ones bad ones, more than chance and carry-over "
            "explain: promotions, seasons or news that the file does not name. Leave such days out."
        )
    before = past.spend[np.maximum(days - 1, 0)][follows]
    if names := _related(fitted, seen[:, follows], usual[:, follows], before):
        yield (
            f"What a day brings depends on the spend of the day before on {listed(names)} in "
            "another way than the model says: its effect may come with a delay."
        )
    square = (past.spend - past.spend.mean(axis=0)) ** 2
    if names := _related(fitted, seen, usual, square):
        yield (
            f"Small and large spends on {listed(names)} earn something else than the response curve "
            "says: its form does not fit. Trust it only near the usual spend."
        )
    far = np.abs(seen)
    if _is_rare(far.max(axis=1), np.abs(usual).max(axis=1)):
        day = int(far.mean(axis=0).argmax())
        when = fitted.dates[day].isoformat() if fitted.dates else f"day {day + 1}"
        yield (
            f"The day that is furthest off, {when}, is further off than chance explains. If "
            "something special happened, leave it out."
        )


def _related(fitted: Fitted, seen: FloatArray, usual: FloatArray, columns: FloatArray) -> list[str]:
    """Channels with whose column (days, channels) the residuals go more than chance explains."""
    of_seen, of_usual = (np.abs(_correlation(part, columns)) for part in (seen, usual))
    if not _is_rare(of_seen.max(axis=1), of_usual.max(axis=1)):
        return []
    return [fitted.channels[int(of_seen.mean(axis=0).argmax())]]


def _is_rare(seen: FloatArray, usual: FloatArray) -> bool:
    """Whether draws of a statistic (draws,) are as far from 0 as seen in hardly any draw."""
    return bool(np.mean(np.abs(usual) >= np.abs(seen)) < RARE)


def _correlation(residuals: FloatArray, columns: FloatArray) -> FloatArray:
    """Correlation of residuals (draws, days) with columns (days, columns), (draws, columns)."""
    left = residuals - residuals.mean(axis=1, keepdims=True)
    right = columns - columns.mean(axis=0)
    scale = np.linalg.norm(left, axis=1)[:, np.newaxis] * np.linalg.norm(right, axis=0)
    correlation: FloatArray = left @ right / np.where(scale > 0, scale, np.inf)
    return correlation


def _serial(residuals: FloatArray, follows: FloatArray) -> FloatArray:
    """Correlation of each day's residual with that of the day before, (draws,)."""
    centred = residuals - residuals.mean(axis=1, keepdims=True)
    pairs = (centred[:, 1:] * centred[:, :-1])[:, follows[1:]].sum(axis=1)
    correlation: FloatArray = pairs / np.square(centred).sum(axis=1)
    return correlation
