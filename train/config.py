"""One experiment as data: the schema of ``configs/*.yaml``, checked without importing torch.

Every hyperparameter has Stable-Baselines3's name and default.
"""

import re
from collections.abc import Hashable
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from train.errors import InputError, first_line, nearest

MAX_CONFIG_BYTES = 2**20
MAX_VALUES = 100_000
MAX_DEPTH = 50
MAX_FLOAT = 1e30  # what torch's float32 holds, and ten thousand times more of it

RENAMED = {"evaluation.campaigns": "n_eval_episodes"}  # keys of older files: their new names

AgentName = str  # a field of TrainConfig


def _whole(value: Any) -> Any:
    """The integer that a float such as 2e5 stands for; any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sequence(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**12)]
Size = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**6)]
Seed = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**31)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, le=MAX_FLOAT, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=MAX_FLOAT, allow_inf_nan=False)]
Bound = Annotated[float, Field(gt=0)]
LogStd = Annotated[float, Field(ge=-20, le=20)]
Units = Annotated[tuple[Size, ...], BeforeValidator(_sequence)]


class OptimizerKwargs(BaseModel, frozen=True, extra="forbid", strict=True):
    """What Adam is given; RMSprop takes ``rms_prop_eps``."""

    eps: Positive = Field(default=1e-5, description="epsilon of Adam, unless use_rms_prop [1]")


class PolicyKwargs(BaseModel, frozen=True, extra="forbid", strict=True):
    """The networks: actor and critic have the same shape and share no weight."""

    net_arch: Units = Field(default=(64, 64), description="units of each hidden layer, of both")
    activation_fn: Literal["tanh", "relu"] = Field(default="tanh", description="of hidden layers")
    ortho_init: bool = Field(default=True, description="orthogonal initial weights, else torch's")
    log_std_init: LogStd = Field(default=0.0, description="first log std of a Gaussian actor [1]")
    optimizer_kwargs: OptimizerKwargs = OptimizerKwargs()


class AgentConfig(BaseModel, frozen=True, extra="forbid", strict=True):
    """Hyperparameters of an actor-critic, the same for both agents."""

    n_envs: Size = Field(default=1, description="environments stepped side by side")
    n_steps: Size = Field(default=5, description="steps of each environment per update [steps]")
    gamma: Fraction = Field(default=0.99, description="discount factor [1/step]")
    gae_lambda: Fraction = Field(default=1.0, description="bias against variance; 1: n-step [1]")
    learning_rate: NonNegative = Field(default=7e-4, description="learning rate at the start [1]")
    learning_rate_end: NonNegative | None = Field(
        default=None, description="learning rate at the end, reached linearly; null: constant [1]"
    )
    ent_coef: NonNegative = Field(default=0.0, description="weight of the entropy bonus [1]")
    vf_coef: NonNegative = Field(default=0.5, description="weight of the value loss [1]")
    max_grad_norm: Bound = Field(default=0.5, description="bound of the gradient; .inf: none [1]")
    normalize_advantage: bool = Field(default=False, description="standardise rollouts' advantages")
    use_rms_prop: bool = Field(default=True, description="RMSprop, else Adam")
    rms_prop_eps: Positive = Field(default=1e-5, description="epsilon of RMSprop [1]")
    stats_window_size: Size = Field(default=100, description="window of ep_rew_mean [episodes]")
    log_interval: Count = Field(default=100, description="rollouts between two rows of the log")
    policy_kwargs: PolicyKwargs = PolicyKwargs()

    @model_validator(mode="after")
    def _enough_to_normalise(self) -> "AgentConfig":
        if self.normalize_advantage and self.n_envs * self.n_steps < 2:
            message = "normalize_advantage needs a rollout of 2 or more: raise n_envs or n_steps"
            raise ValueError(message)
        return self


class EnvConfig(BaseModel, frozen=True, extra="forbid", strict=True):
    """The environment, by its Gymnasium id."""

    id: str = Field(min_length=1, description="Gymnasium id, such as 'module:Name-v0'")
    kwargs: dict[str, Any] = Field(default={}, description="keyword arguments of the environment")


class EvaluationConfig(BaseModel, frozen=True, extra="forbid", strict=True):
    """How a trained agent is evaluated."""

    n_eval_episodes: Size = Field(default=100, description="episodes that each policy plays")
    seed: Seed = Field(default=20000, description="seed of those episodes for every policy")


class TrainConfig(BaseModel, frozen=True, extra="forbid", strict=True):
    """One experiment: an environment, the agents that learn it, and their evaluation."""

    env: EnvConfig
    total_timesteps: Count = Field(description="environment steps, the last rollout whole [steps]")
    checkpoint_every: Count = Field(default=100000, description="steps between checkpoints [steps]")
    torch_threads: Size = Field(
        default=1, le=1024, description="threads of torch; results hold for an equal count"
    )
    a2c: AgentConfig | None = Field(default=None, description="Stable-Baselines3's A2C")
    reference: AgentConfig | None = Field(default=None, description="the hand-written actor-critic")
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _an_agent(self) -> "TrainConfig":
        if not self.agents:
            raise ValueError(f"no agent: one of the parts {', '.join(AGENTS)} is needed")
        return self

    @property
    def agents(self) -> tuple[AgentName, ...]:
        """Names of the agents that the config has a part for."""
        return tuple(name for name in AGENTS if getattr(self, name) is not None)

    def agent(self, name: str) -> AgentConfig:
        """The part of one agent.

        Raises:
            InputError: There is no such agent, or the file has no part for it.
        """
        if name not in AGENTS:
            hint = f"{nearest(name, AGENTS)}; known: {', '.join(AGENTS)}"
            raise InputError(f"unknown agent {name!r}{hint}")
        part: AgentConfig | None = getattr(self, name)
        if part is None:
            raise InputError(f"the config has no part {name!r}; it has: {', '.join(self.agents)}")
        return part


_PARTS = TrainConfig.model_fields
AGENTS: tuple[AgentName, ...] = tuple(
    name for name, field in _PARTS.items() if field.annotation == AgentConfig | None
)


def load_config(path: Path) -> TrainConfig:
    """Reads and checks a config file.

    Raises:
        InputError: The file is missing, unreadable or not YAML, or has an unknown key or bad value.
    """
    return parse_config(_read(path), str(path))


def parse_config(data: Any, where: str) -> TrainConfig:
    """Checks the content of a config; ``where`` names its origin in messages.

    Raises:
        InputError: An unknown key, a missing one or a bad value; all faults are named.
    """
    if not isinstance(data, dict):
        content = "is empty" if data is None else f"holds {type(data).__name__} {str(data)[:40]!r}"
        expected = f"expected a mapping with the keys {', '.join(TrainConfig.model_fields)}"
        raise InputError(f"{where}: {content}; {expected}")
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        faults = [_fault(details) for details in error.errors()]
    raise InputError("\n".join(f"{where}: {fault}" for fault in dict.fromkeys(faults)))


def dump_config(config: TrainConfig) -> str:
    """The config in full as YAML; ``parse_config`` reads it back unchanged."""
    values = config.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)


def parse_yaml(text: str, where: str) -> Any:
    """Reads YAML without tags; 1e-3 is a number, a repeated key is refused.

    Raises:
        InputError: It is not YAML; the message says where.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, where)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{where}:{place} {error.problem or 'is not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not YAML: {first_line(error)}") from None


def _check_size(root: yaml.Node, where: str) -> None:
    """Refuses a document that aliases make endless or far larger than it looks."""
    sizes: dict[yaml.Node, int] = {}
    open_nodes: set[yaml.Node] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if node in open_nodes:
            line = node.start_mark.line + 1
            raise InputError(f"{where}: line {line} holds itself through an alias")
        if node not in sizes:
            open_nodes.add(node)
            parts = chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
            sizes[node] = 1 + sum(map(size, parts))
            open_nodes.remove(node)
        return sizes[node]

    if (values := size(root)) > MAX_VALUES:
        allowed = f"at most {MAX_VALUES:,} are read"
        raise InputError(f"{where}: holds {values:,} values with aliases; {allowed}")


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            allowed = f"the {MAX_CONFIG_BYTES:,} bytes that are read"
            raise InputError(f"config {path}: is larger than {allowed}")
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        known = yaml_files(path.parent) or yaml_files(Path("configs"))
        hint = nearest(str(path), known) + (f"; known: {', '.join(known)}" if known else "")
        raise InputError(f"config {path}: no such file{hint}") from None
    except UnicodeDecodeError:
        raise InputError(f"config {path}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"config {path}: cannot be read: {reason}") from None
    return parse_yaml(text, str(path))


def yaml_files(folder: Path) -> list[str]:
    """Returns the paths of a folder's config files."""
    return sorted(map(str, folder.glob("*.yaml")))


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys and deep nests, and reads 1e-3 as a number."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} lists or mappings lie within each other")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            fault = "" if isinstance(key, Hashable) else "is not a name"
            fault = fault or ("stands twice" if key in seen else "")
            if fault:
                problem = f"the key {key!r} {fault}"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _fault(details: Any) -> str:
    """One line for one of pydantic's errors: the field, the value, what is allowed."""
    location, kind, value = details["loc"], details["type"], details["input"]
    place = ".".join(str(part) for part in location)
    message = details["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden" and place in RENAMED:
        return f"{place}: is now called {RENAMED[place]!r}"
    if kind == "extra_forbidden":
        known = _model_at(location[:-1]).model_fields
        return f"unknown key {place!r}{nearest(location[-1], known)}; known: {', '.join(known)}"
    if kind == "missing":
        return f"the key {place!r} is missing: {_meaning(location)}"
    if kind == "value_error":
        return f"{place}: {message}" if place else message
    if kind == "model_type":
        known = _model_at(location).model_fields
        return f"{place}={value!r}: expected a mapping with the keys {', '.join(known)}"
    meaning = _meaning(location)
    return f"{place}={value!r}: {message.lower()}{f' ({meaning})' if meaning else ''}"


def _model_at(location: tuple[Any, ...]) -> type[BaseModel]:
    model: type[BaseModel] = TrainConfig
    for part in location:
        annotation: Any = model.model_fields[part].annotation
        model = AgentConfig if part in AGENTS else annotation
    return model


def _meaning(location: tuple[Any, ...]) -> str:
    *parents, name = [part for part in location if isinstance(part, str)]
    field = _model_at(tuple(parents)).model_fields.get(name) if "kwargs" not in parents else None
    return (field.description or "") if field else ""
