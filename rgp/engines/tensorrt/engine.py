"""Runs batches on the GPU, on TensorRT or TensorRT-RTX.

Images go through pinned memory to the GPU and results come back on one stream, with one wait at the end. Memory is
taken once, for the largest batch; larger ones run in pieces. A batch size that comes often is recorded as a CUDA
graph, copies included, so that it costs one call: TensorRT-RTX does so itself, for TensorRT it is done here.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt.build import Progress
from rgp.engines.tensorrt.library import Library, describe, load
from rgp.engines.tensorrt.ready import ready
from rgp.engines.tensorrt.settings import DEFAULT_BATCHES, Settings
from rgp.engines.tensorrt.store import Store, default_folder
from rgp.engines.tensorrt.tensor import Tensor
from rgp.errors import EngineError

OFTEN = 3
"""A batch size that came so often is recorded."""
MAX_GRAPHS = 8
"""Each has an execution context of its own, and so memory for activations."""


class TensorRTEngine:
    """One stream shared by all callers, who wait for each other: the GPU runs one batch at a time anyway."""

    def __init__(self, engine: bytes, library: Library, *, precision: str) -> None:
        """Load ``engine``, which this process or this user's store built: it is code. EngineError if refused."""
        self._library, self._precision = library, precision
        self._gpu = cuda.gpu()
        cuda.use()
        library.log.take()
        # named so that they live as long as what came out of them
        self._runtime = library.module.Runtime(library.logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise EngineError(
                f"{library} refuses the engine on {self._gpu}: {_refusal(self._runtime, engine, library)}"
            )
        self._stream = cuda.Stream()
        self._config = _runtime_config(self._engine, library.module)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self._lanes = [self._lane(profile, names) for profile in range(self._engine.num_optimization_profiles)]
        self._input, *self._outputs = self._tensors(names)
        for lane in self._lanes:
            self._connect(lane.context)
        self._lock = threading.Lock()
        self._seen = Counter[int]()
        self._graphs: dict[int, tuple[cuda.Graph, Any]] = {}
        self._records = library.tunes  # until one cannot be recorded

    @classmethod
    def of(
        cls,
        onnx: bytes,
        *,
        kind: str,
        precision: str,
        batches: tuple[int, ...] = DEFAULT_BATCHES,
        workspace: int | None = None,
        store: Store | None = None,
        progress: Progress = lambda line: None,
    ) -> Self:
        """The engine of an ONNX file's bytes: the stored one (by default below ~/.cache), or a new one.

        ``progress`` is told what is built and why. EngineError says what is missing, or why it cannot be built or
        run. See ``Settings`` for the rest.
        """
        library, gpu = load(kind), cuda.gpu()
        # what TensorRT-RTX builds by default does not run on Turing
        targets = (gpu.capability,) if not library.tunes and gpu.capability == "7.5" else ()
        settings = Settings(precision, batches, workspace, targets)
        store = store or Store(default_folder())
        found = ready(onnx, library, settings, store, progress=progress)
        try:
            return cls(found.engine, library, precision=precision)
        except EngineError as error:
            if found.summary is not None:  # it is new: building it again would change nothing
                raise
            found = ready(onnx, library, settings, store, progress=progress, afresh=f"the stored one fails: {error}")
            return cls(found.engine, library, precision=precision)

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """One batch, (B, H, W, C) uint8 for image networks, to the first output, logits (B, classes) float32."""
        return np.asarray(self.outputs(images)[0], np.float32)

    def outputs(self, images: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Every output of the network, each in the type that it has."""
        expected = self._input
        if images.dtype != expected.dtype or images.shape[1:] != expected.shape or not len(images):
            wanted = ", ".join(map(str, expected.shape))
            raise EngineError(f"the engine takes (B, {wanted}) {expected.dtype}, not {images.shape} {images.dtype}")
        most = self._lanes[-1].most
        pieces = [self._run(images[start : start + most]) for start in range(0, len(images), most)]
        return pieces[0] if len(pieces) == 1 else tuple(map(np.concatenate, zip(*pieces, strict=True)))

    def describe(self) -> dict[str, str | int]:
        """Name, version, device and threads (of the CPU)."""
        return {**describe(self._library.kind), "precision": self._precision}

    def layers(self) -> str:
        """What the library made of the network, as its own JSON."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._library.module.LayerInformationFormat.JSON))

    def _run(self, images: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        batch = len(images)
        with self._lock:
            cuda.use()
            try:
                self._input.host(batch)[...] = images
                self._enqueue(batch)
                self._stream.wait()
            except EngineError as error:
                raise EngineError(f"{self._library} failed on a batch of {batch}: {error}") from error
            return tuple(output.host(batch).copy() for output in self._outputs)

    def _enqueue(self, batch: int) -> None:
        """Put all that a batch needs on the stream."""
        if batch in self._graphs:
            self._stream.launch(self._graphs[batch][0])
            return
        lane = next(lane for lane in self._lanes if batch <= lane.most)
        if lane.batch != batch:
            self._set_batch(lane.context, batch)
            lane.batch = batch
        self._work(lane.context, batch)
        self._seen[batch] += 1
        if self._records and self._seen[batch] >= OFTEN and len(self._graphs) < MAX_GRAPHS:
            self._stream.wait()
            self._record(lane, batch)

    def _work(self, context: Any, batch: int) -> None:
        self._stream.upload(self._input.pinned, self._input.memory, self._input.size(batch))
        if not context.execute_async_v3(self._stream.handle):
            raise EngineError(self._library.log.take() or "it gives no reason")
        for output in self._outputs:
            self._stream.download(output.memory, output.pinned, output.size(batch))

    def _record(self, lane: _Lane, batch: int) -> None:
        """Record the work of ``batch`` on a context of its own: one whose shapes change would spoil the graph."""
        try:
            context = self._context(lane.profile)
            self._connect(context)
            self._set_batch(context, batch)
            self._work(context, batch)  # what a new shape makes it do once is not for the graph
            self._stream.wait()
            self._graphs[batch] = self._stream.record(partial(self._work, context, batch)), context
        except EngineError:
            self._records = False  # it cannot be recorded, or there is no more memory: it runs as before

    def _lane(self, profile: int, names: list[str]) -> _Lane:
        (image,) = (name for name in names if self._is_input(name))
        _, _, most = self._engine.get_tensor_profile_shape(image, profile)
        return _Lane(profile, self._context(profile), int(most[0]))

    def _context(self, profile: int) -> Any:
        """An execution context with one optimisation profile."""
        context = self._engine.create_execution_context(*self._config)
        if context is None or not context.set_optimization_profile_async(profile, self._stream.handle):
            raise EngineError(f"{self._library} cannot start the engine: {self._library.log.take()}")
        self._stream.wait()
        return context

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._library.module.TensorIOMode.INPUT)

    def _tensors(self, names: list[str]) -> list[Tensor]:
        """Memory for the input and the outputs, in this order, at the largest batch."""
        lane = self._lanes[-1]
        names = sorted(names, key=self._is_input, reverse=True)
        shape = tuple(self._engine.get_tensor_shape(names[0]))[1:]
        if not lane.context.set_input_shape(names[0], (lane.most, *shape)):
            raise EngineError(f"{self._library} cannot start the engine: {self._library.log.take()}")
        tensors = []
        for name in names:
            batch, *rest = tuple(lane.context.get_tensor_shape(name))
            try:
                dtype = np.dtype(self._library.module.nptype(self._engine.get_tensor_dtype(name)))
            except TypeError as error:
                raise EngineError(f"'{name}' has a type that numpy lacks: cast it to float32 in the ONNX") from error
            if batch != lane.most or min(rest, default=0) < 0:
                raise EngineError(f"'{name}' has the shape {(batch, *rest)} at batch {lane.most}: no batch comes first")
            tensors.append(Tensor.of(name, tuple(rest), dtype, batch))
        return tensors

    def _connect(self, context: Any) -> None:
        for tensor in (self._input, *self._outputs):
            context.set_tensor_address(tensor.name, tensor.memory.address)

    def _set_batch(self, context: Any, batch: int) -> None:
        if not context.set_input_shape(self._input.name, (batch, *self._input.shape)):
            raise EngineError(self._library.log.take() or "it gives no reason")


@dataclass
class _Lane:
    """One optimisation profile and its context; ``batch``: the batch size that the context is set to."""

    profile: int
    context: Any
    most: int
    batch: int = 0


def _runtime_config(engine: Any, module: Any) -> tuple[Any, ...]:
    """What each execution context is made with: TensorRT-RTX is told to record CUDA graphs."""
    if not hasattr(module, "CudaGraphStrategy"):
        return ()
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return (config,)


def _refusal(runtime: Any, engine: bytes, library: Library) -> str:
    """Why ``engine`` was not loaded."""
    reason = library.log.take()
    if hasattr(runtime, "get_engine_validity"):
        # only after the fact: it calls GPUs unsupported on which engines do run
        _, diagnosed = runtime.get_engine_validity(engine)
        names = library.module.EngineInvalidityDiagnostics.__members__.items()
        causes = [name.lower().replace("_", " ") for name, value in names if diagnosed & int(value)]
        reason = ": ".join(filter(None, (", ".join(causes), reason)))
    return reason or "it gives no reason"
