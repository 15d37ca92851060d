"""The few ONNX nodes that lowerings are written with. Batch is the first axis and stays what it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.convs import Conv


def conv_node(
    conv: Conv,
    name: str,
    x: ir.Value,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    *,
    groups: int,
) -> ir.Node:
    """A Conv like ``conv`` (kernel, strides, pads, dilations) with another weight and number of groups."""
    inputs = [x, initializer(f"{name}.weight", weight)]
    if bias is not None:
        inputs.append(initializer(f"{name}.bias", bias))
    attributes = [*conv.attributes.values(), ir.AttrInt64("group", groups)]
    return node_like(conv, "Conv", inputs, name, x, attributes)


def node_like(
    conv: Conv,
    op: str,
    inputs: Sequence[ir.Value],
    name: str,
    x: ir.Value,
    attributes: Sequence[ir.Attr],
    *,
    domain: str = "",
) -> ir.Node:
    """A node of ``x`` and constants whose output is as large as the output of ``conv``; ``inputs``: x, the weight.."""
    assert conv.y.shape is not None
    assert inputs[1].shape is not None
    _, _, *space = conv.y.shape
    return _node(op, inputs, name, x, (inputs[1].shape[0], *space), attributes, domain=domain)


def take_channels(x: ir.Value, positions: Sequence[int], name: str) -> ir.Node:
    """The channels of ``x`` at ``positions``, in that order: a Slice where they lie together, else a Gather."""
    first, count = positions[0], len(positions)
    shape = (count, *_beyond_channels(x))
    if list(positions) == list(range(first, first + count)):
        bounds = [initializer(f"{name}.{part}", np.array([v])) for part, v in (("from", first), ("to", first + count))]
        axis = initializer(f"{name}.axis", np.array([1]))
        return _node("Slice", [x, *bounds, axis], name, x, shape)
    index = initializer(f"{name}.channels", np.array(positions))
    return _node("Gather", [x, index], name, x, shape, [ir.AttrInt64("axis", 1)])


def concat_node(pieces: Sequence[ir.Value], name: str, *, channels: int) -> ir.Node:
    """The pieces side by side along the channels."""
    shape = (channels, *_beyond_channels(pieces[0]))
    return _node("Concat", list(pieces), name, pieces[0], shape, [ir.AttrInt64("axis", 1)])


def reshape_node(x: ir.Value, shape: Sequence[int], name: str) -> ir.Node:
    """``x`` in another shape; 0 keeps the batch as it is."""
    return _node("Reshape", [x, initializer(f"{name}.shape", np.array(shape))], name, x, shape[1:])


def matmul_node(left: ir.Value, right: ir.Value, name: str) -> ir.Node:
    """(1, g, m, k) times (B, g, k, n)."""
    assert left.shape is not None
    assert right.shape is not None
    return _node("MatMul", [left, right], name, right, (left.shape[1], left.shape[2], right.shape[3]))


def binary_node(op: str, left: ir.Value, right: ir.Value, name: str) -> ir.Node:
    """An elementwise operator whose output has the shape of ``left``."""
    assert left.shape is not None
    return _node(op, [left, right], name, left, list(left.shape)[1:])


def initializer(name: str, array: NDArray[np.generic]) -> ir.Value:
    """A constant tensor; ``rewrite`` registers those that new nodes use."""
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    return ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))


def _beyond_channels(x: ir.Value) -> Sequence[int | ir.SymbolicDim]:
    assert x.shape is not None
    return list(x.shape)[2:]


def _node(
    op: str,
    inputs: Sequence[ir.Value],
    name: str,
    x: ir.Value,
    shape: Sequence[int | ir.SymbolicDim],
    attributes: Sequence[ir.Attr] = (),
    *,
    domain: str = "",
) -> ir.Node:
    """A node with one output of the type and batch of ``x``; ``shape``: without the batch."""
    assert x.shape is not None
    output = ir.Value(name=f"{name}.out", shape=ir.Shape([x.shape[0], *shape]), type=x.type)
    return ir.Node(domain, op, inputs, attributes, outputs=[output], name=name)
