"""The few ONNX nodes that lowerings are written with."""

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
    return _node("Conv", inputs, name, x, channels=len(weight), attributes=attributes, like=conv.y)


def take_channels(x: ir.Value, positions: Sequence[int], name: str) -> ir.Node:
    """The channels of ``x`` at ``positions``, in that order: a Slice where they lie together, else a Gather."""
    first, count = positions[0], len(positions)
    if list(positions) == list(range(first, first + count)):
        bounds = [initializer(f"{name}.{part}", np.array([v])) for part, v in (("from", first), ("to", first + count))]
        axis = initializer(f"{name}.axis", np.array([1]))
        return _node("Slice", [x, *bounds, axis], name, x, channels=count)
    index = initializer(f"{name}.channels", np.array(positions))
    return _node("Gather", [x, index], name, x, channels=count, attributes=[ir.AttrInt64("axis", 1)])


def concat_node(pieces: Sequence[ir.Value], name: str, *, channels: int) -> ir.Node:
    """The pieces side by side along the channels."""
    return _node("Concat", list(pieces), name, pieces[0], channels=channels, attributes=[ir.AttrInt64("axis", 1)])


def initializer(name: str, array: NDArray[np.generic]) -> ir.Value:
    """A constant tensor; ``rewrite`` registers those that new nodes use."""
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    return ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))


def _node(
    op: str,
    inputs: Sequence[ir.Value],
    name: str,
    x: ir.Value,
    *,
    channels: int,
    attributes: Sequence[ir.Attr] = (),
    like: ir.Value | None = None,
) -> ir.Node:
    """A node with one output: the shape of ``like`` (by default of ``x``) with its own number of channels."""
    reference = like if like is not None else x
    assert reference.shape is not None
    batch, _, *space = reference.shape
    shape = ir.Shape([batch, channels, *space])
    output = ir.Value(name=f"{name}.out", shape=shape, type=reference.type)
    return ir.Node("", op, inputs, attributes, outputs=[output], name=name)
