"""Files made by strangers: no code of theirs ever runs, and the message says what was refused."""

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluate.__main__ import main as evaluate
from evaluate.policies import load_candidates
from tests.tools.programs import ROOT
from train.__main__ import main
from train.config import load_config
from train.errors import InputError
from train.storage.run_folder import find_run, load_run
from train.storage.safe_load import load_weights, open_archive
from train.storage.state import dump, load, restore_array, restore_bit_generator, restore_memory

PART = "{n_envs: 2, n_steps: 4, policy_kwargs: {net_arch: [4]}}"
CONFIG = (
    "env: {id: CartPole-v1}\ntotal_timesteps: 32\ncheckpoint_every: 8\n"
    f"a2c: {PART}\nreference: {PART}\n"
)


class Payload:
    """Leaves a mark on disk where somebody unpickles it."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._mark),)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "small.yaml"
    config.write_text(CONFIG + "evaluation: {n_eval_episodes: 1}\n")
    assert main([str(config), "--runs-dir", str(folder)]) == 0
    return folder / "small"


@pytest.fixture
def stranger(trained: Path, tmp_path: Path) -> Path:
    """Somebody else's runs, ours to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "small"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def rewrite(archive: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(archive) as before:
        kept = {name: before.read(name) for name in before.namelist()} | entries
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as after:
        for name, content in kept.items():
            after.writestr(name, content)


def refused(
    folder: Path, capsys: pytest.CaptureFixture[str], program: Callable[[list[str]], int] = evaluate
) -> str:
    """What the program says of a folder that it refuses."""
    argv = (
        ["--resume", str(folder)]
        if program is main
        else [str(folder), "--out", str(folder / "report")]
    )
    assert program(argv) == 2
    err = capsys.readouterr().err
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    return err


def test_the_payload_leaves_its_mark_where_somebody_does_unpickle_it(mark: Path) -> None:
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


