"""The trained policies of runs, ready to be played, and whether they may be compared."""

import reprlib
from functools import partial

from gymnasium import spaces

from evaluate.domain import domain_of
from evaluate.rollouts import Candidate
from train.agents.registry import REGISTRY
from train.config import EnvConfig
from train.environment import flat_observation_space, make_env
from train.errors import InputError
from train.storage.run_folder import Run


def label(run: Run, main: str) -> str:
    """What a run's agent is called: by its name under the config ``main``, else with its config."""
    return run.state.agent if run.config_name == main else f"{run.config_name}/{run.state.agent}"


def load_candidates(runs: list[Run], main: str) -> list[Candidate]:
    """The policies of every run; those of the config ``main`` go by their plain names.

    Raises:
        InputError: A run's model cannot be loaded.
    """
    return [candidate for run in runs for candidate in _candidates(run, label(run, main))]


def check_comparable(first: EnvConfig, where: str, runs: list[Run]) -> None:
    """Raises ``InputError`` for the first run that was trained on another problem."""
    domain = domain_of(first)
    expected = domain.comparison_key(first)
    for run in runs:
        env = run.config.env
        if env.id != first.id or domain.comparison_key(env) != expected:
            raise InputError(
                f"run {run.folder}: was trained on another {domain.episode}, {_short(env)}, than "
                f"{where}, {_short(first)}; what defines a {domain.episode} must be the same"
            )


def _candidates(run: Run, name: str) -> list[Candidate]:
    env, agent = run.config.env, run.state.agent
    learner, envs = REGISTRY[agent].module(), make_env(env, n_envs=1)
    action, observation = envs.single_action_space, flat_observation_space(envs)
    envs.close()
    policy = learner.load(run.model, run.config.agent(agent), observation, action)
    domain = domain_of(env)
    trained = Candidate(name, run.state.seed, domain.evaluated_in(env), policy)
    if not isinstance(action, spaces.Discrete):
        return [trained]
    probabilities = partial(learner.probabilities, policy)
    return [trained, *domain.variants(trained, probabilities)]


def _short(env: EnvConfig) -> str:
    """The environment in a line; of a long list no more than its beginning."""
    values = ", ".join(f"{name}: {reprlib.repr(value)}" for name, value in env.kwargs.items())
    return f"{env.id} {{{values}}}" if values else env.id
