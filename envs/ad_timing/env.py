"""Ad timing as Gymnasium environments: the page, the single form and the vector form."""

from typing import Any

from gymnasium.vector import AutoresetMode

from envs.ad_timing.batch import AdTimingBatch
from envs.batched import BatchedEnv, BatchedVectorEnv


class AdTimingEnv(BatchedEnv):
    """A session of items, one after another: show an ad before the next, or wait?

    ## Description

    A user watches items. Before each the agent decides whether to show an ad. An ad earns ``r``,
    but it may drive the user away, the more likely the sooner after the last one; a session also
    ends by itself. The agent maximises what the session is worth: ``r`` for each ad and ``u`` for
    each item watched.

    Where users are ``mixed``, each is patient or impatient. Which of them is hidden: it shows only
    in who is still there.

    ## Action Space

    | action | space | meaning | unit |
    | --- | --- | --- | --- |
    | 0 | Discrete(2) | wait: go on to the next item | [1] |
    | 1 | Discrete(2) | show an ad, and go on to the next item if the user stays | [1] |

    ## Observation Space

    Float32 numbers. k are the items since the start or the last ad, m the ads so far, t the items
    so far; with M for ``max_items`` a number n is shown as log(1 + n) / log(1 + M).

    | index | meaning | min | max | unit |
    | --- | --- | --- | --- | --- |
    | 0 | how fresh the last ad, or the start, still is: exp(-k / tau) | 0.0 | 1.0 | [1] |
    | 1 | k | 0.0 | 1.0 | [1] |
    | 2 | m | 0.0 | 1.0 | [1] |
    | 3 | t | 0.0 | 1.0 | [1] |
    | 4 | s / (1 + s), with s the sum of exp(-k / tau) over the ads so far | 0.0 | 1.0 | [1] |

    A user who is still there after t items and after ads that were annoying by s in all is patient
    the more likely, the larger both are: nothing else tells the type.

    ``privileged=True`` adds a column, 1.0 for an impatient user and else 0.0. It is for the critic
    during training and for the clairvoyant; ``metadata["privileged"]`` counts such columns.

    ## Rewards

    ``u`` for an item that is watched, and ``r`` for an ad.

    An ad drives the user away at once with b(k, m) = b1 exp(-k / tau) + b0 (1 + f m), at most 1;
    the item is not watched then. After an item the user leaves with ``h``.

    ## Starting State

    k = m = t = 0. ``reset`` draws the user's type and the luck of every item, so that a seed brings
    every policy the same users.

    ## Episode End

    The user leaves: the episode terminates. After ``max_items`` decisions it is truncated: the user
    is still there, the session would go on.

    ## Info

    Each step ``ad``, ``watched`` and ``left``, whether an ad was shown, the item watched, and the
    session left, and ``value``, the reward; on the last step also ``episode_metrics``, flat names
    to numbers: ``value``, ``expected_value``, ``share_of_optimum``, ``ads`` and ``items`` watched.
    The expected value is what the best rule that knows the user's type earns, less what each
    decision gave away against it; its mean over sessions is that of the value, with less luck in
    it. The share is that of the expected value.

    ## Arguments

    ``privileged``, ``render_mode`` (``ansi`` or ``rgb_array``) and the fields of
    ``AdTimingParams``; the impatient ones count where users are mixed, the others are patient then:

    | name | default | meaning | unit |
    | --- | --- | --- | --- |
    | h | 0.04 | chance to leave after an item | [1/item] |
    | u | 0.05 | worth of a watched item | [1/item] |
    | r | 1.0 | what an ad earns | [1/ad] |
    | b1 | 0.5 | chance to leave at an ad because another was only just shown | [1/ad] |
    | tau | 4.0 | items in which that chance falls to 1/e | [items] |
    | b0 | 0.02 | chance to leave at any ad | [1/ad] |
    | f | 0.0 | by what part of itself b0 grows with each ad so far | [1/ad] |
    | users | alike | alike, or mixed | [1] |
    | impatient_share | 0.7 | part of mixed users that is impatient | [1] |
    | impatient_h | 0.3 | h of an impatient user | [1/item] |
    | impatient_b1 | 0.9 | b1 of an impatient user | [1/ad] |
    | max_items | 200 | decisions after which a session is cut off | [items] |

    ## Version History

    v0: the first version.
    """

    def __init__(self, render_mode: str | None = None, **kwargs: Any) -> None:
        """See the class.

        Raises:
            ValueError: An unknown argument or a bad value; the message names it and what is
                allowed.
        """
        super().__init__(AdTimingBatch(1, (), **kwargs), render_mode)


class AdTimingVectorEnv(BatchedVectorEnv):
    """A batch of independent sessions; see ``AdTimingEnv`` for spaces, rewards and info.

    Args:
        num_envs: Number of sessions.
        render_mode, **kwargs: As in ``AdTimingEnv``.
        autoreset_mode: As in ``BatchedVectorEnv``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        batch = AdTimingBatch(num_envs, ("num_envs", "autoreset_mode"), **kwargs)
        super().__init__(batch, render_mode, autoreset_mode)
