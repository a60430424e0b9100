"""A campaign under names of its own: report, explanation, numbers and looks."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from envs.campaign.looks import ARTICLE_COLOURS, PALETTE, looks
from envs.campaign.presets import PRESETS, make_params
from envs.campaign.rendering import ansi
from evaluate.__main__ import main
from evaluate.campaign.charts import _ink
from evaluate.campaign.explain import explanation, roles_of
from evaluate.report import wording
from train.__main__ import main as train

CHANNELS: tuple[str, ...] = (
    "search",
    "video",
    "influencers",
    "email",
    "vouchers",
    "radio",
    "podcasts",
    "outdoor",
)
CHANNELS += ("print_media", "affiliates", "events", "partnerships")
METRICS: tuple[str, ...] = (
    "clicks",
    "sign_ups",
    "reposts",
    "orders",
    "visits",
    "calls",
    "downloads",
    "reviews",
)
METRICS += ("leads", "bookings", "returns_home", "readers")
ARTICLE = re.compile(r"\b(posts?|ads?|rewards?|likes?|comments?|shares)\b")
GENERIC = "Bars of the share of the best plan found|how shares spread|shares of it may be too high"
MINUS = "\N{MINUS SIGN}"
SIMULATED = {  # Machado, Oliveira and Fernandes 2009, severity 1
    "normal vision": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


def own_campaign(channels: int, metrics: int, **changes: Any) -> dict[str, Any]:
    """A campaign of so many channels and metrics in which each of the first two has a role."""
    roles = {"loyalty_lift": (1.0, 0.0), "loyalty_gain": (0.0, 0.5), "fatigue": (0.3, 0.0)}
    rest = (0.0,) * (channels - 2)
    counts = np.random.default_rng(0).uniform(0.1, 1.0, (channels, metrics)).round(3)
    return {
        "channels": list(CHANNELS[:channels]),
        "metrics": list(METRICS[:metrics]),
        "unit": "EUR",
        "days": 2,
        "daily_budget": 2000.0,
        "reference_budget": 2000.0,
        "counts": counts.tolist(),
        "metric_weights": [1.0] * metrics,
        "inv_half_saturation": [0.001] * channels,
        "carry_over": [0.1] * channels,
        "fatigue_recovery": [0.1] * channels,
        **{name: [*values, *rest] for name, values in roles.items()},
        **changes,
    }


@pytest.mark.parametrize(("channels", "metrics"), [(5, 4), (12, 12)])
def test_a_report_has_the_names_of_its_own_campaign(
    tmp_path: Path, channels: int, metrics: int
) -> None:
    kwargs = own_campaign(channels, metrics)
    env = {"id": "envs:DynamicCampaign-v0", "kwargs": kwargs | {"reward_scale": 0.0001}}
    config = {"env": env, "total_timesteps": 200, "a2c": {"n_envs": 4, "n_steps": 2}}
    config["evaluation"] = {"n_eval_episodes": 2}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    argv = [str(tmp_path / "own.yaml"), "--runs-dir", str(tmp_path / "runs")]
    assert train(argv) == 0
    assert main([*argv, "--out", str(tmp_path / "report")]) == 0
    page = re.sub(r"base64,[^\"]*", "", (tmp_path / "report/index.html").read_text())
    assert ARTICLE.findall(re.sub(GENERIC, "", page)) == []
    assert "budget unit" not in page
    assert "Spend in EUR by day" in page
    assert "one more EUR on a channel" in page
    for name in (*kwargs["channels"], *kwargs["metrics"]):
        assert re.search(rf"\b{name}\b", page)
    for name in kwargs["channels"]:
        assert f"<td>all {name}</td>" in page


@pytest.mark.parametrize(
    ("changes", "roles", "sentences"),
    [
        ({"fatigue": [0, 0, 0]}, ((1,), (0,), ()), ["Spend on video builds loyalty, which"]),
        ({"loyalty_lift": [0, 0, 0]}, ((), (), (0,)), ["The audience tires of search:"]),
        ({"loyalty_gain": [0, 0, 0], "fatigue": [0, 0, 0]}, ((), (), ()), []),
        ({"days": 1}, ((), (), ()), []),
        (
            {
                "loyalty_gain": [0.2, 0.3, 0.4],
                "loyalty_lift": [3, 0, 0.5],
                "fatigue": [1, 0.1, 0.2],
                "days": 3,
            },
            ((0, 1, 2), (0, 2), (0, 1, 2)),
            [
                "Spend on search, video and influencers builds loyalty, which lifts what is earned "
                "with search by up to 300% and influencers by up to 50%",
                "The audience tires of search, video and influencers:",
            ],
        ),
    ],
)
def test_the_explanation_holds_for_roles(
    changes: dict[str, Any], roles: tuple[tuple[int, ...], ...], sentences: list[str]
) -> None:
    params = make_params("dynamic", **own_campaign(3, 2, **changes))
    text = explanation(params)
    assert tuple(roles_of(params)) == roles
    assert [sentence for sentence in sentences if sentence not in text] == []
    assert ("builds loyalty" in text, "tires of" in text) == (bool(roles[0]), bool(roles[2]))


@pytest.mark.parametrize(
    ("scale", "value", "total", "amount"),
    [
        (0.01, 0.0034, "0.0034", "0.0034"),
        (0.6, 0.595, "0.595", "0.595"),
        (8.0, 7.125, "7.12", "7.12"),
        (100.0, 88.2, "88.2", "88"),
        (5950.0, 4659.84, "4,659.8", "4,660"),
        (2000.0, -1038.6, f"{MINUS}1,038.6", f"{MINUS}1,039"),
        (59_500.0, 27_996.4, "27,996", "28,000"),
        (5e6, 1_459_115.0, "1,459,100", "1,459,000"),
        (1e9, 976_117_938.0, "976,100,000", "976,000,000"),
        (5950.0, -1e-13, "0.0", "0"),
        (0.0, 0.0, "0.0", "0"),
    ],
)
def test_numbers_have_the_digits_of_their_scale(
    scale: float, value: float, total: str, amount: str
) -> None:
    assert wording.totals(scale).number(value) == total
    assert wording.digits(scale).number(value) == amount


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0034, "0.0034"), (0.01, "0.01"), (0.3 - 0.2, "0.1"), (8.0, "8"), (20.06, "20.1")),
        *((2000.0, "2,000"), (12_345.0, "12,345"), (2e5, "200k"), (999_999.0, "1M")),
        *((1.5e6, "1.5M"), (1e9, "1B"), (-2.5e6, f"{MINUS}2.5M"), (0.0, "0"), (1e-5, "0.00001")),
    ],
)
def test_short_numbers_have_no_exponents(value: float, text: str) -> None:
    assert wording.short(value) == text


def test_one_of_a_unit_and_lists_are_english() -> None:
    units = ("budget units", "EUR", "points", "pennies", "ARS", "Swiss")
    ones = ["budget unit", "EUR", "point", "penny", "ARS", "Swiss"]
    assert list(map(wording.one_of, units)) == ones
    lists = [wording.listed(["a", "b", "c"][:count]) for count in (1, 2, 3)]
    assert lists == ["a", "a and b", "a, b and c"]


def test_the_article_keeps_its_colours() -> None:
    found = {name: look.colour for name, look in looks(PRESETS["linear"]).items()}
    assert found == ARTICLE_COLOURS


def distances(colours: Sequence[Any], vision: str) -> NDArray[np.float64]:
    """CIE 1976 colour differences of each pair of colours as someone with that vision sees them."""
    parts = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ SIMULATED[vision].T, 0.0, 1.0)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = seen @ to_xyz.T / to_xyz.sum(axis=1)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack(
        [116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])],
        axis=1,
    )
    pairs = itertools.combinations(lab, 2)
    return np.array([np.linalg.norm(one - other) for one, other in pairs])


@pytest.mark.parametrize("vision", SIMULATED)
def test_colour_blind_readers_tell_the_palette_apart(vision: str) -> None:
    assert distances(mpl.color_sequences[PALETTE], vision).min() > 15.0


@pytest.mark.parametrize("own", ["posts", "ads", "rewards"])
def test_other_names_avoid_the_articles_colours(own: str) -> None:
    """No colour beside an article's one is closer to it than those of the palette are."""
    params = make_params("dynamic", **own_campaign(8, 1) | {"channels": [own, *CHANNELS[:7]]})
    first, *others = (looks(params)[name].colour for name in params.channels)
    for other in others:
        assert distances([first, other], "normal vision")[0] > 15.0


