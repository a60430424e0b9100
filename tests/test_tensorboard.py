"""TensorBoard as its user meets it: every tag by its own reader, and its server over HTTP."""

import io
import itertools
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from train.__main__ import main
from train.logs.stacked import EpisodeTrace, stacked_bars, stacked_metrics

TOPS = [
    "stacked/spend/0",
    "stacked/spend/posts",
    "stacked/spend/posts+ads",
    "stacked/spend/posts+ads+rewards",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the dynamic campaign by each agent."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["configs/dynamic.yaml", "--total-timesteps", "9000", "--seeds", "1"]
    assert (
        main(
            [
                *words,
                "--reference.log-interval",
                "2",
                "--a2c.log-interval",
                "2",
                "--runs-dir",
                str(folder),
            ]
        )
        == 0
    )
    return folder


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(
        str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}
    )
    accumulator.Reload()
    return accumulator


@pytest.mark.parametrize("agent", ["a2c", "reference"])
def test_every_curve_is_there_by_environment_steps(runs: Path, agent: str) -> None:
    found = events(runs / f"dynamic/{agent}-seed1-1")
    rows = pd.read_csv(runs / f"dynamic/{agent}-seed1-1/progress.csv")
    for tag in (
        "campaign/share_of_optimum",
        "campaign/spend_ads",
        "time/fps",
        "rollout/ep_rew_mean",
        *TOPS,
    ):
        assert [event.step for event in found.Scalars(tag)] == rows["timesteps"].tolist(), tag
    heights = [[event.value for event in found.Scalars(tag)] for tag in TOPS]
    parts = rows[["spend_posts", "spend_ads", "spend_rewards"]].to_numpy()
    np.testing.assert_allclose(np.diff(heights, axis=0).T, parts, rtol=1e-4)
    np.testing.assert_allclose(heights[-1], 700, rtol=1e-4)


def test_the_layout_shows_what_matters_and_every_tag_of_it_exists(runs: Path) -> None:
    found = events(runs / "dynamic/a2c-seed1-1")
    content = found.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(content)
    charts = {chart.title: chart for category in layout.category for chart in category.chart}
    assert list(charts) == [
        "share of optimum",
        "spend, stacked: posts, ads, rewards",
        "losses",
        "explained variance",
        "learning rate",
        "environment steps per second",
    ]
    named = {tag.strip("^$") for chart in charts.values() for tag in chart.multiline.tag}
    stack = charts["spend, stacked: posts, ads, rewards"].margin.series
    named |= {tag for series in stack for tag in (series.value, series.lower, series.upper)}
    assert named <= set(found.Tags()["scalars"])
    assert [(series.lower, series.upper) for series in stack] == list(itertools.pairwise(TOPS))


def test_the_allocation_is_drawn_every_so_often(runs: Path) -> None:
    pictures = events(runs / "dynamic/a2c-seed1-1").Images("allocation/spend")
    steps = [picture.step for picture in pictures]
    assert (
        len(steps) >= 4
    )  # one for each fifth of the run, but for a last one that the end came before
    assert steps == sorted(set(steps))
    assert np.diff(steps).min() >= 900
    picture = np.asarray(Image.open(io.BytesIO(pictures[0].encoded_image_string)))
    assert picture.shape == (300, 560, 3)


def test_the_config_stands_there_as_text(runs: Path) -> None:
    folder = runs / "dynamic/reference-seed1-1"
    text = events(folder).Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    expected = (folder / "config.yaml").read_text().splitlines()
    assert [line.removeprefix("    ") for line in text.splitlines()] == expected


def test_hyperparameters_stand_once_with_the_final_metrics(runs: Path) -> None:
    folder = runs / "dynamic/a2c-seed1-1"
    found = events(folder)
    tags = [tag for tag in found.PluginTagToContent("hparams") if tag.startswith("_hparams_/")]
    assert sorted(tags) == [
        "_hparams_/experiment",
        "_hparams_/session_end_info",
        "_hparams_/session_start_info",
    ]
    data = found.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    given = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info.hparams
    assert given["agent"].string_value == "a2c"
    assert (given["seed"].number_value, given["n_envs"].number_value) == (1, 128)
    assert given["policy_kwargs.net_arch"].string_value == "[96, 96]"
    assert given["env.kwargs.reward_scale"].number_value == 0.0015
    last = found.Scalars("evaluation/share_of_optimum")
    timesteps = json.loads((folder / "run.json").read_text())["timesteps"]
    assert [event.step for event in last] == [timesteps]
    assert 0.5 < last[0].value <= 1


