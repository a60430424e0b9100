"""What evaluation knows about campaigns."""

import dataclasses
from typing import Any

from numpy.typing import NDArray

from envs.campaign.params import CampaignParams
from evaluate.campaign.policies import (
    BEST_FOUND,
    NAMES,
    baseline_env_kwargs,
    baseline_policies,
    is_optimum_confirmed,
    mixed,
)
from evaluate.domain import Domain, Evaluation, FamilySections, Probabilities, opened
from evaluate.results import OPTIMUM
from evaluate.rollouts import Candidate
from train.config import EnvConfig
from train.environment import BatchEnv
from train.play import Step

TOTAL, EXPECTED = "engagement", "expected_engagement"  # metrics of an episode and of a day


def params_of(env: EnvConfig) -> CampaignParams:
    """The parameters of a campaign environment.

    Raises:
        InputError: A keyword argument is refused.
    """
    with opened(env) as campaign:
        params: CampaignParams = campaign.params
        return params


def baseline_env(env: EnvConfig) -> EnvConfig:
    """The environment in the form in which its baselines decide."""
    return _with(env, baseline_env_kwargs(params_of(env)))


def best_name(env: EnvConfig) -> str:
    """What shares are shares of; drawn campaigns are measured by the plan of the nominal one."""
    return OPTIMUM if is_optimum_confirmed(params_of(env)) else BEST_FOUND


def comparison_key(env: EnvConfig) -> object:
    """The parameters without the learner's choices."""
    return dataclasses.replace(params_of(env), reward_scale=1.0)


def baseline_candidates(env: EnvConfig, seed: int) -> list[Candidate]:
    """The baselines, ready to be played."""
    form, policies = baseline_env(env), baseline_policies(params_of(env), seed)
    return [Candidate(name, None, form, policy) for name, policy in policies.items()]


def variants(candidate: Candidate, probabilities: Probabilities) -> list[Candidate]:
    """A channel agent's probabilities as a split, for the observation that it was trained on."""
    env = _with(candidate.env, {"action": "spend"})
    policy = mixed(params_of(env), probabilities)
    return [Candidate(f"{candidate.name} (mix)", candidate.seed, env, policy)]


def columns(envs: BatchEnv, step: Step) -> dict[str, NDArray[Any]]:
    """Spend, metrics and engagement of a day, each (n_envs,); where noisy, the expected one too."""
    params: CampaignParams = envs.unwrapped.params  # type: ignore[attr-defined]
    spend = dict(zip(params.channels, step.infos["spend"].T, strict=True))
    expected = (EXPECTED,) if params.is_noisy else ()
    return spend | {name: step.infos[name] for name in (*params.metrics, TOTAL, *expected)}


def sections(evaluation: Evaluation) -> FamilySections:
    """The plan, where adapting pays, the days, and why the budget is split so."""
    from evaluate.campaign.adaptation import adaptation
    from evaluate.campaign.sections import campaign_sections

    params = params_of(evaluation.env)
    plan, days, why = campaign_sections(evaluation, params)
    adapting = adaptation(evaluation, params)
    return FamilySections((plan,), (*adapting.rest, days, why), adapting.numbers)


def _with(env: EnvConfig, kwargs: dict[str, Any]) -> EnvConfig:
    return EnvConfig(id=env.id, kwargs=env.kwargs | kwargs)


DOMAIN = Domain(
    episode="campaign",
    step="day",
    objective=TOTAL,
    baselines=NAMES,
    best_name=best_name,
    comparison_key=comparison_key,
    baseline_policies=baseline_candidates,
    variants=variants,
    columns=columns,
    sections=sections,
)
