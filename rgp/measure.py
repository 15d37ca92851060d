"""Two engines, the same inputs, interleaved: the only way that a ratio on a shared machine means something.

Each pair runs both engines back to back in random order (AB or BA); the speed-up is the median of the
per-pair ratios, its interval a bootstrap over pairs. Engines must not spin (see ``rgp.engines.ort``): a
spinning engine slows the other one down.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.engines import Engine
from rgp.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of each pair, (pairs,) each, at one batch size."""

    batch: int
    dense_ms: Floats
    compiled_ms: Floats

    @property
    def speedup(self) -> float:
        """Median over pairs of dense / compiled."""
        return float(np.median(self.dense_ms / self.compiled_ms))

    def speedup_ci95(self) -> tuple[float, float]:
        """Bootstrap 95% interval of the median ratio (2,000 resamples of the pairs, seeded)."""
        return median_ci95(self.dense_ms / self.compiled_ms)

    def to_dict(self) -> dict[str, Any]:
        """The form that ``report.json`` has."""
        return {
            "batch": self.batch,
            "dense_ms_p50": float(np.median(self.dense_ms)),
            "compiled_ms_p50": float(np.median(self.compiled_ms)),
            "dense_ms_p90": float(np.quantile(self.dense_ms, 0.9)),
            "compiled_ms_p90": float(np.quantile(self.compiled_ms, 0.9)),
            "speedup": self.speedup,
            "speedup_ci95": list(self.speedup_ci95()),
            "pairs": len(self.dense_ms),
        }


def compare(
    dense: Engine,
    compiled: Engine,
    images: NDArray[np.uint8],
    *,
    pairs: int = 100,
    seconds: float = 10.0,
    seed: int = 0,
    on_pair: Callable[[], None] = lambda: None,
) -> Comparison:
    """Run ``pairs`` pairs (fewer if ``seconds`` run out, at least 20) on ``images`` (B, H, W, C) uint8."""
    dense_ms, compiled_ms = interleave(
        lambda: dense.run(images),
        lambda: compiled.run(images),
        pairs=pairs,
        seconds=seconds,
        seed=seed,
        on_pair=on_pair,
    )
    return Comparison(len(images), dense_ms, compiled_ms)


def interleave(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    pairs: int,
    seconds: float,
    seed: int = 0,
    on_pair: Callable[[], None] = lambda: None,
) -> tuple[Floats, Floats]:
    """Time both in pairs, in random order; milliseconds (pairs,) of each. ``seconds`` end it after 20 pairs or more."""
    if pairs < 1:
        raise UsageError(f"pairs is {pairs}, give at least 1")
    swapped = np.random.default_rng(seed).random(pairs) < 0.5
    for run in (first, second) * 3:  # warm caches, arenas and clocks
        run()
    times: list[tuple[float, float]] = []
    deadline = time.perf_counter() + seconds
    collecting = gc.isenabled()
    gc.disable()
    try:
        for swap in swapped:
            if swap:
                b, a = _milliseconds(second), _milliseconds(first)
            else:
                a, b = _milliseconds(first), _milliseconds(second)
            times.append((a, b))
            on_pair()
            if len(times) >= 20 and time.perf_counter() > deadline:
                break
    finally:
        if collecting:
            gc.enable()
    first_ms, second_ms = np.array(times).T
    return first_ms, second_ms


def median_ci95(values: Floats, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95% interval of the median of ``values`` (n,)."""
    picks = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(low), float(high)


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6
