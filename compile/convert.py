"""An ONNX file in the numeric type that it is to run in, written out in the file; refused where that gains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from rgp.compile.precision import supported, to_bf16, to_bf16_kernels, to_fp16, to_int8
from rgp.engines.target import Target
from rgp.errors import UsageError


def refuse_unsupported(target: Target) -> None:
    """Raise UsageError, with what to do instead, where the engine does not compute in the type."""
    reason = supported(target.precision, target.engine, target.device)
    if reason is not None:
        raise UsageError(f"--precision {target.precision}: {reason}")


def convert(onnx: bytes, *, target: Target, calibration: Sequence[NDArray[Any]]) -> bytes:
    """The file in the target's type; int8 is quantised on ``calibration``, images as the network takes them.

    bf16 on ONNX Runtime's CPU is our kernels' alone: a file without them, a dense network above all, stays float32.
    """
    if target.precision == "fp16":
        return to_fp16(onnx)
    if target.precision == "bf16":
        return to_bf16_kernels(onnx) if (target.engine, target.device) == ("ort", "cpu") else to_bf16(onnx)
    if target.precision == "int8":  # TensorRT reads symmetric scales only
        return to_int8(onnx, calibration, symmetric=target.engine != "ort")
    return onnx
