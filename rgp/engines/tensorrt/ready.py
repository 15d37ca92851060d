"""A stored engine if it is still good, else a new one, and why."""

from __future__ import annotations

from dataclasses import dataclass

from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt.build import Progress, Summary, build
from rgp.engines.tensorrt.key import Key
from rgp.engines.tensorrt.library import Library
from rgp.engines.tensorrt.settings import Settings
from rgp.engines.tensorrt.store import Store


@dataclass(frozen=True)
class Ready:
    """``summary`` is None if the engine was stored; ``why`` it was not, empty if it was."""

    engine: bytes
    key: Key
    summary: Summary | None
    why: str


def ready(
    onnx: bytes,
    library: Library,
    settings: Settings,
    store: Store,
    *,
    progress: Progress = lambda line: None,
    afresh: str = "",
) -> Ready:
    """The engine of ``onnx`` from ``store``, or built and stored; EngineError if it cannot be built.

    ``afresh``: why the stored one is no good although its key fits; then a new one takes its place.
    """
    key = Key.of(onnx, library, settings, cuda.gpu() if library.tunes else cuda.gpu_if_any())
    stored, why = (None, afresh) if afresh else store.get(key)
    if stored is not None:
        return Ready(stored, key, None, "")
    progress(f"building the {library} engine: {why}")
    timings = store.get(key.of_timings())[0] if library.tunes else None
    built = build(onnx, library, settings, timing_cache=timings, progress=progress)
    unkept = store.put(key, built.engine)
    if unkept:
        progress(f"the engine is not kept: {unkept}")
    if built.timing_cache is not None:
        store.put(key.of_timings(), built.timing_cache)
    return Ready(built.engine, key, built.summary, why)
