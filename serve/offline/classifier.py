"""Items to rows: decoded, run and ranked by the service's own functions, so both agree bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.errors import EngineError, ImageError
from rgp.serve.answers import Prediction, ThreadPlan
from rgp.serve.classify import prepare, rank
from rgp.serve.network import canary, checked
from rgp.serve.offline.source import Item
from rgp.serve.plan import plan
from rgp.serve.settings import Settings

SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("key", pa.string()),  # null: the source could not be read on
        pa.field("labels", pa.list_(pa.string())),
        pa.field("indices", pa.list_(pa.int32())),
        pa.field("probabilities", pa.list_(pa.float64())),
        pa.field("error", pa.string()),
        pa.field("model", pa.string(), nullable=False),  # sha256 of compiled.onnx
    ]
)


def thread_plan(bundle: Bundle, threads: int = 0, batch: int = 0) -> ThreadPlan:
    """The service's plan for this bundle on this machine; what is 0 is measured."""

    def start(count: int) -> Engine:
        return bundle.start("compiled", threads=count)

    settings = Settings(threads=threads, max_batch=batch)
    return plan(start, canary(bundle.require_images()), settings, device=bundle.target.device, sha256=bundle.sha256)


class Classifier:
    """One engine for all threads; at most ``plan.lanes`` of them run it at once."""

    def __init__(self, bundle: Bundle, plan: ThreadPlan, top_k: int) -> None:
        """Start the engine; EngineError if it cannot be started or does not answer what the bundle says."""
        self._bundle, self._preprocess, self._top_k = bundle, bundle.require_images(), top_k
        self._engine: Engine = bundle.start("compiled", threads=plan.threads)
        checked(self._engine.run(canary(self._preprocess)), bundle)
        self.batch, self._lanes = plan.max_batch, threading.Semaphore(plan.lanes)

    def rows(self, source: str, items: Sequence[Item]) -> pa.RecordBatch:
        """A row of SCHEMA for each item, in order. Raises EngineError only if the engine itself fails."""
        found: list[NDArray[np.uint8] | list[Prediction] | str] = [self._pixels(item) for item in items]
        good = [(number, pixels) for number, pixels in enumerate(found) if isinstance(pixels, np.ndarray)]
        for first in range(0, len(good), self.batch):
            numbers, pixels = zip(*good[first : first + self.batch], strict=True)
            for number, logits in zip(numbers, self._run(pixels), strict=True):
                found[number] = self._ranked(logits)
        ranked = [each if isinstance(each, list) else None for each in found]
        columns = [
            [source] * len(items),
            [item.key for item in items],
            *(
                [each and [getattr(prediction, name) for prediction in each] for each in ranked]
                for name in ("label", "index", "probability")
            ),
            [each if isinstance(each, str) else None for each in found],
            [self._bundle.sha256] * len(items),
        ]
        return pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        )

    def _pixels(self, item: Item) -> NDArray[np.uint8] | str:
        if item.error is not None:
            return item.error
        try:
            return prepare(self._preprocess, item.data).pixels
        except ImageError as error:
            return " ".join(str(error).split())
        except Exception as error:  # whatever one image brings, the others are classified
            return f"cannot be decoded: {type(error).__name__}"

    def _run(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        batch = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
        with self._lanes:
            logits = self._engine.run(batch)
        if len(logits) != len(batch):
            raise EngineError(f"the engine answers {len(logits)} rows for {len(batch)} images: compile again")
        return logits

    def _ranked(self, logits: NDArray[np.float32]) -> list[Prediction] | str:
        try:
            return rank(checked(logits[np.newaxis], self._bundle)[0], self._bundle.labels, self._top_k)
        except EngineError as error:  # not finite, for this image
            return str(error)
