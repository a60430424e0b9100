"""What evaluation knows about a family of environments, and where each family says it.

A ``Domain()`` as it stands fits any environment. A family that has more to say writes its own in a
module of its own and adds a line to ``DOMAINS``.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from evaluate.report.page import Section
from evaluate.results import NO_NAMES, OPTIMUM, BaselineNames, PolicyResult
from evaluate.rollouts import Candidate, Columns, Results, reward_column
from train.config import EnvConfig, EvaluationConfig
from train.environment import find_spec
from train.errors import InputError

DOMAINS = {
    "envs.ad_timing": "evaluate.ad_timing.domain",
    "envs.campaign": "evaluate.campaign.domain",
    "envs.traffic_signal": "evaluate.traffic_signal.domain",
}
"""Package of a family's environments to the module whose ``DOMAIN`` describes the family."""

Probabilities = Callable[[NDArray[Any]], NDArray[np.float64]]
"""Observations (n_envs, size) to the probabilities of the actions, (n_envs, actions)."""


class Evaluation(NamedTuple):
    """What was evaluated, as the sections of the report are made from it."""

    domain: "Domain"
    env: EnvConfig
    settings: EvaluationConfig
    results: Results
    policies: list[PolicyResult]  # the leading agent first
    metric: str  # column that policies are compared by
    colours: dict[str, str]  # by policy
    best: str = OPTIMUM  # what shares are shares of

    @property
    def agents(self) -> list[PolicyResult]:
        """The trained policies, the leading one first."""
        return [policy for policy in self.policies if policy.is_trained]

    @property
    def trained(self) -> list[str]:
        """Names of the trained policies."""
        return [agent.name for agent in self.agents]

    @property
    def share_name(self) -> str:
        """What shares are called."""
        return f"share of the {self.best}"


class FamilySections(NamedTuple):
    """What a family adds to the report: sections, and numbers for ``summary.json`` by policy."""

    first: tuple[Section, ...] = ()  # ahead of the comparison of the policies
    rest: tuple[Section, ...] = ()  # after it
    numbers: Mapping[str, dict[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Domain:
    """A family of environments; the defaults fit any environment.

    Attributes:
        episode: What the report calls an episode.
        step: What it calls a step.
        objective: The episode metric that policies are compared by; an environment without metrics
            has the return under this name.
        baselines: Which baselines have a part of their own in the report.
        best_name: What shares are shares of: the optimum only where it is confirmed.
        comparison_key: What two environments of an id must share for policies to be compared.
        baseline_policies: The baselines of an environment; the seed is for those that draw.
        variants: Other ways to play a trained policy of discrete actions.
        columns: Columns of ``results.csv`` that describe a step.
        sections: What the family adds to the report.
    """

    episode: str = "episode"
    step: str = "step"
    objective: str = "return"
    baselines: BaselineNames = NO_NAMES
    best_name: Callable[[EnvConfig], str] = lambda _env: OPTIMUM
    comparison_key: Callable[[EnvConfig], object] = lambda env: env.kwargs
    baseline_policies: Callable[[EnvConfig, int], list[Candidate]] = lambda _env, _seed: []
    variants: Callable[[Candidate, Probabilities], list[Candidate]] = lambda _trained, _shares: []
    columns: Columns = reward_column
    sections: Callable[[Evaluation], FamilySections] = lambda _evaluation: FamilySections()


def domain_of(env: EnvConfig) -> Domain:
    """The domain of an environment's family, by the package that its entry point lies in.

    Raises:
        InputError: The id is unknown.
    """
    entry: Any = find_spec(env.id).entry_point
    module = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    for package, name in DOMAINS.items():
        if f"{module}.".startswith(f"{package}."):
            domain: Domain = importlib.import_module(name).DOMAIN
            return domain
    return Domain()


@contextmanager
def opened(env: EnvConfig) -> Iterator[Any]:
    """Opens the unwrapped environment to ask it a question, and closes it.

    Raises:
        InputError: The id is unknown or a keyword argument is refused.
    """
    try:
        made = gymnasium.make(find_spec(env.id), **env.kwargs)
    except (TypeError, ValueError, gymnasium.error.Error) as error:
        raise InputError(f"env {env.id}: {error}") from error
    with closing(made):
        yield made.unwrapped
