"""One queue, one owner: what waits for the engine, and the threads ("lanes") that run it.

A batch is what waits when a lane becomes free; nobody waits for company unless ``gather_ms`` says so, which pays on a
GPU only. Who gives up while waiting (a deadline, a client that left) is never run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.engines import Engine
from rgp.errors import EngineError
from rgp.serve.engine_threads import EngineThread
from rgp.serve.priority import step_back


@dataclass(frozen=True)
class Inferred:
    """Logits (images, classes) of one job, and where its time went."""

    logits: NDArray[np.float32]
    queue_ms: float
    inference_ms: float


@dataclass(eq=False)
class _Job:
    pixels: NDArray[Any]
    queued: int = field(default_factory=time.perf_counter_ns)
    future: Future[Inferred] = field(default_factory=Future)


class Queue:
    """Runs jobs in the order in which they came. Safe from any thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        lanes: int,
        max_batch: int,
        gather_ms: float = 0,
        on_batch: Callable[[int], None] = lambda images: None,
        nice: int = 0,
    ) -> None:
        self._engine, self._max_batch, self._gather, self._on_batch = engine, max_batch, gather_ms / 1000, on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed, self._nice = False, nice
        for number in range(lanes):
            EngineThread(f"lane-{number}", self._work)

    def put(self, pixels: NDArray[Any]) -> Future[Inferred]:
        """Queue (B, H, W, C) inputs; cancel the future to give up. It fails with EngineError if the engine does."""
        job = _Job(pixels)
        with self._changed:
            if self._closed:
                raise EngineError("the engine has been closed: ask again")
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._jobs)

    def close(self) -> None:
        """Run what waits, then end the lanes. Does not wait for them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        step_back(self._nice)
        while batch := self._take():
            started = time.perf_counter_ns()
            try:
                found = self._run(batch)
            except Exception as error:  # whatever an engine raises, its lane goes on
                for job in batch:
                    job.future.set_exception(error)
            else:
                inference_ms = (time.perf_counter_ns() - started) / 1e6
                for job, logits in zip(batch, found, strict=True):
                    job.future.set_result(Inferred(logits, (started - job.queued) / 1e6, inference_ms))

    def _run(self, batch: list[_Job]) -> list[NDArray[np.float32]]:
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([job.pixels for job in batch])
        self._on_batch(len(pixels))
        logits = self._engine.run(pixels)
        if len(logits) != len(pixels):
            raise EngineError(f"the engine answers {len(logits)} rows for {len(pixels)} images: compile again")
        return np.split(logits, np.cumsum([len(job.pixels) for job in batch[:-1]]))

    def _take(self) -> list[_Job]:
        """The next jobs that nobody has given up, at most ``max_batch`` images or one job; [] when closed."""
        with self._changed:
            while True:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._gather and self._jobs and not self._closed:
                    self._changed.wait_for(self._full, self._gather)
                batch: list[_Job] = []
                images = 0
                while self._jobs and (not batch or images + len(self._jobs[0].pixels) <= self._max_batch):
                    job = self._jobs.popleft()
                    if job.future.set_running_or_notify_cancel():
                        batch.append(job)
                        images += len(job.pixels)
                if batch:
                    return batch
                if self._closed and not self._jobs:
                    return []

    def _full(self) -> bool:
        return self._closed or sum(len(job.pixels) for job in self._jobs) >= self._max_batch
