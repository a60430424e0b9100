"""Many campaigns at once: Gymnasium's vector interface over the same batch, without a loop."""

from typing import Any

from gymnasium.vector import AutoresetMode

from envs.batched import BatchedVectorEnv
from envs.campaign.batch import CampaignBatch
from envs.campaign.params import Latent


class CampaignVectorEnv(BatchedVectorEnv):
    """A batch of independent campaigns; see ``CampaignEnv`` for spaces, rewards and info.

    Args:
        num_envs: Number of campaigns.
        render_mode, **kwargs: As in ``CampaignEnv``.
        autoreset_mode: As in ``BatchedVectorEnv``.

    Raises:
        ValueError: An unknown argument or a bad value; the message names it and what is allowed.
    """

    def __init__(
        self,
        num_envs: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        self._campaigns = CampaignBatch(num_envs, ("num_envs", "autoreset_mode"), **kwargs)
        super().__init__(self._campaigns, render_mode, autoreset_mode)

    @property
    def latent_params(self) -> Latent | None:
        """Latent parameters of the campaigns, arrays (num_envs, ...); None for nominal ones."""
        return self._campaigns.copied_latent()
