"""What evaluation knows about deliveries."""

import dataclasses
from typing import Any

from numpy.typing import NDArray

from envs.delivery.params import DeliveryParams
from evaluate.delivery.policies import NAMES, baseline_policies
from evaluate.domain import Domain, Evaluation, FamilySections, opened
from evaluate.rollouts import Candidate
from train.config import EnvConfig
from train.environment import BatchEnv
from train.play import Step

OBJECTIVE = "minutes_saved"


def params_of(env: EnvConfig) -> DeliveryParams:
    """The parameters of a delivery environment.

    Raises:
        InputError: A keyword argument is refused.
    """
    with opened(env) as delivery:
        params: DeliveryParams = delivery.params
        return params


def comparison_key(env: EnvConfig) -> object:
    """The parameters without the learner's choices."""
    return dataclasses.replace(params_of(env), reward_scale=1.0)


def evaluated_in(env: EnvConfig) -> EnvConfig:
    """The environment with all pairs of restaurant and customer, those not trained on included."""
    return EnvConfig(id=env.id, kwargs=env.kwargs | {"pairs": "all"})


def baseline_candidates(env: EnvConfig, _seed: int) -> list[Candidate]:
    """The baselines, ready to be played; none of them draws."""
    policies = baseline_policies(params_of(env)).items()
    return [Candidate(name, None, evaluated_in(env), policy) for name, policy in policies]


def columns(_envs: BatchEnv, step: Step) -> dict[str, NDArray[Any]]:
    """Where a move led and what it took, each (n_envs,)."""
    infos = step.infos
    places = {
        f"{end}_{axis}": infos[end][:, index]
        for end in ("start", "end")
        for index, axis in enumerate(("row", "column"))
    }
    return places | {name: infos[name] for name in ("clock", "minutes", "minutes_late")}


def sections(evaluation: Evaluation) -> FamilySections:
    """Pairs trained on and held out, the routes on the map, and which streets are taken."""
    from evaluate.delivery.sections import delivery_sections

    return delivery_sections(evaluation, params_of(evaluation.env))


DOMAIN = Domain(
    episode="ride",
    step="move",
    objective=OBJECTIVE,
    baselines=NAMES,
    comparison_key=comparison_key,
    evaluated_in=evaluated_in,
    baseline_policies=baseline_candidates,
    columns=columns,
    sections=sections,
)
