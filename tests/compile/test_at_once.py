"""How many inputs are run together: what is surely faster, else all. The clock is the engine's own."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from rgp import measure
from rgp.compile.at_once import fastest


class Timed:
    """Takes as many milliseconds for a part as ``cost`` says of its size; the clock moves with it."""

    def __init__(self, cost: Callable[[int], float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self._cost = 0.0, cost
        clock = SimpleNamespace(perf_counter=lambda: self.now, perf_counter_ns=lambda: round(self.now * 1e9))
        monkeypatch.setattr(measure, "time", clock)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.now += self._cost(len(images)) / 1000
        return np.zeros((len(images), 1), np.float32)

    def describe(self) -> dict[str, str | int]:
        return {}


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (lambda size: 10 * size, None),  # nothing gained, nothing lost
        (lambda size: 10 * size + 5, None),  # a call has its price
        (lambda size: 10 * size * (1 + size / 20), 1),  # what is large leaves the caches
        (lambda size: 10 * size * (1 + size / 20) + 8, 4),
        (lambda size: 10 * size * (1 + size / 2000), None),  # less than GAIN
    ],
)
def test_the_fastest_size_is_found(
    cost: Callable[[int], float], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Timed(cost, monkeypatch)
    assert fastest(engine, np.zeros((8, 1), np.uint8), seconds=1) == expected


def test_one_input_is_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fastest(Timed(lambda size: 1, monkeypatch), np.zeros((1, 1), np.uint8), seconds=1) is None
