"""ONNX Runtime, on CPU or CUDA. Its threads spin only while a run lasts.

Threads that sleep between operators wake late: fifty small ones on two cores take half as long again. Threads
that go on spinning after a run slow whatever runs next, and measurements lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rgp.engines import native
from rgp.errors import EngineError, UsageError, unknown

MAX_THREADS = 1024
TRUE_FLOAT32 = {"cuda": {"use_tf32": "0"}}
"""Provider options: by default a GPU rounds float32 to 10 bits inside products, too much to prove anything equal."""

ort.set_default_logger_severity(3)  # errors only: they are raised as well, warnings say nothing to users


def session(model: bytes, *, threads: int, device: str = "cpu") -> ort.InferenceSession:
    """A session of ``model`` (an ONNX file's bytes) with our settings; EngineError if ONNX Runtime refuses it.

    ``device``: "cpu" or "cuda".
    """
    provider = _provider(device)
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads is {threads}, give at least 1" + (f", at most {MAX_THREADS}" if threads > 0 else ""))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # when a run ends
    if device == "cpu" and native.used_by(model):
        native.register(options)
    try:
        found = ort.InferenceSession(model, options, providers=[(provider, TRUE_FLOAT32.get(device, {}))])
    except Exception as error:  # its exceptions share no base class but Exception
        raise EngineError(f"ONNX Runtime {ort.__version__} refuses the model: {error}") from error
    if found.get_providers()[0] != provider:  # it falls back to the CPU in silence
        raise EngineError(f"ONNX Runtime {ort.__version__} could not start {provider}: is there a GPU with its driver?")
    return found


def _provider(device: str) -> str:
    if device == "cpu":
        return "CPUExecutionProvider"
    if device != "cuda":
        raise UsageError(unknown("device", device, ("cpu", "cuda")))
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise EngineError(
            f"the installed ONNX Runtime {ort.__version__} runs on CPU only: for --device cuda remove the package "
            "onnxruntime and install rgp[gpu] (onnxruntime-gpu); the two cannot stand side by side"
        )
    return "CUDAExecutionProvider"


def describe(device: str, threads: int) -> dict[str, str | int]:
    """Name, version, device and threads of the engines of this module."""
    return {"engine": "ort", "version": ort.__version__, "device": device, "threads": threads}


class OrtEngine:
    """One session shared by all callers, with an explicit number of threads."""

    def __init__(self, model: bytes, *, threads: int, device: str = "cpu", at_once: int | None = None) -> None:
        """Build a session of ``model`` (an ONNX file's bytes); raises EngineError if ONNX Runtime refuses it.

        ``at_once``: of a larger batch so many inputs are run together, part after part; None: all.
        """
        self._threads, self._device, self._at_once = threads, device, at_once
        self._kernels = {"kernels": native.describe(model)} if device == "cpu" and native.used_by(model) else {}
        self._session = session(model, threads=threads, device=device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or not outputs:
            raise EngineError(f"the model must take one input and give an output, not {len(inputs)} and {len(outputs)}")
        self._input, self._output = inputs[0].name, outputs[0].name

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """One batch, (B, H, W, C) uint8 for image networks, to the first output, logits (B, classes) float32."""
        step = self._at_once or len(images)
        parts = (
            [images[first : first + step] for first in range(0, len(images), step)] if len(images) > step else [images]
        )
        found = [np.asarray(self._run([self._output], part)[0], np.float32) for part in parts]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def outputs(self, images: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Every output of the network, each in the type that it has."""
        return tuple(self._run(None, images))

    def _run(self, names: list[str] | None, images: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            found: list[NDArray[Any]] = self._session.run(names, {self._input: images})
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on a batch of shape {images.shape}: {error}") from error
        return found

    def describe(self) -> dict[str, str | int]:
        """Name, version, device and threads; what runs our own operators, if the network has any."""
        return {**describe(self._device, self._threads), **self._kernels}
