"""What a training run writes: progress.csv, timing.csv, TensorBoard events and one progress bar."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from train.logs.log_files import log_sizes, truncate_logs
from train.logs.stacked import Pictures, StackedMetric, stacked_metrics
from train.logs.tables import Tables
from train.logs.tensorboard import write_config, write_layout
from train.play import episode_metrics


class EpisodeMeans:
    """Means of the metrics of the episodes that ended since the last row."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.finished = 0  # episodes since the last row
        self.episodes = 0  # episodes before it

    def get_state(self) -> dict[str, Any]:
        """Returns what ``set_state`` takes."""
        return {"sums": dict(self._sums), "finished": self.finished, "episodes": self.episodes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from a state."""
        self._sums, self.finished = dict(state["sums"]), state["finished"]
        self.episodes = state["episodes"]

    def step(self, infos: dict[str, Any]) -> None:
        """Takes in the batched info of one vector step."""
        ended = infos.get("_episode")
        if ended is None:
            return
        self.finished += int(np.count_nonzero(ended))
        for name, values in episode_metrics(infos.get("final_info", {})).items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values[ended].sum())

    def take(self) -> dict[str, float]:
        """Returns the means, and starts with the next row."""
        means = {name: total / self.finished for name, total in self._sums.items()}
        self.episodes += self.finished
        self._sums, self.finished = {}, 0
        return means


class TrainingLog:
    """The log of one run, fed by either agent with Stable-Baselines3's tags.

    A row is written every ``log_interval`` rollouts, for the first rollout that finishes an
    episode, and at the end. The progress bar calls the run ``label``. With a ``state`` of
    ``get_state``, for a run that is resumed, files are cut back to what they were.

    Raises:
        InputError: Those files are not what they were.
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
        self._folder, self._log_interval = folder, log_interval
        truncate_logs(folder, state["files"] if state else {})
        self._tables = Tables(folder, tuple(state["columns"]) if state else None)
        self._events = SummaryWriter(str(folder), flush_secs=1)
        self._means, self._pictures = EpisodeMeans(), Pictures(total_timesteps)
        self._metrics: tuple[str, ...] = ()
        self._stacked: list[StackedMetric] = []
        self._rollouts, self._is_pending, self._has_row = 0, False, False
        self._last: tuple[int, Callable[[], dict[str, float]]] = (0, dict)
        self._start = time.perf_counter()
        is_hidden = not show_progress
        self._bar = tqdm(
            total=total_timesteps, desc=label, unit="step", unit_scale=True, disable=is_hidden
        )
        if state:
            self._set_state(state)
        elif (folder / "config.yaml").is_file():
            write_config(self._events, (folder / "config.yaml").read_text(encoding="utf-8"))

    @property
    def timesteps(self) -> int:
        """Environment steps learned from so far."""
        return self._last[0]

    def get_state(self) -> dict[str, Any]:
        """Returns what a log of the same run is resumed from, the sizes of its files included."""
        self._events.flush()
        return {
            "timesteps": self.timesteps,
            "seconds": time.perf_counter() - self._start,
            "rollouts": self._rollouts,
            "has_row": self._has_row,
            "columns": self._tables.columns,
            "metrics": self._metrics,
            "means": self._means.get_state(),
            "pictures": self._pictures.get_state(),
            "files": log_sizes(self._folder),
        }

    def _set_state(self, state: dict[str, Any]) -> None:
        self._last = (state["timesteps"], dict)
        self._start = time.perf_counter() - state["seconds"]
        self._rollouts, self._has_row = state["rollouts"], state["has_row"]
        self._set_metrics(tuple(state["metrics"]))
        self._means.set_state(state["means"])
        self._pictures.set_state(state["pictures"])
        self._bar.update(state["timesteps"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._tables.close()
        self._events.close()

    def step(self, infos: dict[str, Any]) -> None:
        """Takes in the batched info of one vector step."""
        self._pictures.step(infos)
        self._means.step(infos)

    def rollout(self, timesteps: int, scalars: Callable[[], dict[str, float]]) -> None:
        """Takes in one rollout; ``scalars`` is asked for its values by tags where a row is due."""
        self._bar.update(timesteps - self.timesteps)
        self._last, self._is_pending = (timesteps, scalars), True
        self._rollouts += 1
        self._pictures.write(self._events, timesteps)
        is_first = not self._has_row and self._means.finished > 0
        if is_first or self._rollouts % self._log_interval == 0:
            self._write()

    def finish(self) -> None:
        """Writes what has come in since the last row."""
        if self._is_pending:
            self._write()

    def _write(self) -> None:
        timesteps, scalars = self.timesteps, self._last[1]()
        metrics = self._means.take()
        seconds = time.perf_counter() - self._start
        curves = scalars | metrics | self._stack(metrics) | {"time/fps": timesteps / seconds}
        for tag, value in curves.items():
            self._events.add_scalar(tag, value, timesteps)
        if not self._has_row:
            self._events.flush()
        if episodes := self._means.episodes:
            row = {"timesteps": timesteps, "episodes": episodes}
            self._tables.write_progress(row | metrics | scalars)
            self._has_row = True
        self._tables.write_timing(timesteps, seconds)
        reward = scalars.get("rollout/ep_rew_mean", np.nan)
        self._bar.set_postfix_str(f"ep_rew_mean={reward:.4g}", refresh=False)
        self._is_pending = False

    def _stack(self, metrics: dict[str, float]) -> dict[str, float]:
        """The curves of stacked metrics; the layout follows from the first metrics' names."""
        if not metrics:
            return {}
        if not self._metrics:
            write_layout(self._events, metrics)
            self._set_metrics(tuple(metrics))
        heights = [metric.heights(metrics) for metric in self._stacked]
        return {tag: height for curves in heights for tag, height in curves.items()}

    def _set_metrics(self, metrics: tuple[str, ...]) -> None:
        self._metrics, self._stacked = metrics, stacked_metrics(metrics)
        self._pictures.show(self._stacked)