def test_twelve_channels_and_metrics_all_look_different() -> None:
    params = make_params("dynamic", **own_campaign(12, 12))
    styles = looks(params)
    for names in (params.channels, params.metrics):
        assert len({(styles[name].colour, styles[name].hatch) for name in names}) == 12
        assert len({(styles[name].colour, styles[name].marker) for name in names}) == 12
        assert all(styles[name].hatch for name in names[6:])
        assert len({styles[name].colour for name in names[:6]}) == 6


@pytest.mark.parametrize("colour", [*ARTICLE_COLOURS.values(), *mpl.color_sequences[PALETTE]])
def test_text_in_bars_has_contrast(colour: Any) -> None:
    def luminance(paint: Any) -> float:
        parts = np.array(to_rgb(paint))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05

    ink, bar = luminance(_ink(colour)), luminance(colour)
    assert max(ink, bar) / min(ink, bar) > 4.5


def test_a_printed_campaign_keeps_columns_and_small_numbers_apart() -> None:
    params = make_params("linear", **own_campaign(3, 2, daily_budget=0.01))
    spend = np.array([[0.0034, 0.0, 0.0066]])
    header, day, _ = ansi(params, spend, np.array([[0.5, 1200.0]])).splitlines()
    assert header.split() == ["day", *params.channels, *params.metrics, "engagement"]
    assert day.split() == ["1", "0.00340", "0.0", "0.00660", "0.500", "1200.0", "1200.5"]
