"""Campaigns of any channels and metrics, and what every environment of a campaign must do."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from hypothesis import strategies as st

from envs.campaign import model
from envs.campaign.checks import LATENT_FIELDS, PRIOR_WIDTHS
from envs.campaign.latent import select


@st.composite
def campaigns(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a campaign: channels in random roles, with or without each part of the model."""
    channels, metrics = draw(st.sampled_from([1, 2, 3, 5, 12])), draw(st.integers(1, 12))
    days, budget = draw(st.integers(1, 4)), draw(st.sampled_from([0.01, 100.0, 2000.0, 3e8]))
    names = (
        "saturating",
        "carrying",
        "loyal",
        "tiring",
        "noisy",
        "shocked",
        "drawn",
        "limited",
        "joint",
    )
    has = {name: draw(st.booleans()) for name in names}
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def some(is_on: bool, most: float, *shape: int) -> Any:
        """Numbers up to the most, some of them 0; all 0 where the part is off."""
        return is_on * rng.uniform(0.0, most, shape) * (rng.random(shape) < 0.7)

    fields: dict[str, Any] = {
        "channels": [f"channel_{index}" for index in range(channels)],
        "metrics": [f"metric_{index}" for index in range(metrics)],
        "unit": draw(st.sampled_from(["EUR", "points"])),
        "days": days,
        "daily_budget": budget,
        "reference_budget": budget * draw(st.sampled_from([0.1, 1.0, 3.0])),
        "counts": some(True, 5.0, channels, metrics) / budget,
        "metric_weights": some(True, 3.0, metrics),
        "base": some(draw(st.booleans()), 1.0, metrics),
        "start_weekday": draw(st.integers(0, 6)),
        "weekday_factors": rng.uniform(0.5, 1.5, 7),
        "inv_half_saturation": some(has["saturating"], 5.0, channels) / budget,
        "carry_over": some(has["carrying"], 0.95, channels),
        "loyalty_lift": some(has["loyal"], 5.0, channels),
        "loyalty_gain": some(has["loyal"], 1.0 / channels, channels),
        "loyalty_decay": float(some(has["loyal"], 1.0)),
        "fatigue": some(has["tiring"], 2.0, channels),
        "fatigue_recovery": some(has["tiring"], 1.0, channels),
        "dispersion": 5.0 if has["noisy"] else None,
        "shock_sd": 0.3 * has["shocked"],
        **dict.fromkeys(("counts_log_sd", "loyalty_lift_log_sd"), 0.5 * has["drawn"]),
        **dict.fromkeys(("inv_half_saturation_log_sd", "fatigue_log_sd"), 0.3 * has["drawn"]),
        "carry_over_range": 0.15 * has["drawn"],
    }
    fields["counts"][0, 0] += 1.0 / budget  # so that something can be earned
    fields["metric_weights"][0] += 1.0
    if has["joint"]:  # a posterior in place of the widths
        fields |= dict.fromkeys(PRIOR_WIDTHS, 0.0)
        size = sum(np.count_nonzero(fields[name]) for name in LATENT_FIELDS)
        loadings = rng.normal(0.0, 0.3, (size, 4))
        fields["latent_covariance"] = loadings @ loadings.T
    if has["limited"]:
        shape = draw(st.sampled_from([(channels,), (days, channels)]))
        fields["min_spend"] = budget * some(True, 1.0 / channels, *shape)
        room = budget * rng.uniform(0.0, 1.5 / channels, shape)
        fields["max_spend"] = fields["min_spend"] + room
    return fields


def make(env_id: str, **kwargs: Any) -> Any:
    return gymnasium.make(env_id, **kwargs)


def make_vec(env_id: str, num_envs: int, **kwargs: Any) -> Any:
    return gymnasium.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )


def deal(vector: Any, row: int, single: Any) -> None:
    """Gives a single environment the draws of a row of a batch, which its seed does not give."""
    campaigns, campaign = vector.unwrapped._campaigns, single.unwrapped._campaigns
    if campaigns.latent is not None:
        campaign.latent = select(campaigns.latent, [row])
        campaign._potential = campaigns._potential[[row]]
        columns = slice(len(campaigns._first), None)
        campaign.observations[0, columns] = campaigns.observations[row, columns]
    if campaigns._noise is not None:
        campaign._noise = model.Noise(*(part[[row]] for part in campaigns._noise))
        campaign._is_noisy = campaigns._is_noisy[[row]]


@contextmanager
def advice_declined(action: str) -> Iterator[None]:
    """Ignores both checkers' advice to use actions in [-1, 1]; other warnings are errors."""
    with warnings.catch_warnings():
        if action != "channel":
            warnings.filterwarnings(
                "ignore", message=".*For Box action spaces, we recommend.*", category=UserWarning
            )
            warnings.filterwarnings(
                "ignore", message="We recommend you to use a symmetric.*", category=UserWarning
            )
        yield


def outcome(step: tuple[Any, ...]) -> list[Any]:
    """A step as bytes and texts, its info in full."""
    *arrays, info = step
    return [np.asarray(part).tobytes() for part in arrays] + [repr(info)]


def play(env: Any, actions: list[Any]) -> list[Any]:
    return [outcome(env.step(action)) for action in actions]


def agree(env_id: str, num_envs: int, seed: int, **kwargs: Any) -> None:
    """Plays a campaign in a vector environment and in single ones: every bit must be the same."""
    days = kwargs["days"]
    vector = make_vec(env_id, num_envs, autoreset_mode="SameStep", **kwargs)
    singles = [make(env_id, **kwargs) for _ in range(num_envs)]
    vector.action_space.seed(seed)
    seen, _ = vector.reset(seed=seed)
    for row, single in enumerate(singles):
        first, _ = single.reset(seed=seed)
        deal(vector, row, single)
        size = len(single.unwrapped._campaigns._first)  # privileged columns are drawn
        assert first[:size].tobytes() == seen[row, :size].tobytes()
    for day in range(1, days + 1):
        actions = vector.action_space.sample()
        seen, rewards, terminated, truncated, infos = vector.step(actions)
        last = day == days
        played = infos["final_info"] if last else infos
        for row, single in enumerate(singles):
            after, reward, single_terminated, single_truncated, info = single.step(actions[row])
            assert (infos["final_obs"][row] if last else seen[row]).tobytes() == after.tobytes()
            assert rewards[row] == reward
            assert (
                (terminated[row], truncated[row])
                == (single_terminated, single_truncated)
                == (last, False)
            )
            metrics = info.pop("episode_metrics", {})
            for name, value in info.items():
                assert np.asarray(played[name][row]).tobytes() == np.asarray(value).tobytes(), name
            for name, value in metrics.items():
                assert played["episode_metrics"][name][row] == value, name
