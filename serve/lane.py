"""The baseline lane: what the dense network would have taken for the images that were just served.

A pair is one decoded image through both engines, back to back, in random order, with the same threads, which do not
spin. Pairs run off the response path, one at a time, only while no request is in work, and never more than a share of
the machine's time. A pair during which a request came is thrown away, and counted. What is published is the median of
the pairs' ratios with its bootstrap interval; when the newest pair is old, nothing is.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rgp.engines import Engine
from rgp.environment import available_cores, cpu_name
from rgp.measure import median_ci95
from rgp.serve.answers import Agreement, Baseline, Lane, MeasuredOn, Pair, SelfTest
from rgp.serve.engine_threads import EngineThread
from rgp.serve.priority import step_back
from rgp.serve.traffic import Traffic

KEPT = 200
"""Pairs behind a live figure."""
LEAST = 5
"""Fewer pairs are no figure."""
STALE_SECONDS = 600
"""Without a pair for so long there is no live figure."""
QUIET_SECONDS = 0.002
"""Nobody has been there for so long before a pair begins: the answer is on its way."""
PATIENCE_SECONDS = 2.0
"""An image waits for a quiet moment at most so long."""
SELF_TEST_SECONDS = 2.0
TOLERANCE = 0.1
"""How far the intervals of the ratio alone and of the ratio interleaved may lie apart."""
RESAMPLES = 500
METHOD = "median of the ratios dense / compiled: a served image through both warm engines in random order, while idle"


Value = TypeVar("Value")


@dataclass(frozen=True)
class _Measured:
    dense_ms: float
    compiled_ms: float
    agree: bool


class BaselineLane:
    """Measures in a thread of its own. ``offer`` and the properties are safe from any thread."""

    def __init__(self, dense: Engine, compiled: Engine, traffic: Traffic, *,
                 threads: int, budget: float, nice: int = 0) -> None:  # fmt: skip
        self._engines = (dense, compiled)
        self._traffic, self._threads, self._budget, self._nice = traffic, threads, budget, nice
        self._pairs: deque[_Measured] = deque(maxlen=KEPT)
        self._agree, self._compared, self._measured = 0, 0, 0
        self._newest = 0.0
        self._figure: Baseline | None = None
        self._sample: NDArray[Any] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._free_at = 0.0
        self.dropped: Counter[str] = Counter(busy=0, budget=0, failed=0, stale=0)
        self.self_test: SelfTest | None = None
        self._random = random.Random(0)  # noqa: S311  # the order of a pair, no secret
        EngineThread("baseline", self._work)

    def offer(self, pixels: NDArray[Any]) -> None:
        """An image that was served, (1, H, W, C): measured if there is time for it."""
        if time.monotonic() < self._free_at:
            self.dropped["budget"] += 1
            return
        with self._changed:
            if self._sample is not None:
                self.dropped["stale"] += 1
            self._sample = pixels
            self._changed.notify()

    def close(self) -> None:
        """End the thread. Does not wait for it."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def live(self) -> Baseline | None:
        """The figure of the last pairs, None if they are few or the newest is old."""
        age = time.monotonic() - self._newest
        if self._figure is None or age > STALE_SECONDS:
            return None
        return self._figure.model_copy(update={"age_s": round(age, 1)})

    def agreement(self) -> Agreement | None:
        """How often both engines named the same class."""
        n = self._compared
        return Agreement(agree=self._agree, n=n, share=self._agree / n, ci95=wilson(self._agree, n)) if n else None

    def recent(self) -> list[Pair]:
        """The pairs behind ``live``, oldest first."""
        return [Pair(dense_ms=pair.dense_ms, compiled_ms=pair.compiled_ms) for pair in tuple(self._pairs)]

    def state(self) -> Lane:
        """What it did so far."""
        return Lane(on=True, pairs=self._measured, budget=self._budget, dropped=dict(self.dropped))

    def test_itself(self, pixels: NDArray[Any]) -> SelfTest:
        """Measure the ratio with each engine alone, then in pairs: if they differ, pairs mislead on this machine."""
        halves: tuple[list[float], list[float]] = ([], [])
        for engine, ms in (*zip(self._engines, halves, strict=True),) * 2:  # twice: clocks drift
            engine.run(pixels)  # warm
            ms += _until(partial(_milliseconds, engine, pixels), SELF_TEST_SECONDS / 8)
        dense, compiled = (np.array(ms) for ms in halves)
        pairs = _until(lambda: self._pair(pixels), SELF_TEST_SECONDS / 2)
        ratios = np.array([pair.dense_ms / pair.compiled_ms for pair in pairs])
        low, high = _interval(ratios)
        (dense_low, dense_high), (compiled_low, compiled_high) = _interval(dense), _interval(compiled)
        self.self_test = SelfTest(
            alone=float(np.median(dense) / np.median(compiled)),
            interleaved=float(np.median(ratios)),
            agrees=dense_low / compiled_high <= high * (1 + TOLERANCE)
            and dense_high / compiled_low >= low * (1 - TOLERANCE),
        )
        return self.self_test

    def _work(self) -> None:
        step_back(self._nice)
        while (pixels := self._next()) is not None:
            if time.monotonic() < self._free_at:  # it was offered while the last pair ran
                self.dropped["budget"] += 1
                continue
            if not self._quiet():
                self.dropped["stale"] += 1
                continue
            arrived, started = self._traffic.arrived, time.monotonic()
            try:
                pair = self._pair(pixels)
            except Exception:  # the service's own canary tells of broken engines
                self.dropped["failed"] += 1
                continue
            finally:
                took = time.monotonic() - started
                self._free_at = time.monotonic() + took * self._threads / available_cores() / self._budget
            if self._traffic.arrived != arrived:
                self.dropped["busy"] += 1
                continue
            self._keep(pair)

    def _next(self) -> NDArray[Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._sample is not None)
            pixels, self._sample = self._sample, None
            return None if self._closed else pixels

    def _quiet(self) -> bool:
        """Wait until nobody has been there for a moment; False if that takes too long."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            arrived = self._traffic.arrived
            time.sleep(QUIET_SECONDS)
            if not self._traffic.inside and self._traffic.arrived == arrived:
                return True
        return False

    def _pair(self, pixels: NDArray[Any]) -> _Measured:
        order = [0, 1] if self._random.random() < 0.5 else [1, 0]
        ms, best = [0.0, 0.0], [0, 0]
        for which in order:  # the dense weights have long left the caches, the compiled ones have not: not timed
            self._engines[which].run(pixels)
        for which in order:
            started = time.perf_counter_ns()
            logits = self._engines[which].run(pixels)
            ms[which] = (time.perf_counter_ns() - started) / 1e6
            best[which] = int(logits[0].argmax())
        return _Measured(ms[0], ms[1], best[0] == best[1])

    def _keep(self, pair: _Measured) -> None:
        self._pairs.append(pair)
        self._compared += 1
        self._agree += pair.agree
        if len(self._pairs) >= LEAST:
            dense, compiled = np.array([(each.dense_ms, each.compiled_ms) for each in self._pairs]).T
            ratios = dense / compiled
            low, high = _interval(ratios)
            self._figure = Baseline(
                source="live",
                batch=1,
                dense_ms_p50=float(np.median(dense)),
                compiled_ms_p50=float(np.median(compiled)),
                speedup=float(np.median(ratios)),
                speedup_ci95=(low, high),
                pairs=len(ratios),
                age_s=0,
                method=METHOD,
                environment=MeasuredOn(
                    cpu=cpu_name(), threads=self._threads, time=datetime.now(UTC).isoformat(timespec="seconds")
                ),
            )
        self._newest = time.monotonic()
        self._measured += 1


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share, 95% by default (Wilson 1927); ``n`` from 1."""
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))  # rounding


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    return median_ci95(values, np.zeros(len(values), int), RESAMPLES)


def _milliseconds(engine: Engine, pixels: NDArray[Any]) -> float:
    started = time.perf_counter_ns()
    engine.run(pixels)
    return (time.perf_counter_ns() - started) / 1e6


def _until(measure: Callable[[], Value], seconds: float) -> list[Value]:
    """What ``measure`` gives again and again for so long, at least three times, at most KEPT."""
    found: list[Value] = []
    until = time.perf_counter() + seconds
    while len(found) < 3 or (time.perf_counter() < until and len(found) < KEPT):
        found.append(measure())
    return found
