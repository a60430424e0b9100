"""A batch of campaigns in progress: their state, totals and observations, played a day at a time.

Both the single and the vector environment hold one; what a day does stands in the model.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.campaign import model, planner
from envs.campaign.belief import Rows
from envs.campaign.latent import (
    DIFFERING,
    MOST_TOLD,
    TOLD,
    replaced,
    rescale_noise,
    sample_latent,
    sample_noise,
    take,
    told,
)
from envs.campaign.observation import OBSERVATIONS
from envs.campaign.params import CHANNELS, METRICS, CampaignParams, Coefficients, FloatArray
from envs.campaign.robust_planner import sample_posterior

ALL = slice(None)
TOTALS = (
    *(f"campaign/spend_{name}" for name in CHANNELS),
    *(f"campaign/{name}" for name in METRICS),
)
PLAYED = len(TOTALS)
REWARDS = ("observed", "expected", "shaped")


class Day(NamedTuple):
    """What one day brought to each campaign of a batch.

    Attributes:
        spend: (batch, 3 channels) [bu/day].
        metrics: (batch, 3 metrics) [counts/day].
        engagement: (batch,) [1/day].
        expected_engagement: Mean of the day's draw, (batch,) [1/day].
        reward: What the learner is paid before scaling, (batch,) [1/day].
    """

    spend: FloatArray
    metrics: FloatArray
    engagement: FloatArray
    expected_engagement: FloatArray
    reward: FloatArray


class Given(NamedTuple):
    """What a reset is told of the campaigns instead of drawing it.

    Attributes:
        latent: What holds in each campaign; None draws it.
        world: What is drawn from, where it is not what is known of the campaigns.
        past: Spend [bu/day] and metrics [counts/day] of the days played so far, (days so far, 6).
    """

    latent: Coefficients | None = None
    world: CampaignParams | None = None
    past: FloatArray = np.zeros((0, PLAYED))


NOTHING_GIVEN = Given()


class CampaignBatch:
    """CampaignBatch in progress.

    Args:
        params: What all of them have in common.
        observation: A name of ``OBSERVATIONS``.
        count: How many campaigns.
        privileged: Whether what holds in each campaign stands in the last columns of the
            observations.
        reward: A name of ``REWARDS``: what the learner is paid.

    Attributes:
        observations: What the agents see now, (count, size), float32; changed in place by every
            day.
        over: Which campaigns have played their last day, (count,); a new array after every day.
        latent: What holds in each campaign, where they differ; else None.
    """

    def __init__(
        self,
        params: CampaignParams,
        observation: str,
        count: int,
        privileged: bool = False,
        reward: str = "observed",
    ) -> None:
        self.params = params
        self._observation = OBSERVATIONS[observation]
        self._first = self._observation.first(params)
        self._start = model.initial_state((count,))
        self._state = self._start
        self.observations = np.zeros(
            (count, len(self._first) + TOLD * privileged), dtype=np.float32
        )
        self._seen = self.observations[:, : len(self._first)]
        self._told = self.observations[:, len(self._first) :]
        self.over = np.zeros(count, dtype=bool)
        self.latent: Coefficients | None = None
        self._noise: model.Noise | None = None
        self._past = np.zeros((count, params.days, PLAYED))
        self._expected = np.zeros(count)
        self._reward = reward
        self._ahead = np.zeros(count)
        self._new = self._observation.memory(params, count)
        self._memory = tuple(part.copy() for part in self._new)

    @property
    def day(self) -> NDArray[np.int64]:
        """Days already played, (count,) [days]."""
        return self._state.day

    def past(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Spend (days so far, 3) [bu/day] and metrics (days so far, 3) [counts/day] of one campaign."""
        past = self._past[index, : self.day[index]]
        return past[:, : len(CHANNELS)], past[:, len(CHANNELS) :]

    def reset(
        self, rng: np.random.Generator, rows: Rows = ALL, given: Given = NOTHING_GIVEN
    ) -> None:
        """Puts the campaigns of the given rows back to their first day, with new draws from ``rng``.

        The noise of all days is drawn here, so that what a policy does changes nothing about what
        chance brings. Days that have been played are played again with what they brought; what
        holds is then drawn from what is still likely after them.
        """
        self._state = _merge(rows, self._start, self._state)
        self.over = self._state.day >= self.params.coefficients.days
        self._seen[rows] = self._first
        self._past[rows] = 0.0
        self._expected[rows] = 0.0
        for part, new in zip(self._memory, self._new, strict=True):
            part[rows] = new[rows]
        self._draw(rng, rows, given)
        self._look_ahead(rows)
        for day in np.repeat(given.past[:, np.newaxis], len(self.over), axis=1):
            self.play(day[:, : len(CHANNELS)], rows, metrics=day[:, len(CHANNELS) :])

    def _draw(self, rng: np.random.Generator, rows: Rows, given: Given) -> None:
        count = len(self.over) if isinstance(rows, slice) else int(np.count_nonzero(rows))
        latent, world = given.latent, given.world or self.params
        if latent is None and (self.params.is_drawn or given.world):
            latent = sample_posterior(world, rng, count, given.past) if len(given.past) else None
            latent = latent or sample_latent(world, rng, count)
        self.latent = (
            latent if isinstance(rows, slice) else replaced(self.params, self.latent, rows, latent)
        )
        if self._told.size:
            self._told[rows] = np.minimum(
                told(self.params, self.latent, len(self.over))[rows], MOST_TOLD
            )
        noise = sample_noise(world, rng, count)
        self._noise = _put_noise(
            self._noise, rows, noise and rescale_noise(self.params, world, noise)
        )

    def play(self, spend: FloatArray, rows: Rows = ALL, metrics: FloatArray | None = None) -> Day:
        """Plays one day of the given rows with spend (count, 3) [bu/day]; the other rows stay as they are.

        A day that is past brings the given metrics (count, 3) [counts/day].
        """
        expected, after = model.transition(self.params, self._state, spend, self.latent)
        if metrics is None:
            metrics = model.observed(self.params, expected, self._todays_noise())
        for group, day in self._groups(rows):
            self._past[group, day, : len(CHANNELS)] = spend[group]
            self._past[group, day, len(CHANNELS) :] = metrics[group]
            played = self._past[group, day]
            self._observation.write(self.params, self._memory, self._seen, group, day, played)
        self._state = _merge(rows, after, self._state)
        self.over = self._state.day >= self.params.coefficients.days
        mean = model.engagement(self.params, expected)
        self._expected[rows] += mean[rows]
        engagement = mean if metrics is expected else model.engagement(self.params, metrics)
        return Day(spend, metrics, engagement, mean, self._paid(engagement, mean, rows))

    def _paid(self, engagement: FloatArray, mean: FloatArray, rows: Rows) -> FloatArray:
        """What the learner is paid for a day that has just been played, (count,) [1/day]."""
        if self._reward == "observed":
            return engagement
        if self._reward == "expected":
            return mean
        before = self._ahead.copy()
        self._look_ahead(rows)
        return mean + self._ahead - before

    def _look_ahead(self, rows: Rows) -> None:
        """Notes what the nominal plan would earn from now on; where nobody is paid for it, nothing is done."""
        if self._reward != "shaped":
            return
        plan = nominal_plan(self.params).spend
        for group, day in self._groups(rows):
            now = self._state
            state = model.State(
                now.day[group], now.carry_over[group], now.freshness[group], now.loyalty[group]
            )
            latent = None if self.latent is None else take(self.latent, group)
            self._ahead[group] = model.engagement_to_go(self.params, state, plan[day:], latent)

    def episode_metrics(self) -> dict[str, FloatArray]:
        """Totals of each campaign so far, flat names to arrays (count,); unscaled."""
        totals = np.einsum("ndk->nk", self._past)
        engagement = model.engagement(self.params, totals[:, len(CHANNELS) :])
        return {
            "campaign/engagement": engagement,
            "campaign/expected_engagement": self._expected.copy(),
            "campaign/share_of_optimum": engagement / nominal_plan(self.params).engagement,
            **dict(zip(TOTALS, totals.T.copy(), strict=True)),
        }

    def _todays_noise(self) -> model.Noise | None:
        if self._noise is None:
            return None
        days = self._state.day
        if (days == days[0]).all():  # all at once, which is a view and no copy
            return model.Noise(
                *(part[:, min(days.item(0), self.params.days - 1)] for part in self._noise)
            )
        rows, day = np.arange(len(days)), np.minimum(days, self.params.days - 1)
        return model.Noise(*(part[rows, day] for part in self._noise))

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that tells these campaigns from new ones, as copies of arrays; ``set_state`` takes it back."""
        kept: dict[str, NDArray[Any]] = {
            "observations": self.observations,
            "past": self._past,
            "over": self.over,
        }
        kept |= {"expected": self._expected}
        kept |= {"ahead": self._ahead} if self._reward == "shaped" else {}
        kept |= {f"memory_{index}": part for index, part in enumerate(self._memory)}
        if self.latent is not None:
            kept |= {f"truth_{name}": getattr(self.latent, name) for name in DIFFERING}
        if self._noise is not None:
            kept |= {f"noise_{name}": part for name, part in self._noise._asdict().items()}
        return {name: array.copy() for name, array in (self._state._asdict() | kept).items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Goes on where campaigns of the same parameters were when ``get_state`` was asked.

        Raises:
            ValueError: An entry is missing, unknown or of another shape.
        """
        _check_like(self.get_state(), state)
        self._state = model.State(*(state[name].copy() for name in model.State._fields))
        self.observations[:] = state[
            "observations"
        ]  # in place: parts of it are known by other names
        self._past, self._expected = state["past"].copy(), state["expected"].copy()
        self.over = state["over"].copy()
        self._ahead = state.get("ahead", self._ahead).copy()
        self._memory = tuple(state[f"memory_{index}"].copy() for index in range(len(self._memory)))
        if self.latent is not None:
            self.latent = self.latent._replace(
                **{name: state[f"truth_{name}"].copy() for name in DIFFERING}
            )
        if self._noise is not None:
            self._noise = model.Noise(
                *(state[f"noise_{name}"].copy() for name in model.Noise._fields)
            )

    def _groups(self, rows: Rows) -> list[tuple[Rows, int]]:
        """Splits the rows by the day they are on; campaigns that started together are one group."""
        day = self._state.day
        if isinstance(rows, slice) and (len(day) == 1 or (day == day[0]).all()):
            return [(ALL, day.item(0))]
        played = np.zeros(day.shape, dtype=bool)
        played[rows] = True
        return [(played & (day == value), int(value)) for value in np.unique(day[played])]


@cache
def nominal_plan(params: CampaignParams) -> planner.Plan:
    """The optimal plan of the nominal parameters, solved once per parameters and process."""
    return planner.plan(params)


def _put_noise(old: model.Noise | None, rows: Rows, new: model.Noise | None) -> model.Noise | None:
    """The noise with that of the given rows replaced, in place."""
    if old is None or new is None or isinstance(rows, slice):
        return new
    for before, after in zip(old, new, strict=True):
        before[rows] = after
    return old


def _check_like(now: dict[str, NDArray[Any]], state: dict[str, NDArray[Any]]) -> None:
    """Refuses a state that is not one of these campaigns."""
    if set(state) != set(now):
        raise ValueError(
            f"state: has {', '.join(sorted(state))}; must have {', '.join(sorted(now))}"
        )
    for name, array in now.items():
        given = np.asarray(state[name])
        if (given.shape, given.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"state: {name} is {given.dtype} {given.shape}, must be {array.dtype} {array.shape}"
            )


def _merge(rows: Rows, new: model.State, old: model.State) -> model.State:
    """The new state in the given rows, the old one elsewhere."""
    if isinstance(rows, slice):
        return new
    chosen = [
        np.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True)
    ]
    return model.State(*chosen)
