"""The campaign as a Gymnasium environment: its page; spaces and days are those of its batch."""

from typing import Any

from envs.batched import BatchedEnv
from envs.campaign.batch import CampaignBatch
from envs.campaign.params import Latent
from envs.campaign.presets import parameter_table


class CampaignEnv(BatchedEnv):
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
    posterior that keeps their correlations (``docs/posterior.md``). Options of ``reset``:

    - ``latent`` sets latent parameters: a mapping of ``counts``, ``inv_half_saturation``,
      ``carry_over``, ``loyalty_lift`` or ``fatigue`` to their values in this campaign; the others
      are nominal.
    - ``true_params`` draws from other parameters than the assumed ones: a mapping of the same
      fields, of the widths of the prior (``counts_log_sd`` and so on), of ``latent_covariance``, or
      of ``dispersion`` and ``shock_sd`` to their true values; beliefs and rewards keep the assumed
      ones.
    - ``past`` starts after some days: a row for each, spend [bu/day] and metrics [counts/day];
      latent parameters are then sampled from the posterior given those days.

    ## Episode End

    The last day terminates the episode. It is never truncated: the horizon is part of the task, and
    the day is observed.

    ## Info

    Each day ``spend``, a number for each channel [bu/day], each metric under its name [counts/day],
    ``engagement`` and ``expected_engagement`` [1/day]; on the last day also ``episode_metrics``,
    flat names to unscaled numbers.

    ## Arguments

    ``action``, by default ``logits``, ``observation``, by default ``history``, ``privileged`` and
    ``reward`` (see above), ``render_mode`` (``ansi`` or ``rgb_array``) and every field of
    ``CampaignParams``:
    ``gymnasium.make("envs:LinearCampaign-v0", action="spend", days=14)``. With another number of
    ``channels`` or ``metrics`` every field that has a number for each must be given, too, unless it
    is 0 for all of them. ``counts`` has a row for each channel with a number for each metric.

    The values of the three campaigns, channels and metrics in the order of their names, weekdays
    from Monday:

    PARAMETERS

    ## Version History

    v0: the first version.
    """

    def __init__(self, render_mode: str | None = None, **kwargs: Any) -> None:
        """See the class.

        Raises:
            ValueError: An unknown argument or a bad value; the message names it and what is
                allowed.
        """
        self._campaigns = CampaignBatch(1, (), **kwargs)
        super().__init__(self._campaigns, render_mode)

    @property
    def latent_params(self) -> Latent | None:
        """Latent parameters of the campaign, arrays (1, ...); None where they are nominal."""
        return self._campaigns.copied_latent()


CampaignEnv.__doc__ = (CampaignEnv.__doc__ or "").replace(
    "PARAMETERS", parameter_table().replace("\n", "\n    ")
)
