"""Where a network begins: what lies before its first products only prepares the input."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def head(graph: ir.Graph) -> list[ir.Node]:
    """The nodes that depend on no product. They stay float32: every layer would see the rounding of normalised pixels.

    For a network as ``rgp.compile.export`` writes it: the bytes' cast, scale, shift and transposition.
    """
    after: set[ir.Value | None] = set()
    found = []
    for node in graph:
        if node.op_type in PRODUCTS or after.intersection(node.inputs):
            after.update(node.outputs)
        else:
            found.append(node)
    return found


def keep_planes(graph: ir.Graph) -> None:
    """Write a scale and a shift for each channel of the head as one BatchNormalization: the same numbers.

    ONNX Runtime moves the channels of int8 networks last, up to the bytes: multiplying and adding three numbers in turn
    is slow then (2 ms of a ResNet-50's 14). Across a BatchNormalization it does not.
    """
    nodes = head(graph)
    for mul in nodes:
        reader = _only_reader(mul)
        if mul.op_type != "Mul" or reader not in nodes or reader.op_type != "Add":
            continue
        factors, shifts = (_by_channel(node) for node in (mul, reader))
        if factors is None or shifts is None or factors[1].size != shifts[1].size:
            continue
        (x, scale), (_, shift) = factors, shifts
        numbers = {"scale": scale, "shift": shift, "mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
        inputs = []
        for name, array in numbers.items():
            tensor = ir.tensor(array, name=f"{mul.name or 'normalise'}.{name}")
            inputs.append(
                ir.Value(
                    name=tensor.name,
                    shape=ir.Shape(array.shape),
                    type=ir.TensorType(ir.DataType.FLOAT),
                    const_value=tensor,
                )
            )
            graph.register_initializer(inputs[-1])
        old = reader.outputs[0]
        new = ir.Value(name=old.name, shape=old.shape, type=old.type)
        node = ir.Node("", "BatchNormalization", [x, *inputs], [ir.AttrFloat32("epsilon", 0.0)], outputs=[new])
        graph.insert_before(reader, node)
        old.name = None
        old.replace_all_uses_with(new)
        graph.remove([reader, mul], safe=True)


def _only_reader(node: ir.Node) -> ir.Node | None:
    value = node.outputs[0]
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def _by_channel(node: ir.Node) -> tuple[ir.Value, NDArray[np.float32]] | None:
    """The input (batch, C, H, W) of ``node``, and the C constants that it is multiplied with or that are added."""
    for x, constant in (node.inputs, node.inputs[::-1]):
        number = constant.const_value.numpy() if constant is not None and constant.const_value is not None else None
        if x is None or x.shape is None or len(x.shape) != 4 or number is None or number.dtype != np.float32:
            continue
        if number.shape[-2:] == (1, 1) and number.size == x.shape[1] == number.shape[-3]:
            return x, number.reshape(-1)
    return None
