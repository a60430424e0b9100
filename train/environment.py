"""From a Gymnasium id to a batch of environments that start anew in the step that ends an episode."""

import importlib
import inspect
import sys
from importlib.machinery import PathFinder
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import FlattenObservation
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from train.config import EnvConfig, InputError, nearest

BatchEnv = VectorEnv[Any, Any, Any]


def make_env(env: EnvConfig, n_envs: int) -> BatchEnv:
    """Makes ``n_envs`` environments in same-step mode, with flat observations.

    The environment's own vector form is used where it offers same-step mode, else Gymnasium's
    ``SyncVectorEnv``.

    Raises:
        InputError: The id is unknown, a keyword argument is refused, or the spaces cannot be
            learned.
    """
    spec = find_spec(env.id)
    try:
        if _offers_same_step(spec):
            kwargs = env.kwargs | {"autoreset_mode": AutoresetMode.SAME_STEP}
            envs = gymnasium.make_vec(
                spec, num_envs=n_envs, vectorization_mode="vector_entry_point", **kwargs
            )
        else:
            envs = gymnasium.make_vec(
                spec,
                num_envs=n_envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
                wrappers=(_flat,),
                **env.kwargs,
            )
    except (TypeError, ValueError, gymnasium.error.Error) as error:
        raise InputError(f"env {env.id}: {error}") from error
    _check_spaces(env.id, envs.single_observation_space, envs.single_action_space)
    return envs


def make_training_env(
    env: EnvConfig, n_envs: int, stats_window_size: int
) -> RecordEpisodeStatistics[Any, Any]:
    """``make_env`` that also keeps returns and lengths of the last ``stats_window_size`` episodes."""
    return RecordEpisodeStatistics(make_env(env, n_envs), buffer_length=stats_window_size)


def flat_observation_space(envs: BatchEnv) -> spaces.Box[Any]:
    """The space of one environment's observations: a flat box, as ``make_env`` sees to."""
    return cast("spaces.Box[Any]", envs.single_observation_space)


def find_spec(env_id: str) -> EnvSpec:
    """Looks an id up, after importing the module that it may name.

    Raises:
        InputError: There is no such module or id; the nearest id is named.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            _check_module(env_id, module)
            importlib.import_module(module)
        return gymnasium.spec(name)
    except ImportError as error:
        raise InputError(
            f"env.id={env_id!r}: cannot import the module {module!r}: {error}"
        ) from error
    except gymnasium.error.Error as error:
        known = [f"{module}:{other}" if module else other for other in gymnasium.registry]
        raise InputError(
            f"env.id={env_id!r}: unknown environment{nearest(env_id, known)}; {error}"
        ) from error


def _check_module(env_id: str, module: str) -> None:
    """Refuses a file that merely lies below the working folder, such as one that came with a stranger's run."""
    first = module.partition(".")[0]
    found = PathFinder.find_spec(first) if module.replace(".", "").isidentifier() else None
    if first not in sys.modules and (found is None or found.origin is None):
        raise InputError(
            f"env.id={env_id!r}: cannot import the module {module!r}: there is no package {first!r}"
        )


def _offers_same_step(spec: EnvSpec) -> bool:
    entry = spec.vector_entry_point
    if entry is None:
        return False
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    return "autoreset_mode" in inspect.signature(creator).parameters


def _is_flat(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def _flat(env: Any) -> Any:
    """Flattens what is not a vector yet; a discrete observation becomes one-hot."""
    return env if _is_flat(env.observation_space) else FlattenObservation(env)


def _check_spaces(env_id: str, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
    if not _is_flat(observation):
        raise InputError(
            f"env {env_id}: its vector form observes {observation}; a Box of one dimension is needed"
        )
    if isinstance(action, spaces.Discrete):
        return
    if not isinstance(action, spaces.Box):
        raise InputError(f"env {env_id}: its action space {action} is neither a Box nor Discrete")
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        raise InputError(f"env {env_id}: its action space {action} needs finite bounds")
