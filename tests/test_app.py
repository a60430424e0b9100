"""The what-if page: numbers of the model, messages for what is wrong, and a browser shows it."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from envs.campaign import baselines, robust_planner
from envs.campaign.model import rollout
from envs.campaign.params import CampaignParams
from envs.campaign.planner import engagement_and_gradient, expected_engagement, plan
from envs.campaign.presets import PRESETS, make_params
from evaluate.campaign import charts, fit
from evaluate.campaign import plan as plan_module
from evaluate.campaign import sections as campaign_sections
from evaluate.campaign.app import __main__ as program
from evaluate.campaign.app.what_if import (
    Change,
    Problem,
    after,
    agents_plan,
    best_plan,
    changed,
    earned,
    trained,
)
from evaluate.campaign.domain import params_of
from evaluate.campaign.explain import plan_diagnostics
from evaluate.campaign.plan import make_plan
from tests.tools.five import COUNTED, FIVE, make_five
from tests.tools.programs import ROOT
from train.__main__ import main as train
from train.config import EnvConfig
from train.environment import make_env
from train.errors import InputError
from train.storage.run_folder import load_run

DYNAMIC = EnvConfig(id="envs:DynamicCampaign-v0")
UNSET = (None, None, None)
PAST = ((20.0, 30.0, 50.0, 240.0, 70.0, 121.0), (45.5, 14.5, 40.0, 402.0, 97.5, 118.0))
SO_FAR = (
    b"day,posts,ads,rewards,likes,comments,shares\n1,20,30,50,240,70,121\n"
    b"2,45.5,14.5,40,402,97.5,118\n"
)
SERVER_STARTS = 60  # seconds, on a busy machine


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of each agent on the dynamic campaign, the reference's the newest."""
    folder = tmp_path_factory.mktemp("runs")
    for agent in ("a2c", "reference"):
        quick = ["--agents", agent, "--total-timesteps", "896", "--runs-dir", str(folder)]
        assert train(["configs/dynamic.yaml", *quick]) == 0
    return folder


def settings_of(env: EnvConfig) -> Change:
    """The settings that the environment has, its limits left as they are."""
    params = params_of(env)
    return Change(params.daily_budget, params.start_weekday, UNSET, UNSET)


def engagement(plan: Any, params: CampaignParams = PRESETS["dynamic"]) -> float:
    return float(expected_engagement(params, np.array(plan, dtype=np.float64)))


def every_day(*spend: float) -> Any:
    return np.tile(spend, (7, 1))


def test_the_plans_earn_what_the_model_says(runs: Path) -> None:
    run = trained(ROOT / "configs", runs)["dynamic"][0]
    change = Change(130.0, 4, (None, 30.0, None), (None, None, 40.0))
    params = make_params(
        "dynamic", daily_budget=130, start_weekday=4, min_spend=[0, 30, 0], max_spend=[130, 130, 40]
    )
    problem = after(run, change, ())
    agent = agents_plan(run.folder, "a2c", 0.0, problem)
    best, own = best_plan(problem), earned(problem, "own", every_day(60, 35, 30))
    assert best.total == pytest.approx(plan(params).engagement)
    for outcome in (agent, best, own):
        assert outcome.total == pytest.approx(engagement(outcome.spend, params))
        assert outcome.spend[:, 1].min() >= 30 - 1e-9
        assert outcome.spend[:, 2].max() <= 40 + 1e-9
        shown, expected = outcome.diagnostics, plan_diagnostics(params, outcome.spend)
        np.testing.assert_allclose(shown.loyalty, expected.loyalty)
        gradient = engagement_and_gradient(params, outcome.spend)[1]
        np.testing.assert_allclose(shown.marginal_engagement, gradient)
    np.testing.assert_array_equal(own.spend, every_day(60, 35, 30))


