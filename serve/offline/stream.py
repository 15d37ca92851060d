"""Sources to rows on this machine: one thread reads ahead, others decode and run; the order stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from rgp.serve.offline.classifier import Classifier
from rgp.serve.offline.source import Item, Source, chunks, clean

AHEAD = 4
"""Chunks that are read or classified at once, for each thread, while the oldest one is waited for."""

AHEAD_BYTES = 256 << 20


@dataclass(frozen=True)
class Cursor:
    """How far a run has come: ``item`` items of source number ``source``, both from 0, and so many rows in all."""

    source: int = 0
    item: int = 0
    rows: int = 0


BEGIN = Cursor()


@dataclass(frozen=True)
class Done:
    """Rows of one chunk, and the place in the input that they reach; ``size``: bytes of images in them."""

    source: int
    item: int
    rows: pa.RecordBatch
    size: int


def classified(
    sources: Iterable[Source], classifier: Classifier, start: Cursor = BEGIN, workers: int = 1
) -> Iterator[Done]:
    """Classify from ``start`` on. Raises EngineError if the engine fails; memory does not grow with the input.

    ``workers``: threads that decode, and run the engine where it has a lane for them.
    """
    pending: deque[tuple[Future[Done], int]] = deque()
    held = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="classify") as pool:
        try:
            for place, name, chunk in _chunks(sources, classifier.batch, start):
                size = sum(len(item.data) for item in chunk)
                pending.append((pool.submit(_classify, classifier, place, name, chunk, size), size))
                held += size
                while pending and (len(pending) > AHEAD * workers or held > AHEAD_BYTES or pending[0][0].done()):
                    future, size = pending.popleft()
                    held -= size
                    yield future.result()
            while pending:
                yield pending.popleft()[0].result()
        finally:
            pool.shutdown(cancel_futures=True)


def _chunks(sources: Iterable[Source], batch: int, start: Cursor) -> Iterator[tuple[tuple[int, int], str, list[Item]]]:
    """Some items of a source, its name, and the place that they reach; after its last ones that is the next source."""
    for number, source in enumerate(sources):
        if number >= start.source:
            end = start.item if number == start.source else 0
            found = chunks(source.read(end), batch)
            chunk = next(found, None)
            while chunk is not None:
                end += len(chunk)
                after = next(found, None)
                yield (number + 1, 0) if after is None else (number, end), clean(source.name), chunk
                chunk = after


def _classify(classifier: Classifier, place: tuple[int, int], name: str, chunk: list[Item], size: int) -> Done:
    return Done(*place, classifier.rows(name, chunk), size)
