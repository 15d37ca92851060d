"""Engines on the same inputs, interleaved: the only way that a ratio on a shared machine means something.

Each round runs every engine once, back to back in random order; of two engines a round is a pair (AB or BA). The
speed-up is the median of the per-round ratios. Engines must not spin after a run (see ``rgp.engines.ort``): one that
does slows the others down.

The engines are built anew several times, because where the system puts a session's threads and memory decides
much of its speed. Beside one busy process on two cores, CIFAR ResNet-18 against itself measured 0.71x to 1.35x
(8 builds, 100 pairs each), each build with an interval of a few percent over its own pairs; on free cores 0.996x
to 1.006x. The interval is a bootstrap over builds, then pairs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from rgp import report_form
from rgp.engines import Engine
from rgp.errors import UsageError

Floats = NDArray[np.float64]
Run = Callable[[], object]

BUILDS = 8
"""How often both engines are built anew in one measurement."""
LEAST_PAIRS = 3
"""Pairs, or rounds, that run for each build, however little time is left."""


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of each pair at one batch size, (pairs,) each, and which build of the engines ran it."""

    batch: int
    dense_ms: Floats
    compiled_ms: Floats
    build: NDArray[np.int64]

    @property
    def speedup(self) -> float:
        """Median over pairs of dense / compiled."""
        return float(np.median(self.dense_ms / self.compiled_ms))

    @cached_property
    def speedup_ci95(self) -> tuple[float, float]:
        """Bootstrap 95% interval of the median ratio."""
        return median_ci95(self.dense_ms / self.compiled_ms, self.build)

    def to_dict(self) -> report_form.Latency:
        """The form that ``report.json`` has."""
        return {
            "batch": self.batch,
            "dense_ms_p50": float(np.median(self.dense_ms)),
            "compiled_ms_p50": float(np.median(self.compiled_ms)),
            "dense_ms_p90": float(np.quantile(self.dense_ms, 0.9)),
            "compiled_ms_p90": float(np.quantile(self.compiled_ms, 0.9)),
            "speedup": self.speedup,
            "speedup_ci95": list(self.speedup_ci95),
            "pairs": len(self.dense_ms),
            "builds": len(np.unique(self.build)),
        }


def compare(
    dense: Callable[[], Engine],
    compiled: Callable[[], Engine],
    images: NDArray[np.uint8],
    *,
    pairs: int = 200,
    seconds: float = 10.0,
    seed: int = 0,
    on_pair: Callable[[], None] = lambda: None,
) -> Comparison:
    """Build both engines BUILDS times and run ``pairs`` pairs in all on ``images`` (B, H, W, C) uint8.

    Fewer pairs run if ``seconds`` run out, but at least LEAST_PAIRS for each build (if so many were asked for).
    """

    def running(build: Callable[[], Engine]) -> Callable[[], Run]:
        return lambda: partial(build().run, images)

    times = interleave(running(dense), running(compiled), pairs=pairs, seconds=seconds, seed=seed, on_pair=on_pair)
    return Comparison(len(images), *times)


def interleave(
    first: Callable[[], Run],
    second: Callable[[], Run],
    *,
    pairs: int,
    seconds: float,
    builds: int = BUILDS,
    seed: int = 0,
    on_pair: Callable[[], None] = lambda: None,
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Build both ``builds`` times, time them in pairs, in random order.

    Gives milliseconds of the first and the second, and the number of their build, (pairs,) each.
    """
    if pairs < 1:
        raise UsageError(f"pairs is {pairs}, give at least 1")
    ms, build = interleave_all(
        (first, second), rounds=pairs, seconds=seconds, builds=builds, seed=seed, on_round=on_pair
    )
    return ms[:, 0], ms[:, 1], build


def interleave_all(
    makes: Sequence[Callable[[], Run]],
    *,
    rounds: int,
    seconds: float,
    builds: int = BUILDS,
    seed: int = 0,
    on_round: Callable[[], None] = lambda: None,
) -> tuple[Floats, NDArray[np.int64]]:
    """Build every one ``builds`` times, time them in ``rounds`` (at least 1) rounds in all, in random order.

    Fewer rounds run if ``seconds`` run out, but at least LEAST_PAIRS for each build (if so many were asked for).
    Gives milliseconds (rounds, engines), and the number of the build that ran each round (rounds,).
    """
    rng = np.random.default_rng(seed)
    times: list[list[float]] = []
    build_of: list[int] = []
    numbers = range(len(makes))
    for build, share in enumerate(np.array_split(np.arange(rounds), min(builds, rounds))):
        built = {number: makes[number]() for number in rng.permutation(len(makes)).tolist()}
        runs = [built[number] for number in numbers]
        warm = time.perf_counter() + seconds / builds / 4
        for _ in range(3):  # warm caches, arenas and clocks; slow engines are warm after one run
            for run in runs:
                run()
            if time.perf_counter() > warm:
                break
        deadline = time.perf_counter() + seconds / builds
        with _no_garbage_collection():
            for done in range(len(share)):
                if done >= LEAST_PAIRS and time.perf_counter() > deadline:
                    break
                took = {number: _milliseconds(runs[number]) for number in rng.permutation(len(makes)).tolist()}
                times.append([took[number] for number in numbers])
                build_of.append(build)
                on_round()
    return np.array(times), np.array(build_of)


def median_ci95(values: Floats, build: NDArray[np.int64], resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95% interval of the median of ``values`` (n,): builds are drawn first, then their values."""
    rng = np.random.default_rng(seed)
    groups = [values[build == number] for number in np.unique(build)]
    medians = []
    for _ in range(resamples):
        drawn = [groups[pick] for pick in rng.integers(len(groups), size=len(groups))]
        medians.append(np.median(np.concatenate([group[rng.integers(len(group), size=len(group))] for group in drawn])))
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _milliseconds(run: Run) -> float:
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6
