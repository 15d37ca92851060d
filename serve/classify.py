"""One image to its most probable classes: one function for HTTP and for offline use, so both agree bit for bit."""

from __future__ import annotations

import io
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgp.bundle import Bundle
from rgp.engines import Engine
from rgp.errors import EngineError
from rgp.images import decode
from rgp.serve.answers import Classification, Prediction, Timing


def classify(bundle: Bundle, engine: Engine, data: bytes, top_k: int) -> Classification:
    """Decode ``data`` (a JPEG, PNG or WebP file's bytes), run it, rank the classes; ``engine`` runs the bundle's model.

    Raises ImageError for bytes that are not an acceptable image, EngineError if the engine fails.
    """
    started = time.perf_counter_ns()
    image = decode(data)
    decoded = time.perf_counter_ns()
    pixels = bundle.require_images()(image)
    preprocessed = time.perf_counter_ns()
    logits = _logits(bundle, engine, pixels)
    inferred = time.perf_counter_ns()
    probabilities = softmax(logits)
    ranked = np.argsort(-probabilities, kind="stable")[:top_k]  # stable: equal classes stay in order of index
    predictions = [
        Prediction(label=bundle.labels[index], index=index, probability=probabilities[index])
        for index in ranked.tolist()
    ]
    ended = time.perf_counter_ns()
    timing = Timing(
        decode=(decoded - started) / 1e6,
        preprocess=(preprocessed - decoded) / 1e6,
        inference=(inferred - preprocessed) / 1e6,
        total=(ended - started) / 1e6,
    )
    return Classification(predictions=predictions, timing_ms=timing)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(classes,) logits to (classes,) probabilities, computed in float64."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum()
    return probabilities


def canary(bundle: Bundle, engine: Engine) -> None:
    """Classify a picture of seeded noise; raises EngineError unless finite logits come out, one for each label."""
    noise = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    classify(bundle, engine, file.getvalue(), top_k=1)


def _logits(bundle: Bundle, engine: Engine, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    logits = engine.run(pixels[np.newaxis])
    if logits.shape != (1, len(bundle.labels)):
        raise EngineError(
            f"{bundle.name}: the engine answers with shape {logits.shape}, its bundle has {len(bundle.labels)} labels: "
            "compile again"
        )
    if not np.isfinite(logits).all():
        raise EngineError(f"{bundle.name}: the engine answers with logits that are not finite: compile again")
    row: NDArray[np.float32] = logits[0]
    return row
