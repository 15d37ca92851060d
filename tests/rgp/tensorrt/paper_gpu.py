"""A GPU and a TensorRT on paper, for machines that have neither: they compute nothing before they must.

``PaperDriver`` has the calls of ``cuda.bindings.driver`` that the engine uses. Work on a stream waits until somebody
waits for the stream, freed memory is overwritten, a call from a thread that did not make the GPU current fails, and
a graph whose execution context changed afterwards fails: a missing wait shows as a wrong result, a lifetime that is
too short as an error. ``PaperTensorRT`` runs "engines" (JSON, then ONNX bytes) with ONNX Runtime.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rgp.engines.ort import session
from rgp.errors import EngineError

OK, NO_DEVICE, NO_CONTEXT, FAILED, CAPTURE_BROKEN = 0, 100, 201, 700, 901
Work = Callable[[], None]


class CUresult(IntEnum):
    CUDA_SUCCESS = 0


@dataclass
class Queue:
    waiting: list[Work] = field(default_factory=list)
    recorded: list[Work] | None = None
    broken: bool = False

    def put(self, work: Work) -> None:
        (self.waiting if self.recorded is None else self.recorded).append(work)


class PaperDriver:
    """``alive``: memory, streams and graphs that are not freed, by address or handle."""

    CUresult = CUresult
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76
    )
    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED=2)

    def __init__(self, *, devices: int = 1) -> None:
        self.devices = devices
        self.alive: dict[int, Any] = {}
        self.launches = 0
        self._freed: list[Any] = []  # kept, so that no address comes twice
        self._handles = itertools.count(1)
        self._here = threading.local()

    def cuInit(self, flags: int) -> tuple[int]:  # noqa: N802
        return (OK if self.devices else NO_DEVICE,)

    def cuGetErrorString(self, error: int) -> tuple[int, bytes]:  # noqa: N802
        return OK, {NO_DEVICE: b"no CUDA-capable device is detected"}.get(error, b"it failed on paper")

    def cuDeviceGet(self, number: int) -> tuple[int, int]:  # noqa: N802
        return OK, number

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> tuple[int, int]:  # noqa: N802
        return OK, {75: 8, 76: 6}[attribute]

    def cuDeviceGetName(self, size: int, device: int) -> tuple[int, bytes]:  # noqa: N802
        return OK, b"Paper 3000".ljust(size, b"\0")

    def cuDriverGetVersion(self) -> tuple[int, int]:  # noqa: N802
        return OK, 13020

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[int, str]:  # noqa: N802
        return OK, "context"

    def cuCtxSetCurrent(self, context: str) -> tuple[int]:  # noqa: N802
        self._here.context = context
        return (OK,)

    def cuMemAlloc(self, size: int) -> tuple[int, int | None]:  # noqa: N802
        return self._memory(size)

    def cuMemHostAlloc(self, size: int, flags: int) -> tuple[int, int | None]:  # noqa: N802
        return self._memory(size)

    def cuMemFree(self, address: int) -> tuple[int]:  # noqa: N802
        memory = self.alive.pop(address)
        ctypes.memset(memory, 0xDD, len(memory))
        self._freed.append(memory)
        return (OK,)

    cuMemFreeHost = cuMemFree  # noqa: N815

    def cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> tuple[int]:  # noqa: N802
        def copy() -> None:
            assert size <= len(self.alive[to])
            assert size <= len(self.alive[source])
            ctypes.memmove(to, source, size)

        return self._put(stream, copy)

    cuMemcpyDtoHAsync = cuMemcpyHtoDAsync  # noqa: N815

    def CUstream(self, handle: int) -> int:  # noqa: N802
        return handle

    def cuStreamCreate(self, flags: int) -> tuple[int, int]:  # noqa: N802
        return OK, self._handle(Queue())

    def cuStreamDestroy(self, stream: int) -> tuple[int]:  # noqa: N802
        del self.alive[stream]
        return (OK,)

    def cuStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        queue: Queue = self.alive[stream]
        try:
            while queue.waiting:
                queue.waiting.pop(0)()
        except (AssertionError, KeyError):  # memory that is freed or too small, a graph that is spoilt
            queue.waiting.clear()
            return (FAILED,)
        return (OK,)

    def cuStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:  # noqa: N802
        self.alive[stream].recorded = []
        return (OK,)

    def cuStreamEndCapture(self, stream: int) -> tuple[int, Any]:  # noqa: N802
        queue: Queue = self.alive[stream]
        graph, queue.recorded = queue.recorded, None
        broken, queue.broken = queue.broken, False
        return (CAPTURE_BROKEN, None) if broken else (OK, self._handle(graph))

    def cuGraphInstantiate(self, graph: int, flags: int) -> tuple[int, int]:  # noqa: N802
        return OK, self._handle(list(self.alive[graph]))

    def cuGraphDestroy(self, graph: int) -> tuple[int]:  # noqa: N802
        del self.alive[graph]
        return (OK,)

    cuGraphExecDestroy = cuGraphDestroy  # noqa: N815

    def cuGraphLaunch(self, graph: int, stream: int) -> tuple[int]:  # noqa: N802
        self.launches += 1
        for work in self.alive[graph]:
            self._put(stream, work)
        return (OK,)

    def _memory(self, size: int) -> tuple[int, int | None]:
        if getattr(self._here, "context", None) is None:
            return NO_CONTEXT, None
        memory = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(memory)
        self.alive[address] = memory
        return OK, address

    def _handle(self, thing: object) -> int:
        handle = next(self._handles)
        self.alive[handle] = thing
        return handle

    def _put(self, stream: int, work: Work) -> tuple[int]:
        if getattr(self._here, "context", None) is None:
            return (NO_CONTEXT,)
        self.alive[stream].put(work)
        return (OK,)


def paper_engine(onnx: bytes, *profiles: tuple[int, int], recording: str = "works") -> bytes:
    """What ``PaperTensorRT`` loads as an engine with these least and largest batches.

    ``recording``: "works", is "refused" by the context, or "breaks" the graph.
    """
    return json.dumps({"profiles": profiles, "recording": recording}).encode() + b"\n" + onnx


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class PaperLogger:
    ERROR = 1

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


class PaperTensorRT:
    """What the engine uses of the module ``tensorrt``; ``records_itself`` makes it ``tensorrt_rtx``."""

    ILogger = PaperLogger
    TensorIOMode = TensorIOMode

    def __init__(self, driver: PaperDriver, *, version: str = "11.2", records_itself: bool = False) -> None:
        self.driver, self.__version__ = driver, version
        self.contexts, self.most_contexts = 0, 1000
        self.computed: list[int] = []  # the batch sizes that ran
        self.fail_next = False
        if records_itself:
            self.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")

    def nptype(self, dtype: Any) -> Any:
        if dtype == "bfloat16":
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return dtype

    def Runtime(self, logger: PaperLogger) -> Any:  # noqa: N802
        return SimpleNamespace(deserialize_cuda_engine=lambda engine: self._load(engine, logger))

    def _load(self, engine: bytes, logger: PaperLogger) -> PaperEngine | None:
        header, _, onnx = engine.partition(b"\n")
        try:
            about = json.loads(header)
            return PaperEngine(self, session(onnx, threads=1), about["profiles"], about["recording"], logger)
        except (ValueError, EngineError):
            logger.log(1, "IRuntime::load: Error Code 1: Serialization (wrong magic tag. In load at /src/a.cpp:7)")
            return None


class PaperEngine:
    def __init__(
        self,
        module: PaperTensorRT,
        ort: onnxruntime.InferenceSession,
        profiles: list[tuple[int, int]],
        recording: str,
        logger: PaperLogger,
    ) -> None:
        self.module, self.ort, self.profiles, self.recording, self.logger = module, ort, profiles, recording, logger
        self.ends: dict[str, Any] = {
            end.name: end for end in (*ort.get_outputs(), *ort.get_inputs())
        }  # inputs need not come first
        self.inputs: set[str] = {end.name for end in ort.get_inputs()}
        self.num_io_tensors, self.num_optimization_profiles = len(self.ends), len(profiles)

    def get_tensor_name(self, index: int) -> str:
        return [*self.ends][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self.ends[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        known = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int64)": np.int64}
        return known.get(self.ends[name].type, "bfloat16")

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        least, most = self.profiles[profile]
        return [(batch, *self.get_tensor_shape(name)[1:]) for batch in (least, most, most)]

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(cuda_graph_strategy=None)

    def create_execution_context(self, config: Any = None) -> PaperContext | None:
        assert hasattr(self.module, "CudaGraphStrategy") == (config is not None)
        assert config is None or config.cuda_graph_strategy == "whole"
        if self.module.contexts == self.module.most_contexts:
            self.logger.log(1, "no memory for another context")
            return None
        self.module.contexts += 1
        return PaperContext(self)


class PaperContext:
    def __init__(self, engine: PaperEngine) -> None:
        self.engine, self.driver = engine, engine.module.driver
        self.profile, self.changes, self.addresses = 0, 0, dict[str, int]()
        self.shape: tuple[int, ...] = ()

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self.profile = profile
        self.changes += 1
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, most = self.engine.profiles[self.profile]
        if not least <= shape[0] <= most:
            self.engine.logger.log(1, f"batch {shape[0]} is not in profile {self.profile}")
            return False
        self.shape = shape
        self.changes += 1
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert name in self.engine.ends
        self.addresses[name] = address
        self.changes += 1
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shape[0], *self.engine.get_tensor_shape(name)[1:])

    def execute_async_v3(self, stream: int) -> bool:
        if self.engine.module.fail_next:
            self.engine.module.fail_next = False
            self.engine.logger.log(1, "IExecutionContext::run: Error Code 1: Cuda Runtime (out of memory)")
            return False
        queue: Queue = self.driver.alive[stream]
        if queue.recorded is not None and self.engine.recording == "refused":
            return False
        queue.broken = queue.recorded is not None and self.engine.recording == "breaks"
        shape, addresses, changes = self.shape, dict(self.addresses), self.changes
        (image,) = self.engine.inputs

        def compute() -> None:
            assert self.changes == changes, "the context changed after this was put on the stream"
            images = self._array(addresses[image], shape, self.engine.get_tensor_dtype(image))
            self.engine.module.computed.append(shape[0])
            names = [name for name in self.engine.ends if name not in self.engine.inputs]
            for name, value in zip(names, self.engine.ort.run(names, {image: images.copy()}), strict=True):
                self._array(addresses[name], value.shape, value.dtype)[...] = value

        queue.put(compute)
        return True

    def _array(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        memory = self.driver.alive[address]
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        assert size <= len(memory)
        array: NDArray[Any] = np.frombuffer(memory, np.uint8)[:size].view(dtype).reshape(shape)
        return array
