"""A truth that is not ours: ``python -m tests.benchmarks.outside mmm_example.csv``.

The file is the example of PyMC-Marketing: 179 weeks of a marketing mix, simulated with a geometric
adstock of .4 and .2, logistic saturation, a trend, a season and two events. Weeks are taken as
days; those of the events are left out. The file is fitted as it is, and once more without trend
and season, which the campaign model does not have. Prints adstocks and contributions beside the
truth, and what the check of fit says.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from envs.campaign.calibration import Calibration, PastDays, Roles, effects
from envs.campaign.params import FloatArray
from envs.campaign.posterior import Posterior, fit
from evaluate.campaign.calibrate.fit_check import check_fit
from tests.benchmarks.calibration import as_fitted

CHANNELS = ["x1", "x2"]
ADSTOCK, STEEPNESS = (0.4, 0.2), (4.0, 3.0)
MEMORY = 8  # weeks that an effect lasts
MONEY = 100.0  # the file's spends are at most 1


def media(table: pd.DataFrame) -> FloatArray:
    """The true response of each channel but for its size, (weeks, 2) [1]."""
    responses = []
    for name, alpha, steepness in zip(CHANNELS, ADSTOCK, STEEPNESS, strict=True):
        weights = alpha ** np.arange(MEMORY)
        adstock = np.convolve(table[name], weights / weights.sum())[: len(table)]
        responses.append(np.tanh(steepness * adstock / 2.0))
    return np.column_stack(responses)


def truth(table: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """What each channel contributed, (weeks, 2), and trend with season, (weeks,).

    The forms are known, their sizes are found by least squares.
    """
    year = 2.0 * np.pi * table["dayofyear"].to_numpy() / 365.5
    trend = (np.linspace(0, 50, len(table)) + 10) ** 0.25
    moving = np.column_stack([trend, np.sin(2.0 * year), np.cos(year)])
    parts = np.column_stack(
        [media(table), moving, np.ones(len(table)), table[["event_1", "event_2"]]]
    )
    size = np.linalg.lstsq(parts, table["y"])[0]
    contributed: FloatArray = parts[:, :2] * size[:2]
    moved: FloatArray = moving @ size[2:5]
    return contributed, moved


def fitted_to(spend: FloatArray, counts: FloatArray) -> Posterior:
    """The posterior after weeks that are taken as days."""
    days = np.arange(len(counts))
    past = PastDays(MONEY * spend, counts[:, np.newaxis], days % 7, days == 0)
    return fit(Calibration(past, Roles(), MONEY), np.random.default_rng(0))


def rows(posterior: Posterior, contributed: FloatArray, case: str) -> list[dict[str, Any]]:
    """A row for each number: the true one, the median and the 90 % interval."""
    calibration = posterior.calibration
    values = calibration.values(posterior.draws)
    effect = effects(values, calibration.past.spend, calibration.past.starts)
    weekday = values.weekday[:, calibration.past.weekday, np.newaxis]
    earned = (effect * weekday).sum(axis=1) * values.nominal.counts[..., 0]
    true = (*ADSTOCK, *contributed.sum(axis=0))
    draws = np.column_stack([values.nominal.carry_over, earned])
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95], axis=0)
    names = [f"{kind} of {name}" for kind in ("adstock", "contribution") for name in CHANNELS]
    return [
        {"file": case, "number": name, "truth": t, "median": m, "low": a, "high": b}
        for name, t, m, a, b in zip(names, true, middle, low, high, strict=True)
    ]


def main() -> None:
    """Fits the file twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    table = pd.read_csv(parser.parse_args().file)
    contributed, moved = truth(table)
    usual = (table[["event_1", "event_2"]] == 0).all(axis=1).to_numpy()
    found, said = [], []
    for case, level in (("as it is", 0.0), ("without trend and season", moved - moved.mean())):
        counts = (table["y"] - level).to_numpy()[usual]
        posterior = fitted_to(table[CHANNELS].to_numpy()[usual], counts)
        found += rows(posterior, contributed[usual], case)
        check = check_fit(as_fitted(posterior), np.random.default_rng(0))
        said.append(f"{case}: {'; '.join(check.patterns) or 'nothing speaks against the fit'}")
    print(
        pd.DataFrame(found).to_string(index=False, float_format="{:,.4g}".format), *said, sep="\n"
    )


if __name__ == "__main__":
    main()
