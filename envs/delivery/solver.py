"""The optimum by dynamic programming: the shortest path with recourse, exact.

What a rider sees at a crossing is drawn on arrival, by chances that depend on the clock alone. So
the future depends on crossing x, customer, clock t, minutes left l and what is seen now:

    V(x, t, l) = E_m [ min_a  m_a + penalty x late(m_a, l) + V(end(x, a), t + m_a, l - m_a) ]

with m the minutes of the streets out of x, seen before the choice: a stochastic shortest path with
recourse (Polychronopoulos and Tsitsiklis 1996, "Stochastic shortest path problems with recourse").
"""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from envs.delivery.city import DIRECTIONS, City, FloatArray, IntArray, make_city
from envs.delivery.model import Move, State, cost, lateness
from envs.delivery.params import DeliveryParams

_TOLERANCE = 1e-5  # of the cost to go after the evening [min]

Values = NDArray[np.float32]


@cache
def solve(params: DeliveryParams) -> Values:
    """Expected cost to go on arrival, (evening + 1, crossings, customers, minutes left + 1) [min].

    Past the promised time, at 0 minutes left, it no longer matters by how much. From the last
    minute of the evening on nothing depends on the clock: value iteration. Before it every street
    leads to a later minute: backward induction.
    """
    city = make_city(params)
    crossings = len(city.end)
    shape = (params.evening + 1, crossings, crossings, city.most_left + 1)
    values = np.zeros(shape, dtype=np.float32)
    change = np.inf
    while change > _TOLERANCE:
        after = _backup(params, city, params.evening, values)
        change = float(np.abs(after - values[-1]).max())
        values[-1] = after
    for clock in reversed(range(params.evening)):
        values[clock] = _backup(params, city, clock, values)
    return values


def costs(params: DeliveryParams, state: State) -> FloatArray:
    """Expected cost of each turn from now on, (..., 4) [min]; infinite where there is no street."""
    at, goal, clock, left = (part[..., np.newaxis] for part in state[:4])
    turns = np.arange(len(DIRECTIONS))
    return _costs(params, solve(params), at, turns, goal, clock, left, state.minutes)


def _backup(params: DeliveryParams, city: City, clock: int, values: Values) -> FloatArray:
    """Cost to go at one minute from that of later ones, (crossings, customers, left + 1) [min]."""
    crossings = np.arange(len(city.end))
    at, goal, left = np.ix_(crossings, crossings, np.arange(values.shape[-1]))
    now, turns = np.array(clock), range(len(DIRECTIONS))
    outcomes = (city.free, city.free + city.jam)
    options = np.array(  # (turns, outcomes, crossings, customers, left + 1)
        [
            [
                _costs(params, values, at, turn, goal, now, left, taken[at, turn])
                for taken in outcomes
            ]
            for turn in turns
        ]
    )
    chance = city.chance[clock]
    expected = np.zeros(options.shape[2:])
    for jams in product((0, 1), repeat=len(turns)):
        weight = np.where(np.array(jams) == 1, chance, 1.0 - chance).prod(axis=-1)
        best = options[turns, jams].min(axis=0)
        expected += weight[:, np.newaxis, np.newaxis] * best
    return np.where(at == goal, 0.0, expected)


def _costs(
    params: DeliveryParams,
    values: Values,
    at: IntArray,
    turn: IntArray | int,
    goal: IntArray,
    clock: IntArray,
    left: IntArray,
    minutes: IntArray,
) -> FloatArray:
    """Expected cost of a turn that takes these minutes, and of all after it [min]."""
    city = make_city(params)
    after = left - minutes
    now = cost(params, Move(minutes, lateness(after) - lateness(left)))
    later = np.minimum(clock + minutes, params.evening)
    to_go = values[later, city.end[at, turn], goal, np.maximum(after, 0)]
    return np.where(city.is_street[at, turn], now + to_go, np.inf)
