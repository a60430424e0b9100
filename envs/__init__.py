"""Registers the environments with Gymnasium: ``gymnasium.make("envs:LinearCampaign-v0")``."""

from gymnasium.envs.registration import register

register(
    id="LinearCampaign-v0",
    entry_point="envs.campaign.env:CampaignEnv",
    vector_entry_point="envs.campaign.vector_env:CampaignVectorEnv",
    kwargs={"preset": "linear"},
)
register(
    id="DynamicCampaign-v0",
    entry_point="envs.campaign.env:CampaignEnv",
    vector_entry_point="envs.campaign.vector_env:CampaignVectorEnv",
    kwargs={"preset": "dynamic"},
)
register(
    id="UncertainCampaign-v0",
    entry_point="envs.campaign.env:CampaignEnv",
    vector_entry_point="envs.campaign.vector_env:CampaignVectorEnv",
    kwargs={"preset": "uncertain"},
)
register(
    id="AdTiming-v0",
    entry_point="envs.ad_timing.env:AdTimingEnv",
    vector_entry_point="envs.ad_timing.env:AdTimingVectorEnv",
)
register(
    id="TrafficSignal-v0",
    entry_point="envs.traffic_signal.env:TrafficSignalEnv",
    vector_entry_point="envs.traffic_signal.env:TrafficSignalVectorEnv",
    max_episode_steps=17_280,  # a day; an episode ends by itself before that
)
