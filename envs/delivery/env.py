"""Deliveries as Gymnasium environments, single and vector; what happens is in the batch."""

from typing import Any

from gymnasium.vector import AutoresetMode

from envs.batched import BatchedEnv, BatchedVectorEnv
from envs.delivery.batch import DeliveryBatch
from envs.delivery.params import parameter_table


class DeliveryEnv(BatchedEnv):
    """A rider who crosses a city from a restaurant to a customer.

    ## Description

    The city is a grid of crossings with avenues, which are fast but jam in the rush hour, one-way
    streets and roadworks; it is drawn from ``city_seed`` and stays the same. The rider sees at each
    crossing how the streets out of it run now, free or jammed; of the others only the usual time is
    known. So a detour can pay, and so can a way that leaves more choice later. Each ride starts at
    a minute of the evening, which has a rush hour, and has a promised time.

    Each street is jammed, when the rider arrives at its beginning, with a chance that depends on
    the street and on the minute of the evening alone: independently of other streets and of what
    was seen before. What is seen then holds until the rider leaves. The equations stand in
    ``envs/delivery/model.py``, the optimum in ``envs/delivery/solver.py``.

    ## Action Space

    Which way to take, ``Discrete(4)``:

    | action | meaning |
    | --- | --- |
    | 0 | north |
    | 1 | east |
    | 2 | south |
    | 3 | west |

    Where there is no street, at the edge of the city or against a one-way street, the rider loses
    ``dead_end_minutes`` at the crossing, and its streets stay as they were seen: never better than
    the best street, and no place to settle for a learner that does not know the way yet, as the
    cheaper loss of one minute would be. Other actions raise ``ValueError`` and leave the ride as it
    was.

    ## Observation Space

    What the rider's app shows, 23 float32 numbers; by direction in the order of the actions:

    | index | meaning | min | max | unit |
    | --- | --- | --- | --- | --- |
    | 0 to 3 | whether there is a street | 0.0 | 1.0 | [1] |
    | 4 to 7 | what it takes now, or what is lost without a street | 0.0 | 1.0 | [longest street] |
    | 8 to 11 | how much longer than by the fastest way it is | 0.0 | 2.0 | [5 min] |
    | 12 to 15 | from its end, how much longer the second-best way is | 0.0 | 2.0 | [5 min] |
    | 16 to 17 | row and column of the rider | 0.0 | 1.0 | [city] |
    | 18 to 19 | row and column of the customer | 0.0 | 1.0 | [city] |
    | 20 | minute of the evening | 0.0 | 1.0 | [evening] |
    | 21 | time left to the promised time, negative past it | -1.0 | 1.0 | [longest promise] |
    | 22 | how long the fastest way takes | 0.0 | 1.0 | [longest promise and street] |

    Times to the customer are those of a navigation app: what the street takes now, and from its
    end the shortest path by what streets take on average at that minute of the evening. The
    second-best way is by the usual times alone, the next street included: where it is hardly
    longer, a jam on the best one will cost little. Beyond their bounds numbers are clipped; a
    direction without a street, or that ends at the customer, has the longest.

    ## Rewards

    With ``reward="minutes"``, the default, ``reward_scale`` times minus the minutes of the move, of
    which those past the promised time count ``1 + late_penalty`` times. The promised time is the
    usual one at the start, by the app, times ``promise``, rounded up to minutes. With
    ``reward="saved"`` a move also earns by how much it shortens the usual minutes to the customer;
    over a ride that adds up to the minutes saved (below), so that the best policy is the same. This
    is potential-based shaping (Ng, Harada and Russell 1999): what a turn is worth shows at once.

    ## Starting State

    A pair of restaurant and customer, at least ``least_blocks`` apart, and a minute of the evening,
    up to ``last_order``, both uniform. A share ``held_out`` of the pairs is never drawn with
    ``pairs="training"``, the default; ``held_out`` draws from them alone, ``all`` from both.
    ``reset`` also draws what decides about jams at every move, so that a seed brings every policy
    the same. It has no options.

    ## Episode End

    The ride ends (``terminated``) at the customer. It is cut (``truncated``) after ``most_moves``
    moves, which keeps a rider who goes round in circles from doing so for ever.

    ## Info

    Of every move: ``start`` and ``end`` (row and column), ``clock`` (minute of the evening at its
    start), ``minutes`` and ``minutes_late``. On the last move also ``episode_metrics``:
    ``delivery/minutes``, ``delivery/minutes_late``, ``delivery/on_time`` (0 or 1),
    ``delivery/held_out`` (whether the pair is held out, 0 or 1), and ``delivery/minutes_saved``:
    the usual time of the ride by the app at its start, less its minutes and the penalty.

    ## Arguments

    ``pairs`` and ``reward`` (see above), ``render_mode`` (``ansi`` or ``rgb_array``) and every
    field of ``DeliveryParams``: ``gymnasium.make("envs:Delivery-v0", rows=4, city_seed=7)``.

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
        super().__init__(DeliveryBatch(1, (), **kwargs), render_mode)


class DeliveryVectorEnv(BatchedVectorEnv):
    """A batch of independent rides; see ``DeliveryEnv`` for spaces, rewards and info.

    Args:
        num_envs: Number of rides.
        render_mode, **kwargs: As in ``DeliveryEnv``.
        autoreset_mode: As in ``BatchedVectorEnv``.

    Raises:
        ValueError: An unknown argument or a bad value; the message names it and what is allowed.
    """

    def __init__(
        self,
        num_envs: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        batch = DeliveryBatch(num_envs, ("num_envs", "autoreset_mode"), **kwargs)
        super().__init__(batch, render_mode, autoreset_mode)


DeliveryEnv.__doc__ = (DeliveryEnv.__doc__ or "").replace(
    "PARAMETERS", parameter_table().replace("\n", "\n    ")
)
