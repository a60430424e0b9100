"""From a Gymnasium id to a batch of environments in same-step autoreset mode."""

import importlib
import inspect
import sys
from functools import partial
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import FlattenObservation
from gymnasium.wrappers.vector import RecordEpisodeStatistics, TransformAction

from train.config import EnvConfig
from train.errors import InputError, nearest
from train.storage.safe_load import find_package

BatchEnv = VectorEnv[Any, Any, Any]
TrainingEnv = RecordEpisodeStatistics[Any, Any]


def make_env(env: EnvConfig, n_envs: int) -> BatchEnv:
    """Makes ``n_envs`` environments in same-step mode: flat observations, choices counted from 0.

    The environment's own vector form is used where it offers same-step mode, else Gymnasium's
    ``SyncVectorEnv``.

    Raises:
        InputError: The id is unknown, a keyword argument is refused, or a space is not supported.
    """
    spec = find_spec(env.id)
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    try:
        if _offers_same_step(spec):
            kwargs = env.kwargs | same_step
            envs = gymnasium.make_vec(spec, n_envs, "vector_entry_point", **kwargs)
        else:
            envs = gymnasium.make_vec(spec, n_envs, "sync", same_step, [_flat], **env.kwargs)
    except (TypeError, ValueError, gymnasium.error.Error) as error:
        raise InputError(f"env {env.id}: {error}") from error
    observation, action = envs.single_observation_space, envs.single_action_space
    if fault := _observation_fault(observation) or _action_fault(action):
        envs.close()
        raise InputError(f"env {env.id}: {fault}")
    return _counted_from_0(envs)


def make_training_env(env: EnvConfig, n_envs: int, stats_window_size: int) -> TrainingEnv:
    """``make_env`` with returns and lengths of the last ``stats_window_size`` episodes."""
    return RecordEpisodeStatistics(make_env(env, n_envs), buffer_length=stats_window_size)


def flat_observation_space(envs: BatchEnv) -> spaces.Box[Any]:
    """The space of one environment's observations, which ``make_env`` makes a flat box."""
    return cast("spaces.Box[Any]", envs.single_observation_space)


def find_spec(env_id: str) -> EnvSpec:
    """Looks an id up, after importing the module that it may name.

    Raises:
        InputError: There is no such module or id; the nearest id is named.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            _check_module(module)
            importlib.import_module(module)
        return gymnasium.spec(name)
    except ImportError as error:
        what = f"cannot import the module {module!r}: {error}"
        raise InputError(f"env.id={env_id!r}: {what}") from error
    except gymnasium.error.Error as error:
        known = [f"{module}:{known_id}" if module else known_id for known_id in gymnasium.registry]
        what = f"unknown environment{nearest(env_id, known)}; {error}"
        raise InputError(f"env.id={env_id!r}: {what}") from error


def _check_module(module: str) -> None:
    """Refuses a file merely below the working folder, such as one from a stranger's run."""
    first = module.partition(".")[0]
    package = find_package(module) if module.replace(".", "").isidentifier() else None
    if first not in sys.modules and (package is None or package.origin is None):
        raise ImportError(f"there is no package {first!r}")


def _offers_same_step(spec: EnvSpec) -> bool:
    entry = spec.vector_entry_point
    if entry is None:
        return False
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    return "autoreset_mode" in inspect.signature(creator).parameters


def _is_flat(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def _flat(env: Any) -> Any:
    """Flattens an observation that is not a vector yet; a discrete one becomes one-hot."""
    return env if _is_flat(env.observation_space) else FlattenObservation(env)


def _counted_from_0(envs: BatchEnv) -> BatchEnv:
    """Shifts discrete actions that an environment counts from another number than 0.

    The agents choose from 0 to n - 1; a network's outputs have no other names.
    """
    space: Any = envs.single_action_space
    start = getattr(space, "start", np.array(0))
    if not np.any(start):
        return envs
    if isinstance(space, spaces.Discrete):
        shifted: spaces.Space[Any] = spaces.Discrete(int(space.n))
    else:
        shifted = spaces.MultiDiscrete(space.nvec, dtype=space.dtype)
    return TransformAction(envs, partial(np.add, start), single_action_space=shifted)


def _observation_fault(space: spaces.Space[Any]) -> str:
    if not _is_flat(space):
        return f"its vector form observes {space}; a Box of one dimension is needed"
    return "" if spaces.flatdim(space) else f"its observations {space} are empty"


def _action_fault(space: spaces.Space[Any]) -> str:
    """Why neither agent can choose such actions; empty where both can."""
    name = f"its action space {space}"
    if isinstance(space, spaces.Discrete):
        return ""
    if not isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return f"{name} is neither a Box nor Discrete, MultiDiscrete or MultiBinary"
    if not spaces.flatdim(space):
        return f"{name} is empty"
    if not isinstance(space, spaces.Box):
        return "" if len(space.shape) == 1 else f"{name} must have one dimension"
    if space.dtype.kind != "f":
        return f"{name} holds whole numbers; a Box of floats or MultiDiscrete is needed"
    is_finite = np.isfinite(space.low).all() and np.isfinite(space.high).all()
    return "" if is_finite else f"{name} needs finite bounds"
