"""What TensorBoard shows beside plain curves: a layout of the ones that matter, spend as a picture, hyperparameters."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from train.config import AgentName, TrainConfig

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")
MAX_STEPS = 60  # what a picture can show side by side


class Parts(NamedTuple):
    """Metrics that are parts of one whole, such as ``campaign/spend_posts`` and ``campaign/spend_ads``.

    Attributes:
        whole: What they are parts of, after the last slash: ``spend``; also the name in ``info`` of
            the steps.
        names: The parts: ``posts``, ``ads``.
        tags: The names of the metrics.
    """

    whole: str
    names: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def tops(self) -> tuple[str, ...]:
        """Tags of the curves that lie above each other: zero, the first part, the first two, and so on."""
        above = ["+".join(self.names[: count + 1]) for count in range(len(self.names))]
        return tuple(f"stacked/{self.whole}/{name}" for name in ("0", *above))

    def stacked(self, values: dict[str, float]) -> dict[str, float]:
        """The heights of those curves."""
        heights = np.cumsum([0.0, *(values[tag] for tag in self.tags)])
        return dict(zip(self.tops, heights.tolist(), strict=True))


class Episodes:
    """Follows the environments through whole episodes, and keeps what one step's ``info`` says of each part.

    Only where all environments end together is a step of one the same step of the others; their
    mean is kept.
    """

    def __init__(self) -> None:
        self._steps: list[NDArray[np.float64]] = []
        self._from_start = True
        self.whole = ""
        self.last: NDArray[np.float64] | None = None

    def get_state(self) -> dict[str, Any]:
        """How far the episodes are; ``set_state`` takes it back."""
        return {"steps": list(self._steps), "from_start": self._from_start, "last": self.last}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what ``get_state`` told."""
        self._steps, self._from_start, self.last = (
            list(state["steps"]),
            state["from_start"],
            state["last"],
        )

    def step(self, infos: dict[str, Any]) -> None:
        """Takes in the batched info of one vector step."""
        ended = infos.get("_episode")
        over = ended is not None and bool(np.any(ended))
        values = (infos.get("final_info", {}) if over else infos).get(self.whole)
        if self._from_start and values is not None and len(self._steps) < MAX_STEPS:
            self._steps.append(np.asarray(values).mean(axis=0))
        if over:
            together = bool(np.all(ended))
            if self._from_start and together and self._steps:
                self.last = np.stack(self._steps)
            self._from_start, self._steps = together, []


def parts_of(tags: Iterable[str]) -> list[Parts]:
    """The metrics that share all of their name but the last word: two or more are the parts of a whole."""
    groups: dict[str, list[str]] = {}
    for tag in tags:
        stem, _, word = tag.rpartition("_")
        if stem and "/" not in word:
            groups.setdefault(stem, []).append(tag)
    return [
        Parts(stem.rsplit("/", 1)[-1], tuple(tag[len(stem) + 1 :] for tag in group), tuple(group))
        for stem, group in groups.items()
        if len(group) > 1
    ]


def write_layout(events: SummaryWriter, metrics: Iterable[str]) -> None:
    """Writes the layout of the custom scalars tab: what to watch, in the order in which to look."""
    tags = list(metrics)
    result = next((tag for tag in tags if tag.endswith("share_of_optimum")), "rollout/ep_rew_mean")
    charts = [
        _lines(result.rsplit("/", 1)[-1].replace("_", " "), result),
        *map(_stack, parts_of(tags)),
    ]
    losses = [_lines("losses", "train/policy_loss", "train/value_loss", "train/entropy_loss")]
    losses += [
        _lines("explained variance", "train/explained_variance"),
        _lines("learning rate", "train/learning_rate"),
    ]
    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(title="result", chart=charts),
            layout_pb2.Category(title="learning", chart=losses),
            layout_pb2.Category(
                title="speed", chart=[_lines("environment steps per second", "time/fps")]
            ),
        ]
    )
    _add(events, _layout_summary(layout))


def write_config(events: SummaryWriter, text: str) -> None:
    """Writes the config into the text tab as it stands."""
    events.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))


