"""Plans that leave what past days spent: which channels and days, and what is said of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.campaign.params import CampaignParams
from envs.campaign.presets import make_params
from evaluate.__main__ import main as evaluate
from evaluate.campaign.app.what_if import Problem, earned
from evaluate.campaign.unobserved import Unobserved, unobserved, warning_of
from tests.test_calibrate import ARTICLE
from train.__main__ import main as train
from train.config import EnvConfig

SEEN: dict[str, Any] = {
    "min_observed_spend": (10.0, 0.0, 20.0),
    "max_observed_spend": (60.0, 40.0, 50.0),
}


def campaign(**fields: Any) -> CampaignParams:
    return make_params("uncertain", **(SEEN | fields))


def test_channels_beyond_past_days_are_found_on_their_days() -> None:
    plan = np.tile([30.0, 30.0, 40.0], (4, 1))
    assert unobserved(campaign(), plan) == []
    plan[[0, 2, 3], 1] = [41.0, 55.0, 45.0]
    plan[1, 2] = 12.0
    assert unobserved(campaign(), plan, first_day=3) == [
        Unobserved("ads", (3, 5, 6), 55.0, 0.0, 40.0),
        Unobserved("rewards", (4,), 12.0, 20.0, 50.0),
    ]
    assert unobserved(make_params("uncertain"), plan) == []


def test_less_than_half_a_percent_of_the_budget_beyond_is_not_said() -> None:
    assert unobserved(campaign(), np.array([[60.4, 0.0, 20.0]])) == []
    assert len(unobserved(campaign(), np.array([[60.6, 0.0, 20.0]]))) == 1


def test_the_warning_names_days_spends_and_the_pessimistic_end() -> None:
    plan = np.array([[70.0, 10.0, 20.0], [75.0, 5.0, 20.0], [30.0, 10.0, 20.0], [65.0, 0.0, 20.0]])
    text = warning_of(campaign(unit="EUR"), plan, np.linspace(1000.0, 3000.0, 101))
    assert "posts on days 1 to 2 and 4 (up to 75 EUR, past days 10 to 60)" in text
    assert "may earn 1,100 instead of 2,000" in text


def test_observed_spends_are_checked_by_channel() -> None:
    with pytest.raises(ValueError, match="min_observed_spend of ads: 50: must be 40"):
        campaign(min_observed_spend=(0.0, 50.0, 0.0))
    with pytest.raises(ValueError, match="must be given together"):
        campaign(max_observed_spend=None)
    with pytest.raises(ValueError, match="none for rewards"):
        campaign(max_observed_spend=(60.0, 50.0))


def test_the_page_notes_a_plan_beyond_past_days() -> None:
    env = EnvConfig(id="envs:UncertainCampaign-v0", kwargs=SEEN)
    outcome = earned(Problem(env, (), 0), "own", np.tile([70.0, 10.0, 20.0], (7, 1)))
    assert any("posts on days 1 to 7 (up to 70" in note for note in outcome.notes)
    inside = earned(Problem(env, (), 0), "own", np.tile([50.0, 20.0, 30.0], (7, 1)))
    assert not any("No past day" in note for note in inside.notes)


def test_the_report_says_it_above_the_plan(tmp_path: Path) -> None:
    seen = "{min_observed_spend: [1, 1, 1], max_observed_spend: [20, 20, 20], observation: belief}"
    config = tmp_path / "narrow.yaml"
    config.write_text(
        f"env: {{id: 'envs:UncertainCampaign-v0', kwargs: {seen}}}\n"
        "total_timesteps: 56\na2c: {n_envs: 8, n_steps: 7}\n"
        "evaluation: {n_eval_episodes: 5, seed: 1}\n"
    )
    assert train([str(config), "--runs-dir", str(tmp_path / "runs")]) == 0
    words = ["--runs-dir", str(tmp_path / "runs"), "--out", str(tmp_path / "report")]
    assert evaluate([str(config), *words]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "No past day spent so on" in page
    assert any(f"{channel} on day" in page for channel in ARTICLE)
