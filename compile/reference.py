"""What an ONNX file means: its own bytes run by ONNX Runtime with nothing optimised, on one thread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rgp.engines import native
from rgp.errors import EngineError
from rgp.preprocess import Preprocess


def plain_session(model: Path | bytes) -> ort.InferenceSession:
    """A session that runs each node as it is written; raises EngineError if ONNX Runtime refuses the model."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it refuses is raised, not printed
    try:
        source = model if isinstance(model, bytes) else str(model)
        if isinstance(model, bytes) and native.used_by(model):
            native.register(options)
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but Exception
        raise EngineError(f"ONNX Runtime {ort.__version__} refuses the model: {_reason(error)}") from error


class Reference:
    """What a compiled network is proved equal to: the original file, run as it is written.

    With ``preprocess`` it is fed with images: a file that takes float32 (B, C, H, W) gets pixels normalised here, in
    float64 and without the graph's arithmetic; one that takes uint8 (B, H, W, C) gets the bytes. Without, it gets
    what it takes. Where the file fixes its batch, the images go in by so many at a time.
    """

    def __init__(self, path: Path, preprocess: Preprocess | None = None) -> None:
        self._session = plain_session(path)
        (given,) = self._session.get_inputs()
        self._name = given.name
        self._preprocess = None if given.type == "tensor(uint8)" else preprocess
        self._batch: int | None = given.shape[0] if isinstance(given.shape[0], int) else None

    def __call__(self, x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """A batch to all outputs of the file, in its order; raises EngineError if it cannot run them."""
        if self._preprocess is not None:
            mean, std = np.array(self._preprocess.mean), np.array(self._preprocess.std)
            x = ((x / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
        size = self._batch or len(x)
        chunks = [self._run(_filled(x[start : start + size], size)) for start in range(0, len(x), size)]
        return tuple(np.concatenate(parts)[: len(x)] for parts in zip(*chunks, strict=True))

    def _run(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, {self._name: np.ascontiguousarray(x)})
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on an input of shape {x.shape}: {_reason(error)}") from error
        return outputs


def _filled(x: NDArray[Any], size: int) -> NDArray[Any]:
    """``x`` with its last row repeated up to ``size`` rows."""
    return np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)]) if len(x) < size else x


def _reason(error: Exception) -> str:
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
