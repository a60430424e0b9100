"""One run, from its start or from a checkpoint to its end."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch._dynamo  # the first optimiser step would load it, and be counted as training

from train.agents.registry import REGISTRY
from train.config import AgentName, TrainConfig
from train.divergence import DivergedError, has_diverged
from train.env_state import get_env_state, set_env_state
from train.environment import flat_observation_space, make_env, make_training_env
from train.errors import InputError, first_line
from train.logs.tensorboard import write_outcome
from train.logs.training_log import TrainingLog
from train.play import Score, mean_score, percent
from train.signals import StopRequest, stop_on_signals
from train.storage import checkpoint as checkpoints
from train.storage import records, run_folder
from train.storage.checkpoint import Checkpoint, CheckpointWriter
from train.storage.files import write_file
from train.storage.run_folder import Run
from train.storage.safe_load import MAX_BYTES
from train.storage.state import NotPlainError, dump, get_random_state, set_random_state

ADVICE = "a lower learning_rate or max_grad_norm, or smaller rewards, may keep training stable"

Ending = Literal["interrupted", "finished"]


class NewRun(NamedTuple):
    """What a run is started with."""

    config: TrainConfig
    config_name: str  # stem of its file
    agent: AgentName
    seed: int
    runs_dir: Path
    command: str  # for the record


class Outcome(NamedTuple):
    """How a run ended."""

    run: Run
    state: Literal["interrupted", "diverged", "finished"]
    score: Score | None  # of the trained policy; None where training diverged
    seconds: float  # of training [s]
    fault: str = ""  # why it diverged

    @property
    def summary(self) -> str:
        """The line that ends a run: what the trained policy reaches, and how long it took."""
        parts: list[str] = [self.state]
        if self.score is not None:
            means = {name.rsplit("/", 1)[-1]: value for name, value in self.score.means.items()}
            parts = [f"{name} {value:,.1f}" for name, value in means.items()][:1]
            if "share_of_optimum" in means:
                parts.append(f"{percent(means['share_of_optimum'])} of the optimum")
            if self.score.cut:
                parts.append(self.score.cut)
        label = f"{self.run.state.agent} seed {self.run.state.seed}"
        return f"{label}: {', '.join(parts)}, {self.seconds:.1f} s, {self.run.folder}"


class _StoppedError(Exception):
    """A signal has asked to stop, and a rollout starts."""


class TrainingRun:
    """A run while it is trained, with its environments, log and checkpoints."""

    def __init__(
        self, run: Run, envs: Any, log: TrainingLog, stop: StopRequest, writer: CheckpointWriter
    ) -> None:
        self._run, self._envs, self._log = run, envs, log
        self._stop, self._writer = stop, writer
        self._learner = REGISTRY[run.state.agent].module()
        self._agent = self._learner.build(envs, run.config.agent(run.state.agent), run.state.seed)
        self._last = 0
        self._can_be_saved: bool | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes the state of a checkpoint.

        Raises:
            InputError: It does not fit the run.
        """
        parts, self._last = checkpoint.parts, checkpoint.timesteps
        with _explain_misfit(checkpoint):
            self._learner.set_state(self._agent, self._envs, self._run.state.seed, parts["agent"])
            set_env_state(self._envs, parts["environment"])
            set_random_state(parts["random"])

    def train(self) -> Ending:
        """Trains to the end or to a signal, then writes the model and run.json.

        Raises:
            DivergedError: Losses or weights are not finite; run.json says so, checkpoints stay.
            OSError: A file cannot be written.
        """
        try:
            state = self._learn()
        except DivergedError as error:
            self._write_state("diverged")
            last = f"the last good checkpoint is that of step {self._last:,}"
            kept = last if self._last else "no checkpoint yet"
            raise DivergedError(f"run {self._run.folder}: {error}; {kept}; {ADVICE}") from error
        write_file(self._run.model, lambda path: self._learner.save(self._agent, path))
        self._write_state(state)
        return state

    def write_checkpoint(self, timesteps: int) -> None:
        """Writes a checkpoint, if the environment can be saved at all."""
        if self._can_be_saved:
            parts = {
                "config": self._run.config.model_dump(mode="json"),
                "agent": self._learner.get_state(self._agent),
                "environment": get_env_state(self._envs),
                "random": get_random_state(),
                "log": self._log.get_state(),
            }
            self._writer.write(timesteps, parts)
            self._last = timesteps

    def _learn(self) -> Ending:
        total, seed, log = self._run.config.total_timesteps, self._run.state.seed, self._log
        try:
            if log.timesteps < total:  # else it was killed before its model was saved
                self._learner.learn(self._agent, self._envs, total, seed, log, self._before_rollout)
                self.write_checkpoint(log.timesteps)
        except (KeyboardInterrupt, _StoppedError):
            log.finish()
            return "interrupted"
        except (ValueError, RuntimeError, ArithmeticError) as error:
            # Weights beyond all bounds make whatever they reach fail, each in its own words.
            if not has_diverged(self._learner.get_state(self._agent)):
                raise
            what = f"training diverged after step {log.timesteps:,}: {first_line(error)}"
            raise DivergedError(what) from error
        return "finished"

    def _before_rollout(self, timesteps: int) -> None:
        """Writes a checkpoint where one is due, and stops where a signal has asked for it."""
        if self._can_be_saved is None:
            self._can_be_saved = self._check_environment()
        must_stop = self._stop.is_made
        is_due = timesteps - self._last >= self._run.config.checkpoint_every
        if timesteps > self._last and (must_stop or is_due):
            self.write_checkpoint(timesteps)
        if must_stop:
            raise _StoppedError

    def _check_environment(self) -> bool:
        """Whether the environment can be saved; says so at the start, not after hours."""
        try:
            size = len(dump(get_env_state(self._envs)))
            reason = f"it takes {size:,} bytes, at most {MAX_BYTES:,} are read"
        except NotPlainError as error:
            size, reason = sys.maxsize, f"{error}, and it has no get_state() and set_state()"
        if size > MAX_BYTES:
            what = f"no checkpoints: {self._run.config.env.id} cannot be saved: {reason}"
            end = "--resume will start from the beginning"
            print(f"run {self._run.folder}: {what}; {end}", file=sys.stderr)
        return size <= MAX_BYTES

    def _write_state(self, state: Literal["interrupted", "diverged", "finished"]) -> None:
        changes = {"state": state, "timesteps": self._log.timesteps}
        run_folder.write_state(self._run.folder, self._run.state.model_copy(update=changes))


