"""How many inputs of a batch to run together: what a layer writes for many leaves the caches before the next reads it.

A dense network hardly notices, as it computes long on what it reads. One with a quarter of the multiply-adds does: a
ResNet-50 takes a batch of 8 a fifth faster one by one. Small networks are faster with whole batches. So it is measured,
for both.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.engines import Engine
from rgp.measure import interleave_all, median_ci95

MOST = 8
"""Inputs in the batch that is measured, at most."""
ROUNDS = 12
GAIN = 1.02
"""So much faster it must be, beyond the noise."""


def fastest(engine: Engine, inputs: NDArray[Any], *, seconds: float) -> int | None:
    """How many of ``inputs`` (B, ...) to run together; None for all, where no smaller number is surely faster."""
    inputs = inputs[:MOST]
    sizes = [len(inputs), *(size for size in (1, 2, 4) if size < len(inputs))]
    if len(sizes) == 1:
        return None
    makes = [partial(_running, engine, inputs, size) for size in sizes]
    ms, build = interleave_all(makes, rounds=ROUNDS, seconds=seconds, builds=1)
    ratios = ms[:, :1] / ms
    best = int(np.argmax(np.median(ratios, axis=0)))
    return sizes[best] if best and median_ci95(ratios[:, best], build)[0] > GAIN else None


def _running(engine: Engine, inputs: NDArray[Any], size: int) -> Any:
    parts = [inputs[first : first + size] for first in range(0, len(inputs), size)]

    def run() -> None:
        for part in parts:
            engine.run(part)

    return run
