"""The whole state of any environment as plain data, for checkpoints.

An environment, single or vector, that has the methods ``get_state() -> dict`` and
``set_state(dict)`` is asked. The dict holds plain data as ``train.storage.state`` defines them, the
random generator's state included; ``set_state``, called on an environment of the same arguments
that has been reset, makes it continue exactly as the first one would have.

Of any other environment, and of every wrapper, the attributes are taken, which does where all that
changes in them is plain data: so with Gymnasium's classic control and toy text. One that keeps its
state elsewhere (in a simulator's object, say) cannot be saved, and is refused with the name of the
attribute.
"""

import enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

CODE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, partial, type, np.ufunc)
CONSTANT_TYPES = (*CODE, np.dtype, EnvSpec, spaces.Space)
CONSTANT_NAMES = {"metadata", "spec", "env_fns", "_cached_spec", "_saved_kwargs"}


def get_env_state(env: Any) -> dict[str, Any]:
    """Returns the state of an environment, its wrappers and the generators of its spaces."""
    state: dict[str, Any] = {"class": _name(env), "spaces": _spaces(env)}
    if all(callable(getattr(env, name, None)) for name in ("get_state", "set_state")):
        return state | {"state": env.get_state()}
    parts: dict[str, dict[str, Any]] = {"attributes": {}, "names": {}, "environments": {}}
    for name, value in vars(env).items():
        if name in CONSTANT_NAMES or isinstance(value, CONSTANT_TYPES):
            continue
        if isinstance(value, enum.Enum):
            parts["names"][name] = value.name
        elif _is_env(value):
            parts["environments"][name] = [get_env_state(value)]
        elif isinstance(value, (list, tuple)) and value and all(map(_is_env, value)):
            parts["environments"][name] = [get_env_state(part) for part in value]
        else:
            parts["attributes"][name] = value
    return state | parts


def set_env_state(env: Any, state: dict[str, Any]) -> None:
    """Puts an environment of the same arguments, once reset, into the state of ``get_env_state``.

    Raises:
        ValueError, KeyError: The state is that of another environment.
    """
    if state["class"] != _name(env):
        raise ValueError(f"the state is that of {state['class']}, not of {_name(env)}")
    for name, generators in state["spaces"].items():
        _set_generators(vars(env)[name], generators)
    if "state" in state:
        env.set_state(state["state"])
        return
    for name, value in state["attributes"].items():
        _check_attribute(env, name)
        vars(env)[name] = value
    for name, chosen in state["names"].items():
        vars(env)[name] = type(vars(env)[name])[chosen]
    for name, states in state["environments"].items():
        below = vars(env)[name]
        for part, part_state in zip([below] if _is_env(below) else below, states, strict=True):
            set_env_state(part, part_state)


def _check_attribute(env: Any, name: str) -> None:
    """Lets data replace data alone, never a method, a function, a space or an environment."""
    now = vars(env).get(name)
    is_method = callable(getattr(type(env), name, None))
    if is_method or _is_env(now) or isinstance(now, CONSTANT_TYPES):
        raise ValueError(f"{_name(env)}.{name} is not data")


def _spaces(env: Any) -> dict[str, list[Any]]:
    own = {name: value for name, value in vars(env).items() if isinstance(value, spaces.Space)}
    states = {name: _generators(space) for name, space in own.items()}
    return {name: generators for name, generators in states.items() if any(generators)}


def _generators(space: spaces.Space[Any]) -> list[Any]:
    """Returns the generator states of a space and of those within it; None for one not used yet."""
    own = None if space._np_random is None else space._np_random.bit_generator.state
    return [own, *(state for part in _within(space) for state in _generators(part))]


def _set_generators(space: spaces.Space[Any], states: list[Any]) -> list[Any]:
    first, rest = states[0], states[1:]
    if first is not None:
        space.np_random.bit_generator.state = first
    for part in _within(space):
        rest = _set_generators(part, rest)
    return rest


def _within(space: spaces.Space[Any]) -> list[spaces.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return list(space.spaces.values())
    return list(space.spaces) if isinstance(space, spaces.Tuple) else []


def _is_env(value: Any) -> bool:
    return isinstance(value, (gymnasium.Env, VectorEnv))


def _name(env: Any) -> str:
    return f"{type(env).__module__}.{type(env).__qualname__}"
