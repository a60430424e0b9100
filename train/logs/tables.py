"""``progress.csv``, in which nothing depends on the clock, and ``timing.csv``, what does."""

import csv
from pathlib import Path

TABLES = ("progress.csv", "timing.csv")
TIMING_COLUMNS = ("timesteps", "seconds", "steps_per_second")
LOSSES = ("train/policy_loss", "train/value_loss", "train/entropy_loss")
TRAIN_TAGS = ("train/learning_rate", *LOSSES, "train/explained_variance", "train/std")


class Tables:
    """Both tables of a run; every row is on the way to the disk when it has been written.

    ``columns`` are the tags of those that progress.csv has already; None starts both tables.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...] | None) -> None:
        mode = "w" if columns is None else "a"
        self._progress, self._timing = (
            (folder / name).open(mode, newline="", encoding="utf-8") for name in TABLES
        )
        self.columns = columns or ()
        if columns is None:
            csv.writer(self._timing).writerow(TIMING_COLUMNS)
            self._timing.flush()

    def write_progress(self, values: dict[str, float]) -> None:
        """Writes a row of tags; the columns are those of the first row and of every later loss."""
        writer = csv.writer(self._progress)
        if not self.columns:
            self.columns = tuple(dict.fromkeys((*values, *TRAIN_TAGS)))
            writer.writerow([tag.rsplit("/", 1)[-1] for tag in self.columns])
        writer.writerow([values.get(tag, "") for tag in self.columns])
        self._progress.flush()

    def write_timing(self, timesteps: int, seconds: float) -> None:
        """Writes how long the environment steps so far took [s]."""
        row = (timesteps, f"{seconds:.3f}", f"{timesteps / seconds:.0f}")
        csv.writer(self._timing).writerow(row)
        self._timing.flush()

    def close(self) -> None:
        """Closes the files."""
        self._progress.close()
        self._timing.close()
