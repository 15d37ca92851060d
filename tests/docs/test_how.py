"""The pictures of how.md are what its commands make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.pages import DOCS, ROOT, blocks

COMMANDS = [block.text for block in blocks("how.md") if block.language == "bash"]
MADE = [{"turns.svg"}, {"network.svg", "support.svg"}]
"""By each block of commands."""


def drawn(path: Path) -> tuple[Counter[str], list[str]]:
    """How many marks of each kind a picture has, and its texts."""
    elements = list(ElementTree.parse(path).getroot().iter())
    return Counter(element.tag for element in elements), [(element.text or "").strip() for element in elements]


@pytest.mark.parametrize(
    ("commands", "made"),
    [(COMMANDS[0], MADE[0]), pytest.param(COMMANDS[1], MADE[1], marks=pytest.mark.slow)],
    ids=["graphs", "compiled"],
)
def test_the_commands_of_the_page_make_its_pictures(commands: str, made: set[str], tmp_path: Path) -> None:
    (tmp_path / "docs" / "images").mkdir(parents=True)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(["bash", "-eu", "-c", commands], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert {path.name for path in (tmp_path / "docs" / "images").iterdir()} == made
    for name in made:
        assert drawn(tmp_path / "docs" / "images" / name) == drawn(DOCS / "images" / name), name


def test_every_picture_of_the_page_is_made_by_a_command_or_belongs_to_the_kernel() -> None:
    shown = set(re.findall(r"!\[.*?\]\((\S+?)\)", (DOCS / "how.md").read_text()))
    made = {f"images/{name}" for names in MADE for name in names}
    assert made <= shown
    assert {name for name in shown - made if not name.startswith("kernel/")} == set()