@pytest.mark.parametrize(
    "entry", ["policy.pth", "policy.optimizer.pth", "pytorch_variables.pth", "data"]
)
def test_nothing_in_a_model_zip_runs(
    stranger: Path, mark: Path, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stranger / "a2c-seed0-1"
    if entry == "data":  # as Stable-Baselines3 keeps objects: base64 of a cloudpickle, inside JSON
        import base64

        hidden = {
            ":type:": "x",
            ":serialized:": base64.b64encode(pickle.dumps(Payload(mark))).decode(),
        }
        rewrite(
            folder / "model.zip",
            {"data": json.dumps({"policy_class": hidden, "lr_schedule": hidden}).encode()},
        )
    else:
        rewrite(folder / "model.zip", {entry: saved(Payload(mark))})
    if entry == "policy.pth":
        assert "mkdir, which is not a tensor; nothing of it was run" in refused(folder, capsys)
    else:  # what is not read cannot do harm
        assert len(load_candidates([load_run(folder)], main="small")) == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    "hide", [lambda bad: bad, lambda bad: {"actor": bad, "critic": {}}, lambda bad: [{"x": bad}]]
)
def test_nothing_in_a_model_pt_runs(
    stranger: Path, mark: Path, hide: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stranger / "reference-seed0-1"
    (folder / "model.pt").write_bytes(saved(hide(Payload(mark))))
    assert "mkdir, which is not a tensor; nothing of it was run" in refused(folder, capsys)
    (folder / "model.pt").write_bytes(
        pickle.dumps(hide(Payload(mark)))
    )  # torch's oldest format is a bare pickle
    assert "is not a zip archive" in refused(folder, capsys)
    assert not mark.exists()


class Call:
    """Asks a function to be called where somebody unpickles it."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


EIGHT = Call(restore_memory, b"12345678")


def spoil_checkpoints(
    folder: Path,
    spoil: Callable[[dict[str, Any]], Any],
    save: Callable[[Any], bytes] = saved,
) -> None:
    """Changes the parts of every checkpoint; the archives themselves are good."""
    for path in (folder / "checkpoint").iterdir():
        content = load(path.read_bytes())
        path.write_bytes(save(content | {"parts": spoil(content["parts"])}))


@pytest.mark.parametrize("agent", ["a2c", "reference"])
@pytest.mark.parametrize("part", ["config", "agent", "environment", "random", "log"])
def test_nothing_in_a_checkpoint_runs(
    stranger: Path, mark: Path, agent: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stranger / f"{agent}-seed0-1"
    find_run(folder).model.unlink()
    spoil_checkpoints(folder, lambda _: {part: {"x": [Payload(mark)]}})
    assert main(["--resume", str(folder)]) == 0
    said = capsys.readouterr()
    assert "mkdir, which is not a tensor; nothing of it was run" in said.err
    assert "has no checkpoint: starts from the beginning" in said.out
    assert not mark.exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Call(os.getcwd), "getcwd, which is not a tensor"),
        (Call(eval, "1"), "eval, which is not a tensor"),
        (Call(getattr, 1, "real"), "getattr, which is not a tensor"),
        (Call(restore_bit_generator, {"bit_generator": "os"}), "unknown random generator 'os'"),
        (Call(restore_bit_generator, {"bit_generator": "seed"}), "unknown random generator"),
        (Call(bytearray, 2**40), "bytearray, which is not a tensor"),
        (Call(restore_array, EIGHT, (1,), "|O", 0, (8,)), "is not what training writes"),
        (Call(restore_array, EIGHT, (2**40,), "<f8", 0, (0,)), "is not what training writes"),
        (Call(restore_array, EIGHT, (2,), "<f8", 0, (8,)), "strides is incompatible"),
        (Call(restore_array, EIGHT, (2,), "<f8", 0, (-8,)), "strides is incompatible"),
        (Call(restore_array, EIGHT, (1,), "<f8", 2**40, (8,)), "strides is incompatible"),
        (Call(restore_array, EIGHT, (1,), "<f8", -8, (8,)), "strides is incompatible"),
    ],
)
def test_no_call_in_a_checkpoint_does_harm(
    stranger: Path, call: Call, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stranger / "reference-seed0-1"
    (folder / "model.pt").unlink()
    spoil_checkpoints(folder, lambda _: {"random": {"x": call}})
    assert main(["--resume", str(folder)]) == 0
    said = capsys.readouterr()
    assert message in said.err
    assert "has no checkpoint: starts from the beginning" in said.out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: {}, "has no part 'config'"),
        (lambda parts: parts | {"config": 3}, "does not fit its run"),
        (lambda parts: {"config": parts["config"]}, "has no part 'log'"),
        (lambda parts: parts | {"log": {"files": {}}}, "has no part 'columns'"),
        (lambda parts: parts | {"random": {}}, "has no part 'python'"),
        (lambda parts: parts | {"agent": []}, "does not fit its run"),
        (lambda parts: parts | {"log": {"files": {"../../small.yaml": 0}}}, "not a file of a log"),
        (
            lambda parts: parts | {"log": {"files": {"/etc/events.out.tfevents.1": 0}}},
            "not a file of a log",
        ),
    ],
)
def test_a_made_up_state_is_refused(
    stranger: Path,
    spoil: Callable[[dict[str, Any]], Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stranger / "reference-seed0-1"
    (folder / "model.pt").unlink()
    spoil_checkpoints(folder, spoil, dump)
    assert message in refused(folder, capsys, main)


def test_a_state_cannot_replace_what_an_environment_does(
    stranger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stranger / "reference-seed0-1"
    (folder / "model.pt").unlink()
    spoil_checkpoints(folder, lambda parts: renamed(parts, "steps_beyond_terminated", "step"), dump)
    assert "CartPoleEnv.step is not data" in refused(folder, capsys, main)


def renamed(state: Any, name: str, other: str) -> Any:
    """The same with one name of its dicts changed."""
    if isinstance(state, list):
        return [renamed(part, name, other) for part in state]
    if not isinstance(state, dict):
        return state
    return {
        other if key == name else key: renamed(part, name, other) for key, part in state.items()
    }


def test_a_run_is_never_written_through_a_link(stranger: Path, tmp_path: Path) -> None:
    folder, precious = stranger / "reference-seed0-1", tmp_path / "precious"
    precious.write_text("mine")
    (folder / "model.pt").unlink()
    (folder / "progress.csv").unlink()
    (folder / "progress.csv").symlink_to(precious)
    assert main(["--resume", str(folder)]) == 2
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("agent", ["a2c", "reference"])
def test_an_archive_is_read_within_limits(
    stranger: Path, agent: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.storage.safe_load.MAX_BYTES", 2**22)
    monkeypatch.setattr("train.storage.safe_load.MAX_ENTRIES", 100)
    folder = stranger / f"{agent}-seed0-1"
    model = find_run(folder).model
    good = model.read_bytes()
    rewrite(model, {"../../../outside.txt": b"x"})
    assert "'../../../outside.txt' points out of the archive" in refused(folder, capsys)
    model.write_bytes(good)
    rewrite(model, {"bomb": bytes(2**22)})
    assert model.stat().st_size < 2**22 / 100
    assert "bytes unpacked, at most" in refused(folder, capsys)
    model.write_bytes(good)
    rewrite(model, {str(i): b"" for i in range(100)})
    assert "at most 100 entries are read" in refused(folder, capsys)
    model.write_bytes(good[: len(good) // 2])
    assert "is not a zip archive" in refused(folder, capsys)
    assert not list(stranger.parent.glob("outside*"))


@pytest.mark.parametrize("name", ["/etc/x", "a/../../x", "..\\x", "C:\\x"])
def test_no_entry_points_out_of_an_archive(name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(ValueError, match="points out of the archive"):
        open_archive(buffer.getvalue())


def test_weights_come_back_as_they_were_saved() -> None:
    weights = {"a": torch.arange(3.0), "b": {"c": torch.ones(2, 2, dtype=torch.float64)}}
    back = load_weights(saved(weights))
    assert back["a"].tolist() == [0.0, 1.0, 2.0]
    assert (back["b"]["c"].dtype, back["b"]["c"].shape) == (torch.float64, (2, 2))


def test_no_tag_of_a_config_runs(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    for tag in (
        f"!!python/object/apply:os.mkdir ['{mark}']",
        f"!!python/object/new:os.mkdir ['{mark}']",
        "!!python/name:os.mkdir",
        f"!!python/object/apply:subprocess.check_call [[mkdir, '{mark}']]",
    ):
        config.write_text(
            CONFIG.replace("{id: CartPole-v1}", f"{{id: CartPole-v1, kwargs: {{x: {tag} }}}}")
        )
        assert main([str(config), "--runs-dir", str(tmp_path / "runs")]) == 2
        assert "could not determine a constructor for the tag" in capsys.readouterr().err
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\n".join(
                [
                    "a: [x, x]",
                    *(f"{i}: &a{i} [{f'*a{i - 1}, ' * 10 if i else 'x'}]" for i in range(9)),
                ]
            ),
            "aliases",
        ),
        ("a: &a [*a]", "holds itself through an alias"),
        ("a: &a {b: *a}", "holds itself through an alias"),
        ("[" * 1500, "is not YAML"),
        ("x" * 2_000_000, "is larger than"),
    ],
)
def test_a_config_cannot_fill_the_memory(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(tmp_path / "c.yaml")


def test_a_run_brings_no_code(
    stranger: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(stranger.parent)
    monkeypatch.syspath_prepend(stranger.parent)
    folder = Path("small/reference-seed0-1")
    for place in (folder, folder.parent):
        (place / "payload.py").write_text(f"import os; os.mkdir({str(mark)!r})")
    config = (folder / "config.yaml").read_text()
    for module in ("small.reference-seed0-1.payload", "small.payload"):
        (folder / "config.yaml").write_text(config.replace("CartPole-v1", f"{module}:X-v0"))
        assert "a run never brings code" in refused(folder, capsys, main) + refused(folder, capsys)
        assert main([str(folder / "config.yaml"), "--runs-dir", str(stranger)]) == 2
        assert "there is no package 'small'" in capsys.readouterr().err
    (folder.parent / "__init__.py").write_text("")
    assert "a run never brings code" in refused(folder, capsys, main) + refused(folder, capsys)
    assert not mark.exists()


def test_every_run_of_the_tests_is_good(trained: Path) -> None:
    assert {load_run(folder).state.state for folder in trained.iterdir()} == {"finished"}
    assert (ROOT / "configs").is_dir()
