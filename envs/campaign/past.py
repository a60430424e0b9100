"""Days already played, as they are handed over: what each consists of, and what can be wrong with it."""

from typing import NamedTuple

import numpy as np

from envs.campaign.params import CHANNELS, METRICS, CampaignParams, FloatArray

SPENT_ROUNDING = 1e-6  # a written sum may be rounded
MOST = 1e12  # no real day has more, and observations are float32

Faults = dict[tuple[int, str], str]
"""What is wrong, and what is expected, by row (from 0) and column, or several columns."""


class History(NamedTuple):
    """How the days of a campaign that have been played are told to ``reset(options={"past": rows})``."""

    params: CampaignParams

    @property
    def columns(self) -> tuple[str, ...]:
        """What each row consists of: spend [bu/day], then metrics [counts/day]."""
        return (*CHANNELS, *METRICS)

    @property
    def decided(self) -> tuple[str, ...]:
        """Those of the columns that the agent decides."""
        return CHANNELS

    @property
    def last_day(self) -> int:
        """The day that ends a campaign, from 1 [days]."""
        return self.params.days

    @property
    def is_chance(self) -> bool:
        """Whether chance has a part in the days to come; without it every campaign goes on in the same way."""
        return self.params.is_noisy or self.params.is_drawn

    def faults(self, past: FloatArray) -> Faults:
        """What is wrong with days played, (days so far, 6)."""
        bad = ~(np.isfinite(past) & (past >= 0) & (past <= MOST))
        found = {
            (
                row,
                self.columns[column],
            ): f"{past[row, column]:g}, must be a finite number from 0 to {MOST:g}"
            for row, column in np.argwhere(bad).tolist()
        }
        budget = self.params.daily_budget
        spent = np.where(bad, 0.0, past)[:, : len(CHANNELS)].sum(axis=1)
        for row in np.flatnonzero(spent > budget * (1 + SPENT_ROUNDING)).tolist():
            found[row, " + ".join(CHANNELS)] = (
                f"{spent[row]:.10g} spent, must be {budget:g} or less, the day's budget"
            )
        return found
