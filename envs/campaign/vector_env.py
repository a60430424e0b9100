"""Many campaigns at once: Gymnasium's vector interface over the same batch, without a loop."""

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.campaign import env as single
from envs.campaign.allocation import ALLOCATIONS
from envs.campaign.batch import ALL, CampaignBatch, Day
from envs.campaign.latent import privileged_size
from envs.campaign.observation import Observations
from envs.campaign.params import Latent
from envs.campaign.presets import make_params

Mask = NDArray[np.bool_]


class CampaignVectorEnv(VectorEnv[Observations, NDArray[Any], NDArray[Any]]):
    """A batch of independent campaigns; see ``CampaignEnv`` for spaces, rewards and info.

    Args:
        num_envs: Number of campaigns.
        autoreset_mode: What happens after the last day, as Gymnasium defines it: ``NEXT_STEP`` (its
            default) ignores the next action and starts a new campaign, ``SAME_STEP`` starts it at
            once and returns the last day as ``final_obs`` and ``final_info``, ``DISABLED`` waits
            for ``reset(options={"reset_mask": mask})``.
        preset, action, observation, privileged, reward, render_mode, **params: As in
            ``CampaignEnv``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        preset: str = "linear",
        action: str = "logits",
        observation: str = "history",
        privileged: bool = False,
        reward: str = "observed",
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **params: Any,
    ) -> None:
        """See the class.

        Raises:
            ValueError: An unknown argument or a bad value; the message names it and what is
                allowed.
        """
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(
                f"campaign: num_envs={num_envs!r}: must be a whole number of 1 or more"
            )
        self.params = make_params(
            preset, known=(*single.KWARGS, "num_envs", "autoreset_mode"), **params
        )
        single.check_choices(self.params, action, observation, privileged, reward, render_mode)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._mode = _autoreset_mode(autoreset_mode)
        self.metadata = {
            **single.METADATA,
            "autoreset_mode": self._mode,
            "privileged": privileged_size(self.params) * privileged,
        }
        self.single_action_space = single.action_space(self.params, action)
        self.single_observation_space = single.observation_space(
            self.params, observation, privileged
        )
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._allocate = ALLOCATIONS[action]
        self._campaigns = CampaignBatch(self.params, observation, num_envs, privileged, reward)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Starts new campaigns: all, or those that ``options["reset_mask"]`` (num_envs,) marks.

        Raises:
            ValueError: An unknown option, or a mask that does not fit.
        """
        super().reset(seed=seed)
        single.check_options(options, known=("reset_mask", *single.RESET_OPTIONS))
        rows = _reset_rows(options, self.num_envs)
        count = self.num_envs if isinstance(rows, slice) else int(rows.sum())
        self._campaigns.reset(
            self.np_random, rows, single.parse_options(self.params, options, count)
        )
        return self._campaigns.observations.copy(), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observations, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """Plays one day of every campaign.

        Raises:
            ValueError: An action is not finite, of another shape or a negative spend; nothing has
                changed.
            gymnasium.error.ResetNeeded: No campaign has been started, or one is over and the
                autoreset mode is ``DISABLED``.
        """
        campaigns = self._campaigns
        if not campaigns.is_started:
            raise ResetNeeded("no campaign has been started; call reset() before step()")
        waiting = campaigns.is_over
        if waiting.any() and self._mode is AutoresetMode.DISABLED:
            over = np.flatnonzero(waiting).tolist()
            raise ResetNeeded(f"campaigns {over} are over; reset them with a reset_mask")
        spend = self._allocate(self.params, actions, (self.num_envs,), campaigns.day)
        played = ~waiting
        day = campaigns.play(spend, played if waiting.any() else ALL)
        terminated = campaigns.is_over & played
        rewards = np.where(played, self.params.reward_scale * day.reward, 0.0)
        infos = self._infos(day, played, terminated)
        if waiting.any():
            campaigns.reset(self.np_random, waiting)
        elif self._mode is AutoresetMode.SAME_STEP and terminated.any():
            infos = self._final_infos(infos, day, terminated)
            campaigns.reset(self.np_random, terminated)
        truncated = np.zeros(self.num_envs, dtype=bool)
        return campaigns.observations.copy(), rewards, terminated, truncated, infos

    def get_state(self) -> dict[str, Any]:
        """The state of campaigns and generator as plain data: numbers, text and arrays."""
        return self._campaigns.get_state(self.np_random)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` of an environment with the same arguments returned.

        Raises:
            ValueError: The state is that of another environment.
        """
        self._campaigns.set_state(state, self.np_random)

    @property
    def latent_params(self) -> Latent | None:
        """Latent parameters of the campaigns, arrays (num_envs, ...); None for nominal ones."""
        return self._campaigns.copied_latent()

    def render(self) -> tuple[Any, ...] | None:
        """One table or image for each campaign."""
        if self.render_mode is None:
            return None
        return tuple(
            single.render(self._campaigns, index, self.render_mode)
            for index in range(self.num_envs)
        )

    def _infos(self, day: Day, played: Mask, terminated: Mask) -> dict[str, Any]:
        """The day's info; in same-step mode that of a last day is in ``final_info`` alone."""
        if self._mode is AutoresetMode.SAME_STEP:
            return _masked(self._named(day), played & ~terminated)
        infos = _masked(self._named(day), played)
        return infos | self._episode_metrics(terminated)

    def _final_infos(self, infos: dict[str, Any], day: Day, terminated: Mask) -> dict[str, Any]:
        """Adds what Gymnasium returns where campaigns end and start in the same step."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        last = self._campaigns.observations[terminated]
        final_obs[terminated] = np.fromiter(last, dtype=object, count=len(last))
        final_info = _masked(self._named(day), terminated) | self._episode_metrics(terminated)
        final = {"final_obs": final_obs, "final_info": final_info}
        return infos | final | {f"_{name}": terminated.copy() for name in final}

    def _named(self, day: Day) -> dict[str, NDArray[np.float64]]:
        """The day under the names of ``info``, each array (num_envs, ...)."""
        return {
            "spend": day.spend,
            **dict(zip(self.params.metrics, day.metrics.T.copy(), strict=True)),
            "engagement": day.engagement,
            "expected_engagement": day.expected_engagement.copy(),
        }

    def _episode_metrics(self, terminated: Mask) -> dict[str, Any]:
        metrics = _masked(self._campaigns.episode_metrics(), terminated) if terminated.any() else {}
        return (
            {"episode_metrics": metrics, "_episode_metrics": terminated.copy()} if metrics else {}
        )


def _masked(values: dict[str, NDArray[np.float64]], mask: Mask) -> dict[str, Any]:
    """Gymnasium's vector info: zeros where the mask is off, and the mask itself under ``_name``."""
    if not mask.any():
        return {}
    infos: dict[str, Any] = {}
    everywhere = bool(mask.all())
    for name, value in values.items():
        rows = mask.reshape(-1, *[1] * (value.ndim - 1))
        infos[name] = value if everywhere else np.where(rows, value, 0.0)
        infos[f"_{name}"] = mask.copy()
    return infos


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(repr(known.value) for known in AutoresetMode)
        raise ValueError(f"campaign: autoreset_mode={mode!r}: must be one of {allowed}") from None


def _reset_rows(options: dict[str, Any] | None, num_envs: int) -> slice | Mask:
    if not options or "reset_mask" not in options:
        return ALL
    mask = np.asarray(options["reset_mask"])
    if mask.shape != (num_envs,) or mask.dtype != np.bool_:
        raise ValueError(
            f"reset_mask: shape {mask.shape} of {mask.dtype}, must be ({num_envs},) of bool"
        )
    return mask
