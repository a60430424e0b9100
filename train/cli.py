"""The command line: every field of a config as a flag, with the file's value as its default."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import tyro
from pydantic import BaseModel, Field
from tyro import constructors

from train import config
from train.config import AGENTS, RENAMED, AgentConfig, AgentName, TrainConfig
from train.errors import InputError, nearest

DESCRIPTION = """Trains the agents of CONFIG, a YAML file such as configs/linear.yaml. Each agent
and seed gets a folder of its own, runs/<config>/<agent>-seed<seed>-<n>. Every field of the file can
be set here too: the values shown are those that will be used.

python -m train --resume RUN resumes a run that was stopped or killed from its last checkpoint, with
the same bits as if it had never stopped. With --total-timesteps N it extends the run: its schedule
is stretched to N steps, so the result differs from a fresh run of N steps."""


class TrainArgs(NamedTuple):
    """A command line that trains; no agents stand for all agents of the config."""

    config: Path
    agents: tuple[AgentName, ...]
    seeds: tuple[int, ...]
    runs_dir: Path
    jobs: int
    train: TrainConfig


class ResumeArgs(NamedTuple):
    """A command line that resumes a run; ``total_timesteps`` extends it."""

    folder: Path
    total_timesteps: int | None


class _Flags(BaseModel, frozen=True):
    agents: tuple[str, ...] = Field(
        default=(), description=f"agents to train, of {', '.join(AGENTS)}; default: all in the file"
    )
    seeds: tuple[int, ...] = Field(default=(0,), description="random seeds, a run for each")
    runs_dir: Path = Field(default=Path("runs"), description="folder for the runs")
    jobs: int = Field(
        default=0,
        description="runs trained at a time; 0: by the cores for several seeds, else 1",
    )
    train: Annotated[TrainConfig, tyro.conf.arg(name="")]


class _ResumeFlags(NamedTuple):
    """Resumes a run from its last checkpoint."""

    resume: Annotated[Path, tyro.conf.arg(help="the run's folder")]
    total_timesteps: Annotated[int | None, tyro.conf.arg(help="extend it to so many steps")] = None


def parse_resume(argv: list[str]) -> ResumeArgs | None:
    """Reads a command line that resumes a run; None where it does something else.

    Raises:
        InputError: A value is refused.
        SystemExit: ``--help`` was asked for (0) or a flag is unknown (2).
    """
    if not any(word == "--resume" or word.startswith("--resume=") for word in argv):
        return None
    folder, steps = tyro.cli(_ResumeFlags, args=argv, prog="python -m train", registry=_REGISTRY)
    if steps is not None and steps < 1:
        raise InputError(f"--total-timesteps {steps}: must be a whole number of 1 or more")
    return ResumeArgs(folder, steps)


def parse_args(argv: list[str]) -> TrainArgs:
    """Reads the command line.

    Raises:
        InputError: A value is refused, by the same rules as in the file.
        SystemExit: ``--help`` was asked for (0) or a flag is unknown (2).
    """
    path, rest = _take_config(argv)
    _check_renamed(rest)
    values: Any = tyro.cli(
        _Flags,
        args=rest,
        default=_Flags(train=config.load_config(path) if path else _example()),
        prog="python -m train CONFIG",
        description=DESCRIPTION,
        config=(tyro.conf.AvoidSubcommands,),
        registry=_REGISTRY,
    )
    agents, seeds, jobs = values["agents"], values["seeds"], values["jobs"]
    for agent in agents:
        if agent not in AGENTS:
            hint = f"{nearest(agent, AGENTS)}; known: {', '.join(AGENTS)}"
            raise InputError(f"--agents {agent}: unknown agent{hint}")
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise InputError(f"--seeds {seed}: must be from 0 to {2**31 - 1}")
    if jobs < 0:
        raise InputError(f"--jobs {jobs}: must be a whole number of 0 or more")
    train = config.parse_config(values["train"], "command line")
    runs_dir: Path = values["runs_dir"]
    agents, seeds = (tuple(dict.fromkeys(values)) for values in (agents, seeds))
    return TrainArgs(path or Path(), agents, seeds, runs_dir, jobs, train)


_REGISTRY = constructors.ConstructorRegistry()


@_REGISTRY.struct_rule
def _unchecked(info: constructors.StructTypeInfo) -> constructors.StructConstructorSpec | None:
    """Lets tyro collect plain values, to be checked by our schema and refused in its words."""
    if not (isinstance(info.type, type) and issubclass(info.type, BaseModel)):
        return None
    hints = get_type_hints(info.type, include_extras=True)
    fields = []
    for name, field in info.type.model_fields.items():
        value = getattr(info.default, name)
        if name in AGENTS and value is None:
            continue  # the file leaves this agent out, so it has no flags
        kind = type(value) if name in AGENTS else hints[name]
        help_text = field.description or ""
        fields.append(constructors.StructFieldSpec(name, kind, value, help_text))
    return constructors.StructConstructorSpec(instantiate=dict, fields=tuple(fields))


@_REGISTRY.primitive_rule
def _whole_number(
    info: constructors.PrimitiveTypeInfo,
) -> constructors.PrimitiveConstructorSpec[int] | None:
    """Reads 1e3 as 1000, as in a file."""
    if info.type is not int:
        return None

    def parse(words: list[str]) -> int:
        try:
            return int(words[0])
        except ValueError:
            number = float(words[0])
        if not number.is_integer():
            raise ValueError(f"{words[0]} is not a whole number")
        return int(number)

    return constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=parse,
        is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


def _check_renamed(argv: list[str]) -> None:
    """Answers a flag's old name with the new one."""
    for old, name in RENAMED.items():
        flag = "--" + old.replace("_", "-")
        if any(word.partition("=")[0].replace("_", "-") == flag for word in argv):
            new = ".".join([*old.split(".")[:-1], name]).replace("_", "-")
            raise InputError(f"{flag}: is now called --{new}")


def _take_config(argv: list[str]) -> tuple[Path | None, list[str]]:
    """Splits off the argument that names the config: the flags' defaults come from it."""
    words = [word for word in argv if not word.startswith("-")]
    chosen = next((word for word in words if word.endswith((".yaml", ".yml"))), None)
    if chosen is None and argv and words[:1] == argv[:1]:
        chosen = argv[0]
    if chosen is not None:
        index = argv.index(chosen)
        return Path(chosen), argv[:index] + argv[index + 1 :]
    if {"-h", "--help"} & set(argv):
        return None, argv
    known = ", ".join(config.yaml_files(Path("configs"))) or "none"
    raise InputError(f"no config named; usage: python -m train CONFIG [--help]; known: {known}")


def _example() -> TrainConfig:
    """The config that ``--help`` shows where no file is named: every agent with its defaults."""
    parts: dict[str, Any] = dict.fromkeys(AGENTS, AgentConfig())
    return TrainConfig(env=config.EnvConfig(id="ID"), total_timesteps=1, **parts)
