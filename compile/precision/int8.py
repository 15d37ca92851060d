"""int8 by static quantisation, with ONNX Runtime's own tool: QuantizeLinear and DequantizeLinear around each layer.

The engine fuses them: ONNX Runtime on CPU runs a QLinearConv for every convolution, grouped ones too. Weights are
symmetric with a scale for each output channel, activations have one scale for each tensor, from the smallest and the
largest value that calibration saw. The first convolution is quantised like the others: its input was bytes anyway. The
last Gemm is too, but its output, the logits, stays float32: 256 steps would make ties of near classes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from rgp.compile.onnx_bytes import serialize
from rgp.compile.precision.head import head, keep_planes
from rgp.compile.precision.kernel import fused, unfused
from rgp.compile.reference import plain_session
from rgp.errors import CompileError, UsageError

LEAST_IMAGES = 8
"""Ranges from fewer images clip most of what comes later."""
MOST_IMAGES = 64
"""Each costs a run in float32, at batch 1."""


def to_int8(model: bytes, calibration: Sequence[NDArray[Any]], *, symmetric: bool = False) -> bytes:
    """The network of an ONNX file, whose shapes are known, quantised; its input and its logits keep their types.

    ``calibration``: real images, each one input without the batch, (H, W, C) uint8 for ours; MOST_IMAGES of them,
    evenly spread, are used. ``symmetric``: all zero points 0 and biases in float32, as TensorRT asks; without, the
    uint8 activations that x86 is faster with. Raises UsageError if there are too few images, CompileError if the
    tool fails.
    """
    if len(calibration) < LEAST_IMAGES:
        raise UsageError(
            f"--precision int8 is calibrated on real images and found {len(calibration)}: "
            f"give a folder of at least {LEAST_IMAGES} with --images"
        )
    working = ir.from_proto(onnx.load_from_string(model))
    ours = unfused(working)
    if not symmetric:  # TensorRT fuses what ONNX Runtime does not
        keep_planes(working.graph)
    for number, node in enumerate(working.graph):
        node.name = f"{number}.{node.name or node.op_type}"  # the tool tells nodes apart by their names
    proto = ir.to_proto(working)
    add_pre_process_metadata(proto)  # shapes are known and BatchNorm is folded: it need not warn
    chosen = np.linspace(0, len(calibration) - 1, min(len(calibration), MOST_IMAGES)).round().astype(int)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                proto,
                path,
                _Images(proto.graph.input[0], [calibration[index] for index in chosen]),
                per_channel=True,
                reduce_range=not symmetric and saturates(),
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                nodes_to_exclude=[node.name for node in head(working.graph)],
                extra_options={
                    "ActivationSymmetric": symmetric,
                    "QuantizeBias": not symmetric,
                    "OpTypesToExcludeOutputQuantization": ["Gemm"],
                },
            )
            quantised = path.read_bytes()
    except Exception as error:  # the tool's errors share no base class
        reason = " ".join(str(error).split())
        raise CompileError(f"ONNX Runtime cannot quantise the network: {reason}; use --precision fp32") from error
    if not ours:
        return quantised
    result = ir.from_proto(onnx.load_from_string(quantised))
    fused(result, {str(conv.name) for conv in ours})
    return serialize(result)


def saturates() -> bool:
    """Whether uint8 times int8 overflows here, as it does on x86 without VNNI: weights then get 7 bits."""
    x, w = np.full((1, 64, 1, 1), 255, np.uint8), np.full((64, 64, 1, 1), 127, np.int8)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("ConvInteger", ["x", "w"], ["y"])],
        "saturates",
        [value("x", TensorProto.UINT8, x.shape)],
        [value("y", TensorProto.INT32, x.shape)],
        [numpy_helper.from_array(w, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (y,) = plain_session(model.SerializeToString()).run(None, {"x": x})
    return bool((y != 64 * 255 * 127).any())


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the images one by one, repeated where the file fixes a batch."""

    def __init__(self, value: onnx.ValueInfoProto, images: Sequence[NDArray[Any]]) -> None:
        batch = value.type.tensor_type.shape.dim[0].dim_value or 1
        self._feeds: Iterator[dict[str, NDArray[Any]]] = iter(
            {value.name: np.repeat(image[None], batch, axis=0)} for image in images
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next image; None after the last."""
        return next(self._feeds, None)
