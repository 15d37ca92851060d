"""From the store or built, with the reason: on the real TensorRT-RTX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rgp.engines.tensorrt import ready as ready_module
from rgp.engines.tensorrt.build import Built, Summary
from rgp.engines.tensorrt.library import Library, Log
from rgp.engines.tensorrt.ready import Ready, ready
from rgp.engines.tensorrt.settings import Settings
from rgp.engines.tensorrt.store import Store
from tests.rgp.tensorrt.conftest import Paper
from tests.rgp.tensorrt.networks import tiny

SETTINGS = Settings(batches=(4,))


def made(rtx: Library, folder: Path, told: list[str]) -> Ready:
    return ready(tiny(), rtx, SETTINGS, Store(folder / "engines"), progress=told.append)


def test_an_engine_is_built_once(rtx: Library, tmp_path: Path) -> None:
    told: list[str] = []
    first, second = made(rtx, tmp_path, told), made(rtx, tmp_path, told)
    assert first.engine == second.engine
    assert (first.why, second.why) == ("there is none yet", "")
    assert first.summary is not None
    assert second.summary is None
    assert told[0] == f"building the {rtx} engine: there is none yet"
    assert sum(line.startswith("building the") for line in told) == 1


def test_another_version_builds_it_anew_and_says_why(rtx: Library, tmp_path: Path) -> None:
    told: list[str] = []
    key = made(rtx, tmp_path, told).key
    Store(tmp_path / "engines").put(key, b"old")
    path = tmp_path / "engines" / f"{key.name}.engine"
    path.write_bytes(path.read_bytes().replace(str(rtx).encode(), b"tensorrt_rtx 1.6.0.1"))
    told.clear()
    again = made(rtx, tmp_path, told)
    assert again.why == f"the stored one is stale: library was tensorrt_rtx 1.6.0.1, is {rtx}"
    assert again.why in told[0]
    assert len(again.engine) > 1000
    assert made(rtx, tmp_path, told).engine == again.engine


def test_a_damaged_engine_is_never_loaded(rtx: Library, tmp_path: Path) -> None:
    first = made(rtx, tmp_path, [])
    path = tmp_path / "engines" / f"{first.key.name}.engine"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    again = made(rtx, tmp_path, [])
    assert again.why == "the stored one is damaged: it is not what was written"
    assert again.summary is not None


def test_a_folder_that_cannot_be_written_costs_only_time_and_is_told(rtx: Library, tmp_path: Path) -> None:
    (tmp_path / "engines").write_bytes(b"a file")
    told: list[str] = []
    assert made(rtx, tmp_path, told).engine
    assert told[-1].startswith("the engine is not kept: ")
    assert made(rtx, tmp_path, told).why == "there is none yet"


@pytest.mark.parametrize("paper", ["trt"], indirect=True)
def test_the_timings_of_one_build_help_the_next(paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes | None] = []

    def build(*_: object, timing_cache: bytes | None, progress: object) -> Built:
        given.append(timing_cache)
        return Built(b"engine", f"timings {len(given)}".encode(), Summary(1, 1, 0, (), quantised=False))

    monkeypatch.setattr(ready_module, "build", build)
    store = Store(tmp_path / "engines")
    for network in (b"one", b"two", b"one"):
        ready(network, paper.library, SETTINGS, store)
    newer = replace(paper.library, module=type("module", (), {"__version__": "12.0"}), log=Log())
    ready(b"one", newer, SETTINGS, store)
    assert given == [None, b"timings 1", None]  # those of another version are of no use
