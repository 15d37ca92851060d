"""What the routes share: who may come in, the way of one image, and what is counted on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from rgp.environment import available_cores
from rgp.errors import EngineError
from rgp.serve.answers import Classification
from rgp.serve.body import read_body
from rgp.serve.classify import answer, prepare
from rgp.serve.gate import Gate
from rgp.serve.keys import Keys
from rgp.serve.metrics import Live, Metrics
from rgp.serve.models import Models
from rgp.serve.network import Network
from rgp.serve.priority import step_back
from rgp.serve.queue import Inferred
from rgp.serve.settings import Settings

TIMEOUT_HEADER = "x-request-timeout-ms"
MAX_TIMEOUT_MS = 600_000

T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """``at``: time.monotonic."""

    timeout_ms: int
    at: float


class Attempt:
    """One request's work, which may be given up: what has not begun never begins, what runs ends unheard."""

    def __init__(self) -> None:
        self.given_up = False
        self._pending: set[Future[Any]] = set()

    def give_up(self) -> None:
        """Take back what waits."""
        self.given_up = True
        for future in self._pending:
            future.cancel()

    async def wait(self, future: Future[T]) -> T:
        """The future's result. Cancelled, here and where it waits, if the attempt is given up before it begins."""
        self._pending.add(future)
        if self.given_up:
            future.cancel()
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._pending.discard(future)


class Service:
    """The parts, wired. Its methods run on the event loop."""

    def __init__(self, models: Models, settings: Settings, metrics: Metrics, keys: Keys) -> None:
        plan = models.active.plan
        self.models, self.settings, self.metrics, self.keys = models, settings, metrics, keys
        self.gate = Gate(
            settings.max_waiting or max(2 * plan.lanes, plan.lanes + plan.max_batch),
            self._images_per_second,
            metrics.refused,
        )
        self.draining = False
        self._decoders = ThreadPoolExecutor(
            available_cores(), thread_name_prefix="decode", initializer=step_back, initargs=(settings.nice,)
        )
        metrics.registry.register(Live(lambda: self.models.active, self._gauges))

    def refuse_unready(self) -> None:
        """Raise HTTPException 503 if the network does not answer right."""
        if self.models.problem is not None:
            raise HTTPException(503, f"not ready: {self.models.problem}", {"retry-after": "5"})

    async def body(self, request: Request, limit: int, images: int = 1) -> bytes:
        """The request's body, if there is room for it; raises HTTPException 429, 503, 413, 408."""
        self.refuse_unready()
        self.gate.refuse_if_full(images)
        with self.gate.reading() as grow:
            try:
                async with asyncio.timeout(self.settings.body_seconds):
                    return await read_body(request, limit, grow)
            except TimeoutError as error:
                self.metrics.refused("body")
                raise HTTPException(
                    408,
                    f"the body has not come within {self.settings.body_seconds} s: send it faster",
                    {"connection": "close"},
                ) from error

    def deadline(self, request: Request) -> Deadline:
        """When the request's time is up, counted from now; raises HTTPException 422 for a header that is no time."""
        given, timeout_ms = request.headers.get(TIMEOUT_HEADER), self.settings.timeout_ms
        if given is not None:
            if not given.isdecimal() or len(given) > 6 or not 1 <= int(given) <= MAX_TIMEOUT_MS:
                raise HTTPException(
                    422, f"{TIMEOUT_HEADER} is {given!r:.80}: give whole milliseconds from 1 to {MAX_TIMEOUT_MS}"
                )
            timeout_ms = int(given)
        return Deadline(timeout_ms, time.monotonic() + timeout_ms / 1000)

    async def heard(self, request: Request, deadline: Deadline, attempt: Attempt, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, unless the deadline passes (HTTPException 504) or the client leaves (ClientDisconnect)."""
        task = asyncio.create_task(work)
        left = asyncio.create_task(_left(request))
        try:
            seconds = max(0.0, deadline.at - time.monotonic())
            await asyncio.wait({task, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            if not task.done():
                attempt.give_up()
                task.add_done_callback(_forget)
        if task.done():
            if task.cancelled():
                raise EngineError("the engine stopped before its turn: ask again")
            return task.result()
        if left.done() and not left.cancelled():
            raise ClientDisconnect
        self.metrics.refused("deadline")
        raise HTTPException(
            504, f"no answer within {deadline.timeout_ms} ms: allow more with the header {TIMEOUT_HEADER}"
        )

    async def on_thread(self, attempt: Attempt, work: Callable[[], T]) -> T:
        """Do what would hold up the event loop, such as decoding; raises what it raises."""
        return await attempt.wait(self._decoders.submit(work))

    async def classify(
        self, attempt: Attempt, network: Network, data: Callable[[], bytes], top_k: int
    ) -> Classification:
        """One image's way: ``data()`` is decoded on a thread, queued, ranked. Raises ImageError, EngineError.

        Whoever calls it holds ``network`` and a place in the gate.
        """
        arrived = time.perf_counter_ns()
        prepared = await self.on_thread(attempt, lambda: prepare(network.preprocess, data()))
        found = await self.infer(attempt, network, prepared.pixels)
        result = answer(
            prepared, found.logits[0], network.bundle.labels, top_k,
            queue_ms=found.queue_ms, inference_ms=found.inference_ms, arrived=arrived,
        )  # fmt: skip
        self.metrics.image(result.timing_ms)
        return result

    async def infer(self, attempt: Attempt, network: Network, pixels: NDArray[np.uint8]) -> Inferred:
        """(B, H, W, C) uint8 to logits, through the queue; raises EngineError."""
        found = await attempt.wait(network.queue.put(pixels))
        network.accept(found, pixels)
        return found

    def close(self) -> None:
        """Let what runs end, take nothing new."""
        self._decoders.shutdown(wait=False)
        self.models.close()

    def _images_per_second(self) -> float:
        ms = self.metrics.inference_ms
        return 1000 * self.models.active.plan.lanes / ms if ms else 1.0

    def _gauges(self) -> dict[str, float]:
        return {
            "images_in_work": self.gate.images,
            "images_in_work_limit": self.gate.max_images,
            "queue_depth": self.models.active.queue.depth,
            "bodies_being_read": self.gate.readers,
            "ready": float(self.models.problem is None and not self.draining),
        }


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it any more
