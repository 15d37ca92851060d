"""The queue: every job once, in order, whole; batches only of what waits; who gives up is never run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.errors import EngineError
from rgp.serve.queue import Queue


class Adder:
    """Answers each image with its first number and its sum; waits where told to."""

    def __init__(self, before: Callable[[NDArray[np.uint8]], None] = lambda images: None) -> None:
        self.batches: list[int] = []
        self._before = before

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        self._before(images)
        flat = images.reshape(len(images), -1).astype(np.float32)
        return np.stack([flat[:, 0], flat.sum(1)], 1)

    def describe(self) -> dict[str, str | int]:
        return {}


def images(*firsts: int) -> NDArray[np.uint8]:
    found = np.zeros((len(firsts), 2, 2, 1), np.uint8)
    found[:, 0, 0, 0] = firsts
    return found


@contextmanager
def running(engine: Adder, lanes: int = 1, max_batch: int = 4, gather_ms: float = 0) -> Iterator[Queue]:
    queue = Queue(engine, lanes=lanes, max_batch=max_batch, gather_ms=gather_ms)
    try:
        yield queue
    finally:
        queue.close()


@contextmanager
def held(max_batch: int = 4) -> Iterator[tuple[Adder, Queue, threading.Event]]:
    """A queue of one lane whose engine is in its first job until the event is set."""
    begun, release = threading.Event(), threading.Event()

    def block(_: NDArray[np.uint8]) -> None:
        begun.set()
        assert release.wait(30)

    engine = Adder(block)
    with running(engine, max_batch=max_batch) as queue:
        queue.put(images(0))
        assert begun.wait(30)
        try:
            yield engine, queue, release
        finally:
            release.set()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(1, 3), st.integers(1, 6))
def test_every_job_gets_its_own_rows_whatever_is_batched(sizes: list[int], lanes: int, max_batch: int) -> None:
    engine = Adder()
    with running(engine, lanes, max_batch) as queue:
        jobs = [(images(*[number] * size), size) for number, size in enumerate(sizes)]
        futures = [queue.put(pixels) for pixels, _ in jobs]
        for number, (future, (_, size)) in enumerate(zip(futures, jobs, strict=True)):
            logits = future.result(30).logits
            assert logits.tolist() == [[number, number]] * size
    assert sum(engine.batches) == sum(sizes)
    assert all(batch <= max(max_batch, *sizes) for batch in engine.batches)


def test_a_batch_is_what_waits_in_order_and_no_more_than_the_bound() -> None:
    with held(max_batch=3) as (engine, queue, release):
        futures = [queue.put(images(number)) for number in range(1, 8)]
        assert queue.depth == 7
        release.set()
        wait(futures, 30)
    assert engine.batches == [1, 3, 3, 1]


def test_a_job_larger_than_the_bound_runs_alone() -> None:
    with held(max_batch=2) as (engine, queue, release):
        futures = [queue.put(images(*range(size))) for size in (1, 5, 1, 1)]
        release.set()
        wait(futures, 30)
    assert engine.batches == [1, 1, 5, 2]


def test_who_gives_up_while_waiting_is_never_run() -> None:
    with held() as (engine, queue, release):
        gone, stays = queue.put(images(1)), queue.put(images(2))
        assert gone.cancel()
        release.set()
        assert stays.result(30).logits[0, 0] == 2
        with pytest.raises(CancelledError):
            gone.result(30)
    assert sum(engine.batches) == 2


def test_an_engine_that_raises_fails_its_batch_and_the_lane_goes_on() -> None:
    def fail(pixels: NDArray[np.uint8]) -> None:
        if pixels.ravel()[0] == 13:
            raise EngineError("it broke")

    with running(Adder(fail)) as queue:
        with pytest.raises(EngineError, match="it broke"):
            queue.put(images(13)).result(30)
        assert queue.put(images(7)).result(30).logits[0, 0] == 7


def test_an_engine_that_loses_rows_is_an_error() -> None:
    class Short(Adder):
        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().run(images)[:-1]

    with running(Short()) as queue, pytest.raises(EngineError, match="answers 0 rows for 1 images"):
        queue.put(images(1)).result(30)


def test_closing_runs_what_waits_and_takes_nothing_new() -> None:
    with held() as (_, queue, release):
        waiting = [queue.put(images(number)) for number in range(3)]
        queue.close()
        with pytest.raises(EngineError, match="closed"):
            queue.put(images(9))
        release.set()
        assert [future.result(30).logits[0, 0] for future in waiting] == [0, 1, 2]


def test_with_a_timer_jobs_that_come_together_run_together() -> None:
    engine = Adder()
    with running(engine, max_batch=3, gather_ms=20_000) as queue:  # ends at the third, not after 20 s
        futures = [queue.put(images(number)) for number in range(3)]
        done, waiting = wait(futures, 10)
    assert (len(done), len(waiting), engine.batches) == (3, 0, [3])
