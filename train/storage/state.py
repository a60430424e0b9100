"""The state of a run as bytes, and back; nothing is unpickled but plain data.

Plain data are numbers, strings, None, NumPy arrays and scalars, torch tensors, NumPy's random
generators, and lists, tuples, deques and dicts of them. Identity is kept within one ``dump``: two
names of one list or generator, and two views of one array, are that again after ``load``.
"""

import codecs
import io
import random
from collections import OrderedDict, deque
from math import prod
from pickle import Pickler
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch._utils import _rebuild_tensor_v2

from train.storage.safe_load import MAX_BYTES, load_weights

ARRAY_KINDS = "biufcSUMm"
SCALARS = {"b1", *(f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8))}
SMALL = 16_384  # bytes; more become a tensor, and so an entry of the archive, which takes time
BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


class NotPlainError(TypeError):
    """Something in a state is not plain data; the message names it and its place."""


def dump(state: Any) -> bytes:
    """Returns plain data as the bytes of an archive in the format of ``torch.save``.

    Raises:
        NotPlainError: It holds something else, or lists within lists without end.
    """
    file = io.BytesIO()
    try:
        torch.save(state, file, pickle_module=SimpleNamespace(__name__=__name__, Pickler=_Writer))
    except _RefusedError as error:
        refused = error.args[0]
        kind = f"{type(refused).__module__}.{type(refused).__qualname__}"
        raise NotPlainError(f"{_find(state, refused) or 'it'} is a {kind}") from None
    except RecursionError:
        raise NotPlainError("too many lists or dicts lie within each other") from None
    return file.getvalue()


def load(content: bytes) -> Any:
    """Returns the data that ``dump`` was given.

    Raises:
        ValueError: The bytes are damaged, or hold something that ``dump`` does not write.
    """
    return load_weights(content, _RESTORERS)


def get_random_state() -> dict[str, Any]:
    """Returns the state of the generators of the process: Python's, NumPy's and torch's."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - SB3 seeds it
        "torch": torch.get_rng_state(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Puts the generators of the process back to ``state``."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])


class _RefusedError(Exception):
    """An object is not plain data; it is the argument."""


class _Memory(NamedTuple):
    """A block of memory: the array that owns it, and a copy of its bytes."""

    owner: NDArray[Any]  # held, or another could take its address meanwhile
    content: torch.Tensor | bytes


class _Writer(Pickler):
    """Writes every array as a view of a block of memory, so that views of one array stay views."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._blocks: dict[tuple[int, int], _Memory] = {}
        self._contents: set[int] = set()

    def reducer_override(self, value: Any) -> Any:  # noqa: PLR0911 - one for each kind
        """Returns the function that makes an object again, and its arguments."""
        kind = type(value)
        if kind is _Memory:
            return restore_memory, (value.content,)
        if kind is np.ndarray and value.dtype.kind in ARRAY_KINDS:
            return self._reduce_array(value)
        if isinstance(value, np.generic) and value.dtype.str[1:] in SCALARS:
            return restore_scalar, (value.dtype.str, value.item())
        if isinstance(value, np.str_):
            return restore_scalar, ("U", str(value))
        if isinstance(value, torch.Tensor) and id(value) not in self._contents:
            return restore_tensor, (value.detach().numpy(),)
        if kind is np.random.Generator:
            return restore_generator, (value.bit_generator,)
        if kind.__name__ in BIT_GENERATORS and isinstance(value, np.random.BitGenerator):
            return restore_bit_generator, (value.state,)
        if kind is deque:
            return restore_deque, (list(value), value.maxlen)
        if kind in {torch.Tensor, OrderedDict} or (callable(value) and value in _WRITTEN):
            return NotImplemented  # as pickle writes it
        raise _RefusedError(value)

    def _reduce_array(self, array: NDArray[Any]) -> Any:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        key = _address(owner), owner.nbytes
        if key not in self._blocks:
            self._blocks[key] = _Memory(owner, _content(owner))
            self._contents.add(id(self._blocks[key].content))
        layout = array.shape, array.dtype.str, _address(array) - key[0], array.strides
        return restore_array, (self._blocks[key], *layout)


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _content(owner: NDArray[Any]) -> torch.Tensor | bytes:
    """Returns a copy of the memory of an array, in the order in which it lies there."""
    ordered = owner.transpose(sorted(range(owner.ndim), key=lambda axis: -owner.strides[axis]))
    if not ordered.flags.c_contiguous:
        raise _RefusedError(owner)
    memory = ordered.copy().reshape(-1).view(np.uint8)
    return memory.tobytes() if 0 < memory.size <= SMALL else torch.from_numpy(memory)


def restore_memory(content: torch.Tensor | bytes) -> NDArray[np.uint8]:
    """Returns a block of memory."""
    if isinstance(content, bytes):
        return np.frombuffer(content, np.uint8).copy()
    return np.asarray(content.numpy(), np.uint8)


def restore_array(
    memory: NDArray[np.uint8],
    shape: tuple[int, ...],
    dtype: str,
    offset: int,
    strides: tuple[int, ...],
) -> NDArray[Any]:
    """Returns a view of a block of memory; NumPy refuses one that would reach beyond it."""
    kind = np.dtype(dtype)
    if kind.kind not in ARRAY_KINDS or prod(shape) * kind.itemsize > MAX_BYTES:
        raise ValueError(f"an array {shape} of {kind} is not what training writes")
    return np.ndarray(shape, kind, memory, offset, strides)


def restore_scalar(dtype: str, value: Any) -> Any:
    """Returns a NumPy scalar."""
    return np.dtype(dtype).type(value)


def restore_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Returns a tensor with memory of its own."""
    return torch.from_numpy(array.copy())


def restore_bit_generator(state: dict[str, Any]) -> Any:
    """Returns one of NumPy's bit generators in a state."""
    if state["bit_generator"] not in BIT_GENERATORS:
        raise ValueError(f"unknown random generator {state['bit_generator']!r}")
    generator = getattr(np.random, state["bit_generator"])(0)
    generator.state = state
    return generator


def restore_generator(bit_generator: Any) -> np.random.Generator:
    """Returns a generator that draws from ``bit_generator``."""
    return np.random.Generator(bit_generator)


def restore_deque(items: list[Any], maxlen: int | None) -> deque[Any]:
    """Returns a deque."""
    return deque(items, maxlen)


_RESTORERS = (
    restore_memory,
    restore_array,
    restore_scalar,
    restore_tensor,
    restore_bit_generator,
    restore_generator,
    restore_deque,
)
_WRITTEN = {*_RESTORERS, _rebuild_tensor_v2, torch.ByteStorage, OrderedDict, set, codecs.encode}


def _find(tree: Any, target: object) -> str:
    """Returns where an object stands in a tree, such as ``a.b[1]``."""
    waiting, seen = deque([("", tree)]), set[int]()
    while waiting:
        place, value = waiting.popleft()
        if value is target:
            return place.lstrip(".")
        if id(value) not in seen and isinstance(value, dict):
            waiting += [(f"{place}.{name}", part) for name, part in value.items()]
        elif id(value) not in seen and isinstance(value, (list, tuple, set, deque)):
            waiting += [(f"{place}[{i}]", part) for i, part in enumerate(value)]
        seen.add(id(value))
    return ""
