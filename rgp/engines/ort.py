"""ONNX Runtime on CPU. Its threads do not spin: spinning engines make each other slow and measurements lie."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rgp.errors import EngineError, UsageError

ort.set_default_logger_severity(3)  # errors only: they are raised as well, warnings say nothing to users


def session(model: bytes, *, threads: int) -> ort.InferenceSession:
    """A session of ``model`` (an ONNX file's bytes) with our settings; EngineError if ONNX Runtime refuses it."""
    if threads < 1:
        raise UsageError(f"threads is {threads}, give at least 1")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but Exception
        raise EngineError(f"ONNX Runtime {ort.__version__} refuses the model: {error}") from error


class OrtEngine:
    """One session shared by all callers, with an explicit number of threads."""

    def __init__(self, model: bytes, *, threads: int) -> None:
        """Build a session of ``model`` (an ONNX file's bytes); raises EngineError if ONNX Runtime refuses it."""
        self._threads = threads
        self._session = session(model, threads=threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(uint8)" or len(inputs[0].shape) != 4:
            raise EngineError("the model must take one (B, H, W, C) uint8 input and give one output of logits")
        self._input, self._output = inputs[0].name, outputs[0].name

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, H, W, C) uint8 to logits (B, classes) float32."""
        try:
            (logits,) = self._session.run([self._output], {self._input: images})
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on a batch of shape {images.shape}: {error}") from error
        return np.asarray(logits, np.float32)

    def describe(self) -> dict[str, str | int]:
        """Name, version, device and threads."""
        return {"engine": "ort", "version": ort.__version__, "device": "cpu", "threads": self._threads}