def write_picture(
    events: SummaryWriter, parts: Parts, steps: NDArray[np.float64], timesteps: int
) -> None:
    """Draws the parts of every step of an episode, (steps, parts), as stacked bars."""
    events.add_image(
        f"allocation/{parts.whole}", stacked_bars(steps, parts.names), timesteps, dataformats="HWC"
    )


def write_outcome(
    folder: Path,
    config: TrainConfig,
    agent: AgentName,
    seed: int,
    score: dict[str, float],
    timesteps: int,
) -> None:
    """Writes the hyperparameters with what the trained agent reaches, for TensorBoard's HParams tab.

    Args:
        folder: The run's folder.
        config: Its experiment.
        agent: Which part of it was trained.
        seed: Its training seed.
        score: Metrics of the trained policy, flat names to means.
        timesteps: Environment steps learned from.
    """
    plain = config.model_dump(mode="json")
    values = {
        "agent": agent,
        "seed": seed,
        **_flat("", {key: plain[key] for key in ("total_timesteps", "torch_threads", agent)}),
        **_flat("env", plain["env"]),
    }
    values = {name.removeprefix(f"{agent}."): value for name, value in values.items()}
    metrics = {f"evaluation/{name.rsplit('/', 1)[-1]}": value for name, value in score.items()}
    with SummaryWriter(str(folder), filename_suffix=".outcome") as events:
        for summary in hparams(values, metrics):  # type: ignore[no-untyped-call]
            _add(events, summary)
        for name, value in metrics.items():
            events.add_scalar(name, value, timesteps)


def stacked_bars(steps: NDArray[np.float64], names: tuple[str, ...]) -> NDArray[np.uint8]:
    """A picture (height, width, 3) of a bar for each step, made of its parts (steps, parts)."""
    width, height, left, top, bottom = 560, 300, 16, 40, 28
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    place = left
    for name, colour in zip(names, COLOURS, strict=False):
        draw.rectangle((place, 14, place + 12, 26), fill=colour)
        draw.text((place + 18, 20), name, fill="black", font=font, anchor="lm")
        place += 40 + int(draw.textlength(name, font=font))
    most = max(float(steps.sum(axis=1).max()), 1e-12)
    draw.text((width - left, 20), f"full height: {most:.4g}", fill="black", font=font, anchor="rm")
    slot = (width - 2 * left) / len(steps)
    for number, parts in enumerate(steps):
        x, y = left + number * slot, float(height - bottom)
        for value, colour in zip(parts, COLOURS, strict=False):
            up = y - max(float(value), 0.0) / most * (height - top - bottom)
            if round(y) > round(up):
                draw.rectangle(
                    (x + 0.1 * slot, round(up), x + 0.9 * slot, round(y) - 1), fill=colour
                )
            y = up
        if slot >= 20:
            draw.text(
                (x + slot / 2, height - 14), str(number + 1), fill="black", font=font, anchor="mm"
            )
    return np.asarray(picture)


def _add(events: SummaryWriter, summary: Any) -> None:
    writer: Any = events.file_writer
    writer.add_summary(summary)


def _layout_summary(layout: Any) -> Any:
    """What ``SummaryWriter.add_custom_scalars`` writes; that one knows of one band a chart only."""
    content = TensorProto(
        dtype="DT_STRING", string_val=[layout.SerializeToString()], tensor_shape=TensorShapeProto()
    )
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="custom_scalars"))
    return Summary(
        value=[Summary.Value(tag="custom_scalars__config__", tensor=content, metadata=metadata)]
    )


def _lines(title: str, *tags: str) -> Any:
    anchored = [f"^{tag}$" for tag in tags]
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=anchored))


def _stack(parts: Parts) -> Any:
    series = [
        layout_pb2.MarginChartContent.Series(value=upper, lower=lower, upper=upper)
        for lower, upper in itertools.pairwise(parts.tops)
    ]
    title = f"{parts.whole}, stacked: {', '.join(parts.names)}"
    return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=series))


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested data as flat names to what HParams can show; nothing for what is none."""
    if isinstance(value, dict):
        pairs = (
            _flat(f"{prefix}.{key}" if prefix else str(key), part) for key, part in value.items()
        )
        return {name: part for pair in pairs for name, part in pair.items()}
    if value is None:
        return {}
    return {prefix: value if isinstance(value, (bool, int, float, str)) else str(value)}