def test_after_days_played_only_those_left_are_decided_and_counted(runs: Path) -> None:
    run = load_run(runs / "dynamic/a2c-seed0-1")
    problem = after(run, settings_of(run.config.env), PAST)
    played = np.array(PAST)[:, :3]
    agent, best = agents_plan(run.folder, "a2c", 0.0, problem), best_plan(problem)
    assert agent.total == pytest.approx(make_plan([run], None, np.array(PAST)).expected)
    rng = np.random.default_rng(0)
    before = engagement(played)
    for outcome in (agent, best):
        np.testing.assert_allclose(outcome.spend[:2], played)
        assert outcome.total == pytest.approx(engagement(outcome.spend) - before)
        first = f"{outcome.engagement[0]:,.1f}"
        assert outcome.table()["earns"].tolist()[:3] == ["played", "played", first]
    for _ in range(200):
        other = np.concatenate([played, rng.dirichlet(np.ones(3), 5) * 100])
        near = np.concatenate([played, 0.9 * best.spend[2:] + 0.1 * other[2:]])
        assert max(engagement(other), engagement(near)) < before + best.total
    assert agent.total <= best.total


def test_the_page_starts_with_a2c(runs: Path) -> None:
    agents = [run.state.agent for run in trained(ROOT / "configs", runs)["dynamic"]]
    assert agents == ["a2c", "reference"]


@pytest.mark.parametrize("env_id", ["envs:DynamicCampaign-v0", "envs:LinearCampaign-v0"])
def test_past_sums_rounded_over_the_budget_are_planned_after(env_id: str) -> None:
    rng = np.random.default_rng(0)
    env = EnvConfig(id=env_id, kwargs={"days": 4})
    for _ in range(10):
        spend = 100 * rng.dirichlet(np.ones(3), 3)
        past = np.concatenate([np.round(spend, 6), np.full((3, 3), 100.0)], axis=1)
        past[:, 0] += 1e-6
        problem = Problem(changed(env, settings_of(env)), tuple(map(tuple, past.tolist())), 0)
        assert best_plan(problem).spend[:3].sum(axis=1).max() <= 100


def test_the_best_plan_after_uncertain_days_uses_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(robust_planner, "FIXED_SCENARIOS", 500)
    env = EnvConfig(id="envs:UncertainCampaign-v0")
    strong_ads = np.array(PRESETS["uncertain"].counts) * np.array([[1.0], [2.5], [0.5]])
    params = make_params("dynamic", counts=strong_ads.tolist())
    spend = np.tile([30.0, 30.0, 40.0], (3, 1))
    past = np.concatenate([spend, rollout(params, spend)[0].round()], axis=1)
    problem = Problem(changed(env, settings_of(env)), tuple(map(tuple, past.tolist())), 0)
    best = best_plan(problem)
    assert best.name == "best fixed plan"
    np.testing.assert_allclose(best.spend[:3], spend)
    assert best.notes == ("Planned for what is likely after the past days.",)
    for split in ([45, 45, 10], [40, 55, 5], [55, 35, 10], [34, 33, 33]):
        assert earned(problem, "own", every_day(*split)).total < best.total * 1.001


def test_every_environment_asked_is_closed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def recorded(env: EnvConfig, n_envs: int) -> Any:
        made.append(make_env(env, n_envs))
        return made[-1]

    for module in (plan_module, fit):
        monkeypatch.setattr(module, "make_env", recorded)
    run = load_run(runs / "dynamic/a2c-seed0-1")
    problem = after(run, settings_of(run.config.env), PAST)
    agents_plan(run.folder, "a2c", -1.0, problem)
    earned(problem, "own", every_day(30, 30, 40))
    assert len(made) == 3
    assert all(env.closed for env in made)