def start_run(new: NewRun, show_progress: bool = True) -> Outcome:
    """Trains one agent with one seed into a folder of its own.

    Raises:
        InputError: The environment is refused, or a file cannot be written.
    """
    with _training_envs(new.config, new.agent) as envs:  # a bad one leaves no folder
        run = run_folder.create_run(new.runs_dir, new.config_name, new.config, new.agent, new.seed)
        with run_folder.explain_write_errors(run.folder), run_folder.lock(run.folder):
            records.write_records(run, new.command)
            return run_training(run, envs, None, show_progress)


def resume_run(folder: Path, total_timesteps: int | None, command: str) -> Outcome | None:
    """Resumes a run from its last checkpoint; None where it is finished already.

    ``total_timesteps`` is another end than that of its config, where it is not None.

    Raises:
        InputError: It is not a run, cannot be resumed, or another process is writing it.
    """
    run_folder.find_run(folder)
    with run_folder.explain_write_errors(folder), run_folder.lock(folder):
        run = run_folder.find_run(folder)
        if total_timesteps is None and run.is_finished:
            done = f"is finished already, after {run.state.timesteps:,} steps"
            print(f"run {folder}: {done}; to train it further, give --total-timesteps")
            return None
        checkpoint = _last_checkpoint(run)
        extended = run if total_timesteps is None else _extended(run, checkpoint, total_timesteps)
        with _training_envs(run.config, run.state.agent) as envs:
            _announce(extended, run, checkpoint)
            checkpoints.quarantine(folder, checkpoint)
            checkpoints.remove_partial(folder)
            records.write_config(extended)
            records.append_command(run, command)
            return run_training(extended, envs, checkpoint)


def run_training(
    run: Run, envs: Any, checkpoint: Checkpoint | None, show_progress: bool = True
) -> Outcome:
    """Trains a run to its end, from its start or from a checkpoint, and scores its policy.

    Raises:
        InputError: The checkpoint does not fit the run.
        OSError: A file cannot be written.
    """
    torch.set_num_threads(run.config.torch_threads)
    run_folder.write_state(run.folder, run.state.model_copy(update={"state": "running"}))
    start = time.perf_counter()
    try:
        with (
            _quiet_writer_thread(),
            stop_on_signals() as stop,
            closing(CheckpointWriter(run.folder)) as writer,
            _open_log(run, checkpoint, show_progress) as log,
        ):
            training = TrainingRun(run, envs, log, stop, writer)
            if checkpoint is not None:
                training.restore(checkpoint)
            state = training.train()
    except DivergedError as error:
        return Outcome(run, "diverged", None, time.perf_counter() - start, str(error))
    seconds = time.perf_counter() - start
    score = _score(run)
    if state == "finished":
        write_outcome(run, score.means, log.timesteps)
    return Outcome(run, state, score, seconds)


@contextmanager
def _training_envs(config: TrainConfig, agent: AgentName) -> Iterator[Any]:
    part = config.agent(agent)
    with closing(make_training_env(config.env, part.n_envs, part.stats_window_size)) as envs:
        yield envs


