"""Bad input by the hundred: good configs, command lines and runs, changed at random."""

import contextlib
import io
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st

from evaluate.__main__ import main as evaluate
from tests.tools.resuming import PROCESSES, Crash, crash_after
from train.__main__ import main as train

LONGEST = 60
"""Seconds after which a program counts as hung."""

Program = Literal["train", "evaluate"]
PROGRAMS: dict[Program, Callable[[list[str]], int]] = {"train": train, "evaluate": evaluate}
AGENTS = {"cartpole": "a2c", "linear": "reference"}
CONFIGS = {
    "cartpole": "env:\n  id: CartPole-v1\n  kwargs: {}\n",
    "linear": "env:\n  id: envs:LinearCampaign-v0\n  kwargs:\n"
    "    days: 2\n    reward_scale: 0.001\n",
}
REST = """total_timesteps: 96
checkpoint_every: 16
torch_threads: 1
reference: &part
  n_envs: 2
  n_steps: 4
  gamma: 0.9
  learning_rate: 1e-3
  learning_rate_end: 0.0
  use_rms_prop: false
  max_grad_norm: .inf
  log_interval: 1
  policy_kwargs: {net_arch: [4], activation_fn: relu}
a2c: *part
evaluation: {n_eval_episodes: 1, seed: 3}
"""
ODD = (
    *(
        "",
        "0",
        "-1",
        "1.5",
        "x",
        "null",
        ".nan",
        "-.inf",
        "[]",
        "{}",
        "true",
        "1e31",
        "'7'",
        "[1, [2]]",
        "{a: 1}",
    ),
    *(
        "2001-01-01",
        "!!binary aGk=",
        "!!set {a}",
        "*part",
        "&z [*z]",
        "!!python/name:os.mkdir",
        "0x10",
        "1_0",
        "- 1",
    ),
    *(
        "é\u2028",
        "\t",
        "? 1",
        "|",
        ": :",
        "%",
        "../..",
        "/dev/null",
        "~",
        "0o7",
        "1:30",
        "<<: *part",
        '"\\ud800"',
    ),
)
WORDS = (
    *(
        "--agents",
        "--seeds",
        "--runs-dir",
        "--resume",
        "--total-timesteps",
        "--a2c.gamma",
        "--a2c.n-envs",
        "--env.id",
    ),
    *(
        "--env.kwargs.days",
        "--reference.policy-kwargs.net-arch",
        "--checkpoint-every",
        "--help",
        "-h",
        "--",
        "-",
    ),
    *(
        "--out",
        "--no-such-flag",
        "--evaluation.seed",
        "--a2c.no-normalize-advantage",
        "--a2c.learning-rate-end",
    ),
    *("None", "all", "a2c", "reference"),
)


class Change(NamedTuple):
    """One change of a text: what, where (a fraction of its length), and with what."""

    kind: Literal["drop", "double", "value", "insert", "cut", "byte"]
    place: float
    odd: str


class Case(NamedTuple):
    """One changed input.

    Attributes:
        kind: What is changed.
        config: Which config or run it starts from.
        program: What it is given to; a config or a command line of training to training.
        changes: What is changed.
        file: Which file of a run, as a fraction of their list.
        words: What is put into a command line.
    """

    kind: Literal["config", "command line", "run"]
    config: str
    program: Program
    changes: list[Change]
    file: float
    words: list[str]


FRACTIONS = st.floats(0, 1, exclude_max=True)
CHANGES = st.builds(
    Change,
    st.sampled_from(["drop", "double", "value", "insert", "cut", "byte"]),
    FRACTIONS,
    st.sampled_from(ODD),
)
CASES = st.builds(
    Case,
    kind=st.sampled_from(["config", "command line", "run", "run"]),
    config=st.sampled_from(sorted(CONFIGS)),
    program=st.sampled_from([*["train"] * 5, "evaluate"]),
    changes=st.lists(CHANGES, min_size=1, max_size=3),
    file=FRACTIONS,
    words=st.lists(
        st.one_of(st.sampled_from(WORDS), st.sampled_from(ODD), st.text(max_size=4)),
        min_size=1,
        max_size=3,
    ),
)


def make_runs(folder: Path) -> Path:
    """Makes finished runs (seed 0) and ones that died in the middle (seed 1), to be changed."""
    for name, env in CONFIGS.items():
        config = folder / f"{name}.yaml"
        config.write_text(env + REST)
        argv = [str(config), "--runs-dir", str(folder), "--agents", AGENTS[name], "--seeds"]
        assert train([*argv, "0"]) == 0
        with crash_after(40), contextlib.suppress(Crash):
            train([*argv, "1"])
    return folder


