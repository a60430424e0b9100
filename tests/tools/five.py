"""A tiny run on a campaign of five channels with names of its own."""

import json
from pathlib import Path
from typing import Any

from train.__main__ import main as train

FIVE = ("search", "TV", "influencers", "email", "rewards")
COUNTED = ("clicks", "sign_ups", "shares", "orders")


def make_five(folder: Path, budget: float, **changes: Any) -> Path:
    """The folder of a tiny run on a campaign of five channels and this daily budget [EUR/day]."""
    kwargs = {
        "channels": list(FIVE),
        "metrics": list(COUNTED),
        "unit": "EUR",
        "days": 4,
        "daily_budget": budget,
        "reference_budget": budget,
        "counts": [[5, 1, 0, 1], [4, 1, 0, 1], [3, 0, 2, 1], [2, 0, 0, 1], [1, 1, 1, 0]],
        "metric_weights": [1, 2, 3, 4],
        "inv_half_saturation": [1 / budget] * 5,
        "carry_over": [0.1, 0.5, 0.3, 0, 0.2],
        "loyalty_lift": [0, 0, 1, 2, 0],
        "loyalty_gain": [0, 0, 0, 0, 0.5],
        "fatigue": [0, 0.3, 0, 0.2, 0],
        "fatigue_recovery": [0, 0.2, 0, 0.2, 0],
    }
    config = folder / "five.yaml"
    env = {"id": "envs:DynamicCampaign-v0", "kwargs": kwargs | changes}
    config.write_text(
        json.dumps({"env": env, "total_timesteps": 32, "a2c": {"n_envs": 4, "n_steps": 4}})
    )
    assert train([str(config), "--runs-dir", str(folder / "runs")]) == 0
    return folder / "runs/five/a2c-seed0-1"
