"""The campaign as a Gymnasium environment: spaces, seeding and checks around the pure model."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.campaign import rendering
from envs.campaign.allocation import ALLOCATIONS, LOGIT_BOUND
from envs.campaign.batch import REWARDS, CampaignBatch, Given
from envs.campaign.latent import MOST_TOLD, TOLD, parse_latent, parse_true_params
from envs.campaign.observation import OBSERVATIONS, Observations
from envs.campaign.params import CHANNELS, CampaignParams, Coefficients, make_params
from envs.campaign.past import check_past

METADATA: dict[str, Any] = {"render_modes": list(rendering.RENDER_MODES), "render_fps": 1}
RESET_OPTIONS = ("latent", "true_params", "past")
KWARGS = ("action", "observation", "privileged", "reward", "render_mode")


class CampaignEnv(gymnasium.Env[Observations, Any]):
    """A marketing campaign of a few days.

    ## Description

    Each day a budget is split over organic posts, ads and rewards. Each unit spent earns likes,
    comments and shares; the agent maximises engagement, their weighted sum.
    ``envs:LinearCampaign-v0`` is the campaign of the article that this project grew from: linear,
    without memory, without noise. In ``envs:DynamicCampaign-v0`` the parts pull against each other:
    channels saturate and carry over, ads tire the audience, rewards make it loyal, and a loyal
    audience lifts what posts earn. In ``envs:UncertainCampaign-v0`` how strong they are is drawn
    for each campaign, and what a day brings is noisy: what holds shows itself only day by day. The
    equations stand in ``envs/campaign/model.py``.

    ## Action Space

    | action | space | meaning | unit |
    | --- | --- | --- | --- |
    | logits | Box(-10.0, 10.0, (3,), float32) | softmax shares of the whole daily budget | [1] |
    | spend | Box(0.0, 100.0, (3,), float32) | budget units per channel; too large a sum is scaled down | [bu/day] |
    | channel | Discrete(3) | the channel that takes the whole daily budget; not with spending limits | [1] |

    Channels stand in the order posts, ads, rewards. The upper bound of ``spend`` is the daily
    budget. A sum below it leaves money unspent. Logits beyond the box are clipped to it. An action
    with a number that is not finite, with a negative spend or of another shape raises
    ``ValueError`` and leaves the campaign as it was. The box of the logits is not [-1, 1] on
    purpose: a softmax of three numbers in [-1, 1] cannot put more than 79 % on one channel.

    With spending limits (``min_spend``, ``max_spend``) ``logits`` share out what the minimums
    leave, up to the maximums, and what a full channel leaves goes to the others; ``spend`` becomes
    the nearest point within limits and budget.

    ## Observation Space

    Float32 numbers; for the linear campaign of 7 days with 100 units a day:

    | observation | index | meaning | min | max | unit |
    | --- | --- | --- | --- | --- | --- |
    | history | 0 to 6 | the day to be decided, one-hot; all zero after the last | 0.0 | 1.0 | [1] |
    | history | 7 to 48 | of each past day posts, ads, rewards, likes, comments, shares; 0 ahead | 0.0 | 1.0 | [1] |
    | totals | 0 | days played | 0.0 | 7.007 | [days] |
    | totals | 1 | likes so far | 0.0 | 3503.5 | [counts] |
    | totals | 2 | comments so far | 0.0 | 700.7 | [counts] |
    | totals | 3 | shares so far | 0.0 | 1401.4 | [counts] |
    | day | 0 to 6 | the day to be decided, one-hot; all zero after the last | 0.0 | 1.0 | [1] |
    | belief | 0 to 6 | the day to be decided, one-hot; all zero after the last | 0.0 | 1.0 | [1] |
    | belief | 7 to 11 | carry-over of each channel over the budget, freshness, loyalty, nominal | -8.0 | 8.0 | [1] |
    | belief | 12 to 15 | strength of posts, ads, rewards, and loyalty_lift: estimates | -8.0 | 8.0 | [prior sd] |
    | belief | 16 to 19 | how uncertain these estimates are | -8.0 | 8.0 | [prior sd] |

    In ``history`` spends are divided by the daily budget and each metric by a bound of what a day
    can earn of it. Where campaigns differ or are noisy the metrics of ``history`` and ``totals``
    may be up to ten times as large. ``belief`` is computed from the same past days
    (``envs/campaign/belief.py``) and knows nothing more. Who sees the ``day`` alone can only learn
    a fixed plan.

    ``privileged=True`` adds 17 columns, from 0.0 to 100.0: what holds in this campaign as ratios to
    the nominal values (9 counts, a channel's metrics at a time, 3 inv_half_saturation, 3
    carry_over, loyalty_lift, fatigue). They are for the critic while it trains and for the
    clairvoyant; ``metadata["privileged"]`` says how many they are.

    ## Rewards

    ``reward_scale`` times the day's engagement: likes + 2 comments + 3 shares. With
    ``reward="expected"`` it is the engagement that was to be expected, without the day's noise.
    With ``reward="shaped"`` it is what the day gains over the optimal plan of the nominal campaign:
    expected engagement, plus what that plan would earn in this campaign from the next morning on,
    less what it would have earned from this morning on. Potential-based shaping (Ng, Harada and
    Russell 1999) prefers the same policies; the rewards of a campaign sum up to what it earns less
    what that plan would have earned, which leaves out most of what the agent has no hand in. It is
    for training: no user could know it.

    ## Starting State

    The first day, nothing spent, nothing earned, fresh ads, no loyalty. In the uncertain campaign
    ``reset`` draws how strong the channels are and the noise of every day, so that a seed brings
    every policy the same. ``options={"latent": {...}}`` plays a given draw, ``options={"past":
    [...]}`` goes on after days already played, and ``options={"true_params": {...}}`` draws from a world
    that is not what the parameters say.

    ## Episode End

    The last day terminates the episode. It is never truncated: the horizon is part of the task, and
        the day is seen.

    ## Info

    Each day ``spend`` (3,) [bu/day], ``likes``, ``comments``, ``shares`` [counts/day],
    ``engagement`` and ``expected_engagement`` [1/day]; on the last day also ``episode_metrics``,
    flat names to unscaled numbers.

    ## Arguments

    ``action``, ``observation``, ``privileged``, ``reward`` (see above), ``render_mode`` (``ansi``
    or ``rgb_array``) and every field of ``CampaignParams``:
    ``gymnasium.make("envs:LinearCampaign-v0", action="spend", days=14)``.

    The numbers of the campaigns, channels in the order posts, ads, rewards, weekdays from Monday:

    | field | unit | linear | dynamic | kind | source |
    | --- | --- | --- | --- | --- | --- |
    | days | [days] | 7 | 7 | article | the article |
    | daily_budget | [bu/day] | 100 | 100 | article | the article |
    | reference_budget | [bu/day] | 100 | 100 | article | its daily budget; what wear and loyalty are measured by |
    | counts (posts) | [counts/bu] | 2, .5, .2 | 2, .5, .2 | article | the article |
    | counts (ads) | [counts/bu] | 5, 1, .5 | 5, 1, .5 | article | the article |
    | counts (rewards) | [counts/bu] | 1, .5, 2 | 1, .5, 2 | article | the article |
    | metric_weights | [1/count] | 1, 2, 3 | 1, 2, 3 | article | the article |
    | base | [counts/day] | 0, 0, 0 | 0, 0, 0 | chosen | for calibration |
    | start_weekday | [1] | 0 | 0 | chosen | Monday |
    | weekday_factors | [1] | 1, 1, 1, 1, 1, 1, 1 | 1, 1.13, 1.1, .96, .91, .86, 1.04 | measured | [M], shrunk by half |
    | inv_half_saturation (posts) | [1/bu] | 0 | 1/280 | measured | [T], elasticity of likes to posts .85 (se .05) |
    | inv_half_saturation (ads) | [1/bu] | 0 | 1/120 | chosen | inside Meridian's prior |
    | inv_half_saturation (rewards) | [1/bu] | 0 | 1/80 | chosen | inside Meridian's prior |
    | carry_over (posts) | [1] | 0 | .4 | measured | a post's half-life of 19 h |
    | carry_over (ads) | [1] | 0 | .1 | chosen | form: Jin et al. 2017 |
    | carry_over (rewards) | [1] | 0 | .3 | chosen | form: Jin et al. 2017 |
    | loyalty_lift | [1] | 0 | 3 | chosen | [M]: fans engage 2.18 times as much per person, which gives 1.2 |
    | loyalty_gain | [1/day] | 0 | 1 | chosen | form: Nerlove and Arrow 1962, bounded as in Vidale and Wolfe 1957 |
    | loyalty_decay | [1/day] | 0 | .05 | chosen | form: the same |
    | fatigue | [1/day] | 0 | .25 | chosen | form: Naik, Mantrala and Sawyer 1998 |
    | fatigue_recovery | [1/day] | 0 | .25 | chosen | form: the same |
    | min_spend | [bu/day] | none | none | chosen | 3 numbers, or a row of 3 for every day |
    | max_spend | [bu/day] | none | none | chosen | 3 numbers, or a row of 3 for every day |
    | dispersion | [1] | none | none | chosen | for the uncertain campaign |
    | shock_sd | [1] | 0 | 0 | chosen | for the uncertain campaign |
    | counts_log_sd | [1] | 0 | 0 | chosen | for the uncertain campaign |
    | inv_half_saturation_log_sd | [1] | 0 | 0 | chosen | for the uncertain campaign |
    | carry_over_range | [1] | 0 | 0 | chosen | for the uncertain campaign |
    | loyalty_lift_log_sd | [1] | 0 | 0 | chosen | for the uncertain campaign |
    | fatigue_log_sd | [1] | 0 | 0 | chosen | for the uncertain campaign |
    | reward_scale | [1] | 1 | 1 | chosen | the learner's |

    The uncertain campaign is the dynamic one but for these:

    | field | unit | uncertain | kind | source |
    | --- | --- | --- | --- | --- |
    | dispersion | [1] | 10 | measured | days of paid campaigns: 9.5 to 12.5; organic days 1.5 to 2 |
    | shock_sd | [1] | .25 | chosen | [M]: likes and shares of a post move together, log-correlation .88 |
    | counts_log_sd | [1] | .5 | chosen | how much channels differ between campaigns; mean kept |
    | inv_half_saturation_log_sd | [1] | .3 | chosen | the same; median kept |
    | carry_over_range | [1] | .15 | chosen | the same; uniform to either side, clipped to 0 and .95 |
    | loyalty_lift_log_sd | [1] | .4 | chosen | the same; mean kept |
    | fatigue_log_sd | [1] | .4 | chosen | the same; mean kept |

    [M]: 500 posts of the "Facebook metrics" data (Moro, Rita, Vala 2016). [T]: 2,212 page-days of
    the "Facebook Live Sellers in Thailand" data.

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
        self.metadata = METADATA | {"privileged": TOLD * privileged}
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
            seed: Fixes what is drawn: the strength of the channels and the noise of every day.
            options: ``params`` plays a given draw: a mapping of ``counts``,
                ``inv_half_saturation``, ``carry_over``, ``loyalty_lift`` or ``fatigue`` to their
                values in this campaign; the others are nominal. ``world`` draws from another world
                than the parameters tell of: a mapping of the same fields, of how much campaigns
                differ (``counts_log_sd`` and so on), or of ``dispersion`` and ``shock_sd`` to what
                truly holds; beliefs, rewards and yardsticks keep to the parameters. ``past`` starts
                after some days: a row for each, spend [bu/day] and metrics [counts/day]; what holds
                is drawn from what is still likely after them.

        Raises:
            ValueError: An unknown option or a bad value.
        """
        super().reset(seed=seed)
        check_options(options, known=RESET_OPTIONS)
        self._campaigns.reset(self.np_random, given=given(self.params, options, count=1))
        return self._campaigns.observations[0].copy(), {}

    def step(self, action: Any) -> tuple[Observations, float, bool, bool, dict[str, Any]]:
        """Plays one day.

        Raises:
            ValueError: The action is not finite, of another shape or a negative spend; nothing has
                changed.
            gymnasium.error.ResetNeeded: The campaign is over.
        """
        campaigns = self._campaigns
        if campaigns.over[0]:
            raise ResetNeeded(
                f"the campaign ended with day {self.params.days}; call reset() for a new one"
            )
        day = campaigns.play(self._allocate(self.params, action, (), campaigns.day[0])[np.newaxis])
        likes, comments, shares = day.metrics[0].tolist()
        info: dict[str, Any] = {
            "spend": day.spend[0],
            "likes": likes,
            "comments": comments,
            "shares": shares,
            "engagement": day.engagement.item(),
            "expected_engagement": day.expected_engagement.item(),
        }
        terminated = bool(campaigns.over[0])
        if terminated:
            info["episode_metrics"] = {
                name: value.item() for name, value in campaigns.episode_metrics().items()
            }
        reward = self.params.reward_scale * day.reward.item()
        return campaigns.observations[0].copy(), reward, terminated, False, info

    def get_state(self) -> dict[str, Any]:
        """All that the campaign and the generator hold, as plain data: numbers, text and arrays."""
        return {
            "campaigns": self._campaigns.get_state(),
            "generator": self.np_random.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on exactly where an environment of the same arguments was when ``get_state`` was asked.

        Raises:
            ValueError: The state is that of another environment.
        """
        self._campaigns.set_state(state["campaigns"])
        self.np_random.bit_generator.state = state["generator"]

    def render(self) -> Any:
        """The campaign so far as a table (``ansi``) or as an image (``rgb_array``)."""
        return render(self._campaigns, 0, self.render_mode)

    @property
    def latent_params(self) -> Coefficients | None:
        """Latent parameters of the campaign, arrays (1, ...); None where they are nominal."""
        return self._campaigns.latent


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
        if value not in allowed:
            raise ValueError(
                f"campaign: {name}={value!r}: must be one of {', '.join(map(repr, allowed))}"
            )
    if action == "channel" and params.limits is not None:
        raise ValueError(
            "campaign: action='channel' puts the whole budget on one channel, which min_spend and max_spend forbid: "
            "use 'logits' or 'spend', or leave the limits out"
        )


