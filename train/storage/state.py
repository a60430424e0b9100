"""A tree of plain data as text and arrays, and back: how a checkpoint holds what a run is made of, without pickle.

Plain data are numbers, strings, None, NumPy arrays and scalars, torch tensors, NumPy's random
generators, and lists, tuples, deques and dicts of them. An array that stands at several places of a
tree is the same array again afterwards.
"""

import json
import random
from collections import deque
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

ARRAY_KINDS = "biufcSUMm"
BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


class Packed(NamedTuple):
    """A tree as text, and the arrays that the text counts."""

    text: str
    arrays: list[NDArray[Any]]


class NotPlainError(TypeError):
    """Something in a tree is no plain data; the message names it and its place."""


def pack(tree: Any) -> Packed:
    """Takes a tree apart.

    Raises:
        NotPlainError: It holds something that is no plain data.
    """
    arrays: list[NDArray[Any]] = []
    places: dict[int, int] = {}

    def keep(array: NDArray[Any]) -> int:
        if id(array) not in places:
            places[id(array)] = len(arrays)
            arrays.append(array)
        return places[id(array)]

    try:
        return Packed(json.dumps(_pack(tree, "", keep)), arrays)
    except RecursionError:
        raise NotPlainError(
            "a list or dict holds itself, or too many others within each other"
        ) from None


def unpack(packed: Packed) -> Any:
    """Puts a tree together again, with arrays of its own.

    Raises:
        ValueError, TypeError, KeyError, IndexError: The text is none that ``pack`` wrote.
    """
    return _unpack(json.loads(packed.text), [array.copy(order="K") for array in packed.arrays])


def get_random_state() -> dict[str, Any]:
    """The state of the generators that a process has one of: Python's, NumPy's and torch's."""
    version, words, gauss = random.getstate()
    return {
        "python": {"version": version, "words": np.array(words, dtype=np.uint64), "gauss": gauss},
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Puts the generators of the process back to ``state``."""
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])


def _pack(value: Any, place: str, keep: Any) -> Any:
    kind = type(value)
    if value is None or kind in {bool, int, float, str}:
        return value
    if kind is list:
        return [_pack(item, f"{place}[{i}]", keep) for i, item in enumerate(value)]
    if kind is dict:
        return {
            "dict": [
                [_pack(k, place, keep), _pack(item, f"{place}.{k}", keep)]
                for k, item in value.items()
            ]
        }
    if kind is tuple:
        return {"tuple": [_pack(item, f"{place}[{i}]", keep) for i, item in enumerate(value)]}
    if kind is deque:
        return {
            "deque": [_pack(item, f"{place}[{i}]", keep) for i, item in enumerate(value)],
            "most": value.maxlen,
        }
    if kind is np.random.Generator:
        return {"generator": _pack(value.bit_generator.state, place, keep)}
    if isinstance(value, torch.Tensor):
        return {"tensor": keep(value.detach().cpu().numpy().copy())}
    if (
        isinstance(value, np.generic)
        and value.dtype.kind in "biufU"
        and value.dtype != np.longdouble
    ):
        return {"scalar": value.item(), "dtype": value.dtype.str}
    if kind is np.ndarray and value.dtype.kind in ARRAY_KINDS:
        return {"array": keep(value)}
    raise NotPlainError(f"{place.lstrip('.')} is a {kind.__module__}.{kind.__qualname__}")


def _unpack(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), None)
    match kind:
        case "dict":
            return {_unpack(k, arrays): _unpack(item, arrays) for k, item in value["dict"]}
        case "tuple":
            return tuple(_unpack(item, arrays) for item in value["tuple"])
        case "deque":
            return deque((_unpack(item, arrays) for item in value["deque"]), maxlen=value["most"])
        case "generator":
            return _generator(_unpack(value["generator"], arrays))
        case "tensor":
            return torch.from_numpy(arrays[value["tensor"]].copy())
        case "scalar":
            return np.dtype(value["dtype"]).type(value["scalar"])
        case "array":
            return arrays[value["array"]]
    raise ValueError(f"unknown kind of data {kind!r}")


def _generator(state: Any) -> np.random.Generator:
    if state["bit_generator"] not in BIT_GENERATORS:
        raise ValueError(f"unknown random generator {state['bit_generator']!r}")
    generator = np.random.Generator(getattr(np.random, state["bit_generator"])(0))
    generator.bit_generator.state = state
    return generator
