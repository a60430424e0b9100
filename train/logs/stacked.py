"""Metrics that are parts of one whole, such as spend by channel, as stacked curves and bars."""

from collections.abc import Iterable
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.utils.tensorboard import SummaryWriter

COLOURS = (
    *("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860"),
    *("#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd", "#1f3b57", "#b8d8a0"),
)
MAX_STEPS = 60  # that a picture can show side by side
PICTURES = 5  # of a run; each costs as much as a rollout


class StackedMetric(NamedTuple):
    """Metrics that are parts of a whole: ``campaign/spend_posts`` and ``campaign/spend_ads``."""

    name: str  # the whole: spend, also its name in info of the steps
    parts: tuple[str, ...]  # posts, ads
    tags: tuple[str, ...]  # of the metrics

    @property
    def curves(self) -> tuple[str, ...]:
        """Tags of the curves above each other: zero, the first part, the first two, and so on."""
        above = ["+".join(self.parts[: count + 1]) for count in range(len(self.parts))]
        return tuple(f"stacked/{self.name}/{name}" for name in ("0", *above))

    def heights(self, values: dict[str, float]) -> dict[str, float]:
        """The heights of those curves, by tag."""
        heights = np.cumsum([0.0, *(values[tag] for tag in self.tags)])
        return dict(zip(self.curves, heights.tolist(), strict=True))


def stacked_metrics(tags: Iterable[str]) -> list[StackedMetric]:
    """Finds the metrics that share the first word of their name: two or more are stacked."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for tag in tags:
        folder, _, name = tag.rpartition("/")
        whole, _, part = name.partition("_")
        if whole and part:
            groups.setdefault((folder, whole), {})[part] = tag
    return [
        StackedMetric(whole, tuple(parts), tuple(parts.values()))
        for (_, whole), parts in groups.items()
        if len(parts) > 1
    ]


class EpisodeTrace:
    """Follows the environments through whole episodes, and keeps an info entry of each step.

    Only where all environments end together is a step of one the same step of the others; their
    mean is kept.
    """

    def __init__(self) -> None:
        self._steps: list[NDArray[np.float64]] = []
        self._is_from_start = True
        self.name = ""  # the entry of info
        self.last: NDArray[np.float64] | None = None  # whole episode, (steps, parts)

    def get_state(self) -> dict[str, Any]:
        """Returns what ``set_state`` takes."""
        return {"steps": list(self._steps), "from_start": self._is_from_start, "last": self.last}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from a state."""
        self._steps, self._is_from_start = list(state["steps"]), state["from_start"]
        self.last = state["last"]

    def step(self, infos: dict[str, Any]) -> None:
        """Takes in the batched info of one vector step."""
        ended = infos.get("_episode")
        is_over = ended is not None and bool(np.any(ended))
        values = (infos.get("final_info", {}) if is_over else infos).get(self.name)
        if self._is_from_start and values is not None and len(self._steps) < MAX_STEPS:
            self._steps.append(np.asarray(values).mean(axis=0))
        if is_over:
            is_together = bool(np.all(ended))
            if self._is_from_start and is_together and self._steps:
                self.last = np.stack(self._steps)
            self._is_from_start, self._steps = is_together, []


class Pictures:
    """Draws the first stacked metric of an episode as bars, a few times in a run."""

    def __init__(self, total_timesteps: int) -> None:
        self._every = max(1, total_timesteps // PICTURES)
        self._next = self._every
        self._trace = EpisodeTrace()
        self._metric: StackedMetric | None = None

    def get_state(self) -> dict[str, Any]:
        """Returns what ``set_state`` takes."""
        return {"next": self._next, "trace": self._trace.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from a state."""
        self._next = state["next"]
        self._trace.set_state(state["trace"])

    def show(self, metrics: list[StackedMetric]) -> None:
        """Chooses what to draw, once the metrics are known."""
        self._metric = next(iter(metrics), None)
        self._trace.name = self._metric.name if self._metric else ""

    def step(self, infos: dict[str, Any]) -> None:
        """Takes in the batched info of one vector step."""
        self._trace.step(infos)

    def write(self, events: SummaryWriter, timesteps: int) -> None:
        """Writes a picture where one is due."""
        if timesteps < self._next or self._metric is None or self._trace.last is None:
            return
        picture, tag = stacked_bars(self._trace.last, self._metric.parts), self._metric.name
        events.add_image(f"allocation/{tag}", picture, timesteps, dataformats="HWC")
        self._next = (timesteps // self._every + 1) * self._every


def stacked_bars(steps: NDArray[np.float64], names: tuple[str, ...]) -> NDArray[np.uint8]:
    """A picture (height, width, 3) of a bar for each step, made of its parts (steps, parts)."""
    width, left, bottom, bars = 560, 16, 28, 232
    font = ImageFont.load_default(size=14)
    places, top = _legend(names, font, left, width - 160)
    height = top + bars + bottom
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    write = partial(draw.text, fill="black", font=font)
    colours = list(islice(cycle(COLOURS), len(names)))
    for name, colour, (x, y) in zip(names, colours, places, strict=True):
        draw.rectangle((x, y - 6, x + 12, y + 6), fill=colour)
        write((x + 18, y), name, anchor="lm")
    most = max(float(steps.sum(axis=1).max()), 1e-12)
    write((width - left, 20), f"full height: {most:.4g}", anchor="rm")
    slot = (width - 2 * left) / len(steps)
    for number, parts in enumerate(steps):
        start, base = left + number * slot, float(height - bottom)
        for value, colour in zip(parts, colours, strict=True):
            up = base - max(float(value), 0.0) / most * bars
            if round(base) > round(up):
                bar = (start + 0.1 * slot, round(up), start + 0.9 * slot, round(base) - 1)
                draw.rectangle(bar, fill=colour)
            base = up
        if slot >= 20:
            write((start + slot / 2, height - 14), str(number + 1), anchor="mm")
    return np.asarray(picture)


def _legend(
    names: tuple[str, ...], font: Any, left: int, right: int
) -> tuple[list[tuple[int, int]], int]:
    """Where each name of a legend stands, in as many rows as it takes, and where it ends."""
    places, x, y = [], left, 20
    for name in names:
        length = 40 + int(font.getlength(name))
        if x > left and x + length > right:
            x, y = left, y + 20
        places.append((x, y))
        x += length
    return places, y + 20
