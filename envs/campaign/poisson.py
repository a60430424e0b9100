"""Poisson counts from normal draws: the exact quantile, several times faster than SciPy's root search."""

import numpy as np
from scipy import special

from envs.campaign.params import FloatArray


def poisson(mean: FloatArray, normal: FloatArray) -> FloatArray:
    """The count at the quantile that a standard normal draw stands at, whole numbers (...,).

    The same draw gives more where more is expected: policies that meet the same chance differ by
        what they did alone.
    The first guess is the expansion of Cornish and Fisher 1938 to third order; steps of one correct
    it.

    Args:
        mean: Of the Poisson distribution, 0 or more, (...,).
        normal: Standard normal, (...,).
    """
    share = special.ndtr(normal)
    root = np.sqrt(np.maximum(mean, 1e-12))
    guess = mean + root * normal + (normal**2 - 1.0) / 6.0 + (normal - normal**3) / (72.0 * root)
    count: FloatArray = np.where(mean > 4.0, np.maximum(np.ceil(guess - 0.5), 0.0), 0.0)
    low = special.pdtr(count, mean) < share
    while low.any():
        count[low] += 1.0
        low[low] = special.pdtr(count[low], mean[low]) < share[low]
    high = (count > 0.0) & (special.pdtr(np.maximum(count - 1.0, 0.0), mean) >= share)
    while high.any():
        count[high] -= 1.0
        high[high] = (count[high] > 0.0) & (
            special.pdtr(np.maximum(count[high] - 1.0, 0.0), mean[high]) >= share[high]
        )
    return count
