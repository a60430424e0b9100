"""What the reference goes on from after a stop: networks, optimisers and counters, in and out of plain dicts."""

from typing import Any

from gymnasium.wrappers.vector import RecordEpisodeStatistics


def get_state(agent: Any) -> dict[str, Any]:
    """All that learning goes on from where a rollout starts, but for environments and random generators."""
    return {
        "actor": dict(agent.actor.state_dict()),
        "critic": dict(agent.critic.state_dict()),
        "optimizers": [optimizer.state_dict() for optimizer in agent.optimizers],
        "timesteps": agent.timesteps,
        "observations": agent.observations,
    }


def set_state(
    agent: Any, envs: RecordEpisodeStatistics[Any, Any], seed: int, state: dict[str, Any]
) -> None:
    """Puts an untrained agent into the state of another; its environments are reset, as they once were."""
    envs.reset(seed=seed)
    agent.actor.load_state_dict(state["actor"])
    agent.critic.load_state_dict(state["critic"])
    for optimizer, optimizer_state in zip(agent.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(optimizer_state)
    agent.timesteps, agent.observations = state["timesteps"], state["observations"]
