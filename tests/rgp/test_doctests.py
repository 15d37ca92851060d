"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join((Path(folder) / file).relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder, _, files in os.walk(ROOT / "rgp", followlinks=True)
    for file in files
    if file.endswith(".py") and ">>>" in (Path(folder) / file).read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_core_has_examples() -> None:
    assert {"rgp.graph", "rgp.families", "rgp.blocks", "rgp.errors"} <= set(MODULES)
