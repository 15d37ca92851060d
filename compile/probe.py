"""A small network around one convolution, in which it takes about as long as in a large one.

ONNX Runtime runs float32 convolutions in blocks of channels, and int8 ones with the channels last, and converts where
that begins and ends; networks keep it up from layer to layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.layout import Wiring
from rgp.compile.nodes import initializer
from rgp.compile.onnx_bytes import OPSET, serialize
from rgp.compile.precision.int8 import LEAST_IMAGES, to_int8
from rgp.compile.precision.kernel_bf16 import to_bf16_kernels
from rgp.compile.rewrite import lower, register_constants

FLOAT = ir.TensorType(ir.DataType.FLOAT)


@dataclass(frozen=True)
class Probe:
    """An ONNX file's bytes, and an input for it."""

    model: bytes
    image: NDArray[np.float32]


def image_shape(conv: Conv) -> tuple[int, ...]:
    """(I, H, W) of the convolution's input."""
    assert conv.x.shape is not None
    return conv.channels[0], *(side for side in list(conv.x.shape)[2:] if isinstance(side, int))


def fp32_probe(conv: Conv, choice: Choice, wiring: Wiring) -> Probe:
    """A depthwise 1x1 convolution, the convolution, global average pooling.

    Around our own kernel a ReLU instead of the depthwise convolution: its neighbours are kernels too, and lay their
    channels out as it does, while ONNX Runtime's convolutions hand blocked channels on.
    """
    x = _input(image_shape(conv))
    ones = initializer("before.weight", np.ones((conv.channels[0], 1, 1, 1), np.float32))
    before = ir.Node("", "Conv", [x, ones], [ir.AttrInt64("group", conv.channels[0])], num_outputs=1)
    if choice.lowering == "native":
        before = ir.Node("", "Relu", [x], num_outputs=1)
    before.outputs[0].shape, before.outputs[0].type = x.shape, x.type
    return Probe(_file(conv, choice, wiring, x, [before]), _noise(image_shape(conv)))


def int8_probe(conv: Conv, choice: Choice, wiring: Wiring) -> Probe:
    """The convolution and global average pooling, quantised.

    Stock operators turn the input, as they want its channels last: what they pay where a neighbour is our kernel, which
    wants them first. Without that, plans change between the two more often than is good for the network.
    """
    x, image = _input(image_shape(conv)), _noise(image_shape(conv))
    return Probe(to_int8(_file(conv, choice, wiring, x, []), [image[0]] * LEAST_IMAGES), image)


def bf16_probe(conv: Conv, choice: Choice, wiring: Wiring) -> Probe:
    """The convolution from bfloat16 to bfloat16, and global average pooling: around our kernel one cast on each side.

    What is not our kernel computes in float32, and pays for two more, as it does between neighbours that are.
    """
    x, image = _input(image_shape(conv)), _noise(image_shape(conv))
    if choice.lowering == "native":
        return Probe(to_bf16_kernels(_file(conv, choice, wiring, x, [])), image)
    before = _casts(x)
    return Probe(_file(conv, choice, wiring, x, before, rounded=True), image)


PROBES = {"fp32": fp32_probe, "bf16": bf16_probe, "int8": int8_probe}
"""By precision."""


def _casts(value: ir.Value) -> list[ir.Node]:
    """To bfloat16 and back."""
    nodes: list[ir.Node] = []
    for to in (ir.DataType.BFLOAT16, ir.DataType.FLOAT):
        node = ir.Node("", "Cast", [nodes[-1].outputs[0] if nodes else value], [ir.AttrInt64("to", to.value)])
        node.outputs[0].shape, node.outputs[0].type = value.shape, ir.TensorType(to)
        nodes.append(node)
    return nodes


def _input(shape: tuple[int, ...]) -> ir.Value:
    return ir.Value(name="x", shape=ir.Shape([1, *shape]), type=FLOAT)


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((1, *shape), np.float32)


def _file(
    conv: Conv, choice: Choice, wiring: Wiring, x: ir.Value, before: Sequence[ir.Node], *, rounded: bool = False
) -> bytes:
    nodes = [*before, *lower(conv, choice, wiring, before[-1].outputs[0] if before else x, {})]
    if rounded:
        nodes += _casts(nodes[-1].outputs[0])
    pool = ir.Node("", "GlobalAveragePool", [nodes[-1].outputs[0]], num_outputs=1)
    y = pool.outputs[0]
    y.name, y.type, y.shape = "y", FLOAT, ir.Shape([1, conv.channels[1], 1, 1])
    graph = ir.Graph([x], [y], nodes=[*nodes, pool], opset_imports={"": OPSET}, name="probe")
    register_constants(graph)
    return serialize(ir.Model(graph, ir_version=10))
