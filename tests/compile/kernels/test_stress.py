"""The kernels against plain loops, in C++: as they are, under sanitizers, and for AArch64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.compile.kernels.sanitize import WAYS, Way, absent, build, run


def stressed(way: Way, folder: Path, expected: set[str]) -> None:
    reason = absent(way, folder)
    if reason:
        pytest.skip(reason)
    done = run(way, build(way, way.short, folder), way.short.cases, seed=1)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout
    assert lines[-1] == "ok"
    assert {line.split(":")[0] for line in lines[:-1]} >= expected


@pytest.mark.parametrize("name", ["plain", "address", "thread"])
def test_every_instruction_set_agrees_with_plain_loops_and_touches_nothing_else(name: str, tmp_path: Path) -> None:
    stressed(WAYS[name], tmp_path, {"portable", *WAYS[name].short.sets})


def test_neon_agrees_with_plain_loops_under_emulation(tmp_path: Path) -> None:
    stressed(WAYS["neon"], tmp_path, {"neon", "portable"})


def test_a_way_that_cannot_be_gone_says_why(tmp_path: Path) -> None:
    way = WAYS["plain"]
    assert absent(replace(way, compiler="no-such-compiler"), tmp_path) == "there is no no-such-compiler"
    if absent(way, tmp_path) is None:
        assert "fails on an empty program" in str(absent(replace(way, flags=("--no-such-flag",)), tmp_path))
