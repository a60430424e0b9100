"""What evaluation knows about ad timing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.ad_timing.params import AdTimingParams
from evaluate.ad_timing.policies import CLAIRVOYANT, NAMES, SAMPLED, Rule, Sampled, baseline_rules
from evaluate.domain import Domain, Evaluation, FamilySections, Probabilities, opened
from evaluate.results import OPTIMUM
from evaluate.rollouts import Candidate
from train.config import EnvConfig
from train.environment import BatchEnv
from train.play import Step


def params_of(env: EnvConfig) -> AdTimingParams:
    """The parameters of an environment.

    Raises:
        InputError: A keyword argument is refused.
    """
    with opened(env) as session:
        params: AdTimingParams = session.params
        return params


def best_name(env: EnvConfig) -> str:
    """What shares are shares of: of mixed users, what the one earns who knows their types."""
    return OPTIMUM if params_of(env).users == "alike" else CLAIRVOYANT


def baseline_candidates(env: EnvConfig, _seed: int) -> list[Candidate]:
    """The baselines, ready to be played."""
    params, form = params_of(env), EnvConfig(id=env.id, kwargs=env.kwargs | {"privileged": True})
    rules = baseline_rules(params).items()
    return [Candidate(name, None, form, Rule(params.max_items, rule)) for name, rule in rules]


def variants(trained: Candidate, probabilities: Probabilities) -> list[Candidate]:
    """The policy with its decisions drawn, from which the chance to show is read."""
    policy = Sampled(probabilities, np.random.default_rng(trained.seed))
    return [trained._replace(name=f"{trained.name} {SAMPLED}", policy=policy)]


def columns(_envs: BatchEnv, step: Step) -> dict[str, NDArray[Any]]:
    """Whether an ad was shown, the item watched and the session left, and the value, (n_envs,)."""
    flags = {name: step.infos[name].astype(np.int64) for name in ("ad", "watched", "left")}
    return flags | {"value": step.infos["value"]}


def sections(evaluation: Evaluation) -> FamilySections:
    """What the policies are worth exactly, and when they show ads."""
    from evaluate.ad_timing.sections import ad_timing_sections

    return ad_timing_sections(evaluation, params_of(evaluation.env))


DOMAIN = Domain(
    episode="session",
    step="item",
    objective="expected_value",
    baselines=NAMES,
    best_name=best_name,
    comparison_key=params_of,
    baseline_policies=baseline_candidates,
    variants=variants,
    columns=columns,
    sections=sections,
)
