"""The README is true, the reference is short, and nothing in the project names a machine."""

import ast
import re
import subprocess
import sys

import pytest

from tests.tools.programs import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
).stdout.split()


def test_the_snippet_of_the_readme_runs() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "engagement" in done.stdout
    assert "737.0" in done.stdout  # 20 x 3.6 + 50 x 8.5 + 30 x 8.0


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


def test_every_command_of_the_readme_is_one_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)", README, re.MULTILINE)) <= {
        pair for name in targets for pair in ((name, ""), ("", name))
    }
    assert {"train", "evaluate", "tensorboard", "test", "bench", "help"} <= targets


def test_the_reference_is_an_algorithm_alone_of_200_lines() -> None:
    text = (ROOT / "train/agents/reference.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    imported = [
        name
        for node in ast.walk(ast.parse(text))
        for name in (
            [node.module or "." * node.level]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]
    assert "torch" in imported
    ours = {name for name in imported if name.split(".")[0] in {"", "envs", "train", "evaluate"}}
    assert ours == {"train.config"}


@pytest.mark.parametrize("path", [path for path in TRACKED if not path.endswith((".png", ".json"))])
def test_no_file_names_a_path_of_one_machine(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.search(r"(^|[^.\w])/(home|root|work|tmp)/", text), path
