"""The thread plan: measured once, kept, explained; the user's word goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.serve import plan as module
from rgp.serve.answers import Measurement
from rgp.serve.network import canary
from rgp.serve.plan import measure, plan
from rgp.serve.settings import Settings


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)
    monkeypatch.setattr(module, "available_cores", lambda: 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def starts() -> list[int]:
    return []


@pytest.fixture
def planned(bundle: Bundle, starts: list[int]) -> Any:
    def start(threads: int) -> Engine:
        starts.append(threads)
        return bundle.target.start(bundle.files["compiled.onnx"], threads=threads)

    def of(device: str = "cpu", **settings: Any) -> Any:
        sample = canary(bundle.require_images())
        return plan(start, sample, Settings(**settings), device=device, sha256=bundle.sha256)

    return of


def test_it_is_measured_once_and_kept(planned: Any, starts: list[int]) -> None:
    first = planned()
    assert starts == [1, 2]
    assert {(row.threads, row.lanes, row.batch) for row in first.measured} == {
        (1, 2, 1),
        (1, 2, 4),
        (2, 1, 1),
        (2, 1, 4),
    }
    assert first.threads * first.lanes == 2
    assert first.chosen.endswith("measured at start")
    second = planned()
    assert starts == [1, 2]
    assert second.measured == first.measured
    assert second.chosen.endswith("measured at an earlier start")


@pytest.mark.parametrize("damage", [b"", b"[]", b"[1]", b"[{}]", b"\xff", b"{"])
def test_what_was_kept_and_cannot_be_read_is_measured_again(damage: bytes, planned: Any, starts: list[int]) -> None:
    planned()
    (kept,) = module.folder().iterdir()
    kept.write_bytes(damage)
    planned()
    assert starts == [1, 2, 1, 2]


def test_where_nothing_can_be_kept_it_is_measured_at_each_start(
    planned: Any, starts: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    planned()
    planned()
    assert starts == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threads": 1}, (1, 2, 1)),
        ({"threads": 2}, (2, 1, 1)),
        ({"lanes": 2}, (1, 2, 1)),
        ({"threads": 8, "lanes": 3, "max_batch": 4}, (8, 3, 4)),
    ],
)
def test_what_the_user_names_is_taken_unmeasured(
    settings: dict[str, int], expected: tuple[int, int, int], planned: Any, starts: list[int]
) -> None:
    found = planned(**settings)
    assert (found.threads, found.lanes, found.max_batch) == expected
    assert (starts, found.measured) == ([], [])


def test_a_gpu_gets_one_lane_and_a_small_timer(planned: Any, starts: list[int]) -> None:
    found = planned(device="cuda")
    assert (found.lanes, found.max_batch, found.gather_ms, starts) == (1, 8, 2.0, [])


def row(threads: int, batch: int, rate: float, ms: float, *, same_bits: bool = True) -> Measurement:
    return Measurement(
        threads=threads, lanes=2 // threads, batch=batch, images_per_second=rate, latency_ms_p50=ms, same_bits=same_bits
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(1, 1, 100, 20), row(2, 1, 95, 11)], (2, 1)),  # nearly the most, and sooner
        ([row(1, 1, 100, 20), row(2, 1, 85, 11)], (1, 1)),  # sooner, but too few
        ([row(1, 1, 100, 20), row(1, 4, 109, 80)], (1, 1)),  # not enough for a batch
        ([row(1, 1, 100, 20), row(1, 4, 111, 80)], (1, 4)),
        ([row(1, 1, 100, 20), row(1, 4, 200, 80, same_bits=False)], (1, 1)),  # an answer must not hang on company
        ([row(1, 1, 100, 20), row(2, 1, 99, 11), row(1, 4, 200, 40)], (2, 1)),
    ],
)
def test_the_choice(rows: list[Measurement], expected: tuple[int, int]) -> None:
    found = module._chosen(rows, Settings(), kept=False)
    assert (found.threads, found.max_batch) == expected


def test_a_batch_that_changes_bits_is_found_out() -> None:
    class Rounds:
        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.full((len(images), 2), 1 + np.finfo(np.float32).eps * (len(images) > 1), np.float32)

        def describe(self) -> dict[str, str | int]:
            return {}

    assert not measure(Rounds(), np.zeros((4, 1), np.uint8), 1, 1).same_bits
    assert measure(Rounds(), np.zeros((1, 1), np.uint8), 1, 1).same_bits
