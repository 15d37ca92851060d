"""How to share the cores among callers: a few ways are tried when the service starts, and what was found is kept.

*Lanes* are callers at once, each inference uses *threads*. One lane with all cores answers a lone request soonest,
a lane for each core does most under load. The plan takes the way that answers soonest among those with nearly the most
images per second, and batches only where that brings much and changes no bit of an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from rgp.engines import Engine
from rgp.environment import available_cores, cpu_name, versions
from rgp.serve.answers import Measurement, ThreadPlan
from rgp.serve.settings import Settings

NEARLY = 0.95
"""A way with this share of the most images per second may win by its latency."""
BATCH_GAIN = 1.1
"""Batches must do so many times the images of single ones: they make single answers slower."""
ROUNDS, SECONDS = 3, 0.2
"""Every way is tried in each round, for so long: a neighbour's burst hits all of them, not one."""
KEPT_SECONDS = 7 * 86400
"""Then it is measured again: what was found in a bad hour does not stay."""
GPU_BATCH, GPU_GATHER_MS = 8, 2.0

Start = Callable[[int], Engine]


def plan(start: Start, sample: NDArray[Any], settings: Settings, *, device: str, sha256: str) -> ThreadPlan:
    """The plan for an engine that ``start(threads)`` makes and that runs ``sample`` (1, H, W, C).

    What the settings name is taken as it is; the rest is measured, once a week for this bundle, machine and number of
    cores.
    """
    cores = available_cores()
    if device != "cpu":
        return ThreadPlan(
            threads=settings.threads or 1,
            lanes=settings.lanes or 1,
            max_batch=settings.max_batch or GPU_BATCH,
            gather_ms=GPU_GATHER_MS,
            chosen="one lane and small batches, as a GPU runs one inference after the other",
            measured=[],
        )
    if settings.threads or settings.lanes:
        threads = settings.threads or max(1, cores // settings.lanes)
        lanes = settings.lanes or max(1, cores // threads)
        return ThreadPlan(
            threads=threads, lanes=lanes, max_batch=settings.max_batch or 1, gather_ms=0,
            chosen="by --threads and --lanes", measured=[],
        )  # fmt: skip
    key = hashlib.sha256(json.dumps([sha256, cpu_name(), cores, versions()]).encode()).hexdigest()[:32]
    kept = _read(key)
    measured = kept or _measure(start, sample, cores)
    if not kept:
        _write(key, measured)
    return _chosen(measured, settings, kept=bool(kept))


def _chosen(measured: list[Measurement], settings: Settings, *, kept: bool) -> ThreadPlan:
    singles = [each for each in measured if each.batch == 1]
    most = max(each.images_per_second for each in singles)
    best = min(
        (each for each in singles if each.images_per_second >= NEARLY * most), key=lambda each: each.latency_ms_p50
    )
    batches = [
        each.batch
        for each in measured
        if each.threads == best.threads
        and each.same_bits
        and each.images_per_second >= BATCH_GAIN * best.images_per_second
    ]
    return ThreadPlan(
        threads=best.threads,
        lanes=best.lanes,
        max_batch=settings.max_batch or max(batches, default=1),
        gather_ms=0,
        chosen=f"the least latency among those with at least {NEARLY:.0%} of the most images per second, "
        + ("measured at an earlier start" if kept else "measured at start"),
        measured=measured,
    )


def _measure(start: Start, sample: NDArray[Any], cores: int) -> list[Measurement]:
    engines = [(threads, start(threads)) for threads in sorted({1, cores})]
    ways = [
        (engine, np.repeat(sample, batch, axis=0), threads, cores // threads)
        for threads, engine in engines
        for batch in (1, 4)
    ]
    rounds = [[measure(*way) for way in ways] for _ in range(ROUNDS)]
    return [_middle(found) for found in zip(*rounds, strict=True)]


def _middle(found: Sequence[Measurement]) -> Measurement:
    """The medians of one way's rounds."""
    rate, ms = (
        float(np.median([getattr(each, name) for each in found])) for name in ("images_per_second", "latency_ms_p50")
    )
    return found[0].model_copy(
        update={
            "images_per_second": round(rate, 2),
            "latency_ms_p50": round(ms, 3),
            "same_bits": all(each.same_bits for each in found),
        }
    )


def measure(engine: Engine, batch: NDArray[Any], threads: int, lanes: int) -> Measurement:
    """Run ``batch``, an image again and again, alone, then ``lanes`` of them at once, for SECONDS each."""
    together, single = engine.run(batch), engine.run(batch[:1])
    alone: list[float] = []
    until = time.perf_counter() + SECONDS / 2
    while not alone or time.perf_counter() < until:
        started = time.perf_counter()
        engine.run(batch)
        alone.append(time.perf_counter() - started)
    rates = [0.0] * lanes  # each by its own end: the last inferences do not end together
    begin = time.perf_counter()

    def caller(lane: int) -> None:
        done = 0
        while not done or time.perf_counter() < begin + SECONDS:
            engine.run(batch)
            done += 1
        rates[lane] = done * len(batch) / (time.perf_counter() - begin)

    callers = [threading.Thread(target=caller, args=(lane,)) for lane in range(lanes)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    return Measurement(
        threads=threads,
        lanes=lanes,
        batch=len(batch),
        images_per_second=sum(rates),
        latency_ms_p50=1000 * float(np.median(alone)),
        same_bits=bool((together == single).all()),
    )


def folder() -> Path:
    """``$XDG_CACHE_HOME/rgp/plans``, by default in ``~/.cache`` (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rgp" / "plans"


def _read(key: str) -> list[Measurement]:
    try:
        kept = folder() / f"{key}.json"
        if time.time() - kept.stat().st_mtime > KEPT_SECONDS:
            return []
        rows = json.loads(kept.read_text())
        return [Measurement.model_validate(row) for row in rows]
    except (OSError, RuntimeError, ValueError, ValidationError, TypeError):
        return []  # nothing kept, or nothing that can be read: measure


def _write(key: str, measured: list[Measurement]) -> None:
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder(), delete=False) as file:
            json.dump([each.model_dump() for each in measured], file)
        Path(file.name).replace(folder() / f"{key}.json")
    except (OSError, RuntimeError):
        pass  # a read-only home: measured again next time
