"""A batch of campaigns in progress: their state, totals and observations, played a day at a time.

Both the single and the vector environment hold one; what a day does stands in the model.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.observation import OBSERVATIONS, Rows
from envs.campaign.params import CHANNELS, METRICS, CampaignParams, FloatArray

ALL = slice(None)
TOTALS = (*(f"campaign/spend_{name}" for name in CHANNELS), *(f"campaign/{name}" for name in METRICS))
PLAYED = len(TOTALS)


class Day(NamedTuple):
    """What one day brought to each campaign of a batch.

    Attributes:
        spend: (batch, 3 channels) [bu/day].
        metrics: (batch, 3 metrics) [counts/day].
        engagement: (batch,) [1/day].
        expected_engagement: Mean of the day's draw, (batch,) [1/day].
    """

    spend: FloatArray
    metrics: FloatArray
    engagement: FloatArray
    expected_engagement: FloatArray


class Campaigns:
    """Campaigns in progress.

    Args:
        params: What all of them have in common.
        observation: A name of ``OBSERVATIONS``.
        count: How many campaigns.

    Attributes:
        observations: What the agents see now, (count, size), float32; changed in place by every day.
        over: Which campaigns have played their last day, (count,); a new array after every day.
    """

    def __init__(self, params: CampaignParams, observation: str, count: int) -> None:
        self.params = params
        self._observation = OBSERVATIONS[observation]
        self._first = self._observation.first(params)
        self._start = model.initial_state((count,))
        self._state = self._start
        self.observations = np.tile(self._first, (count, 1))
        self.over = np.zeros(count, dtype=bool)
        self._past = np.zeros((count, params.days, PLAYED))

    @property
    def day(self) -> NDArray[np.int64]:
        """Days already played, (count,) [days]."""
        return self._state.day

    def past(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Spend (days so far, 3) [bu/day] and metrics (days so far, 3) [counts/day] of one campaign."""
        past = self._past[index, : self.day[index]]
        return past[:, : len(CHANNELS)], past[:, len(CHANNELS) :]

    def reset(self, rows: Rows = ALL) -> None:
        """Puts the campaigns of the given rows back to their first day."""
        self._state = _merge(rows, self._start, self._state)
        self.over = self._state.day >= self.params.coefficients.days
        self.observations[rows] = self._first
        self._past[rows] = 0.0

    def play(self, spend: FloatArray, rows: Rows = ALL) -> Day:
        """Plays one day of the given rows with spend (count, 3) [bu/day]; the other rows stay as they are."""
        expected, after = model.transition(self.params, self._state, spend)
        for group, day in self._groups(rows):
            self._past[group, day, : len(CHANNELS)] = spend[group]
            self._past[group, day, len(CHANNELS) :] = expected[group]
            self._observation.write(self.params, self.observations, group, day, self._past[group, day])
        self._state = _merge(rows, after, self._state)
        self.over = self._state.day >= self.params.coefficients.days
        engagement = model.engagement(self.params, expected)
        return Day(spend, expected, engagement, engagement)

    def episode_metrics(self) -> dict[str, FloatArray]:
        """Totals of each campaign so far, flat names to arrays (count,); unscaled."""
        totals = np.einsum("ndk->nk", self._past)
        engagement = model.engagement(self.params, totals[:, len(CHANNELS) :])
        return {
            "campaign/engagement": engagement,
            "campaign/share_of_optimum": engagement / optimum(self.params),
            **dict(zip(TOTALS, totals.T.copy(), strict=True)),
        }

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that tells these campaigns from new ones, as copies of arrays; ``set_state`` takes it back."""
        kept = {"observations": self.observations, "past": self._past, "over": self.over}
        return {name: array.copy() for name, array in (self._state._asdict() | kept).items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Goes on where campaigns of the same parameters were when ``get_state`` was asked.

        Raises:
            ValueError: An entry is missing, unknown or of another shape.
        """
        _check_like(self.get_state(), state)
        self._state = model.State(*(state[name].copy() for name in model.State._fields))
        self.observations, self._past = state["observations"].copy(), state["past"].copy()
        self.over = state["over"].copy()

    def _groups(self, rows: Rows) -> list[tuple[Rows, int]]:
        """Splits the rows by the day they are on; campaigns that started together are one group."""
        day = self._state.day
        if isinstance(rows, slice) and (len(day) == 1 or (day == day[0]).all()):
            return [(ALL, day.item(0))]
        played = np.zeros(day.shape, dtype=bool)
        played[rows] = True
        return [(played & (day == value), int(value)) for value in np.unique(day[played])]


@cache
def optimum(params: CampaignParams) -> float:
    """The optimum of the nominal parameters [1], solved once per parameters and process."""
    return planner.plan(params).engagement


def _check_like(now: dict[str, NDArray[Any]], state: dict[str, NDArray[Any]]) -> None:
    """Refuses a state that is not one of these campaigns."""
    if set(state) != set(now):
        raise ValueError(f"state: has {', '.join(sorted(state))}; must have {', '.join(sorted(now))}")
    for name, array in now.items():
        given = np.asarray(state[name])
        if (given.shape, given.dtype) != (array.shape, array.dtype):
            raise ValueError(f"state: {name} is {given.dtype} {given.shape}, must be {array.dtype} {array.shape}")


def _merge(rows: Rows, new: model.State, old: model.State) -> model.State:
    """The new state in the given rows, the old one elsewhere."""
    if isinstance(rows, slice):
        return new
    chosen = [np.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True)]
    return model.State(*chosen)
