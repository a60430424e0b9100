"""The city: a grid of streets, drawn from a seed, as a graph and as arrays for the model."""

from functools import cache
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from envs.delivery.params import DeliveryParams

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DIRECTIONS = ("north", "east", "south", "west")
_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # row and column


class City(NamedTuple):
    """Streets by the crossing that they leave and their direction, and what is usual on them.

    Attributes:
        is_street: Whether there is a street, (crossings, 4).
        end: The crossing that it leads to, (crossings, 4); the crossing itself without a street.
        free: Minutes when it is free, (crossings, 4) [min]; what is lost where there is none.
        jam: What a jam adds, (crossings, 4) [min]; 0 without a street.
        chance: Chance of a jam by minute of the evening, (evening + 1, crossings, 4) [1].
        usual: Minutes of the shortest path by what streets take on average at that minute of the
            evening, from a crossing to another, (evening + 1, crossings, crossings) [min].
        beyond: The same from the end of each street, infinite where there is none, (evening + 1,
            crossings, crossings, 4) [min].
        alternative: From the end of each street, by how much the second-best way is usually longer
            than the best; infinite where there is no street or nothing to choose, (evening + 1,
            crossings, crossings, 4) [min].
        orders: Pairs of restaurant and customer that agents train on, (pairs, 2).
        held_out: Pairs that they do not, (pairs, 2).
        is_held_out: Whether a pair is one of those, (crossings, crossings).
        place: Row and column of each crossing, (crossings, 2).
        shares: The same as shares of the last row and the last column, (crossings, 2) [1].
        longest: The most that a street takes [min].
        most_left: The most minutes from an order to its promised time [min].
    """

    is_street: NDArray[np.bool_]
    end: IntArray
    free: IntArray
    jam: IntArray
    chance: FloatArray
    usual: FloatArray
    beyond: FloatArray
    alternative: NDArray[np.float32]
    orders: IntArray
    held_out: IntArray
    is_held_out: NDArray[np.bool_]
    place: IntArray
    shares: FloatArray
    longest: int
    most_left: int


@cache
def make_city(params: DeliveryParams) -> City:
    """The city of the parameters, drawn once per parameters and process."""
    rng = np.random.default_rng(params.city_seed)
    graph = street_map(params, rng)
    count = params.rows * params.columns
    end = np.repeat(np.arange(count)[:, np.newaxis], 4, axis=1)
    is_street = np.zeros((count, 4), dtype=bool)
    free, jam = np.full((count, 4), params.dead_end_minutes), np.zeros((count, 4), dtype=np.int64)
    chance = np.zeros((params.evening + 1, count, 4))
    for start, stop, street in graph.edges(data=True):
        step = (stop[0] - start[0], stop[1] - start[1])
        leaving = start[0] * params.columns + start[1], _STEPS.index(step)
        is_street[leaving] = True
        end[leaving] = stop[0] * params.columns + stop[1]
        free[leaving], jam[leaving] = street["minutes"], params.jam_minutes
        chance[:, *leaving] = _jam_chance(params, street["is_avenue"], street["proneness"])
    mean = free + jam * chance
    usual = np.stack([_shortest(end, is_street, minutes) for minutes in mean])
    place = np.stack(np.divmod(np.arange(count), params.columns), axis=-1)
    orders, held_out = _pairs(params, place, rng)
    is_held_out = np.zeros((count, count), dtype=bool)
    is_held_out[tuple(held_out.T)] = True
    beyond = np.where(is_street[:, np.newaxis], np.moveaxis(usual[:, end], -1, 2), np.inf)
    return City(
        is_street=is_street,
        end=end,
        free=free,
        jam=jam,
        chance=chance,
        usual=usual,
        beyond=beyond,
        alternative=_alternative(end, is_street, mean[:, :, np.newaxis] + beyond),
        orders=orders,
        held_out=held_out,
        is_held_out=is_held_out,
        place=place,
        shares=place / place[-1],
        longest=int((free + jam).max()),
        most_left=int(np.ceil(params.promise * usual.max())),
    )


def street_map(params: DeliveryParams, rng: np.random.Generator) -> nx.DiGraph:
    """Crossings (row, column) and streets with ``minutes``, ``is_avenue`` and ``proneness``.

    A street is made one-way only where every crossing can still be reached from every other.
    """
    grid = nx.grid_2d_graph(params.rows, params.columns)
    graph = nx.DiGraph(grid)
    rows = rng.permutation(params.rows)[: params.avenues]
    columns = rng.permutation(params.columns)[: params.avenues]
    for start, stop in grid.edges:
        is_avenue = bool(
            (start[0] == stop[0] and start[0] in rows)
            or (start[1] == stop[1] and start[1] in columns)
        )
        is_slow = bool(rng.random() < params.slow)
        minutes = params.avenue_minutes if is_avenue else params.street_minutes
        for edge in ((start, stop), (stop, start)):
            graph.edges[edge].update(
                minutes=params.slow_minutes if is_slow else minutes,
                is_avenue=is_avenue,
                proneness=rng.uniform(0.5, 1.5),
            )
    for start, stop in grid.edges:
        closed = (start, stop) if rng.random() < 0.5 else (stop, start)
        if rng.random() < params.one_way:
            street = dict(graph.edges[closed])
            graph.remove_edge(*closed)
            if not nx.is_strongly_connected(graph):
                graph.add_edge(*closed, **street)
    return graph


def _jam_chance(params: DeliveryParams, is_avenue: bool, proneness: float) -> FloatArray:
    """Chance of a jam on a street at each minute of the evening, (evening + 1,) [1]."""
    base = params.avenue_jam if is_avenue else params.street_jam
    rush = params.avenue_rush if is_avenue else params.street_rush
    minutes = np.arange(params.evening + 1)
    bump = np.exp(-0.5 * ((minutes - params.rush_peak) / params.rush_width) ** 2)
    return np.minimum(proneness * (base + rush * bump), 1.0)


def _shortest(end: IntArray, is_street: NDArray[np.bool_], minutes: FloatArray) -> FloatArray:
    """Minutes between all pairs of crossings, by Dijkstra, (crossings, crossings) [min]."""
    weights = np.zeros((len(end), len(end)))
    start, direction = np.nonzero(is_street)
    weights[start, end[start, direction]] = minutes[start, direction]
    return np.asarray(shortest_path(weights, method="D"), dtype=np.float64)


def _alternative(
    end: IntArray, is_street: NDArray[np.bool_], total: FloatArray
) -> NDArray[np.float32]:
    """The second-best less the best way from the end of each street; see ``City``.

    ``total`` are the usual minutes by each street, (minutes, crossings, crossings, 4) [min].
    """
    best, second = np.moveaxis(np.partition(total, 1, axis=-1)[..., :2], -1, 0)
    choice = second - best  # infinite at a crossing with one street
    crossings = np.arange(len(end))
    choice[:, crossings, crossings] = np.inf
    after = np.moveaxis(choice[:, end], 2, 3)
    return np.where(is_street[:, np.newaxis], after, np.inf).astype(np.float32)


def _pairs(
    params: DeliveryParams, place: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Pairs of restaurant and customer far enough apart: trained on, and held out."""
    blocks = np.abs(place[:, np.newaxis] - place).sum(axis=-1)
    pairs = rng.permutation(np.argwhere(blocks >= params.least_blocks))
    kept = round(params.held_out * len(pairs))
    return pairs[kept:], pairs[:kept]
