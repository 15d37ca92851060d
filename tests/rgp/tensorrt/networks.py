"""Networks as ONNX bytes: a tiny one, and what the compiler makes of one, in form: groups, shuffles, fp16, QDQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from tests.serve.tiny import network

SIDE = 12


def data_of(model: onnx.ModelProto) -> bytes:
    """The bytes of a file."""
    data: bytes = model.SerializeToString()
    return data


def tiny() -> bytes:
    """(batch, 12, 12, 3) uint8 to (batch, 7) float32, one convolution."""
    model = onnx.load_from_string(network())
    for index in (1, 2):
        model.graph.input[0].type.tensor_type.shape.dim[index].dim_value = SIDE
    return data_of(model)


def resnet50() -> bytes:
    """Every layer of ResNet-50 in the form that the compiler exports: normalised inside, BatchNorm folded."""
    random = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(name: str, value: NDArray[np.floating[Any]]) -> str:
        weights.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def put(op: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"t{len(nodes)}"], name=f"node{len(nodes)}", **attributes))
        return f"t{len(nodes) - 1}"

    def conv(x: str, ins: int, outs: int, kernel: int, stride: int = 1) -> str:
        name = f"conv{len(nodes)}"
        weight = constant(f"{name}.weight", random.standard_normal((outs, ins, kernel, kernel)) / 100)
        bias = constant(f"{name}.bias", np.zeros(outs))
        pads, strides = [kernel // 2] * 4, [stride] * 2
        return put("Conv", x, weight, bias, group=1, kernel_shape=[kernel] * 2, pads=pads, strides=strides)

    x = put("Mul", put("Cast", "image", to=TensorProto.FLOAT), constant("scale", np.full(3, 0.02)))
    x = put("Transpose", put("Add", x, constant("shift", np.full(3, -2.0))), perm=[0, 3, 1, 2])
    x = put("Relu", conv(x, 3, 64, kernel=7, stride=2))
    x = put("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    ins = 64
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = 1 if block else first_stride
            y = put("Relu", conv(x, ins, width, kernel=1))
            y = conv(put("Relu", conv(y, width, width, kernel=3, stride=stride)), width, 4 * width, kernel=1)
            x = put("Relu", put("Add", y, x if block else conv(x, ins, 4 * width, kernel=1, stride=stride)))
            ins = 4 * width
    x = put("Flatten", put("GlobalAveragePool", x))
    head = constant("head.weight", random.standard_normal((10, ins)) / 100), constant("head.bias", np.zeros(10))
    nodes.append(helper.make_node("Gemm", [x, *head], ["logits"], transB=1))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 224, 224, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "resnet50", [image], [logits], weights)
    return data_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def lowered(model: bytes, groups: int) -> bytes:
    """In the form of a compiled network: each wide convolution behind a shuffle, and with ``groups``.

    The same layers and shapes with other weights: what a builder makes of it is the same, the outputs are not.
    """
    proto = onnx.load_from_string(model)
    weights = {each.name: each for each in proto.graph.initializer}
    nodes = []
    for node in proto.graph.node:
        weight = numpy_helper.to_array(weights[node.input[1]]) if node.op_type == "Conv" else np.empty((1, 1))
        if weight.shape[0] % groups == 0 and weight.shape[1] % groups == 0:
            channels = weight.shape[1]
            order = np.random.default_rng(0).permutation(channels)
            name = f"{node.input[1]}.order"
            proto.graph.initializer.append(numpy_helper.from_array(order, name))
            nodes.append(helper.make_node("Gather", [node.input[0], name], [f"{name}.shuffled"], axis=1))
            part = np.ascontiguousarray(weight[:, : channels // groups])
            weights[node.input[1]].CopyFrom(numpy_helper.from_array(part, node.input[1]))
            node.input[0] = f"{name}.shuffled"
            next(each for each in node.attribute if each.name == "group").i = groups
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return data_of(proto)


def half(model: bytes) -> bytes:
    """Every tensor in fp16 but for the input and the output."""
    converted = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
    return data_of(converted)


def quantised(model: bytes, folder: Path) -> bytes:
    """int8 by static QDQ in the only form that TensorRT takes: symmetric, signed, the biases left alone."""
    (folder / "fp32.onnx").write_bytes(model)
    quantize_static(
        folder / "fp32.onnx",
        folder / "int8.onnx",
        _Noise(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    return (folder / "int8.onnx").read_bytes()


class _Noise(CalibrationDataReader):  # type: ignore[misc]
    """Two batches of noise."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._batches = iter([random.integers(256, size=(2, SIDE, SIDE, 3), dtype=np.uint8) for _ in range(2)])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        images = next(self._batches, None)
        return None if images is None else {"image": images}