def given(params: CampaignParams, options: dict[str, Any] | None, count: int) -> Given:
    """What the options of ``reset`` tell of ``count`` campaigns.

    Raises:
        ValueError: A bad value; the message names it and what is allowed.
    """
    told = options or {}
    return Given(
        latent=parse_latent(params, told["latent"], count) if "latent" in told else None,
        world=parse_true_params(params, told["true_params"]) if "true_params" in told else None,
        past=check_past(params, told.get("past", ())),
    )


def check_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> None:
    """Raises ``ValueError`` for an unknown entry of the options of ``reset``."""
    for name in options or {}:
        if name not in known:
            raise ValueError(f"reset: unknown option {name!r}; known: {', '.join(known) or 'none'}")


def action_space(params: CampaignParams, action: str) -> spaces.Space[Any]:
    """The space of one kind of action."""
    if action == "channel":
        return spaces.Discrete(len(CHANNELS))
    low, high = (-LOGIT_BOUND, LOGIT_BOUND) if action == "logits" else (0.0, params.daily_budget)
    return spaces.Box(low, high, (len(CHANNELS),), np.float32)


def observation_space(
    params: CampaignParams, observation: str, privileged: bool
) -> spaces.Box[Any]:
    """The space of one kind of observation, with the columns for a critic where it is privileged."""
    low, high = OBSERVATIONS[observation].bounds(params)
    more = TOLD * privileged
    low, high = (
        np.append(low, np.zeros(more, np.float32)),
        np.append(high, np.full(more, MOST_TOLD, np.float32)),
    )
    return spaces.Box(low, high, dtype=np.float32)


def render(
    campaigns: CampaignBatch, index: int, render_mode: str | None
) -> str | NDArray[np.uint8] | None:
    """Draws one campaign of a batch; without a render mode there is nothing to draw."""
    if render_mode is None:
        gymnasium.logger.warn(
            'render() without a render_mode draws nothing: make(..., render_mode="ansi")'
        )
        return None
    spend, metrics = campaigns.past(index)
    if render_mode == "ansi":
        return rendering.ansi(campaigns.params, spend, metrics)
    return rendering.rgb_array(campaigns.params, metrics)
