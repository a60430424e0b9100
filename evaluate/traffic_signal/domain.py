"""What evaluation knows about traffic signals."""

import dataclasses
from typing import Any

from numpy.typing import NDArray

from envs.traffic_signal.params import SignalParams
from evaluate.domain import Domain, Evaluation, FamilySections, opened
from evaluate.rollouts import Candidate
from evaluate.traffic_signal.policies import FORM, NAMES, policies
from train.config import EnvConfig
from train.environment import BatchEnv
from train.play import Step

COLUMNS = ("queue_ns", "queue_ew", "arrivals_ns", "arrivals_ew", "phase", "switched")


def params_of(env: EnvConfig) -> SignalParams:
    """The parameters of a traffic signal.

    Raises:
        InputError: A keyword argument is refused.
    """
    with opened(env) as signal:
        params: SignalParams = signal.params
        return params


def comparison_key(env: EnvConfig) -> object:
    """The parameters without the learner's choices."""
    return dataclasses.replace(params_of(env), reward_scale=1.0)


def baselines(env: EnvConfig, _seed: int) -> list[Candidate]:
    """The baselines, ready to be played."""
    form = EnvConfig(id=env.id, kwargs=env.kwargs | FORM)
    played = policies(params_of(env)).items()
    return [Candidate(name, None, form, policy) for name, policy in played]


def columns(_envs: BatchEnv, step: Step) -> dict[str, NDArray[Any]]:
    """Queues, arrivals, phase and switch of a step, each (n_envs,)."""
    return {name: step.infos[name] for name in COLUMNS}


def sections(evaluation: Evaluation) -> FamilySections:
    """The delay of each policy, the queues over time, and when the signal switches."""
    from evaluate.traffic_signal.sections import signal_sections

    return signal_sections(evaluation, params_of(evaluation.env))


DOMAIN = Domain(
    objective="time_saved",
    baselines=NAMES,
    comparison_key=comparison_key,
    baseline_policies=baselines,
    columns=columns,
    sections=sections,
)
