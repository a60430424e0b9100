"""Past days made by the simulator, for ``docs``: ``python -m tests.tools.sample docs``."""

import csv
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from envs.campaign import model
from envs.campaign.latent import sample_latent, sample_noise
from envs.campaign.model import Noise
from envs.campaign.presets import make_params

CAMPAIGNS, LENGTH = 5, 18  # and their days
FIRST = date(2026, 7, 6)
SEED = 5
NEW = 3  # days of the campaign after them


def rows() -> list[list[str]]:
    """Days of a campaign of the uncertain preset, with the header."""
    rng = np.random.default_rng(SEED)
    params = make_params("uncertain", days=LENGTH, base=(40.0, 8.0, 5.0))
    latent = sample_latent(params, rng, 1)
    table = [["date", "campaign", *params.channels, *params.metrics, "source"]]
    for number in range(CAMPAIGNS + 1):
        spend = (params.daily_budget * rng.dirichlet([2.0, 2.0, 2.0, 0.5], LENGTH)).round(1)[:, :3]
        noise, state = sample_noise(params, rng, 1), model.initial_state(params, (1,))
        for day in range(LENGTH):
            expected, state = model.transition(params, state, spend[np.newaxis, day], latent)
            today = noise and Noise(*(part[:, day] for part in noise))
            counts = model.observed(params, expected, today)[0].astype(int)
            on = FIRST + timedelta(number * LENGTH + day)
            table.append(
                [f"{on}", f"{number + 1}", *map(str, spend[day]), *map(str, counts), "simulated"]
            )
    return table


def write(folder: Path) -> None:
    """Writes the files: ninety past days, and the first days of the campaign after them."""
    header, *days = rows()
    played = CAMPAIGNS * LENGTH
    for name, part in (("past_days", days[:played]), ("new_days", days[played : played + NEW])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *part])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
