"""matmul: a 1x1 convolution over blocks as one batched matrix product, for engines without a kernel for groups.

Applies to 1x1 convolutions with stride 1 and no padding that a grouped convolution would fit: the input seen as
(batch, groups, I/groups, pixels) times a constant (groups, O/groups, I/groups).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.lowerings import grouped
from rgp.compile.nodes import binary_node, initializer, matmul_node, reshape_node
from rgp.compile.structure import Part

INEFFICIENCY = 2.0
"""A batched product against a convolution in ONNX Runtime's blocked layout, per multiply-accumulate."""


def choices(conv: Conv) -> tuple[Choice, ...] | str:
    """What ``grouped`` finds, for a convolution that is a matrix product of each pixel."""
    strided = any(step != 1 for step in conv.node.attributes.get_ints("strides", (1, 1)))
    padded = any(conv.node.attributes.get_ints("pads", (0,)))
    if conv.kernel != (1, 1) or strided or padded:
        return "not matmul: only a 1x1 convolution with stride 1 and no padding is a matrix product"
    found = grouped.choices(conv)
    if isinstance(found, str):
        return "not matmul: no blocks of equal size"
    return tuple(Choice("matmul", choice.terms, wants="both") for choice in found)


def emit(
    conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
) -> list[ir.Node]:
    """Reshape, MatMul, Reshape, and the bias."""
    groups, (ins, outs) = len(parts), conv.channels
    weight = grouped.blocks(conv, parts, in_order, out_order).reshape(1, groups, outs // groups, ins // groups)
    assert conv.y.shape is not None
    height, width = (int(side) for side in list(conv.y.shape)[2:] if isinstance(side, int))
    split = reshape_node(x, (0, groups, ins // groups, height * width), f"{conv.name}.split")
    product = matmul_node(initializer(f"{conv.name}.weight", weight), split.outputs[0], f"{conv.name}.product")
    whole = reshape_node(product.outputs[0], (0, outs, height, width), f"{conv.name}.join")
    nodes = [split, product, whole]
    if conv.bias is not None:
        bias = initializer(f"{conv.name}.bias", conv.bias[list(out_order)].reshape(1, -1, 1, 1))
        nodes.append(binary_node("Add", whole.outputs[0], bias, f"{conv.name}.add"))
    return nodes


def estimate(conv: Conv, parts: tuple[Part, ...]) -> float:
    """Its multiply-accumulates, which run slower than a convolution's."""
    return conv.macs / len(parts) * INEFFICIENCY