def test_parts_of_a_whole_are_known_by_their_names() -> None:
    (metric,) = stacked_metrics(["x/spend_a", "x/share_of_optimum", "x/engagement", "x/spend_b"])
    assert (metric.name, metric.parts) == ("spend", ("a", "b"))
    assert metric.tags == ("x/spend_a", "x/spend_b")
    assert metric.heights({"x/spend_a": 2.0, "x/spend_b": 3.0}) == {
        "stacked/spend/0": 0.0,
        "stacked/spend/a": 2.0,
        "stacked/spend/a+b": 5.0,
    }
    assert stacked_metrics(["return", "length"]) == []
    (media,) = stacked_metrics(["x/spend_print_media", "x/sign_ups", "x/spend_social_media"])
    assert (media.name, media.parts) == ("spend", ("print_media", "social_media"))


def test_a_picture_shows_each_of_twelve_parts_in_another_colour() -> None:
    names = tuple(f"a_long_name_{number}" for number in range(12))
    picture = stacked_bars(np.ones((3, 12)), names)
    middle = picture[:, 100]  # through the bar
    colours = {tuple(pixel) for pixel in middle[-250:-30].tolist()} - {(255, 255, 255)}
    assert len(colours) == 12
    legend = picture[:-260].reshape(-1, 3)  # above the bar and its number
    assert colours <= set(map(tuple, legend.tolist()))


def test_an_episode_is_the_mean_of_environments_that_end_together() -> None:
    episodes = EpisodeTrace()
    episodes.name = "spend"
    first, last = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [5.0, 8.0]])
    episodes.step({"spend": first})
    episodes.step({"final_info": {"spend": last}, "_episode": np.array([True, True])})
    assert episodes.last is not None
    assert episodes.last.tolist() == [[2.0, 3.0], [5.0, 7.0]]
    episodes.step({"spend": first, "_episode": np.array([True, False])})
    episodes.step({"final_info": {"spend": first}, "_episode": np.array([True, True])})
    assert episodes.last.tolist() == [[2.0, 3.0], [5.0, 7.0]]


def test_the_height_of_a_bar_is_its_part() -> None:
    picture = stacked_bars(np.array([[1.0, 3.0], [0.0, 4.0]]), ("a", "b"))
    column = picture[40:-28, 16 + 132]  # the middle of the first bar, from top to bottom
    blue = (column == (0x4C, 0x72, 0xB0)).all(axis=-1)
    orange = (column == (0xDD, 0x84, 0x52)).all(axis=-1)
    assert (orange.sum(), blue.sum()) == (174, 58)
    assert orange[0]
    assert blue[-1]


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[str]:
    """The address of TensorBoard, started as the Makefile starts it."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir_spec",
        f"runs:{runs},reports:{runs}/none",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        yield next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_real_server_answers_with_the_tags(server: str) -> None:
    def get(path: str) -> Any:
        with urllib.request.urlopen(f"{server}data/plugin/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    run, end = "runs/dynamic/a2c-seed1-1", time.monotonic() + 60
    while "evaluation/share_of_optimum" not in get("scalars/tags").get(
        "runs/dynamic/reference-seed1-1", {}
    ):
        assert time.monotonic() < end, "the server has not loaded the runs"
        time.sleep(0.2)
    assert set(TOPS) <= set(get("scalars/tags")[run])
    assert "allocation/spend" in get("images/tags")[run]
    assert "config/text_summary" in get("text/tags")[run]
    layout = get("custom_scalars/layout")
    assert [category["title"] for category in layout["category"]] == ["result", "learning", "speed"]
    request = urllib.request.Request(
        f"{server}data/plugin/hparams/experiment",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        experiment = json.loads(answer.read())
    assert {"agent", "seed", "learning_rate"} <= {
        info["name"] for info in experiment["hparamInfos"]
    }
    assert "evaluation/share_of_optimum" in {
        info["name"]["tag"] for info in experiment["metricInfos"]
    }
