"""Gives a Gymnasium vector environment to Stable-Baselines3 without a loop over environments."""

from collections import UserDict
from collections.abc import Container, Iterable, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from train.play import FINAL

EPISODE = {"episode", "_episode"}  # what RecordEpisodeStatistics adds, of the episode that ended


class Batch(NamedTuple):
    """One vector step's info in same-step mode, as Gymnasium gave it; each of length n_envs."""

    infos: dict[str, Any]  # names to arrays (n_envs, ...)
    final_obs: Any  # the last observation of each ended episode; None where none ended
    dones: list[bool]  # episodes that ended in this step
    timeouts: list[bool]  # those among them that were cut off rather than finished

    def row(self, i: int) -> dict[str, Any]:
        """Every entry of one environment; of the episode's last step where it has ended."""
        if not self.dones[i]:
            return _row(self.infos, i, without=FINAL)
        return {
            **_row({name: self.infos[name] for name in EPISODE & self.infos.keys()}, i),
            **_row(self.infos.get("final_info", {}), i),
            "terminal_observation": self.final_obs[i],
            "TimeLimit.truncated": self.timeouts[i],
        }


class EnvInfo(UserDict[str, Any]):
    """The info of one environment, built from the batch when first read.

    The two entries that Stable-Baselines3 reads of every finished episode come straight from it.
    """

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch, self._index = batch, index  # UserDict's own would build the entries

    @cached_property
    def data(self) -> dict[str, Any]:  # type: ignore[override]
        """All entries."""
        return self._batch.row(self._index)

    def get(self, name: str, default: Any = None) -> Any:
        """The entry of a name, or the default."""
        if "data" not in self.__dict__ and self._batch.dones[self._index]:
            if name == "terminal_observation":
                return self._batch.final_obs[self._index]
            if name == "TimeLimit.truncated":
                return self._batch.timeouts[self._index]
        return self.data.get(name, default)

    def copy(self) -> dict[str, Any]:  # type: ignore[override]
        """All entries as a plain dict."""
        return dict(self.data)


class BatchInfos(Sequence[EnvInfo]):
    """The infos of one vector step, built when first read, which is rare."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.batch = batch.infos  # as Gymnasium gave them

    @cached_property
    def _rows(self) -> list[EnvInfo]:
        return [EnvInfo(self._batch, i) for i in range(len(self))]

    def __len__(self) -> int:
        return len(self._batch.dones)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]


class SB3VecEnv(VecEnv):
    """A Gymnasium vector environment as a Stable-Baselines3 ``VecEnv``.

    Args:
        envs: A vector environment in same-step autoreset mode.

    Raises:
        ValueError: Another autoreset mode. In next-step mode every episode is followed by a filler
            transition whose action is ignored, and Stable-Baselines3 would train on it; without
            autoreset its episodes never end.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        mode = envs.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"autoreset_mode={mode}: must be {AutoresetMode.SAME_STEP}: Stable-Baselines3 "
                "would train on the filler transitions of next-step mode, and never see an episode "
                "end without autoreset"
            )
        self.envs = envs
        self._actions: NDArray[Any] | None = None
        self._resets = np.full(envs.num_envs, {}, dtype=object)  # batched infos of the last resets
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    @property
    def reset_infos(self) -> list[dict[str, Any]]:
        """The info of the last reset of each environment, built when read and not in each step."""
        return [_row(infos, i, without=FINAL | EPISODE) for i, infos in enumerate(self._resets)]

    @reset_infos.setter
    def reset_infos(self, infos: list[dict[str, Any]]) -> None:
        """Ignores the empty ones that Stable-Baselines3 sets when it builds a ``VecEnv``."""

    def reset(self) -> Any:
        """Resets all environments with the seeds and options set before: their observations."""
        options = self._options[0]
        if any(env_options != options for env_options in self._options):
            raise ValueError(
                "a Gymnasium vector environment takes the same reset options for every environment"
            )
        # One seed stands for all: Gymnasium counts on from it, as seed() does.
        observations, infos = self.envs.reset(seed=self._seeds[0], options=options or None)
        self._resets[:] = infos
        self._reset_seeds()
        self._reset_options()
        return deepcopy(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions, (n_envs, ...), for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Steps all environments: observations, rewards, dones, infos, each of length n_envs."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        dones, timeouts = terminated | truncated, truncated & ~terminated
        batch = Batch(infos, infos.get("final_obs"), dones.tolist(), timeouts.tolist())
        self._resets[dones] = infos
        # A copy: the environments may write into their array again before the rollout is learned.
        seen = deepcopy(observations)
        return seen, rewards.astype(np.float32), dones, BatchInfos(batch)  # type: ignore[return-value]

    def close(self) -> None:
        """Closes the environments."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment; where they are one object, of that object."""
        return [_attribute(target, attr_name) for target in self._targets(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute of each environment; where they are one object, of that object."""
        for target in self._targets(indices):
            setattr(target.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Calls a method of each environment; where they are one object, of that object."""
        methods = self.get_attr(method_name, indices)
        return [method(*args, **kwargs) for method in methods]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Whether each environment is wrapped; those of a native vector environment never are."""
        targets = self._targets(indices)
        return [target is not self.envs and is_wrapped(target, wrapper_class) for target in targets]

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """One picture of each environment."""
        images: Any = self.envs.render()
        return list(images or [None] * self.num_envs)

    def _targets(self, indices: VecEnvIndices) -> list[Any]:
        chosen: Iterable[int] = self._get_indices(indices)
        single = getattr(self.envs.unwrapped, "envs", None)
        return [self.envs if single is None else single[i] for i in chosen]


def _attribute(target: Any, name: str) -> Any:
    """Looks past the wrappers that do not have the attribute themselves."""
    return getattr(target, name) if hasattr(target, name) else getattr(target.unwrapped, name)


def _row(infos: dict[str, Any], i: int, without: Container[str] = ()) -> dict[str, Any]:
    """The entries of one environment in Gymnasium's batched info.

    A mask under ``_name`` marks the environments that have the entry ``name``.
    """
    row: dict[str, Any] = {}
    for name, value in infos.items():
        mask = infos.get(f"_{name}")
        is_mask = name.startswith("_") and name[1:] in infos
        if name in without or is_mask or (mask is not None and not mask[i]):
            continue
        row[name] = _row(value, i) if isinstance(value, dict) else value[i]
    return row
