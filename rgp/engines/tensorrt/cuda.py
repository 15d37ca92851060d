"""The first GPU that CUDA shows: its memory, streams and graphs, through the driver's own interface.

The calls are those of cuda-bindings, NVIDIA's one-to-one binding: it knows the symbol versions and needs no CUDA
toolkit, only the driver. It has no type stubs, so ``Any`` ends here. Addresses and handles are whole numbers, as
TensorRT takes them. Everything belongs to the device's primary context, which TensorRT uses too.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgp.errors import EngineError


@dataclass(frozen=True)
class Gpu:
    """``capability``: the compute capability, "9.0"; ``driver``: the newest CUDA that the driver knows, "13.0"."""

    name: str
    capability: str
    driver: str

    def __str__(self) -> str:
        return f"{self.name} ({self.capability})"


def gpu() -> Gpu:
    """The GPU that will be used; EngineError that says why there is none."""
    return _device().gpu


def gpu_if_any() -> Gpu | None:
    """The GPU, or None where there is none."""
    try:
        return gpu()
    except EngineError:
        return None


@dataclass(frozen=True)
class _Device:
    driver: Any
    context: Any
    gpu: Gpu


@functools.cache
def _device() -> _Device:
    try:
        driver = importlib.import_module("cuda.bindings.driver")
    except ModuleNotFoundError as error:
        raise EngineError("TensorRT runs through the package cuda-bindings: pip install 'rgp[trt-rtx]'") from error
    try:
        _check(driver, driver.cuInit(0))
    except RuntimeError as error:  # the driver's library was not found
        raise EngineError("TensorRT runs on an NVIDIA GPU, and this machine has no NVIDIA driver (libcuda)") from error
    except EngineError as error:
        raise EngineError(f"TensorRT runs on an NVIDIA GPU, and the driver finds none: {error}") from error
    number = _check(driver, driver.cuDeviceGet(0))
    attribute = driver.CUdevice_attribute
    major, minor = (
        _check(driver, driver.cuDeviceGetAttribute(each, number))
        for each in (
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )
    )
    name = _check(driver, driver.cuDeviceGetName(256, number)).partition(b"\0")[0].decode()
    cuda = _check(driver, driver.cuDriverGetVersion())  # 13020 is 13.2
    found = Gpu(name, f"{major}.{minor}", f"{cuda // 1000}.{cuda % 1000 // 10}")
    return _Device(driver, _check(driver, driver.cuDevicePrimaryCtxRetain(number)), found)


def _check(driver: Any, result: tuple[Any, ...]) -> Any:
    """The value of a call's result, (error, value) or (error,); EngineError if it failed."""
    error, *values = result
    if error != driver.CUresult.CUDA_SUCCESS:
        known, text = driver.cuGetErrorString(error)
        why = text.decode() if known == driver.CUresult.CUDA_SUCCESS else "unknown error"
        raise EngineError(f"{why} (CUDA error {int(error)})")
    return values[0] if values else None


def use() -> None:
    """Make the GPU current on this thread: each thread that calls anything below does so first."""
    device = _device()
    _check(device.driver, device.driver.cuCtxSetCurrent(device.context))


def _free(device: _Device, function: Callable[[Any], Any], handle: Any) -> None:
    """By the garbage collector, on whatever thread that is. At exit the driver may be gone: no error matters."""
    device.driver.cuCtxSetCurrent(device.context)
    function(handle)


class DeviceMemory:
    """``size`` bytes on the GPU, freed with this object."""

    def __init__(self, size: int) -> None:
        device = _device()
        self._handle = _check(device.driver, device.driver.cuMemAlloc(max(1, size)))
        self.address = int(self._handle)
        weakref.finalize(self, _free, device, device.driver.cuMemFree, self._handle)


class PinnedMemory:
    """Host memory that the GPU copies from and to without a stop in between, freed with this object.

    ``bytes`` (size,) uint8 is a view of it: it must not outlive this object.
    """

    def __init__(self, size: int) -> None:
        device = _device()
        self.address = int(_check(device.driver, device.driver.cuMemHostAlloc(max(1, size), 0)))
        self.bytes: NDArray[np.uint8] = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))
        weakref.finalize(self, _free, device, device.driver.cuMemFreeHost, self.address)


class Graph:
    """Work that was recorded on a stream once, and is started again by one call."""

    def __init__(self, executable: Any) -> None:
        self.handle = executable
        device = _device()
        weakref.finalize(self, _free, device, device.driver.cuGraphExecDestroy, executable)


class Stream:
    """A queue of work on the GPU, in order."""

    def __init__(self) -> None:
        device = _device()
        self._driver = device.driver
        # beside the default stream: work there would wait for this, and this for it
        flags = self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        self._handle = _check(self._driver, self._driver.cuStreamCreate(flags))
        self.handle = int(self._handle)
        weakref.finalize(self, _free, device, device.driver.cuStreamDestroy, self._handle)

    def upload(self, host: PinnedMemory, device: DeviceMemory, size: int) -> None:
        """Copy the first ``size`` bytes to the GPU."""
        _check(self._driver, self._driver.cuMemcpyHtoDAsync(device._handle, host.address, size, self._handle))

    def download(self, device: DeviceMemory, host: PinnedMemory, size: int) -> None:
        """Copy the first ``size`` bytes from the GPU."""
        _check(self._driver, self._driver.cuMemcpyDtoHAsync(host.address, device._handle, size, self._handle))

    def wait(self) -> None:
        """Until all is done; EngineError if some of it failed."""
        _check(self._driver, self._driver.cuStreamSynchronize(self._handle))

    def record(self, work: Callable[[], None]) -> Graph:
        """What ``work`` puts on this stream, recorded and not done; raises what it raises, or EngineError."""
        driver = self._driver
        # memory may be taken and freed meanwhile, here by the garbage collector and by other threads
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        _check(driver, driver.cuStreamBeginCapture(self._handle, mode))
        try:
            work()
        except BaseException:
            driver.cuStreamEndCapture(self._handle)  # leaves the stream usable
            raise
        graph = _check(driver, driver.cuStreamEndCapture(self._handle))
        try:
            return Graph(_check(driver, driver.cuGraphInstantiate(graph, 0)))
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self, graph: Graph) -> None:
        """Start what was recorded."""
        _check(self._driver, self._driver.cuGraphLaunch(graph.handle, self._handle))
