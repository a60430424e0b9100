"""One run being trained: learner, environments, log and checkpoints, from its start or from a checkpoint to its end."""

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from train.agents.registry import Agent
from train.config import InputError
from train.env_state import get_env_state, set_env_state
from train.environment import make_training_env
from train.logs.training_log import TrainingLog
from train.signals import DivergedError, StopRequest, stop_on_signals
from train.storage import run_folder
from train.storage.checkpoint import Checkpoint, CheckpointWriter
from train.storage.run_folder import Run, RunState
from train.storage.state import NotPlainError, get_random_state, pack, set_random_state

LARGEST_WEIGHT = 1e12
ADVICE = "a lower learning_rate or max_grad_norm, or smaller rewards, may keep it within numbers"


class _StoppedError(Exception):
    """A signal has asked to stop, and a rollout starts."""


class Session:
    """What of a run is alive while it is trained.

    Args:
        run: The run.
        learner: Its kind of agent.
        agent: The agent.
        envs: Its environments.
        log: Its log.
        stop: Whether a signal has asked to stop.
        last: Environment steps of the last checkpoint, 0 where there is none.
    """

    def __init__(
        self,
        run: Run,
        learner: Agent[Any, Any],
        agent: Any,
        envs: Any,
        log: TrainingLog,
        stop: StopRequest,
        last: int,
    ) -> None:
        self._run, self._learner, self._agent, self._envs = run, learner, agent, envs
        self._log, self._stop, self._last = log, stop, last
        self._writer: CheckpointWriter | None = CheckpointWriter(run.folder)
        self._asked = False

    @property
    def last(self) -> int:
        """Environment steps of the last checkpoint, 0 where there is none."""
        return self._last

    def before_rollout(self, timesteps: int) -> None:
        """Writes a checkpoint where one is due, and stops where a signal has asked for it."""
        if not self._asked:
            self._ask_environment()
        stops = self._stop.asked
        if timesteps > self._last and (
            stops or timesteps - self._last >= self._run.config.checkpoint_every
        ):
            self.write(timesteps)
        if stops:
            raise _StoppedError

    def write(self, timesteps: int) -> None:
        """Writes a checkpoint, if the environment can be saved at all."""
        if self._writer is not None:
            self._writer.write(timesteps, self._state())
            self._last = timesteps

    def close(self) -> None:
        """Waits until the last checkpoint is on the disk."""
        if self._writer is not None:
            self._writer.close()
            self._writer.wait()

    def _state(self) -> dict[str, Any]:
        return {
            "agent": self._learner.get_state(self._agent),
            "environment": get_env_state(self._envs),
            "random": get_random_state(),
            "log": self._log.get_state(),
        }

    def _ask_environment(self) -> None:
        """Says at the start, and not after hours, that an environment cannot be saved."""
        self._asked = True
        try:
            pack(get_env_state(self._envs))
        except NotPlainError as error:
            self._writer = None
            print(
                f"run {self._run.folder}: no checkpoints: {self._run.config.env.id} cannot be saved: {error}, and it "
                "has no get_state() and set_state(); --resume will start anew",
                file=sys.stderr,
            )


