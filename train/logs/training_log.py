"""What a training run writes while it goes on: progress.csv, timing.csv, TensorBoard events and one progress bar."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from train.logs import tensorboard
from train.logs.log_files import log_sizes, truncate_logs
from train.play import episode_metrics

PICTURES = 5  # of a run; each costs as much as a rollout
TRAIN_TAGS = (
    "train/learning_rate",
    "train/policy_loss",
    "train/value_loss",
    "train/entropy_loss",
    "train/explained_variance",
    "train/std",
)


class TrainingLog:
    """The log of one run, fed by either agent with Stable-Baselines3's tags.

    A row is written every ``log_interval`` rollouts, for the first rollout that finishes an
    episode, and at the end.

    Args:
        folder: The run's folder.
        total_timesteps: Environment steps that the run will take.
        log_interval: Rollouts between two rows.
        label: What the progress bar calls the run.
        show_progress: Whether to draw the bar.
        state: What ``get_state`` told, for a run that goes on: the files are cut back to what they
            were.

    Raises:
        InputError: The files of a run that goes on are not what they were.
    """

    def __init__(
        self,
        folder: Path,
        total_timesteps: int,
        log_interval: int,
        label: str,
        show_progress: bool = True,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        self._log_interval = log_interval
        truncate_logs(folder, state["files"] if state else {})
        self._progress = (folder / "progress.csv").open(
            "a" if state else "w", newline="", encoding="utf-8"
        )
        self._timing = (folder / "timing.csv").open(
            "a" if state else "w", newline="", encoding="utf-8"
        )
        purge_step = state["timesteps"] + 1 if state else None
        self._events = SummaryWriter(str(folder), flush_secs=1, purge_step=purge_step)
        if not state and (folder / "config.yaml").is_file():
            tensorboard.write_config(
                self._events, (folder / "config.yaml").read_text(encoding="utf-8")
            )
        self._episodes = tensorboard.Episodes()
        self._metrics: tuple[str, ...] = ()
        self._parts: list[tensorboard.Parts] = []
        self._pictures_every = max(1, total_timesteps // PICTURES)
        self._next_picture = self._pictures_every
        self._bar = tqdm(
            total=total_timesteps,
            desc=label,
            unit="step",
            disable=not show_progress,
            unit_scale=True,
        )
        self._columns: tuple[str, ...] = ()
        self._rollouts = 0
        self._pending = False
        self._first = True
        self._last: tuple[int, Callable[[], dict[str, float]]] = (0, dict)
        self._sums: dict[str, float] = {}
        self._finished = 0
        self.episodes = 0
        self._start = time.perf_counter()
        if state:
            self._set_state(state)
        else:
            csv.writer(self._timing).writerow(("timesteps", "seconds", "steps_per_second"))
            self._timing.flush()

    @property
    def timesteps(self) -> int:
        """Environment steps learned from so far."""
        return self._last[0]

    def get_state(self) -> dict[str, Any]:
        """How far the log is, its files included: what a log of the same run goes on from."""
        self._events.flush()
        return {
            "columns": self._columns,
            "rollouts": self._rollouts,
            "first": self._first,
            "timesteps": self.timesteps,
            "sums": dict(self._sums),
            "finished": self._finished,
            "episodes": self.episodes,
            "seconds": time.perf_counter() - self._start,
            "metrics": self._metrics,
            "picture": self._next_picture,
            "part": self._episodes.get_state(),
            "files": log_sizes(self._folder),
        }

    def _set_state(self, state: dict[str, Any]) -> None:
        self._columns, self._sums = state["columns"], state["sums"]
        self._rollouts, self._finished, self.episodes = (
            state["rollouts"],
            state["finished"],
            state["episodes"],
        )
        self._first, self._next_picture = state["first"], state["picture"]
        self._know(tuple(state["metrics"]))
        self._episodes.set_state(state["part"])
        self._last = (state["timesteps"], dict)
        self._start = time.perf_counter() - state["seconds"]
        self._bar.update(state["timesteps"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._progress.close()
        self._timing.close()
        self._events.close()

    def step(self, infos: dict[str, Any]) -> None:
        """Takes in the batched info of one vector step: the metrics of the episodes that ended with it."""
        self._episodes.step(infos)
        ended = infos.get("_episode")
        if ended is None:
            return
        self._finished += int(np.count_nonzero(ended))
        for name, values in episode_metrics(infos.get("final_info", {})).items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values[ended].sum())

    def rollout(self, timesteps: int, scalars: Callable[[], dict[str, float]]) -> None:
        """Takes in one rollout and its update.

        Args:
            timesteps: Environment steps so far.
            scalars: Gives Stable-Baselines3's tags with their values; called only where a row is
                due.
        """
        self._bar.update(timesteps - self._last[0])
        self._last = (timesteps, scalars)
        self._rollouts += 1
        self._pending = True
        if timesteps >= self._next_picture and self._parts and self._episodes.last is not None:
            tensorboard.write_picture(self._events, self._parts[0], self._episodes.last, timesteps)
            self._next_picture = (timesteps // self._pictures_every + 1) * self._pictures_every
        if self._rollouts % self._log_interval == 0 or (self._first and self._finished):
            self._write()

    def finish(self) -> None:
        """Writes what has come in since the last row."""
        if self._pending:
            self._write()

    def _write(self) -> None:
        timesteps, scalars = self._last[0], self._last[1]()
        metrics = (
            {name: total / self._finished for name, total in self._sums.items()}
            if self._finished
            else {}
        )
        self.episodes += self._finished
        seconds = time.perf_counter() - self._start
        speed = timesteps / seconds
        for tag, value in {
            **scalars,
            **metrics,
            **self._stacked(metrics),
            "time/fps": speed,
        }.items():
            self._events.add_scalar(tag, value, timesteps)
        if self.episodes:
            self._write_row(
                {"timesteps": timesteps, "episodes": self.episodes, **metrics, **scalars}
            )
        if self._first:
            self._events.flush()
        csv.writer(self._timing).writerow((timesteps, f"{seconds:.3f}", f"{speed:.0f}"))
        self._timing.flush()
        self._bar.set_postfix_str(
            f"ep_rew_mean={scalars.get('rollout/ep_rew_mean', np.nan):.4g}", refresh=False
        )
        self._first = self._first and not self._finished
        self._sums, self._finished, self._pending = {}, 0, False

    def _stacked(self, metrics: dict[str, float]) -> dict[str, float]:
        """The parts of a whole above each other; with the first metrics also what follows from their names."""
        if metrics and not self._metrics:
            tensorboard.write_layout(self._events, metrics)
            self._know(tuple(metrics))
        return (
            {tag: value for parts in self._parts for tag, value in parts.stacked(metrics).items()}
            if metrics
            else {}
        )

    def _know(self, metrics: tuple[str, ...]) -> None:
        self._metrics, self._parts = metrics, tensorboard.parts_of(metrics)
        self._episodes.whole = self._parts[0].whole if self._parts else ""

    def _write_row(self, values: dict[str, float]) -> None:
        """Writes a row of progress.csv; its columns are those of the first row and of every later loss."""
        writer = csv.writer(self._progress)
        if not self._columns:
            self._columns = tuple(dict.fromkeys((*values, *TRAIN_TAGS)))
            writer.writerow([name.rsplit("/", 1)[-1] for name in self._columns])
        writer.writerow([values.get(name, "") for name in self._columns])
        self._progress.flush()
