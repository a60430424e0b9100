"""What TensorBoard shows beside plain curves: a layout of those that matter, and the config."""

from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from train.logs.stacked import StackedMetric, stacked_metrics
from train.logs.tables import LOSSES
from train.storage.run_folder import Run


def write_layout(events: SummaryWriter, metrics: Iterable[str]) -> None:
    """Writes the layout of the custom scalars tab: what to watch, in the order in which to look."""
    tags = list(metrics)
    result = next((tag for tag in tags if tag.endswith("share_of_optimum")), "rollout/ep_rew_mean")
    name = result.rsplit("/", 1)[-1].replace("_", " ")
    charts = {
        "result": [_lines(name, result), *map(_stack, stacked_metrics(tags))],
        "learning": [
            _lines("losses", *LOSSES),
            _lines("explained variance", "train/explained_variance"),
            _lines("learning rate", "train/learning_rate"),
        ],
        "speed": [_lines("environment steps per second", "time/fps")],
    }
    tabs = [layout_pb2.Category(title=title, chart=chart) for title, chart in charts.items()]
    _add(events, _layout_summary(layout_pb2.Layout(category=tabs)))


def write_config(events: SummaryWriter, text: str) -> None:
    """Writes the config into the text tab as it stands."""
    events.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))


def write_outcome(run: Run, score: dict[str, float], timesteps: int) -> None:
    """Writes hyperparameters and the trained policy's mean metrics for the HParams tab."""
    plain, agent = run.config.model_dump(mode="json"), run.state.agent
    parts = {key: plain[key] for key in ("total_timesteps", "torch_threads", agent, "env")}
    values = {"agent": agent, "seed": run.state.seed, **_flat("", parts)}
    values = {name.removeprefix(f"{agent}."): value for name, value in values.items()}
    metrics = {f"evaluation/{name.rsplit('/', 1)[-1]}": value for name, value in score.items()}
    with SummaryWriter(str(run.folder), filename_suffix=".outcome") as events:
        for summary in hparams(values, metrics):  # type: ignore[no-untyped-call]
            _add(events, summary)
        for name, value in metrics.items():
            events.add_scalar(name, value, timesteps)


def _add(events: SummaryWriter, summary: Any) -> None:
    writer: Any = events.file_writer
    writer.add_summary(summary)


def _layout_summary(layout: Any) -> Any:
    """What ``add_custom_scalars`` of a SummaryWriter writes, which has one band a chart only."""
    text, shape = [layout.SerializeToString()], TensorShapeProto()
    content = TensorProto(dtype="DT_STRING", string_val=text, tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="custom_scalars"))
    value = Summary.Value(tag="custom_scalars__config__", tensor=content, metadata=metadata)
    return Summary(value=[value])


def _lines(title: str, *tags: str) -> Any:
    anchored = [f"^{tag}$" for tag in tags]
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=anchored))


def _stack(metric: StackedMetric) -> Any:
    series = [
        layout_pb2.MarginChartContent.Series(value=upper, lower=lower, upper=upper)
        for lower, upper in pairwise(metric.curves)
    ]
    title = f"{metric.name}, stacked: {', '.join(metric.parts)}"
    return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=series))


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested data as flat names to what HParams can show; None is left out."""
    if isinstance(value, dict):
        start = f"{prefix}." if prefix else ""
        below = [_flat(f"{start}{key}", part).items() for key, part in value.items()]
        return dict(chain.from_iterable(below))
    if value is None:
        return {}
    return {prefix: value if isinstance(value, (bool, int, float, str)) else str(value)}
