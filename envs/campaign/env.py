"""The campaign as a Gymnasium environment: spaces, seeding and checks around the pure model."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.campaign import rendering
from envs.campaign.allocation import ALLOCATIONS, LOGIT_BOUND
from envs.campaign.batch import REWARDS, CampaignBatch, ResetOptions
from envs.campaign.latent import (
    PRIVILEGED_BOUND,
    parse_latent,
    parse_true_params,
    privileged_size,
)
from envs.campaign.observation import OBSERVATIONS, Observations
from envs.campaign.params import CampaignParams, Latent
from envs.campaign.past import check_past
from envs.campaign.presets import RENAMED, make_params, parameter_table

METADATA: dict[str, Any] = {"render_modes": list(rendering.RENDER_MODES), "render_fps": 1}
RESET_OPTIONS = ("latent", "true_params", "past")
KWARGS = ("action", "observation", "privileged", "reward", "render_mode")


class CampaignEnv(gymnasium.Env[Observations, Any]):
    """A marketing campaign of a few days.

    ## Description

    Each day a budget is split over channels. Each unit spent earns metrics; the agent maximises
    engagement, their weighted sum. ``channels`` and ``metrics`` name them, 1 to 12 each; by default
    they are those of the article that this project grew from: organic posts, ads and rewards, which
    earn likes, comments and shares.
    ``envs:LinearCampaign-v0`` is the campaign of the article: linear, without memory, without
    noise. In ``envs:DynamicCampaign-v0`` the parts pull against each other: channels saturate and
    carry over, ads tire the audience, rewards make it loyal, and a loyal audience lifts what posts
    earn; in a campaign of one's own any channel may do any of this. In
    ``envs:UncertainCampaign-v0`` each campaign draws latent parameters, hidden from the agent, and
    daily results are noisy: they have to be learned from the days. The equations stand in
    ``envs/campaign/model.py``.

    ## Action Space

    In order of ``channels``; for the campaign of the article, three channels and 100 units a day:

    | action | space | meaning | unit |
    | --- | --- | --- | --- |
    | logits | Box(-10.0, 10.0, (3,), float32) | softmax shares of the whole daily budget | [1] |
    | spend | Box(0.0, 100.0, (3,), float32) | budget units; too large a sum is scaled | [bu/day] |
    | channel | Discrete(3) | the channel of the whole budget; not with spending limits | [1] |

    In general the boxes have a number for each channel, the upper bound of ``spend`` is the daily
    budget, and ``channel`` is the index of one. A sum below the budget leaves money unspent. Logits
    beyond the box are clipped to it. An action with a number that is not finite, with a negative
    spend or of another shape raises ``ValueError`` and leaves the campaign as it was. The box of
    the logits is not [-1, 1] on purpose: a softmax of numbers in [-1, 1] cannot put more than 79 %
    on one of three channels, or 41 % on one of twelve.

    With spending limits (``min_spend``, ``max_spend``) ``logits`` share out what the minimums
    leave, and the surplus of a channel at its maximum goes to the others; ``spend`` becomes the
    nearest point within limits and budget.

    ## Observation Space

    Float32 numbers; for the campaign of the article, 7 days with 100 units a day:

    | observation | index | meaning | min | max | unit |
    | --- | --- | --- | --- | --- | --- |
    | history | 0 to 6 | the day to be decided, one-hot; all zero after the last | 0.0 | 1.0 | [1] |
    | history | 7 to 48 | each past day's spends and metrics; 0 ahead | 0.0 | 1.0 | [1] |
    | totals | 0 | days played | 0.0 | 7.007 | [days] |
    | totals | 1 | likes so far | 0.0 | 3503.5 | [counts] |
    | totals | 2 | comments so far | 0.0 | 700.7 | [counts] |
    | totals | 3 | shares so far | 0.0 | 1401.4 | [counts] |
    | day | 0 to 6 | the day to be decided, one-hot; all zero after the last | 0.0 | 1.0 | [1] |
    | belief | 0 to 6 | the day to be decided, one-hot; all zero after the last | 0.0 | 1.0 | [1] |
    | belief | 7 to 9 | nominal adstock of each channel over the budget | -8.0 | 8.0 | [1] |
    | belief | 10 | nominal loyalty | -8.0 | 8.0 | [1] |
    | belief | 11 to 13 | estimated log strength of each channel | -8.0 | 8.0 | [prior sd] |
    | belief | 14 to 16 | standard deviations of these estimates | -8.0 | 8.0 | [prior sd] |

    In general, for D days, C channels and K metrics:

    - ``history`` has D + D (C + K) numbers: for each day C spends divided by the daily budget, then
      K metrics, each divided by a bound of what a day can earn of it.
    - ``totals`` has 1 + K. Where campaigns differ or are noisy the metrics of ``history`` and
      ``totals`` may be up to ten times as large as the bound.
    - ``day`` has D. An agent that observes no more can only learn a fixed plan.
    - ``belief`` has D + 3 C + 1 + F + 2 L, for F channels with ``fatigue`` and L with
      ``loyalty_lift`` above 0: the nominal effectiveness of the F stands before the loyalty, the
      estimated log loyalty_lift of the L after the C strengths, and standard deviations after all
      estimates. It is computed from past days (``envs/campaign/belief.py``).

    ``privileged=True`` adds C K + 2 C + L + F columns, from 0.0 to 100.0, 15 for the campaign of
    the article: the latent parameters of the campaign as ratios to the nominal values, or as they
    are where the nominal value is 0 (counts, a channel's metrics at a time, inv_half_saturation,
    carry_over, then loyalty_lift and fatigue of the channels in which they are nominally above 0).
    They are for the critic during training and for the oracle; ``metadata["privileged"]`` is their
    number.

    ## Rewards

    ``reward_scale`` times the day's engagement, the sum of each metric times its weight: likes +
    2 comments + 3 shares in the article. With ``reward="expected"`` it is the expected engagement,
    without the day's noise. With ``reward="shaped"`` it is what the day gains over the plan of the
    nominal campaign: expected engagement, plus what that plan would earn in this campaign from the
    next morning on, less what it would have earned from this morning on. Potential-based shaping
    (Ng, Harada and Russell 1999) prefers the same policies; the rewards of a campaign sum up to
    what it earns less what that plan would have earned, which leaves out most of what the agent
    cannot influence. It is for training: it depends on the latent parameters.

    ## Starting State

    The first day: nothing spent, nothing earned, no fatigue, no loyalty. In the uncertain campaign
    ``reset`` draws the latent parameters and the noise of every day, so that a seed brings every
    policy the same: parameters independent of each other, or, with ``latent_covariance``, from a
    posterior that keeps their correlations (``docs/posterior.md``). ``options={"latent": {...}}``
    sets latent parameters, ``options={"past": [...]}`` starts after days already played, and
    ``options={"true_params": {...}}`` draws from other parameters than the assumed ones.

    ## Episode End

    The last day terminates the episode. It is never truncated: the horizon is part of the task, and
    the day is observed.

    ## Info

    Each day ``spend``, a number for each channel [bu/day], each metric under its name [counts/day],
    ``engagement`` and ``expected_engagement`` [1/day]; on the last day also ``episode_metrics``,
    flat names to unscaled numbers.

    ## Arguments

    ``action``, ``observation``, ``privileged``, ``reward`` (see above), ``render_mode`` (``ansi``
    or ``rgb_array``) and every field of ``CampaignParams``:
    ``gymnasium.make("envs:LinearCampaign-v0", action="spend", days=14)``. With another number of
    ``channels`` or ``metrics`` every field that has a number for each must be given, too, unless it
    is 0 for all of them. ``counts`` has a row for each channel with a number for each metric.

    The values of the three campaigns, channels and metrics in the order of their names, weekdays
    from Monday:

    PARAMETERS

    ## Version History

    v0: the first version.
    """

    metadata: dict[str, Any] = METADATA

    def __init__(
        self,
        preset: str = "linear",
        action: str = "logits",
        observation: str = "history",
        privileged: bool = False,
        reward: str = "observed",
        render_mode: str | None = None,
        **params: Any,
    ) -> None:
        """See the class.

        Raises:
            ValueError: An unknown argument or a bad value; the message names it and what is
                allowed.
        """
        self.params = make_params(preset, known=KWARGS, **params)
        check_choices(self.params, action, observation, privileged, reward, render_mode)
        self.action_space = action_space(self.params, action)
        self.observation_space: spaces.Space[Observations] = observation_space(
            self.params, observation, privileged
        )
        self.metadata = METADATA | {"privileged": privileged_size(self.params) * privileged}
        self.render_mode = render_mode
        self._allocate = ALLOCATIONS[action]
        self._campaigns = CampaignBatch(
            self.params, observation, count=1, privileged=privileged, reward=reward
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Starts a new campaign.

        Args:
            seed: Seeds the latent parameters and the noise of every day.
            options: ``latent`` sets latent parameters: a mapping of ``counts``,
                ``inv_half_saturation``, ``carry_over``, ``loyalty_lift`` or ``fatigue`` to their
                values in this campaign; the others are nominal. ``true_params`` draws from other
                parameters than the assumed ones: a mapping of the same fields, of the widths of the
                prior (``counts_log_sd`` and so on), of ``latent_covariance``, or of ``dispersion``
                and ``shock_sd`` to their true values; beliefs and rewards keep the assumed ones.
                ``past`` starts after some days: a row for each, spend [bu/day] and metrics
                [counts/day]; latent parameters are then sampled from the posterior given those
                days.

        Raises:
            ValueError: An unknown option or a bad value.
        """
        super().reset(seed=seed)
        check_options(options, known=RESET_OPTIONS)
        self._campaigns.reset(self.np_random, options=parse_options(self.params, options, count=1))
        return self._campaigns.observations[0].copy(), {}

    def step(self, action: Any) -> tuple[Observations, float, bool, bool, dict[str, Any]]:
        """Plays one day.

        Raises:
            ValueError: The action is not finite, of another shape or a negative spend; nothing has
                changed.
            gymnasium.error.ResetNeeded: The campaign is over, or has not been started.
        """
        campaigns = self._campaigns
        if campaigns.is_over[0]:
            ended = f"the campaign ended with day {self.params.days}"
            started = ended if campaigns.is_started else "no campaign has been started"
            raise ResetNeeded(f"{started}; call reset() for a new one")
        day = campaigns.play(self._allocate(self.params, action, (), campaigns.day[0])[np.newaxis])
        info: dict[str, Any] = {
            "spend": day.spend[0],
            **dict(zip(self.params.metrics, day.metrics[0].tolist(), strict=True)),
            "engagement": day.engagement.item(),
            "expected_engagement": day.expected_engagement.item(),
        }
        terminated = bool(campaigns.is_over[0])
        if terminated:
            info["episode_metrics"] = {
                name: value.item() for name, value in campaigns.episode_metrics().items()
            }
        reward = self.params.reward_scale * day.reward.item()
        return campaigns.observations[0].copy(), reward, terminated, False, info

    def get_state(self) -> dict[str, Any]:
        """The state of campaign and generator as plain data: numbers, text and arrays."""
        return self._campaigns.get_state(self.np_random)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` of an environment with the same arguments returned.

        Raises:
            ValueError: The state is that of another environment.
        """
        self._campaigns.set_state(state, self.np_random)

    @property
    def latent_params(self) -> Latent | None:
        """Latent parameters of the campaign, arrays (1, ...); None where they are nominal."""
        return self._campaigns.copied_latent()

    def render(self) -> Any:
        """The campaign so far as a table (``ansi``) or as an image (``rgb_array``)."""
        return render(self._campaigns, 0, self.render_mode)


CampaignEnv.__doc__ = (CampaignEnv.__doc__ or "").replace(
    "PARAMETERS", parameter_table().replace("\n", "\n    ")
)


def check_choices(
    params: CampaignParams,
    action: str,
    observation: str,
    privileged: bool,
    reward: str,
    render_mode: str | None,
) -> None:
    """Raises ``ValueError`` for an unknown choice, or one that does not fit."""
    for name, value, allowed in (
        ("action", action, tuple(ALLOCATIONS)),
        ("observation", observation, tuple(OBSERVATIONS)),
        ("privileged", privileged, (False, True)),
        ("reward", reward, REWARDS),
        ("render_mode", render_mode, (None, *rendering.RENDER_MODES)),
    ):
        today = RENAMED.get(str(value))
        if name == "reward" and today in allowed:
            raise ValueError(f"campaign: {name}={value!r} is now called {today!r}")
        if value not in allowed:
            raise ValueError(
                f"campaign: {name}={value!r}: must be one of {', '.join(map(repr, allowed))}"
            )
    if action == "channel" and params.limits is not None:
        raise ValueError(
            "campaign: action='channel' puts the whole budget on one channel, which min_spend and "
            "max_spend forbid: use 'logits' or 'spend', or leave the limits out"
        )


def parse_options(
    params: CampaignParams, options: dict[str, Any] | None, count: int
) -> ResetOptions:
    """Reads the options of ``reset`` for ``count`` campaigns.

    Raises:
        ValueError: A bad value; the message names it and what is allowed.
    """
    values = options or {}
    latent, true_params = values.get("latent"), values.get("true_params")
    return ResetOptions(
        latent=parse_latent(params, latent, count) if "latent" in values else None,
        true_params=parse_true_params(params, true_params) if "true_params" in values else None,
        past=check_past(params, values.get("past", ())),
    )


def check_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> None:
    """Raises ``ValueError`` for an unknown entry of the options of ``reset``."""
    for name in options or {}:
        if RENAMED.get(name) in known:
            raise ValueError(f"reset: option {name!r} is now called {RENAMED[name]!r}")
        if name not in known:
            raise ValueError(f"reset: unknown option {name!r}; known: {', '.join(known) or 'none'}")


def action_space(params: CampaignParams, action: str) -> spaces.Space[Any]:
    """The space of a kind of action."""
    if action == "channel":
        return spaces.Discrete(len(params.channels))
    low, high = (-LOGIT_BOUND, LOGIT_BOUND) if action == "logits" else (0.0, params.daily_budget)
    return spaces.Box(low, high, (len(params.channels),), np.float32)


def observation_space(
    params: CampaignParams, observation: str, privileged: bool
) -> spaces.Box[Any]:
    """The space of a kind of observation, with or without privileged columns."""
    low, high = OBSERVATIONS[observation].bounds(params)
    bounds = np.full(privileged_size(params) * privileged, PRIVILEGED_BOUND, np.float32)
    return spaces.Box(np.append(low, 0 * bounds), np.append(high, bounds), dtype=np.float32)


def render(
    campaigns: CampaignBatch, index: int, render_mode: str | None
) -> str | NDArray[np.uint8] | None:
    """Draws a campaign of a batch; None, with a warning, without a render mode."""
    if render_mode is None:
        gymnasium.logger.warn(
            'render() without a render_mode draws nothing: make(..., render_mode="ansi")'
        )
        return None
    spend, metrics = campaigns.past(index)
    if render_mode == "ansi":
        return rendering.ansi(campaigns.params, spend, metrics)
    return rendering.rgb_array(campaigns.params, metrics)
