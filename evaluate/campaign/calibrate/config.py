"""The config of a campaign that was fitted to past days, to train on."""

from pathlib import Path
from typing import Any

import numpy as np

from envs.campaign.posterior import campaign_fields
from evaluate.campaign.calibrate.fitted import Fitted
from train.config import dump_config, load_config
from train.errors import InputError

AGENTS = Path(__file__).parents[3] / "configs" / "uncertain.yaml"  # whose hyperparameters are used
DAY_OF_AGENTS = 6.6  # mean engagement of a day x reward_scale in that config
DIGITS = 5
MADE_BY = "# Fitted to"


def check_free(config: Path) -> None:
    """Refuses to overwrite a config that no calibration wrote.

    Raises:
        InputError: There is one.
    """
    if config.is_file() and not config.read_text(encoding="utf-8").startswith(MADE_BY):
        raise InputError(
            f"{config}: exists and was not written by a calibration: choose another --name"
        )


def config_of(fitted: Fitted, days: int, daily_budget: float, where: str) -> str:
    """The config as YAML; the agents' hyperparameters are those of ``configs/uncertain.yaml``.

    Args:
        fitted: The campaign.
        days: Length of the campaigns to come [days].
        daily_budget: What each of their days may spend [bu/day].
        where: Names the file that it was fitted to.
    """
    past, values = fitted.past, load_config(AGENTS)
    fields = {
        "channels": fitted.channels,
        "metrics": fitted.metrics,
        "unit": fitted.unit,
        "days": days,
        "start_weekday": int(past.weekday[-1] + 1) % 7,
        "daily_budget": daily_budget,
        "reference_budget": fitted.calibration.reference_budget,
        "metric_weights": fitted.weights,
        "min_observed_spend": past.spend.min(axis=0),
        "max_observed_spend": past.spend.max(axis=0),
        "reward_scale": DAY_OF_AGENTS / float(past.usual_metrics @ fitted.weights),
        **campaign_fields(fitted.posterior),
    }
    plain = {name: _rounded(value) for name, value in fields.items()}
    env = values.env.model_copy(update={"kwargs": values.env.kwargs | plain})
    agents = {
        name: values.agent(name).model_copy(update={"n_steps": days}) for name in values.agents
    }
    head = (
        f"{MADE_BY} {len(past.spend)} days of {where}. Nominal values are posterior means (of\n"
        "# logarithms or logits); latent_covariance is how what differs between campaigns varies\n"
        "# about them; observed spends are the least and the most of the past days.\n"
    )
    return head + dump_config(values.model_copy(update={"env": env, **agents}))


def _rounded(value: Any) -> Any:
    """Numbers with a few significant digits, as plain Python."""
    if isinstance(value, np.ndarray):
        return [_rounded(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}")
    return list(value) if isinstance(value, tuple) else value
