"""A bundle in memory, ready to answer: its engine behind a queue, its canary, the baseline lane beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.errors import EngineError
from rgp.preprocess import Preprocess
from rgp.serve.answers import Baseline, LoadedModel, Model, ThreadPlan
from rgp.serve.baseline import measured
from rgp.serve.engine_threads import EngineThread
from rgp.serve.lane import BaselineLane
from rgp.serve.plan import plan
from rgp.serve.priority import stepped_back
from rgp.serve.queue import Inferred, Queue
from rgp.serve.settings import Settings
from rgp.serve.traffic import Traffic

CANARY_TIMEOUT_SECONDS = 30
NEAR = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 2e-1}
"""How far the compiled network's canary logits may be from the dense one's, as a share of the largest; int8: any."""

T = TypeVar("T")
logger = logging.getLogger("rgp.serve")


class Network:
    """One bundle, served. Built whole by ``load``; ``close`` lets what waits end."""

    def __init__(self, bundle: Bundle, engine: Engine, dense: Engine | None, chosen: ThreadPlan, settings: Settings,
                 on_batch: Callable[[int], None] = lambda images: None) -> None:  # fmt: skip
        self.bundle, self.engine, self.plan = bundle, engine, chosen
        self.preprocess: Preprocess = bundle.require_images()
        self.model = Model(name=bundle.name, architecture=bundle.architecture, sha256=bundle.sha256)
        self.figures: tuple[Baseline, ...] = measured(bundle)
        self.loaded = datetime.now(UTC).isoformat(timespec="seconds")
        self.queue = Queue(
            engine, lanes=chosen.lanes, max_batch=chosen.max_batch, gather_ms=chosen.gather_ms, on_batch=on_batch,
            nice=settings.nice,
        )  # fmt: skip
        self._traffic, self._closing = Traffic(), False
        self.lane = (
            BaselineLane(
                dense, engine, self._traffic,
                threads=chosen.threads, budget=settings.baseline, nice=settings.nice,
            )
            if dense is not None
            else None
        )  # fmt: skip
        self._dense = dense
        self._expected: NDArray[np.float32] | None = None

    @classmethod
    def load(
        cls, bundle: Bundle, settings: Settings, on_batch: Callable[[int], None], chosen: ThreadPlan | None = None
    ) -> Network:
        """Start the bundle's engines, make the plan unless it is ``chosen``; EngineError if one cannot be started."""
        preprocess = bundle.require_images()
        sample = canary(preprocess)

        def start(threads: int) -> Engine:
            return bundle.start("compiled", threads=threads)

        chosen = chosen or plan(start, sample, settings, device=bundle.target.device, sha256=bundle.sha256)
        engine = stepped_back(settings.nice, lambda: start(chosen.threads))
        dense = None
        if settings.baseline:
            dense = stepped_back(settings.nice, lambda: bundle.start("dense", threads=chosen.threads))
        return cls(bundle, engine, dense, chosen, settings, on_batch)

    def verify(self) -> None:
        """The first canary: the engine must agree with the dense one. Raises EngineError that says how it does not.

        Then the lane tests itself.
        """
        pixels = canary(self.preprocess)
        logits = self._checked(self.engine.run(pixels))
        if self._dense is not None:
            dense = self._checked(self._dense.run(pixels))
            bound = NEAR.get(self.bundle.target.precision, np.inf) * max(1e-6, float(np.abs(dense).max()))
            if (apart := float(np.abs(logits - dense).max())) > bound:
                raise EngineError(
                    f"{self.bundle.name}: the compiled network's logits are {apart:.3g} from the dense one's, "
                    f"at most {bound:.3g} is right: compile again"
                )
        self._expected = logits
        if self.lane is not None and not self.lane.test_itself(pixels).agrees:
            logger.warning("the baseline's self-test: alone and interleaved differ: %s", self.lane.self_test)

    async def recheck(self) -> None:
        """The canary once more, through the queue; raises EngineError if its answer changed, or none comes."""
        if self._expected is None:
            await _in_time(_on_daemon(self.verify))
            return
        release = self.hold()
        try:
            found = await _in_time(self.queue.put(canary(self.preprocess)))
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"the engine failed: {type(error).__name__}") from error
        finally:
            release()
        logits = self._checked(found.logits)
        bound = NEAR["fp32"] * max(1e-6, float(np.abs(self._expected).max()))
        if (apart := float(np.abs(logits - self._expected).max())) > bound:
            raise EngineError(f"the canary's logits moved by {apart:.3g} since the start: restart the service")

    def baseline(self) -> Baseline | None:
        """The live figure; else the bundle's for one image, which says where it was measured; else None."""
        live = self.lane.live() if self.lane is not None else None
        return live or next((figure for figure in self.figures if figure.batch == 1), None)

    def about(self, *, active: bool) -> LoadedModel:
        """One row of ``GET /models``."""
        return LoadedModel(**self.model.model_dump(), active=active, loaded=self.loaded)

    def accept(self, found: Inferred, pixels: NDArray[Any]) -> None:
        """Check what the queue gave for live ``pixels`` (EngineError) and offer them to the baseline lane."""
        self._checked(found.logits)
        if self.lane is not None:
            self.lane.offer(pixels[:1])

    def hold(self) -> Callable[[], None]:
        """Until what it returns is called, ``close`` waits: who began with this network ends with it."""
        leave = self._traffic.enter()

        def release() -> None:
            leave()
            self._close_unused()

        return release

    def close(self) -> None:
        """Stop when nobody holds it any more. Returns at once."""
        self._closing = True
        self._close_unused()

    def _close_unused(self) -> None:
        if self._closing and not self._traffic.inside:
            if self.lane is not None:
                self.lane.close()
            self.queue.close()

    def _checked(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        return checked(logits, self.bundle)


async def _in_time(future: Future[T]) -> T:
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), CANARY_TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise EngineError(f"the engine has not answered for {CANARY_TIMEOUT_SECONDS} s: restart it") from error


def _on_daemon(work: Callable[[], T]) -> Future[T]:
    """Do ``work`` on a thread that does not keep the process from ending, should the engine hang."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # running: who stops waiting does not cancel it

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    EngineThread("canary", run)
    return future


def checked(logits: NDArray[np.float32], bundle: Bundle) -> NDArray[np.float32]:
    """(B, classes) logits as they are; raises EngineError unless they are finite, one for each label."""
    if logits.ndim != 2 or logits.shape[1] != len(bundle.labels):
        raise EngineError(
            f"{bundle.name}: the engine answers with shape {logits.shape}, its bundle has {len(bundle.labels)} labels: "
            "compile again"
        )
    if not np.isfinite(logits).all():
        raise EngineError(f"{bundle.name}: the engine answers with logits that are not finite: compile again")
    return logits


def canary(preprocess: Preprocess) -> NDArray[np.uint8]:
    """(1, size, size, channels): seeded noise, the same at every call."""
    shape = (1, preprocess.size, preprocess.size, preprocess.channels)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
