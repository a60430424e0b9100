"""The fit of ad timing: known parameters come back, and bad files are refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluate.ad_timing.calibrate import main, read_sessions
from evaluate.ad_timing.fit import NAMES, fit
from tests.tools.campaigns import make_vec
from train.config import load_config

TRUE = {"h": 0.04, "b1": 0.5, "tau": 4.0, "b0": 0.02}


def simulated(sessions: int, seed: int) -> pd.DataFrame:
    """Sessions with ads at random, a row an item."""
    envs = make_vec("envs:AdTiming-v0", sessions, autoreset_mode="Disabled", **TRUE)
    envs.reset(seed=seed)
    batch, rng, rows = envs.unwrapped._batch, np.random.default_rng(seed), []
    for item in range(1, 201):
        active = ~batch.is_over
        played = batch.step(rng.random(sessions) < 0.25, active, rng)
        columns = {name: played.info[name][active].astype(int) for name in ("ad", "left")}
        rows.append(pd.DataFrame({"session": np.flatnonzero(active), "item": item, **columns}))
    return pd.concat(rows).sort_values(["session", "item"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_known_parameters_are_recovered_from_sessions(seed: int, tmp_path: Path) -> None:
    simulated(5_000, seed).to_csv(tmp_path / "sessions.csv", index=False)
    fitted = fit(read_sessions(tmp_path / "sessions.csv"))
    distance = (fitted.values - np.array([TRUE[name] for name in NAMES])) / fitted.errors
    assert (np.abs(distance) < 3.0).all()
    assert (np.abs(distance) < 2.0).sum() >= 3
    assert (fitted.errors < [0.005, 0.05, 0.8, 0.02]).all()


def test_standard_errors_are_the_spread_of_the_estimates(tmp_path: Path) -> None:
    fits = []
    for seed in range(30):
        simulated(1_000, seed).to_csv(tmp_path / "sessions.csv", index=False)
        fits.append(fit(read_sessions(tmp_path / "sessions.csv")))
    spread = np.std([fitted.values for fitted in fits], axis=0)
    stated = np.median([fitted.errors for fitted in fits], axis=0)
    np.testing.assert_allclose(spread, stated, rtol=0.5)


def test_a_config_is_written_that_can_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "mine.csv"
    simulated(1_000, 0).to_csv(data, index=False)
    argv = [str(data), "--configs-dir", str(tmp_path)]
    assert main(argv) == 0
    kwargs = load_config(tmp_path / "mine.yaml").env.kwargs
    assert kwargs["h"] == pytest.approx(0.04, abs=0.01)
    assert kwargs["u"] == 0.05
    assert "standard error" in capsys.readouterr().out
    assert main(argv) == 2
    assert "exists; name another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("session,item,ad\n1,1,0\n", "has no column left"),
        ("session,item,ad,left\n", "has no rows"),
        ("session,item,ad,left\n1,1,0,0\n1,2,2,0\n", "row 3: ad must be 0 or 1"),
        ("session,item,ad,left\n1,1,0,0\n1,3,0,0\n", "row 3: item must count 1, 2, 3"),
        ("session,item,ad,left\n1,1,0,1\n1,2,0,0\n", "row 2: a session cannot go on"),
        ("", "cannot be read"),
    ],
)
def test_bad_files_are_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text(text)
    assert main([str(tmp_path / "bad.csv"), "--configs-dir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
