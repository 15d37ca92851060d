"""One image to its most probable classes: the same functions for HTTP and offline, so both agree bit for bit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.images import decode
from rgp.preprocess import Preprocess
from rgp.serve.answers import Classification, Prediction, Timing
from rgp.serve.network import checked


@dataclass(frozen=True)
class Prepared:
    """A decoded image as the network takes it, (1, size, size, channels) uint8, and what that took."""

    pixels: NDArray[np.uint8]
    began: int
    decode_ms: float
    preprocess_ms: float


def prepare(preprocess: Preprocess, data: bytes) -> Prepared:
    """Decode a JPEG, PNG or WebP file's bytes; raises ImageError for bytes that are not an acceptable image."""
    began = time.perf_counter_ns()
    image = decode(data, preprocess.resize)
    decoded = time.perf_counter_ns()
    pixels = preprocess(image)
    ended = time.perf_counter_ns()
    return Prepared(pixels[np.newaxis], began, (decoded - began) / 1e6, (ended - decoded) / 1e6)


def rank(logits: NDArray[np.float32], labels: Sequence[str], top_k: int) -> list[Prediction]:
    """(classes,) logits to the ``top_k`` most probable classes; equal ones in the order of their index."""
    probabilities = softmax(logits)
    ranked = np.argsort(-probabilities, kind="stable")[:top_k]
    return [Prediction(label=labels[index], index=index, probability=probabilities[index]) for index in ranked.tolist()]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(classes,) logits to (classes,) probabilities, computed in float64."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities


def answer(
    prepared: Prepared,
    logits: NDArray[Any],
    labels: Sequence[str],
    top_k: int,
    *,
    queue_ms: float,
    inference_ms: float,
    arrived: int,
) -> Classification:
    """Rank (classes,) logits and add up the times since ``arrived`` (time.perf_counter_ns)."""
    predictions = rank(logits, labels, top_k)
    timing = Timing(
        queue=(prepared.began - arrived) / 1e6 + queue_ms,
        decode=prepared.decode_ms,
        preprocess=prepared.preprocess_ms,
        inference=inference_ms,
        total=(time.perf_counter_ns() - arrived) / 1e6,
    )
    return Classification(predictions=predictions, timing_ms=timing)


def classify(bundle: Bundle, engine: Engine, data: bytes, top_k: int) -> Classification:
    """Classify an image file's bytes without a service; ``engine`` runs the bundle's model.

    Raises ImageError for bytes that are not an acceptable image, EngineError if the engine fails.
    """
    arrived = time.perf_counter_ns()
    prepared = prepare(bundle.require_images(), data)
    started = time.perf_counter_ns()
    logits = checked(engine.run(prepared.pixels), bundle)
    inference_ms = (time.perf_counter_ns() - started) / 1e6
    return answer(prepared, logits[0], bundle.labels, top_k, queue_ms=0, inference_ms=inference_ms, arrived=arrived)
