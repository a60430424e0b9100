"""Everything that can be judged: trained runs and the yardsticks of their environment."""

from typing import Any, NamedTuple

import gymnasium
from gymnasium import spaces
from numpy.typing import NDArray

from train.agents.registry import REGISTRY, Agent
from train.config import EnvConfig, InputError
from train.environment import find_spec, flat_observation_space, make_env
from train.play import Policy
from train.storage.run_folder import Run


class Candidate(NamedTuple):
    """A policy, the environment it is played in, and what it is called.

    Attributes:
        name: Label in tables and charts.
        seed: Seed that it was trained with; none for a yardstick.
        env: The environment in the form that the policy was made for.
        policy: What decides.
        learned: Whether it was trained.
    """

    name: str
    seed: int | None
    env: EnvConfig
    policy: Policy
    learned: bool


class Mix(NamedTuple):
    """A channel policy that spreads the budget by its probabilities instead of picking the likeliest channel."""

    learner: Agent[Any, Any]
    policy: Policy
    environment: Any

    def predict(
        self,
        observation: NDArray[Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Observations (n_envs, size) to actions under the environment's ``baseline_env_kwargs``."""
        return self.environment.mix(self.learner.probabilities(self.policy, observation)), state


def single_env(env: EnvConfig) -> Any:
    """The unwrapped environment itself, for what it tells about its problem.

    Raises:
        InputError: The id is unknown or a keyword argument is refused.
    """
    try:
        return gymnasium.make(find_spec(env.id), **env.kwargs).unwrapped
    except (TypeError, ValueError, gymnasium.error.Error) as error:
        raise InputError(f"env {env.id}: {error}") from error


def problem(env: EnvConfig) -> Any:
    """What two environments must share for their policies to be compared: the id and the parameters."""
    return env.id, getattr(single_env(env), "problem", env.kwargs)


def check_comparable(first: EnvConfig, where: str, runs: list[Run]) -> None:
    """Raises ``InputError`` for the first run that was trained on another problem."""
    expected = problem(first)
    for run in runs:
        other = problem(run.config.env)
        if other != expected:
            raise InputError(
                f"run {run.folder}: was trained on another campaign, {_short(run.config.env)}, than {where}, "
                f"{_short(first)}; only action, observation and reward_scale may differ"
            )


def entries(runs: list[Run], main: str) -> list[Candidate]:
    """Every run; an agent that picks a channel twice: as it was trained, and as the mix of its probabilities.

    Args:
        runs: What to load.
        main: Name of the config whose agents go by their plain names; the others are called
            ``<config>/<agent>``.
    """
    return [
        entry
        for run in runs
        for entry in _of_run(run, run.state.agent if run.config_name == main else _full_name(run))
    ]


def yardsticks(env: EnvConfig, seed: int) -> list[Candidate]:
    """The yardsticks that the environment offers; none where it offers none."""
    unwrapped = single_env(env)
    if not hasattr(unwrapped, "yardsticks"):
        return []
    form = _yardstick_form(env, unwrapped)
    return [
        Candidate(name, None, form, policy, learned=False)
        for name, policy in unwrapped.yardsticks(seed).items()
    ]


def _of_run(run: Run, name: str) -> list[Candidate]:
    agent, seed = run.state.agent, run.state.seed
    learner = REGISTRY[agent].module()
    spaces_of = make_env(run.config.env, n_envs=1)
    action = spaces_of.single_action_space
    policy = learner.load(
        run.model, run.config.agent(agent), flat_observation_space(spaces_of), action
    )
    unwrapped = single_env(run.config.env)
    found = [Candidate(name, seed, run.config.env, policy, learned=True)]
    if isinstance(action, spaces.Discrete) and hasattr(unwrapped, "mix"):
        form = _yardstick_form(run.config.env, unwrapped)
        found.append(
            Candidate(f"{name} (mix)", seed, form, Mix(learner, policy, unwrapped), learned=True)
        )
    return found


def _yardstick_form(env: EnvConfig, unwrapped: Any) -> EnvConfig:
    return EnvConfig(id=env.id, kwargs=env.kwargs | unwrapped.baseline_env_kwargs)


def _full_name(run: Run) -> str:
    return f"{run.config_name}/{run.state.agent}"


def _short(env: EnvConfig) -> str:
    return f"{env.id} {env.kwargs}" if env.kwargs else env.id
