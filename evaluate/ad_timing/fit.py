"""From sessions as they were to the chances of leaving, by maximum likelihood."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from envs.ad_timing.model import FloatArray

NAMES = ("h", "b1", "tau", "b0")
START = (0.05, 0.3, 3.0, 0.05)
BOUNDS = ((0.005, 1.0), (0.0, 1.0), (0.1, 1000.0), (0.0, 1.0))  # as those of the parameters
LEAST = 1e-12  # chance


class Fitted(NamedTuple):
    """Estimates in the order of ``NAMES``.

    Attributes:
        values: (4,).
        errors: Their standard errors, (4,); infinite where the data do not tell.
        items: Number of rows that they were fitted to.
    """

    values: FloatArray
    errors: FloatArray
    items: int


class _Cells(NamedTuple):
    """Rows that have the same chance to leave, each (cells,)."""

    k: FloatArray
    is_ad: FloatArray
    items: FloatArray
    left: FloatArray


def fit(sessions: pd.DataFrame) -> Fitted:
    """Fits h, b1, tau and b0 with f = 0 to columns ``k``, ``ad`` and ``left``, a row an item.

    Who has left at an item is gone with p = a + (1 - a) h, where a is b(k) with an ad and else 0.
    Standard errors are those of the Fisher information, sum of n dp dp' / (p (1 - p)).
    """
    grouped = sessions.groupby(["k", "ad"])["left"].agg(["size", "sum"]).reset_index()
    cells = _Cells(*grouped[["k", "ad", "size", "sum"]].to_numpy(dtype=np.float64).T)
    best = minimize(_loss, START, (cells,), jac=True, method="L-BFGS-B", bounds=BOUNDS, tol=1e-12)
    chance, slopes = _chance(best.x, cells)
    weights = cells.items / (chance * (1.0 - chance))
    information = np.einsum("ni,nj,n->ij", slopes, slopes, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_told = np.linalg.matrix_rank(information) == len(NAMES)
        errors = np.sqrt(np.diag(np.linalg.inv(information))) if is_told else np.full(4, np.inf)
    return Fitted(best.x, errors, len(sessions))


def _chance(values: FloatArray, cells: _Cells) -> tuple[FloatArray, FloatArray]:
    """The chance to be gone, (cells,), and its derivatives, (cells, 4)."""
    h, b1, tau, b0 = values
    fresh = np.exp(-cells.k / tau)
    at_once = cells.is_ad * (b1 * fresh + b0)
    slope = (1.0 - h) * cells.is_ad
    by_tau = slope * b1 * fresh * cells.k / tau**2
    slopes = np.stack([1.0 - at_once, slope * fresh, by_tau, slope], axis=1)
    return np.clip(at_once + (1.0 - at_once) * h, LEAST, 1.0 - LEAST), slopes


def _loss(values: FloatArray, cells: _Cells) -> tuple[float, FloatArray]:
    """The negative log likelihood of an item, and its gradient (4,)."""
    chance, slopes = _chance(values, cells)
    stayed, items = cells.items - cells.left, cells.items.sum()
    likelihood = cells.left * np.log(chance) + stayed * np.log1p(-chance)
    gradient = (cells.left / chance - stayed / (1.0 - chance)) @ slopes
    return -float(likelihood.sum() / items), -gradient / items