def learn(
    run: Run, learner: Agent[Any, Any], checkpoint: Checkpoint | None, show_progress: bool = True
) -> tuple[Literal["interrupted", "finished"], int]:
    """Trains a run and saves its model; how it ended, and after how many environment steps.

    Raises:
        DivergedError: What was learned is no number any more; the run's state says so, its
            checkpoints stay.
        InputError: The checkpoint does not fit the run.
        OSError: A file cannot be written.
    """
    config, seed = run.config, run.state.seed
    part = config.agent(run.state.agent)
    envs = make_training_env(config.env, part.n_envs, part.stats_window_size)
    log_state = None if checkpoint is None else _part(run, checkpoint, "log")
    label = f"{run.state.agent} seed {seed}"
    with (
        _quiet_writer_thread(),
        stop_on_signals() as stop,
        TrainingLog(
            run.folder, config.total_timesteps, part.log_interval, label, show_progress, log_state
        ) as log,
    ):
        agent = learner.build(envs, part, seed)
        if checkpoint is not None:
            _restore(run, learner, agent, envs, checkpoint)
        session = Session(
            run, learner, agent, envs, log, stop, 0 if checkpoint is None else checkpoint.timesteps
        )
        try:
            state = _learn(run, learner, agent, envs, log, session)
            session.close()
        except DivergedError as error:
            _write_state(run, "diverged", log.timesteps)
            kept = (
                f"the last good checkpoint is that of step {session.last:,}"
                if session.last
                else "no checkpoint yet"
            )
            raise DivergedError(f"run {run.folder}: {error}; {kept}; {ADVICE}") from error
        run_folder.write_file(run.model, lambda path: learner.save(agent, path))
        _write_state(run, state, log.timesteps)
    envs.close()
    return state, log.timesteps


def _learn(
    run: Run, learner: Agent[Any, Any], agent: Any, envs: Any, log: TrainingLog, session: Session
) -> Literal["interrupted", "finished"]:
    total = run.config.total_timesteps
    if log.timesteps >= total:  # killed between its end and the saving of its model
        return "finished"
    try:
        learner.learn(agent, envs, total, run.state.seed, log, session.before_rollout)
    except (KeyboardInterrupt, _StoppedError):
        log.finish()
        return "interrupted"
    except (ValueError, RuntimeError, ArithmeticError) as error:
        # Weights far beyond all bounds make networks, distributions and environments fail, each in
        # its own words.
        if _largest(learner.get_state(agent)) < LARGEST_WEIGHT:
            raise
        raise DivergedError(
            f"training diverged after step {log.timesteps:,}: {_first_line(error)}"
        ) from error
    session.write(log.timesteps)
    return "finished"


def _largest(state: dict[str, Any]) -> float:
    """The largest magnitude of a float in what an agent is made of; infinity where one is no number."""
    floats = [array for array in pack(state).arrays if array.dtype.kind == "f" and array.size]
    largest = max((float(np.abs(array).max()) for array in floats), default=0.0)
    return (
        math.inf
        if math.isnan(largest) or not all(np.isfinite(array).all() for array in floats)
        else largest
    )


def _restore(
    run: Run, learner: Agent[Any, Any], agent: Any, envs: Any, checkpoint: Checkpoint
) -> None:
    try:
        learner.set_state(agent, envs, run.state.seed, checkpoint.state["agent"])
        set_env_state(envs, checkpoint.state["environment"])
        set_random_state(checkpoint.state["random"])
    except (
        Exception
    ) as error:  # whatever a state of something else makes learner or environment raise
        raise InputError(
            f"{_named(run, checkpoint)} does not fit its run: {_first_line(error)}"
        ) from error


def _part(run: Run, checkpoint: Checkpoint, name: str) -> Any:
    if not isinstance(checkpoint.state, dict) or not isinstance(checkpoint.state.get(name), dict):
        raise InputError(f"{_named(run, checkpoint)} does not fit its run: it has no part {name!r}")
    return checkpoint.state[name]


def _named(run: Run, checkpoint: Checkpoint) -> str:
    return f"checkpoint {run.folder / 'checkpoint' / str(checkpoint.timesteps)}"


def _write_state(
    run: Run, state: Literal["interrupted", "diverged", "finished"], timesteps: int
) -> None:
    run_folder.write_state(
        run.folder,
        RunState(agent=run.state.agent, seed=run.state.seed, state=state, timesteps=timesteps),
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@contextmanager
def _quiet_writer_thread() -> Iterator[None]:
    """Keeps a full disk to one message: what TensorBoard's thread prints, the next write to it raises as well."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if issubclass(args.exc_type, OSError) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before
