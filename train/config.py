"""One experiment as data: the schema of ``configs/*.yaml``, read and checked without importing torch.

Every hyperparameter has Stable-Baselines3's name and, where a file leaves it out,
Stable-Baselines3's default.
"""

import ast
import importlib.util
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from train.errors import InputError as InputError
from train.errors import first_line
from train.errors import nearest as nearest

MAX_CONFIG_BYTES = 2**20
MAX_VALUES = 100_000
MAX_DEPTH = 50
MAX_FLOAT = 1e30  # what torch's float32 holds, and ten thousand times more of it

AgentName = Literal["a2c", "reference"]
AGENTS: tuple[AgentName, ...] = get_args(AgentName)


def sb3_defaults(file: str, class_name: str, function: str) -> dict[str, Any]:
    """Reads the literal defaults of a Stable-Baselines3 method from its source, without importing the package."""
    spec = importlib.util.find_spec("stable_baselines3")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("stable_baselines3 is not installed")
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8"))
    (owner,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    (method,) = (
        node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == function
    )
    arguments = method.args.args[-len(method.args.defaults) :]
    pairs = zip(arguments, method.args.defaults, strict=True)
    return {
        arg.arg: ast.literal_eval(value)
        for arg, value in pairs
        if isinstance(value, (ast.Constant, ast.UnaryOp))
    }


_A2C = sb3_defaults("a2c/a2c.py", "A2C", "__init__")
_LEARN = sb3_defaults("a2c/a2c.py", "A2C", "learn")
_POLICY = sb3_defaults("common/policies.py", "ActorCriticPolicy", "__init__")


def _whole(value: Any) -> Any:
    """Lets 2e5 stand for 200000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sequence(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**12)]
Size = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**6)]
Seed = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**31)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, le=MAX_FLOAT, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=MAX_FLOAT, allow_inf_nan=False)]

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class OptimizerKwargs(BaseModel):
    """What Adam is given; RMSprop takes ``rms_prop_eps``."""

    model_config = _STRICT

    eps: Positive = Field(
        default=1e-5, description="epsilon of Adam, used where use_rms_prop is off [1]"
    )


class PolicyKwargs(BaseModel):
    """The networks: actor and critic have the same shape and share no weight."""

    model_config = _STRICT

    net_arch: Annotated[tuple[Size, ...], BeforeValidator(_sequence)] = Field(
        default=(64, 64), description="units of each hidden layer, of the actor and of the critic"
    )
    activation_fn: Literal["tanh", "relu"] = Field(
        default="tanh", description="activation of the hidden layers"
    )
    ortho_init: bool = Field(
        default=_POLICY["ortho_init"], description="orthogonal initial weights, else torch's own"
    )
    log_std_init: float = Field(
        default=_POLICY["log_std_init"],
        ge=-20,
        le=20,
        description="log standard deviation of a Gaussian actor at the start [1]",
    )
    optimizer_kwargs: OptimizerKwargs = OptimizerKwargs()


class AgentConfig(BaseModel):
    """Hyperparameters of an actor-critic, the same for both agents."""

    model_config = _STRICT

    n_envs: Size = Field(default=1, description="environments stepped side by side")
    n_steps: Size = Field(
        default=_A2C["n_steps"],
        description="steps of each environment in a rollout, one update each [steps]",
    )
    gamma: Fraction = Field(default=_A2C["gamma"], description="discount factor [1/step]")
    gae_lambda: Fraction = Field(
        default=_A2C["gae_lambda"],
        description="bias against variance of the advantage; 1: n-step [1]",
    )
    learning_rate: NonNegative = Field(
        default=_A2C["learning_rate"], description="learning rate at the start [1]"
    )
    learning_rate_end: NonNegative | None = Field(
        default=None, description="learning rate at the end, reached linearly; null: constant [1]"
    )
    ent_coef: NonNegative = Field(
        default=_A2C["ent_coef"], description="weight of the entropy bonus [1]"
    )
    vf_coef: NonNegative = Field(
        default=_A2C["vf_coef"], description="weight of the value loss [1]"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(
        default=_A2C["max_grad_norm"],
        description="bound of the gradient's norm over actor and critic; .inf: no bound [1]",
    )
    normalize_advantage: bool = Field(
        default=_A2C["normalize_advantage"],
        description="advantages of a rollout to mean 0 and standard deviation 1",
    )
    use_rms_prop: bool = Field(default=_A2C["use_rms_prop"], description="RMSprop, else Adam")
    rms_prop_eps: Positive = Field(
        default=_A2C["rms_prop_eps"], description="epsilon of RMSprop [1]"
    )
    stats_window_size: Size = Field(
        default=_A2C["stats_window_size"],
        description="rollout/ep_rew_mean is over this many episodes [episodes]",
    )
    log_interval: Count = Field(
        default=_LEARN["log_interval"],
        description="rollouts between two rows of the log; the first is written as soon as it can",
    )
    policy_kwargs: PolicyKwargs = PolicyKwargs()

    @model_validator(mode="after")
    def _enough_to_normalise(self) -> "AgentConfig":
        if self.normalize_advantage and self.n_envs * self.n_steps < 2:
            raise ValueError(
                "normalize_advantage needs a rollout of 2 or more: raise n_envs or n_steps"
            )
        return self


class EnvConfig(BaseModel):
    """The environment, by its Gymnasium id."""

    model_config = _STRICT

    id: str = Field(
        min_length=1, description="Gymnasium id, 'module:Name-v0' where a module registers it"
    )
    kwargs: dict[str, Any] = Field(default={}, description="keyword arguments of the environment")


class EvaluationConfig(BaseModel):
    """How a trained agent is judged."""

    model_config = _STRICT

    n_eval_episodes: Size = Field(default=100, description="episodes that each policy plays")
    seed: Seed = Field(
        default=20000, description="seed of those episodes, the same for every policy"
    )


class TrainConfig(BaseModel):
    """One experiment: an environment, the agents that learn it, and their evaluation."""

    model_config = _STRICT

    env: EnvConfig
    total_timesteps: Count = Field(
        description="environment steps; the last rollout may overshoot them [steps]"
    )
    checkpoint_every: Count = Field(
        default=100_000,
        description="environment steps between checkpoints, rounded up to whole rollouts [steps]",
    )
    torch_threads: Size = Field(
        default=1, le=1024, description="threads of torch; results hold for an equal count"
    )
    a2c: AgentConfig | None = Field(default=None, description="Stable-Baselines3's A2C")
    reference: AgentConfig | None = Field(default=None, description="the hand-written actor-critic")
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _an_agent(self) -> "TrainConfig":
        if not self.agents:
            raise ValueError(f"no agent: the file needs one of the parts {', '.join(AGENTS)}")
        return self

    @property
    def agents(self) -> tuple[AgentName, ...]:
        """Names of the agents that the file describes."""
        return tuple(name for name in AGENTS if getattr(self, name) is not None)

    def agent(self, name: str) -> AgentConfig:
        """The part of one agent.

        Raises:
            InputError: There is no such agent, or the file has no part for it.
        """
        if name not in AGENTS:
            raise InputError(
                f"unknown agent {name!r}{nearest(name, AGENTS)}; known: {', '.join(AGENTS)}"
            )
        part: AgentConfig | None = getattr(self, name)
        if part is None:
            raise InputError(f"the config has no part {name!r}; it has: {', '.join(self.agents)}")
        return part


def load_config(path: Path) -> TrainConfig:
    """Reads and checks a config file.

    Raises:
        InputError: The file is missing or unreadable, is no YAML, or holds an unknown key or a bad
            value.
    """
    return parse_config(_read(path), str(path))


def parse_config(data: Any, where: str) -> TrainConfig:
    """Checks the content of a config; ``where`` names its origin in messages.

    Raises:
        InputError: An unknown key, a missing one or a bad value; all faults are named.
    """
    if not isinstance(data, dict):
        content = "is empty" if data is None else f"holds {type(data).__name__} {str(data)[:40]!r}"
        raise InputError(
            f"{where}: {content}; expected a mapping with the keys {_keys(TrainConfig)}"
        )
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        faults = [_fault(details) for details in error.errors()]
    raise InputError("\n".join(f"{where}: {fault}" for fault in dict.fromkeys(faults)))


def dump_config(config: TrainConfig) -> str:
    """The config in full as YAML; ``parse_config`` reads it back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def parse_yaml(text: str, where: str) -> Any:
    """Reads YAML without its tags, with 1e-3 a number and a repeated key refused.

    Raises:
        InputError: It is no YAML; the message says where.
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
        raise InputError(f"{where}:{place} {error.problem or 'is no YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: is no YAML: {first_line(error)}") from None


def _check_size(root: yaml.Node, where: str) -> None:
    """Refuses a document that its aliases make endless, or far larger than it looks."""
    sizes: dict[yaml.Node, int] = {}
    open_nodes: set[yaml.Node] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if node in open_nodes:
            raise InputError(
                f"{where}: line {node.start_mark.line + 1} holds itself through an alias"
            )
        if node not in sizes:
            open_nodes.add(node)
            parts = (
                [part for pair in node.value for part in pair]
                if isinstance(node, yaml.MappingNode)
                else node.value
            )
            sizes[node] = 1 + sum(map(size, parts))
            open_nodes.remove(node)
        return sizes[node]

    if size(root) > MAX_VALUES:
        raise InputError(
            f"{where}: holds {size(root):,} values, aliases counted; at most {MAX_VALUES:,} are read"
        )


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise InputError(
                f"config {path}: is larger than the {MAX_CONFIG_BYTES:,} bytes that are read"
            )
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        known = sorted(str(other) for other in path.parent.glob("*.yaml")) or sorted(
            map(str, Path("configs").glob("*.yaml"))
        )
        listing = f"; known: {', '.join(known)}" if known else ""
        raise InputError(
            f"config {path}: no such file{nearest(str(path), known)}{listing}"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"config {path}: is no text, expected a YAML file in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"config {path}: cannot be read: {reason}") from None
    return parse_yaml(text, str(path))


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
            if not isinstance(key, Hashable) or key in seen:
                problem = f"the key {key!r} {'stands twice' if isinstance(key, Hashable) else 'is no name'}"
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
    location, kind = details["loc"], details["type"]
    place = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        model = _model_at(location[:-1])
        return f"unknown key {place!r}{nearest(str(location[-1]), model.model_fields)}; known: {_keys(model)}"
    if kind == "missing":
        return f"the key {place!r} is missing: {_meaning(location)}"
    message = details["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{place}: {message}" if place else message
    if kind == "model_type":
        return f"{place}={details['input']!r}: expected a mapping with the keys {_keys(_model_at(location))}"
    meaning = _meaning(location)
    return f"{place}={details['input']!r}: {message.lower()}{f' ({meaning})' if meaning else ''}"


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


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)
