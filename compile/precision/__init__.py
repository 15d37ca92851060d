"""Numeric precision: the network's file in another type, and whether an engine really computes in it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from rgp.compile.precision.half import to_bf16, to_fp16
from rgp.compile.precision.int8 import LEAST_IMAGES, to_int8
from rgp.compile.precision.kernel_bf16 import to_bf16_kernels
from rgp.engines import native
from rgp.engines.ort import session

__all__ = ["supported", "to_bf16", "to_bf16_kernels", "to_fp16", "to_int8"]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
KERNELS = {"fp16": ("Conv", "float16"), "bf16": ("Conv", "bfloat16"), "int8": ("QLinearConv", "uint8")}
"""What ONNX Runtime must run for a convolution: the operator and its input's type."""


@cache
def supported(precision: str, engine: str, device: str) -> str | None:
    """Why ``engine`` on ``device`` does not compute in ``precision``, and what to do instead; None if it does.

    ONNX Runtime is asked: it runs a small network, and its own profile says in which type. bf16 on CPUs it has from our
    kernels. TensorRT's builder honours the types of the file, or says itself what it lacks. Raises EngineError if
    ``device`` is not there.
    """
    if engine != "ort" or precision == "fp32":
        return None
    session(_small("fp32"), threads=1, device=device)
    alternatives = "--precision fp32, or int8 with --images" if precision != "int8" else "--precision fp32"
    instead = f"use {alternatives}, or --engine trt-rtx"
    if (precision, device) == ("bf16", "cpu"):
        reason = native.missing(precision)
        return reason and f"on CPUs only rgp's own kernels compute in bf16: {reason}: {instead}"
    try:
        ran = _ran(_small(precision), PROVIDERS[device])
    except Exception as error:  # ONNX Runtime's share no base class but Exception
        reason = " ".join(str(error).split())
        return f"ONNX Runtime {ort.__version__} on {device} has no {precision} convolution ({reason}): {instead}"
    if (*KERNELS[precision], PROVIDERS[device]) in ran:
        return None
    return (
        f"ONNX Runtime {ort.__version__} on {device} runs {precision} networks by casting to float32, "
        f"no faster than fp32: {instead}"
    )


def _small(precision: str) -> bytes:
    """(B, 8, 8, 16) bytes, one convolution, float32 out, in ``precision``."""
    value = helper.make_tensor_value_info
    weight = np.random.default_rng(0).standard_normal((16, 16, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "weight"], ["conv"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["conv"], ["y"]),
        ],
        "small",
        [value("x", TensorProto.UINT8, ["batch", 8, 8, 16])],
        [value("y", TensorProto.FLOAT, ["batch", 16, 8, 8])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    images = [np.full((8, 8, 16), number, np.uint8) for number in range(LEAST_IMAGES)]
    conversions: dict[str, Callable[[bytes], bytes]] = {
        "fp32": bytes,
        "fp16": to_fp16,
        "bf16": to_bf16,
        "int8": partial(to_int8, calibration=images),
    }
    return conversions[precision](model)


def _ran(model: bytes, provider: str) -> set[tuple[str, str, str]]:
    """(operator, type of its first input, provider) of every kernel that ran for ``model``."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        profiled = ort.InferenceSession(model, options, providers=[provider])
        profiled.run(None, {"x": np.zeros((1, 8, 8, 16), np.uint8)})
        events = json.loads(Path(profiled.end_profiling()).read_text())
    return {
        (event["args"]["op_name"], next(iter(event["args"]["input_type_shape"][0])), event["args"]["provider"])
        for event in events
        if event.get("args", {}).get("input_type_shape")
    }
