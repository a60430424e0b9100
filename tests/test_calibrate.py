"""``python -m evaluate.campaign.calibrate``: its files and messages, as its user meets them."""

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.campaign.calibration import PRIORS, Calibration, curvature, mode
from envs.campaign.params import CampaignParams
from envs.campaign.posterior import Posterior
from evaluate.campaign.calibrate import __main__ as program
from evaluate.campaign.domain import params_of
from evaluate.campaign.plan import main as plan
from tests.tools import sample
from tests.tools.histories import history
from train.__main__ import main as train
from train.config import load_config

ARTICLE = ("posts", "ads", "rewards")
COUNTED = ("likes", "comments", "shares")


def fast(calibration: Calibration, rng: np.random.Generator, **_: Any) -> Posterior:
    """Draws from a normal distribution about the likeliest point, in place of the sampler's."""
    center = mode(calibration, [np.zeros(calibration.size)])
    values, vectors = np.linalg.eigh(curvature(calibration, center))
    factor = vectors / np.sqrt(np.maximum(values, 0.5))
    normal = rng.standard_normal((2, 300, calibration.size))
    return Posterior(calibration, center + normal @ factor.T)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the program runs, with a fast fit."""
    monkeypatch.setattr(program, "fit", fast)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(
    days: int = 20,
    channels: tuple[str, ...] = ARTICLE,
    metrics: tuple[str, ...] = COUNTED,
    **columns: list[Any],
) -> Path:
    """A file of past days, some of its columns replaced."""
    rng = np.random.default_rng(11)
    past = history(rng, days, channels=len(channels), metrics=len(metrics)).calibration.past
    values = dict(zip(channels, past.spend.round(2).T.tolist(), strict=True))
    values |= dict(zip(metrics, past.metrics.astype(int).T.tolist(), strict=True))
    dates = [date(2026, 1, 5) + timedelta(day) for day in range(days)]
    path = Path("past.csv")
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        table = {"date": dates} | values | columns
        rows.writerow(table)
        rows.writerows(zip(*table.values(), strict=True))
    return path


def campaign(path: str = "configs/past.yaml") -> CampaignParams:
    return params_of(load_config(Path(path)).env)


def test_past_days_become_a_campaign_to_train_on(capsys: pytest.CaptureFixture[str]) -> None:
    path = write(28)
    assert program.main([str(path), "--name", "mine", "--unit", "EUR"]) == 0
    out = capsys.readouterr().out
    assert "fitting 32 parameters to 28 days of posts, ads, rewards" in out
    assert "config: configs/mine.yaml\nreport: reports/mine/calibration.html" in out
    params = campaign("configs/mine.yaml")
    assert (params.channels, params.metrics, params.unit) == (ARTICLE, COUNTED, "EUR")
    assert params.covariance_array.shape == (17, 17)
    assert params.metric_weights == (1.0, 2.0, 3.0)
    assert params.max_observed_spend is not None
    assert max(params.max_observed_spend) < params.daily_budget
    assert "What was learned of each number" in Path("reports/mine/calibration.html").read_text()
    assert train(["configs/mine.yaml", "--total-timesteps", "7168"]) == 0
    capsys.readouterr()
    assert plan(["configs/mine.yaml"]) == 0
    assert "Spend in EUR" in capsys.readouterr().out


def test_names_weights_and_roles_are_those_given() -> None:
    path = write(21, ("search", "video", "mail"), ("clicks", "orders"))
    words = ["--channels", "search", "video", "mail", "--metrics", "clicks", "orders"]
    words += ["--weights", "1", "8", "--loyalty-from", "mail", "--lifted", "search", "video"]
    words += ["--tiring", "video", "--days", "14", "--budget", "150"]
    assert program.main([str(path), *words]) == 0
    params = campaign()
    assert params.metric_weights == (1.0, 8.0)
    assert [gain > 0 for gain in params.loyalty_gain] == [False, False, True]
    assert [lift > 0 for lift in params.loyalty_lift] == [True, True, False]
    assert [each > 0 for each in params.fatigue] == [False, True, False]
    assert (params.days, params.daily_budget, params.reference_budget) == (14, 150.0, 150.0)
    config = load_config(Path("configs/past.yaml"))
    assert config.a2c is not None
    assert config.a2c.n_steps == 14


def test_another_config_says_what_is_what() -> None:
    brand = Path(__file__).parents[1] / "configs" / "brand.yaml"
    like = params_of(load_config(brand).env)
    path = write(21, like.channels, like.metrics)
    assert program.main([str(path), "--like", str(brand)]) == 0
    params = campaign()
    assert (params.channels, params.metrics, params.unit) == (like.channels, like.metrics, "EUR")
    assert params.metric_weights == like.metric_weights
    for ours, theirs in zip(
        (params.loyalty_gain, params.loyalty_lift, params.fatigue),
        (like.loyalty_gain, like.loyalty_lift, like.fatigue),
        strict=True,
    ):
        assert [number > 0 for number in ours] == [number > 0 for number in theirs]


def test_a_channel_without_spend_is_left_out_and_said_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert program.main([str(write(20, ads=[0.0] * 20))]) == 0
    assert "left out, as it is 0 on every day: channel ads" in capsys.readouterr().out
    assert campaign().channels == ("posts", "rewards")
    assert campaign().fatigue == (0.0, 0.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tiring", "adds"], "--tiring adds: is not a channel (did you mean 'ads'?)"),
        (["--weights", "1", "2"], "--weights: 2 numbers for 3 metrics"),
        (["--budget", "20"], "was spent on one day: must be that or more"),
        (["--channels", "posts", "add"], "did you mean 'ads'?"),
        (["--like", "none.yaml"], "config none.yaml: no such file"),
        (["--days", "99"], "days=99"),
        (["--weights", "0", "0", "0"], "all 0, so that nothing can be earned"),
        (["--metrics", "likes", "likes"], "'likes'"),
    ],
)
def test_wrong_options_exit_2_and_write_nothing(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([str(write()), *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().rglob("*.yaml"))
    assert not Path("reports").exists()


def test_too_few_days_are_refused_with_what_is_believed_without_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert program.main([str(write(9))]) == 2
    error = capsys.readouterr().err
    assert "has 9 days, at least 14 are needed" in error
    assert "an even split" in error


def test_a_fit_that_did_not_converge_exits_1_and_keeps_what_was_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write()
    assert program.main([str(path)]) == 0
    before = Path("configs/past.yaml").read_bytes()

    def apart(*words: Any, **_: Any) -> Posterior:
        fitted = fast(*words)
        return Posterior(fitted.calibration, fitted.chains + np.array([[[0.0]], [[2.0]]]))

    monkeypatch.setattr(program, "fit", apart)
    assert program.main([str(path)]) == 1
    assert "did not converge" in capsys.readouterr().err
    assert Path("configs/past.yaml").read_bytes() == before


def test_a_missing_library_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "LIBRARIES", ("pocomc", "not_there"))
    assert program.main(["past.csv"]) == 2
    assert "error: not_there not installed: make calibrate" in capsys.readouterr().err


def test_a_config_written_by_hand_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    own = Path("configs/past.yaml")
    own.parent.mkdir()
    own.write_text("# mine\n")
    assert program.main([str(write())]) == 2
    assert "choose another --name" in capsys.readouterr().err
    assert own.read_text() == "# mine\n"


@pytest.mark.parametrize("name", ["past_days.csv", "new_days.csv"])
def test_the_sample_files_are_what_the_simulator_makes(name: str, tmp_path: Path) -> None:
    sample.write(tmp_path)
    shipped = Path(__file__).parents[1] / "docs" / name
    assert shipped.read_bytes() == (tmp_path / name).read_bytes()


def test_the_page_on_calibration_has_every_prior() -> None:
    page = (Path(__file__).parents[1] / "docs" / "calibration.md").read_text()
    for name, prior in PRIORS.items():
        scale = "logit" if prior.is_share else "log"
        row = f"| `{name}` | {prior.median:g} | {prior.unit} | {prior.sd:g} ({scale}) |"
        assert f"{row} {prior.source} |" in page