def _open_log(run: Run, checkpoint: Checkpoint | None, show_progress: bool) -> TrainingLog:
    agent, total = run.state.agent, run.config.total_timesteps
    interval, label = run.config.agent(agent).log_interval, f"{agent} seed {run.state.seed}"
    if checkpoint is None:
        return TrainingLog(run.folder, total, interval, label, show_progress)
    with _explain_misfit(checkpoint):
        state = checkpoint.parts["log"]
        return TrainingLog(run.folder, total, interval, label, show_progress, state)


def _score(run: Run) -> Score:
    """Plays the trained policy in the episodes of the config's evaluation."""
    config, agent = run.config, run.state.agent
    with closing(make_env(config.env, config.evaluation.n_eval_episodes)) as envs:
        spaces = flat_observation_space(envs), envs.single_action_space
        policy = REGISTRY[agent].module().load(run.model, config.agent(agent), *spaces)
        return mean_score(policy, envs, config.evaluation.seed)


def _last_checkpoint(run: Run) -> Checkpoint | None:
    """The newest good checkpoint; damaged ones are named, one of another config is refused."""
    checkpoint, damaged = checkpoints.newest_checkpoint(run.folder)
    for line in damaged:
        print(f"{line}; the one before is taken", file=sys.stderr)
    if checkpoint is None:
        if checkpoints.has_older_format(run.folder):
            raise InputError(
                f"run {run.folder}: its checkpoints have the format of an earlier version, which "
                "is not read any more; train it from the beginning, as command.txt says"
            )
        return None
    with _explain_misfit(checkpoint):
        changes = list(_changes(run, checkpoint, checkpoint.parts["config"]))
    if changes:
        advice = "put config.yaml back, or train a new run"
        raise InputError(f"run {run.folder}: {'; '.join(changes)}; {advice}")
    return checkpoint


def _changes(run: Run, checkpoint: Checkpoint, before: dict[str, Any]) -> Iterator[str]:
    """What decides the weights and was changed since the checkpoint, a line for each value."""
    now = run.config.model_dump(mode="json")
    keys = ["env", "torch_threads", run.state.agent]
    if now["total_timesteps"] <= checkpoint.timesteps:
        keys.append("total_timesteps")
    for key in keys:
        yield from _differences(key, now[key], before[key])


def _differences(name: str, now: Any, before: Any) -> Iterator[str]:
    if isinstance(now, dict) and isinstance(before, dict):
        for key in now | before:
            yield from _differences(f"{name}.{key}", now.get(key), before.get(key))
    elif now != before:
        yield f"config.yaml says {name} {now}, the checkpoint was made with {before}"


def _extended(run: Run, checkpoint: Checkpoint | None, total_timesteps: int) -> Run:
    """The run with another end, refused where it has come further already."""
    steps = max(run.state.timesteps, 0 if checkpoint is None else checkpoint.timesteps)
    if total_timesteps <= steps:
        where = f"run {run.folder} has {steps:,} steps already"
        raise InputError(f"--total-timesteps {total_timesteps}: {where}")
    update = {"total_timesteps": total_timesteps}
    return run._replace(config=run.config.model_copy(update=update))


def _announce(extended: Run, run: Run, checkpoint: Checkpoint | None) -> None:
    """Says from where a run is resumed, and what may change its bits."""
    where = f"run {run.folder}"
    for line in records.version_differences(run):
        effect = "the bits may differ from those of a run never stopped"
        print(f"{where}: {line}: {effect}", file=sys.stderr)
    now, before = extended.config.total_timesteps, run.config.total_timesteps
    if checkpoint is not None:  # config.yaml may have another end by now
        before = checkpoint.parts["config"]["total_timesteps"]
    if now != before:
        print(
            f"{where}: trains to {now:,} steps instead of {before:,}; its schedules are stretched "
            "to that length, so the result differs from that of a run of so many steps from the "
            "start"
        )
    start = "has no checkpoint: starts from the beginning"
    if checkpoint is not None:
        start = f"resumes after step {checkpoint.timesteps:,}"
    print(f"{where}: {start}", flush=True)


@contextmanager
def _explain_misfit(checkpoint: Checkpoint) -> Iterator[None]:
    """Turns whatever the state of something else makes its reader raise into an InputError."""
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        what = f"it has no part {error}" if isinstance(error, KeyError) else first_line(error)
        raise InputError(f"checkpoint {checkpoint.path} does not fit its run: {what}") from error


@contextmanager
def _quiet_writer_thread() -> Iterator[None]:
    """Silences TensorBoard's writer thread on a full disk; the next write to it raises as well."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if issubclass(args.exc_type, OSError) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before