def test_limits_by_hand_leave_the_other_channels_as_the_config_has_them() -> None:
    rows = [[1.0, 2.0, 3.0]] * 6 + [[4.0, 5.0, 6.0]]
    env = EnvConfig(id=DYNAMIC.id, kwargs={"min_spend": rows})
    assert changed(env, settings_of(env)).kwargs["min_spend"] == rows
    new = changed(env, Change(100.0, 0, (None, 9.0, None), (50.0, None, None)))
    assert new.kwargs["min_spend"] == [[1.0, 9.0, 3.0]] * 6 + [[4.0, 9.0, 6.0]]
    assert new.kwargs["max_spend"] == [[50.0, 100.0, 100.0]] * 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            Change(100.0, 0, (60.0, None, 50.0), UNSET),
            "minimums sum to 110 > 100 every day: lower them or raise",
        ),
        (
            Change(100.0, 0, (None, 30.0, None), (None, 20.0, None)),
            "min_spend of ads is 30 > max_spend 20 every day",
        ),
        (
            Change(100.0, 0, (-1.0, None, None), UNSET),
            "min_spend=.* must be None, a number of 0 or more",
        ),
        (Change(0.0, 0, UNSET, UNSET), "daily_budget=0.0: input should be greater than 0"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(change: Change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed(DYNAMIC, change)


def test_without_streamlit_the_program_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert program.main([]) == 2
    assert "streamlit is not installed: make app" in capsys.readouterr().err


@pytest.fixture
def page(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page without a browser, as Streamlit's own harness runs it."""
    reason = "streamlit is not installed: pip install -r requirements-app.txt"
    testing = pytest.importorskip("streamlit.testing.v1", reason=reason)
    monkeypatch.setattr(sys, "argv", ["page.py", str(runs)])
    # The harness makes the page the main module; processes that later tests start would run it as
    # theirs.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    # slow to draw; the browser's test sees them
    monkeypatch.setattr(charts, "spend_by_day", lambda *_: Figure())
    monkeypatch.setattr(campaign_sections, "why_charts", lambda *_: [])
    return testing.AppTest.from_file(str(program.PAGE), default_timeout=60).run()


def metrics(page: Any) -> list[str]:
    """The engagement shown of the agent, the optimum and the plan of the sliders."""
    assert [str(one.value) for one in page.exception] == []
    return [metric.value for metric in page.metric]


def test_the_sliders_earn_what_the_model_says(page: Any) -> None:
    assert metrics(page)[1:] == ["4,659.8", f"{engagement(every_day(33, 33, 33)):,.1f}"]
    assert "7 of 700 budget units are left unspent." in [caption.value for caption in page.caption]
    for slider, value in zip(page.slider, (50.0, 10.0, 40.0), strict=True):
        slider.set_value(value)
    assert metrics(page.run())[2] == f"{engagement(every_day(50, 10, 40)):,.1f}"
    table = page.table[2].value
    assert table["posts"].tolist() == ["50.0"] * 7
    loyalty = plan_diagnostics(PRESETS["dynamic"], every_day(50, 10, 40)).loyalty
    assert table["loyalty"].tolist() == [f"{value:.2f}" for value in loyalty]


def test_day_by_day_a_table_starts_with_the_agents_plan(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited(start: pd.DataFrame, **_: Any) -> pd.DataFrame:
        agent = page.table[0].value[["posts", "ads", "rewards"]]
        np.testing.assert_array_equal(start, agent.astype(float))
        start.loc[7] = [10.0, 80.0, 10.0]
        plans.append(start)
        return start

    plans: list[pd.DataFrame] = []
    monkeypatch.setattr("streamlit.data_editor", edited)
    shown = metrics(page.radio[0].set_value("day by day").run())
    assert shown[2] == f"{engagement(plans[-1].to_numpy()):,.1f}"


def test_another_budget_and_weekday_are_another_campaign(page: Any) -> None:
    page.number_input[0].set_value(150.0)
    page.selectbox(key="weekday of dynamic").set_value("Friday").run()
    params = make_params("dynamic", daily_budget=150, start_weekday=4)
    assert metrics(page)[1:] == [
        f"{plan(params).engagement:,.1f}",
        f"{engagement(every_day(50, 50, 50), params):,.1f}",
    ]


def test_impossible_limits_are_a_message_and_not_a_traceback(page: Any) -> None:
    page.number_input(key="least posts of dynamic").set_value(70.0)
    page.number_input(key="least ads of dynamic").set_value(40.0).run()
    assert metrics(page) == []
    (message,) = [error.value for error in page.error]
    assert "minimums sum to 110 > 100 every day: lower them or raise daily_budget" in message
    page.number_input(key="least ads of dynamic").set_value(10.0).run()
    assert (len(metrics(page)), len(page.error)) == (3, 0)


def test_more_than_the_budget_is_brought_back_to_it(page: Any) -> None:
    for slider in page.slider:
        slider.set_value(80.0)
    page.run()
    assert metrics(page)[2] == f"{engagement(every_day(100 / 3, 100 / 3, 100 / 3)):,.1f}"
    assert "240 budget units a day is more than can be spent" in page.info[0].value


def test_past_days_are_read_and_bad_ones_refused(page: Any, runs: Path) -> None:
    page.file_uploader[0].set_value(("so_far.csv", SO_FAR, "text/csv")).run()
    expected = make_plan([load_run(runs / "dynamic/a2c-seed0-1")], None, np.array(PAST)).expected
    assert metrics(page)[0] == f"{expected:,.1f}"
    assert page.metric[0].label == "a2c: engagement, days 3 to 7"
    assert page.table[2].value["posts"].tolist()[:3] == ["20.0", "45.5", "33.0"]
    assert page.warning[0].value.startswith("The past days do not fit this campaign. Furthest off:")
    page.file_uploader[0].set_value(
        ("so_far.csv", SO_FAR.replace(b"402", b"many"), "text/csv")
    ).run()
    assert metrics(page) == []
    assert "past so_far.csv: 1 fault" in page.error[0].value
    assert "row 3, column likes: 'many', must be a number" in page.error[0].value


def test_without_a_run_the_page_says_what_to_do(
    tmp_path: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["page.py", str(tmp_path)])
    page.run()
    assert metrics(page) == []
    assert "train one: make train" in page.error[0].value


def test_where_campaigns_differ_plans_are_measured_by_the_best_fixed_one(
    tmp_path: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FIXED_SCENARIOS", 50), ("FIXED_ITERATIONS", 15)):
        monkeypatch.setattr(robust_planner, name, value)
    baselines.best_fixed.cache_clear()
    few = ["--a2c.n-envs", "8", "--total-timesteps", "56", "--runs-dir", str(tmp_path)]
    assert train(["configs/uncertain.yaml", *few]) == 0
    monkeypatch.setattr(sys, "argv", ["page.py", str(tmp_path)])
    page.run()
    assert len(metrics(page)) == 3
    assert page.metric[1].label == "best fixed plan: engagement"
    assert sum("of the best fixed plan; loyalty" in caption.value for caption in page.caption) == 3
    page.file_uploader[0].set_value(
        ("so_far.csv", SO_FAR.replace(b"97.5", b"97"), "text/csv")
    ).run()
    assert len(metrics(page)) == 3
    assert page.metric[1].label == "best fixed plan: engagement, days 3 to 7"
    baselines.best_fixed.cache_clear()


@contextlib.contextmanager
def served(runs: Path, folder: Path) -> Iterator[str]:
    """The program as its user runs it in a folder with ``configs``; its address."""
    pytest.importorskip(
        "streamlit", reason="streamlit is not installed: pip install -r requirements-app.txt"
    )
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = ["--runs-dir", str(runs), "--port", str(port)]
    command = [sys.executable, "-m", "evaluate.campaign.app", *words]
    environment = os.environ | {"STREAMLIT_SERVER_HEADLESS": "true", "PYTHONPATH": str(ROOT)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, cwd=folder, env=environment, **quiet)
    try:
        answers(f"http://localhost:{port}")
        yield f"http://localhost:{port}"
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)


@pytest.fixture
def server(runs: Path) -> Iterator[str]:
    with served(runs, ROOT) as address:
        yield address


def test_a_browser_shows_five_channels_with_days_played(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    make_five(folder, 2000.0, max_spend=[2000, 2000, 2000, 300, 2000])
    (tmp_path / "past.csv").write_text(
        f"day,{','.join((*FIVE, *COUNTED))}\n1,500,400,300,200,100,5000,900,300,800\n"
    )
    with served(folder / "runs", tmp_path) as address:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(1000 * SERVER_STARTS)
        page.goto(address)
        page.wait_for_function("document.images.length >= 3")
        page.get_by_role("slider").nth(len(FIVE) - 1).wait_for()
        text = page.inner_text("body")
        for words in ("Daily budget [EUR]", "Limits a day [EUR]", "Your plan [EUR/day]"):
            assert words in text
        assert page.get_by_role("slider").count() == len(FIVE)
        sides = [slider.bounding_box() for slider in page.get_by_role("slider").all()]
        assert len({round(side["y"]) for side in sides}) == 2
        first = page.locator("[data-testid=stTable]").first.inner_text()
        assert all(name in first for name in FIVE)
        page.set_input_files("input[type=file]", tmp_path / "past.csv")
        page.wait_for_function("document.body.innerText.includes('engagement, days 2 to 4')")
        page.get_by_text("day by day").click()
        page.wait_for_selector("[data-testid=stDataFrame]")
        assert page.locator("[data-testid=stAlertContentError]").count() == 0
        page.set_viewport_size({"width": 420, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        page.close()


def test_a_browser_shows_the_page_and_a_slider_moves_the_numbers(
    browser: Any, server: str, tmp_path: Path
) -> None:
    faults, requests = [], []
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.set_default_timeout(1000 * SERVER_STARTS)
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server)
    even, more = (f"{engagement(every_day(posts, 33, 33)):,.1f}" for posts in (33, 34))
    waits_for_numbers(page, ["4,659.8", even])
    page.get_by_role("slider").first.press("ArrowRight")
    waits_for_numbers(page, ["4,659.8", more])
    page.wait_for_function("document.images.length >= 3")
    alternatives = [image.get_attribute("alt") or "" for image in page.locator("img").all()]
    for words in (
        "Stacked bars of spend on posts, ads, rewards",
        "loyalty",
        "Heat maps of the worth of one more budget unit",
    ):
        assert any(words in alternative for alternative in alternatives), words
    with page.expect_download() as download:
        page.get_by_text("Download as CSV").last.click()
    download.value.save_as(tmp_path / "plan.csv")
    saved = pd.read_csv(tmp_path / "plan.csv")
    assert saved.to_numpy().tolist() == [[day, 34.0, 33.0, 33.0] for day in range(1, 8)]
    page.set_viewport_size({"width": 420, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    assert faults == []
    assert {url.split("/")[2] for url in requests if not url.startswith(("data:", "blob:"))} == {
        server.split("/")[2]
    }
    page.close()


def waits_for_numbers(page: Any, numbers: list[str]) -> None:
    """Waits until the page shows the agent's engagement and then these numbers.

    A page that is drawn again takes its numbers away for a moment, so one look is not enough.
    """
    page.wait_for_function(
        """numbers => {
            const shown = [...document.querySelectorAll('[data-testid=stMetricValue]')];
            return shown.slice(1).map(one => one.innerText).join(' ') === numbers.join(' ');
        }""",
        arg=numbers,
    )


def answers(address: str) -> None:
    """Waits until the server answers; fails where it never does."""
    for _ in range(10 * SERVER_STARTS):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail(f"{address} does not answer")