def survives(case: Case, runs: Path, as_process: bool = False) -> int:
    """Gives a changed input to its program; the exit code, 0 or 2, and no file is lost."""
    program: Program = "train" if case.kind == "config" else case.program
    with tempfile.TemporaryDirectory() as name:
        argv, folder = _prepare(case, runs, Path(name))
        before = _files(folder)
        below = Path(name) / "so/that/nothing/lands/elsewhere"
        below.mkdir(parents=True)
        with contextlib.chdir(below):
            code, said = _run_process(program, argv) if as_process else _run(program, argv)
        assert code in {0, 2}, (case, argv, code, said)
        assert "Traceback" not in said, (case, argv, said)
        assert code == 0 or said.strip(), (case, argv)
        assert before <= _files(folder), (case, before - _files(folder))
    return code


def _prepare(case: Case, runs: Path, folder: Path) -> tuple[list[str], Path]:
    """The command line of a case, and the folder that it is about."""
    config = folder / "c.yaml"
    text = (CONFIGS[case.config] + REST).encode()
    out = ["--runs-dir", str(folder / "runs")]
    if case.kind == "config":
        for change in case.changes:
            text = _changed(text, change)
        config.write_bytes(text)
        return [str(config), *out, "--agents", AGENTS[case.config]], folder
    config.write_bytes(text)
    judged = case.program == "evaluate"
    name = "cartpole" if judged else case.config  # it has no baselines to be played as well
    origin = runs / name / f"{AGENTS[name]}-seed{0 if judged else 1}-1"
    run = Path(shutil.copytree(origin, folder / name / "run"))
    argv = [str(run), "--out", str(folder / "report")] if judged else ["--resume", str(run)]
    if case.kind == "run":
        files = sorted(path for path in run.rglob("*") if path.is_file())
        target = files[int(case.file * len(files))]
        content = target.read_bytes()
        for change in case.changes:
            content = _changed(content, change)
        target.write_bytes(content)
        if case.changes[0].place > 0.9:
            target.unlink()
        return argv, run
    if not judged and case.file < 0.6:
        argv = [str(config), *out, "--agents", AGENTS[case.config], "--evaluation.seed", "5"]
    for i, word in enumerate(case.words):
        place = int(case.changes[i % len(case.changes)].place * (len(argv) + 1))
        drop = case.changes[0].kind in {"drop", "value"}
        argv[place : place + drop] = [word]
    return argv, run


def _changed(content: bytes, change: Change) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return change.odd.encode("utf-8", "surrogatepass")
    line, odd = int(change.place * len(lines)), change.odd.encode("utf-8", "surrogatepass")
    if change.kind == "cut":
        return content[: int(change.place * len(content))]
    if change.kind == "byte":
        changed = bytearray(content)
        changed[int(change.place * len(content))] ^= 1 + len(odd)
        return bytes(changed)
    if change.kind == "drop":
        del lines[line]
    elif change.kind == "double":
        lines.insert(line, lines[line])
    elif change.kind == "insert":
        lines.insert(line, odd + b"\n")
    else:
        head, separator, _ = lines[line].partition(b": ")
        lines[line] = head + separator + odd + b"\n"
    return b"".join(lines)


def _files(folder: Path) -> set[str]:
    """Every file that must not get lost: all but those of checkpoints, of which old ones go."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if "checkpoint" not in name and "tfevents" not in name}


def _run(program: Program, argv: list[str]) -> tuple[int, str]:
    """Runs a program in this process; its exit code, and what it printed as errors."""
    said = io.StringIO()
    with _limit(LONGEST), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = PROGRAMS[program](argv)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return code, said.getvalue()


def _run_process(program: Program, argv: list[str]) -> tuple[int, str]:
    with tempfile.NamedTemporaryFile() as file:
        process = PROCESSES.Process(target=_to_file, args=(program, argv, file.name, Path.cwd()))
        process.start()
        process.join(LONGEST)
        assert not process.is_alive(), ("hung", argv)
        return process.exitcode or 0, Path(file.name).read_text(encoding="utf-8", errors="replace")


def _to_file(program: Program, argv: list[str], name: str, folder: Path) -> None:
    with (
        contextlib.chdir(folder),
        open(name, "w", encoding="utf-8", errors="replace") as file,
        contextlib.redirect_stderr(file),
        contextlib.redirect_stdout(file),
    ):
        code = PROGRAMS[program](argv)
    raise SystemExit(code)


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def hung(*_: Any) -> None:
        raise AssertionError("hung")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
