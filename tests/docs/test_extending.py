"""What extending.md adds can really be added so: its files and edits are made in a copy, its commands run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

COPIED = ("rgp", "models", "train", "compile", "serve")
SECTIONS = {
    "A network": ["plain", "equal to the original network"],
    "A family of graphs": ["hypercube:16_4", "mixing depth"],
    "A lowering": ["trimmed", "equal to the original network"],
    "An engine": ["plain on cpu", "equal to the original network"],
}
"""What the commands of each section must print."""

_FENCE = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A file to write (python), an edit to make (diff) or commands to run (bash)."""

    language: str
    title: str
    text: str


def steps(section: str) -> list[Step]:
    page = (DOCS / "extending.md").read_text()
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return [Step(*found.groups(default="")) for found in _FENCE.finditer(text)]


def apply(diff: str, path: Path) -> None:
    """Replace the lines that the diff keeps or removes, which stand in the file once, by those it keeps or adds."""
    lines = [line[:1] + line[1:].rstrip() for line in diff.splitlines()]
    before = "".join(f"{line[1:]}\n" for line in lines if line[:1] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[:1] in " +")
    text = path.read_text()
    assert text.count(before) >= 1, f"{path} has no {before!r}"
    assert text.count(before) == 1, f"{path} has {before!r} more than once"
    path.write_text(text.replace(before, after))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / "code" / name, symlinks=True)
    return tmp_path / "code"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_example_works_as_it_stands(section: str, copy: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(copy),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "150",
    }
    printed = ""
    for step in steps(section):
        path = copy / step.title
        if step.language == "python":
            assert not path.exists()
            path.write_text(step.text)
        elif step.language == "diff":
            apply(step.text, path)
        else:
            assert step.language == "bash"
            ran = subprocess.run(
                ["bash", "-eu", "-c", step.text],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
                check=False,
            )
            assert ran.returncode == 0, ran.stdout
            printed += ran.stdout
    for expected in SECTIONS[section]:
        assert expected in printed, printed


def test_every_section_is_run() -> None:
    assert re.findall(r"^## (.+)$", (DOCS / "extending.md").read_text(), re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_a_reader_is_to_write_is_in_the_project_s_style(section: str, tmp_path: Path) -> None:
    for number, step in enumerate(step for step in steps(section) if step.language == "python"):
        path = tmp_path / f"{number}.py"
        path.write_text(step.text)
        ruff = [sys.executable, "-m", "ruff"]
        for command in (["check", "--config", str(ROOT / "pyproject.toml")], ["format", "--diff", "--line-length=120"]):
            ran = subprocess.run([*ruff, *command, str(path)], capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stdout + ran.stderr
