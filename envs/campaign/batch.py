"""A batch of campaigns in progress: their state, totals and observations, played a day at a time.

Both the single and the vector environment hold one; the equations are those of the model.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.batched import ALL, Played, Rows, check_count, check_state
from envs.campaign import model, planner, rendering
from envs.campaign.allocation import ALLOCATIONS
from envs.campaign.checks import TOTAL_SPEND
from envs.campaign.latent import (
    PRIVILEGED_BOUND,
    assign_rows,
    map_latent,
    privileged_features,
    privileged_size,
    repeat_latent,
    rescale_noise,
    sample_latent,
    sample_noise,
    select,
)
from envs.campaign.observation import OBSERVATIONS
from envs.campaign.options import (
    KWARGS,
    RESET_OPTIONS,
    ResetOptions,
    action_space,
    check_choices,
    observation_space,
    parse_options,
)
from envs.campaign.params import CampaignParams, FloatArray, Latent
from envs.campaign.presets import RENAMED, make_params
from envs.campaign.robust_planner import sample_posterior


class Day(NamedTuple):
    """One day of each campaign of a batch.

    Attributes:
        spend: (batch, channels) [bu/day].
        metrics: (batch, metrics) [counts/day].
        engagement: (batch,) [1/day].
        expected_engagement: Mean of the day's draw, (batch,) [1/day].
        reward: Reward before scaling, (batch,) [1/day].
    """

    spend: FloatArray
    metrics: FloatArray
    engagement: FloatArray
    expected_engagement: FloatArray
    reward: FloatArray


class CampaignBatch:
    """A batch of campaigns; they are over until the first reset.

    Args:
        count: Number of campaigns.
        preset, action, observation, privileged, reward, **params: As in ``CampaignEnv``.
        known: Other arguments of the caller, offered as a correction of a mistyped name.

    Attributes:
        observations: Current observations, (count, size), float32; changed in place by every day.
        latent: Latent parameters (count, ...); None where all are nominal.

    Raises:
        ValueError: An unknown argument or a bad value; the message names it and what is allowed.
    """

    family = episode = "campaign"
    reset_options: tuple[str, ...] = RESET_OPTIONS
    former_names: Mapping[str, str] = RENAMED

    def __init__(
        self,
        count: int,
        known: tuple[str, ...] = (),
        /,
        preset: str = "linear",
        action: str = "logits",
        observation: str = "history",
        privileged: bool = False,
        reward: str = "observed",
        **changes: Any,
    ) -> None:
        check_count("campaign", count)
        self.params = params = make_params(preset, known=(*KWARGS, *known), **changes)
        check_choices(params, action, observation, privileged, reward)
        self.ending = f"the campaign ended with day {params.days}"
        self.privileged = privileged_size(params) * privileged
        self.action_space = action_space(params, action)
        self.observation_space = observation_space(params, observation, privileged)
        self._allocate = ALLOCATIONS[action]
        self._observation = OBSERVATIONS[observation]
        self._first = self._observation.first(params)
        self._start = model.initial_state(params, (count,))
        self._state = self._start._replace(day=self._start.day + params.days)
        self.observations = np.zeros((count, len(self._first) + self.privileged), np.float32)
        self.is_over = np.ones(count, dtype=bool)
        self.is_started = False
        self.latent: Latent | None = None
        self._noise = _no_noise(params, count) if params.is_noisy else None
        self._is_noisy = np.zeros(count, dtype=bool)
        self._channels = len(params.channels)
        self._past = np.zeros((count, params.days, self._channels + len(params.metrics)))
        self._expected = np.zeros(count)
        self._reward = reward
        self._potential = np.zeros(count)
        self._new = self._observation.memory(params, count)
        self._memory = tuple(part.copy() for part in self._new)

    @property
    def day(self) -> NDArray[np.int64]:
        """Days already played, (count,) [days]."""
        return self._state.day

    def past(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Spend [bu/day] and metrics [counts/day] of a campaign so far, (days so far, ...) each."""
        past = self._past[index, : self.day[index]]
        return past[:, : self._channels], past[:, self._channels :]

    def reset(
        self, rng: np.random.Generator, rows: Rows = ALL, options: dict[str, Any] | None = None
    ) -> None:
        """Puts the campaigns of the given rows back to their first day, with draws from ``rng``.

        The noise of all days is drawn here, so that it does not depend on what a policy does. Past
        days are played again with the metrics they had; latent parameters are then sampled from
        the posterior given those days.
        """
        count = len(self.is_over) if isinstance(rows, slice) else int(np.count_nonzero(rows))
        given = parse_options(self.params, options, count)
        self.is_started = True
        self._state = _merge(rows, self._start, self._state)
        self.is_over = self._state.day >= self.params.days
        self.observations[rows, : len(self._first)] = self._first
        self._past[rows] = 0.0
        self._expected[rows] = 0.0
        for part, new in zip(self._memory, self._new, strict=True):
            part[rows] = new[rows]
        self._sample(rng, rows, count, given)
        self._update_potential(rows)
        for day in np.repeat(given.past[:, np.newaxis], len(self.is_over), axis=1):
            self.play(day[:, : self._channels], rows, metrics=day[:, self._channels :])

    def _sample(
        self, rng: np.random.Generator, rows: Rows, count: int, options: ResetOptions
    ) -> None:
        """Samples the latent parameters that are not given, and the noise."""
        latent, true_params = options.latent, options.true_params or self.params
        is_sampled = latent is None and bool(self.params.is_drawn or options.true_params)
        if is_sampled and len(options.past):
            latent = sample_posterior(true_params, rng, count, options.past)
        elif is_sampled:
            latent = sample_latent(true_params, rng, count)
        if not isinstance(rows, slice):
            latent = assign_rows(self.params, self.latent, rows, latent)
        self.latent = latent
        if self.privileged:
            features = privileged_features(self.params, latent, len(self.is_over))
            clipped = np.minimum(features, PRIVILEGED_BOUND)
            self.observations[rows, len(self._first) :] = clipped[rows]
        noise = sample_noise(true_params, rng, count)
        self._is_noisy[rows] = noise is not None
        if noise is not None and self._noise is not None:
            rescaled = rescale_noise(self.params, true_params, noise)
            for part, new in zip(self._noise, rescaled, strict=True):
                part[rows] = new

    def read(self, actions: Any, shape: tuple[int, ...]) -> FloatArray:
        """The spend (count, channels) [bu/day] of agents' actions (*shape, ...)."""
        spend = self._allocate(self.params, actions, shape, self.day.reshape(shape))
        return spend.reshape(-1, self._channels)

    def step(self, actions: FloatArray, rows: Rows, rng: np.random.Generator) -> Played:
        """Plays a day of the given rows; it draws nothing, the noise is there since the reset."""
        day = self.play(actions, rows)
        info: dict[str, NDArray[Any]] = {
            "spend": day.spend,
            **dict(zip(self.params.metrics, day.metrics.T.copy(), strict=True)),
            "engagement": day.engagement,
            "expected_engagement": day.expected_engagement.copy(),
        }
        reward = self.params.reward_scale * day.reward
        return Played(reward, self.is_over, np.zeros(len(self.is_over), dtype=bool), info)

    def play(self, spend: FloatArray, rows: Rows = ALL, metrics: FloatArray | None = None) -> Day:
        """Plays one day of the given rows; other rows do not change.

        Spend is (count, channels) [bu/day]; ``metrics`` (count, metrics) [counts/day] are those of
        a past day.
        """
        expected, after = model.transition(self.params, self._state, spend, self.latent)
        if metrics is None:
            metrics = self._observed(expected)
        for group, day in self._groups(rows):
            self._past[group, day, : self._channels] = spend[group]
            self._past[group, day, self._channels :] = metrics[group]
            visible = self.observations[:, : len(self._first)]
            played = self._past[group, day]
            self._observation.write(self.params, self._memory, visible, group, day, played)
        self._state = _merge(rows, after, self._state)
        self.is_over = self._state.day >= self.params.days
        mean = model.engagement(self.params, expected)
        self._expected[rows] += mean[rows]
        engagement = mean if metrics is expected else model.engagement(self.params, metrics)
        return Day(spend, metrics, engagement, mean, self._rewards(engagement, mean, rows))

    def _rewards(self, engagement: FloatArray, mean: FloatArray, rows: Rows) -> FloatArray:
        """Rewards of a day that has just been played, before scaling, (count,) [1/day]."""
        if self._reward == "observed":
            return engagement
        if self._reward == "expected":
            return mean
        before = self._potential.copy()
        self._update_potential(rows)
        return mean + self._potential - before

    def _update_potential(self, rows: Rows) -> None:
        """Sets the shaping potential: what the nominal plan would earn over the days left."""
        if self._reward != "shaped":
            return
        plan = nominal_plan(self.params).spend
        for group, day in self._groups(rows):
            now: tuple[Any, ...] = self._state
            state = model.State(*(part[group] for part in now))
            latent = None if self.latent is None else select(self.latent, group)
            self._potential[group] = model.engagement_to_go(self.params, state, plan[day:], latent)

    def episode_metrics(self) -> dict[str, FloatArray]:
        """Totals of each campaign so far, flat names to arrays (count,); unscaled."""
        totals = np.einsum("ndk->nk", self._past)
        engagement = model.engagement(self.params, totals[:, self._channels :])
        return {
            "campaign/engagement": engagement,
            "campaign/expected_engagement": self._expected.copy(),
            "campaign/share_of_optimum": engagement / nominal_plan(self.params).engagement,
            **dict(zip(_total_names(self.params), totals.T.copy(), strict=True)),
        }

    def _observed(self, expected: FloatArray) -> FloatArray:
        """The metrics (count, metrics) [counts/day] that come where these are expected today."""
        if self._noise is None:
            return expected
        days = np.minimum(self._state.day, self.params.days - 1)
        rows: Any = ALL if (days == days[0]).all() else np.arange(len(days))
        today = days.item(0) if rows is ALL else days  # all at once is a view, without a copy
        noise = model.Noise(*(part[rows, today] for part in self._noise))
        metrics = model.observed(self.params, expected, noise)
        if self._is_noisy.all():
            return metrics
        return np.where(self._is_noisy[:, np.newaxis], metrics, expected)

    def copied_latent(self) -> Latent | None:
        """A copy of the latent parameters, arrays (count, ...); None where all are nominal."""
        return self.latent and map_latent(self.latent, np.copy)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """A copy of every array that differs between these campaigns and new ones, by name."""
        return {name: array.copy() for name, array in self._arrays(self.latent).items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Takes over what ``get_state`` of campaigns with the same parameters returned.

        Raises:
            ValueError: An entry is missing, unknown or of another shape.
        """
        latent = None
        if "latent_counts" in state:
            latent = self.latent or repeat_latent(self.params.nominal, len(self.is_over))
        check_state(self._arrays(latent), state)
        self.latent = latent
        self._state = model.State(*(state[name] for name in model.State._fields))
        self.is_over = state["is_over"]
        for name, array in self._arrays(latent).items():
            array[...] = state[name]
        self.is_started = True

    def render(self, index: int, mode: str) -> str | NDArray[np.uint8]:
        """A campaign so far as a table (``ansi``) or as an image (``rgb_array``)."""
        spend, metrics = self.past(index)
        if mode == "ansi":
            return rendering.ansi(self.params, spend, metrics)
        return rendering.rgb_array(self.params, metrics)

    def _arrays(self, latent: Latent | None) -> dict[str, NDArray[Any]]:
        """Every array that differs between these campaigns and new ones, by name."""
        return {
            "observations": self.observations,
            "past": self._past,
            "is_over": self.is_over,
            "expected": self._expected,
            "potential": self._potential,
            "is_noisy": self._is_noisy,
            **self._state._asdict(),
            **{f"memory_{index}": part for index, part in enumerate(self._memory)},
            **{f"latent_{name}": part for name, part in _fields(latent).items()},
            **{f"noise_{name}": part for name, part in _fields(self._noise).items()},
        }

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


def _total_names(params: CampaignParams) -> list[str]:
    spend = [f"campaign/{TOTAL_SPEND}{name}" for name in params.channels]
    return [*spend, *(f"campaign/{name}" for name in params.metrics)]


def _no_noise(params: CampaignParams, count: int) -> model.Noise:
    shape = (count, params.days, len(params.metrics))
    return model.Noise(np.zeros(shape[:2]), np.ones(shape), np.zeros(shape))


def _fields(arrays: Latent | model.Noise | None) -> dict[str, NDArray[Any]]:
    return {} if arrays is None else arrays._asdict()


def _merge(rows: Rows, new: model.State, old: model.State) -> model.State:
    """The new state in the given rows, the old one elsewhere."""
    if isinstance(rows, slice):
        return new
    chosen = [
        np.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True)
    ]
    return model.State(*chosen)
