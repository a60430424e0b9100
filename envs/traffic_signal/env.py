"""The traffic signal as a Gymnasium environment, one junction or many at once."""

from typing import Any

from gymnasium.vector import AutoresetMode

from envs.batched import BatchedEnv, BatchedVectorEnv
from envs.traffic_signal.batch import FAMILY, SignalBatch
from envs.traffic_signal.params import make_params, parameter_table

KWARGS = ("observation", "render_mode")


class TrafficSignalEnv(BatchedEnv):
    """The signal of a junction of two roads.

    ## Description

    Vehicles arrive north-south and east-west and wait for green. Every 5 s the agent either extends
    the green or switches to the other road, which costs 5 s in which nobody drives. A green lasts 5
    s at least and ``max_green`` at most. The agent keeps waiting short. Arrivals are Poisson, with
    a rush hour for each road where ``rush`` is above 0. The equations stand in
    ``envs/traffic_signal/model.py``.

    ## Action Space

    ``Discrete(2)``: 0 extends the green by 5 s, 1 switches. A switch in the step after a switch is
    not carried out, and one is forced at the longest green.

    ## Observation Space

    Float32 numbers. What the detectors show, for an agent:

    | observation | index | meaning | min | max | unit |
    | --- | --- | --- | --- | --- | --- |
    | detectors | 0 to 1 | vehicles seen at green and at red, log(1 + n) | 0.0 | 6.909 | [1] |
    | detectors | 2 to 3 | estimated queues at green and at red, log(1 + n) | 0.0 | 6.909 | [1] |
    | detectors | 4 | phase: 0 north-south, 1 east-west | 0.0 | 1.0 | [1] |
    | detectors | 5 | green since the switch over the longest one | 0.0 | 1.0 | [1] |
    | detectors | 6 | time since the start over the length of the episode | 0.0 | 1.0 | [1] |
    | state | 0 to 1 | vehicles that wait north-south and east-west | 0.0 | 1000.0 | [veh] |
    | state | 2 to 3 | those of them that are seen | 0.0 | 1000.0 | [veh] |
    | state | 4 | phase: 0 north-south, 1 east-west | 0.0 | 1.0 | [1] |
    | state | 5 | green since the switch | 0.0 | 600.0 | [s] |
    | state | 6 | time since the start | 0.0 | 86400.0 | [s] |

    Detectors look at the waiting vehicles once a step; each vehicle is seen with chance
    ``detection``, in each step anew. The estimate takes off what the green discharges, and corrects
    the rest by what is seen; it knows nothing else. With ``detection`` 1 it is the queue.
    ``observation="state"`` shows the true queues, too: it is for baselines.

    ## Rewards

    Minus ``reward_scale`` times the vehicles that wait at the end of the step times 5 s. Over an
    episode that is the delay of all vehicles, and divided by the arrivals the mean delay (Little's
    law).

    ## Starting State

    Nobody waits; north-south has had 5 s of green. A seed brings every policy the same arrivals.

    ## Episode End

    An episode is truncated after ``episode`` seconds; traffic goes on. It never terminates.

    ## Info

    Each step ``queue_ns``, ``queue_ew``, ``arrivals_ns`` and ``arrivals_ew`` [veh], ``phase`` and
    whether the signal ``switched``; at the end also ``episode_metrics``: ``traffic/delay`` [s/veh],
    ``traffic/time_saved`` [s/veh], which is by how much the delay is below what Webster's hourly
    programme is to be expected to have, ``traffic/queue`` (the mean) and ``traffic/longest_queue``
    [veh], ``traffic/switches_per_hour`` and ``traffic/vehicles``.

    ## Arguments

    ``observation`` (``detectors`` or ``state``), ``render_mode`` (``ansi`` or ``rgb_array``) and
    every field of ``SignalParams``; pairs are north-south, then east-west:

    PARAMETERS

    ## Version History

    v0: the first version.
    """

    def __init__(
        self, observation: str = "detectors", render_mode: str | None = None, **params: Any
    ) -> None:
        """See the class.

        Raises:
            ValueError: An unknown argument or a bad value; the message names it and what is
                allowed.
        """
        super().__init__(SignalBatch(make_params(KWARGS, **params), observation, 1), render_mode)


TrafficSignalEnv.__doc__ = (TrafficSignalEnv.__doc__ or "").replace(
    "PARAMETERS", parameter_table().replace("\n", "\n    ")
)


class TrafficSignalVectorEnv(BatchedVectorEnv):
    """Many junctions at once; see ``TrafficSignalEnv`` and ``BatchedVectorEnv``."""

    def __init__(
        self,
        num_envs: int,
        observation: str = "detectors",
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        **params: Any,
    ) -> None:
        """See the classes.

        ``max_episode_steps`` is the limit that Gymnasium knows; an episode ends by itself before.

        Raises:
            ValueError: An unknown argument or a bad value.
        """
        known = make_params((*KWARGS, "autoreset_mode"), **params)
        if max_episode_steps is not None and max_episode_steps < known.steps:
            raise ValueError(
                f"{FAMILY}: max_episode_steps={max_episode_steps}: must be {known.steps} or more; "
                "episode sets the length of an episode [s]"
            )
        super().__init__(SignalBatch(known, observation, num_envs), render_mode, autoreset_mode)
