"""The equations of a session as pure functions over leading axes (...,); draws are arguments.

    wait:  earns u; the user leaves with h
    show:  the user leaves at once with b(k, m) = b1 exp(-k / tau) + b0 (1 + f m); earns r, and u
           where the user stays, who then leaves with h

k counts the items since the start or the last ad, m the ads so far. Both decisions are followed by
an item, so that one uniform draw decides who leaves: below b at once, below b + (1 - b) h after it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.ad_timing.params import AdTimingParams

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class State(NamedTuple):
    """Where a session stands, each (...,).

    Attributes:
        k: Items since the start or the last ad [items].
        m: Ads so far [ads].
        items: Items so far, a skipped one included [items].
        annoyance: Sum of exp(-k / tau) over the ads that the user stayed for [ads].
    """

    k: IntArray
    m: IntArray
    items: IntArray
    annoyance: FloatArray


class Step(NamedTuple):
    """What became of a decision, each (...,).

    Attributes:
        reward: What it earned [1].
        is_watched: Whether the item after it was watched.
        is_left: Whether the user left, at once or after the item.
        after: The state if the user stays.
    """

    reward: FloatArray
    is_watched: BoolArray
    is_left: BoolArray
    after: State


def initial_state(shape: tuple[int, ...]) -> State:
    """The start of sessions of a shape."""
    whole = np.zeros(shape, dtype=np.int64)
    return State(whole, whole, whole, np.zeros(shape))


def leave_at_ad(
    params: AdTimingParams, k: IntArray, m: IntArray, is_impatient: BoolArray | bool = False
) -> FloatArray:
    """The chance b(k, m) to leave at once at an ad, (...,) [1]; never above 1."""
    b1 = np.where(is_impatient, params.impatient_b1, params.b1)
    return np.minimum(b1 * params.freshness[k] + params.b0 * (1.0 + params.f * m), 1.0)


def leave_after_item(params: AdTimingParams, is_impatient: BoolArray | bool = False) -> FloatArray:
    """The chance h to leave after an item, (...,) [1]."""
    return np.where(is_impatient, params.impatient_h, params.h)


def transition(
    params: AdTimingParams,
    state: State,
    show: BoolArray,
    luck: NDArray[np.floating[Any]],
    is_impatient: BoolArray | bool = False,
) -> Step:
    """Plays a decision; ``luck`` is uniform on [0, 1)."""
    at_once = np.where(show, leave_at_ad(params, state.k, state.m, is_impatient), 0.0)
    is_watched = luck >= at_once
    chance = at_once + (1.0 - at_once) * leave_after_item(params, is_impatient)
    after = State(
        np.where(show, 1, state.k + 1),
        state.m + show,
        state.items + 1,
        state.annoyance + np.where(show, params.freshness[state.k], 0.0),
    )
    return Step(params.r * show + params.u * is_watched, is_watched, luck < chance, after)
