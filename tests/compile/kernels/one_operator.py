"""ONNX files of one of our operators, and weights under random graphs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.nodes import initializer
from rgp.compile.onnx_bytes import OPSET, serialize
from rgp.compile.rewrite import register_constants
from rgp.engines import native

Array = NDArray[np.float32]
FLOAT = ir.TensorType(ir.DataType.FLOAT)


def file_of(
    op: str, weight: Array, bias: Array, strides: tuple[int, ...], pads: tuple[int, ...], *, constant: bool = True
) -> bytes:
    """A model of one operator; the weight is an input too if not ``constant``."""
    x = ir.Value(name="x", shape=ir.Shape(["batch", "channels", "height", "width"]), type=FLOAT)
    inputs = [x, initializer("w", weight), initializer("b", bias)]
    given_inputs = [x]
    if not constant:
        inputs[1] = ir.Value(name="w", shape=ir.Shape(weight.shape), type=FLOAT)
        given_inputs.append(inputs[1])
    if "Add" in op:
        given_inputs.append(ir.Value(name="r", shape=ir.Shape(["batch", len(weight), "p", "q"]), type=FLOAT))
        inputs.append(given_inputs[-1])
    attributes = [ir.AttrInt64s("strides", strides), ir.AttrInt64s("pads", pads)]
    node = ir.Node(native.DOMAIN, op, inputs, attributes, num_outputs=1)
    y = node.outputs[0]
    y.name, y.type, y.shape = "y", FLOAT, ir.Shape(["batch", len(weight), "p", "q"])
    graph = ir.Graph(given_inputs, [y], nodes=[node], opset_imports={"": OPSET}, name="one")
    register_constants(graph)
    return serialize(ir.Model(graph, ir_version=10))


def masked(rng: np.random.Generator, outs: int, ins: int, kernel: tuple[int, int], nodes: int, degree: int) -> Array:
    """A weight under a random directed graph; channels that do not divide go to the last node."""
    adjacency = np.zeros((nodes, nodes), bool)
    for row in adjacency:
        row[rng.permutation(nodes)[: int(rng.integers(0, degree + 1)) if degree > 2 else degree]] = True
    node = [np.minimum(np.arange(count) // max(1, count // nodes), nodes - 1) for count in (outs, ins)]
    mask = adjacency[np.ix_(*node)]
    return (rng.normal(size=(outs, ins, *kernel)) * mask[:, :, None, None]).astype(np.float32)
