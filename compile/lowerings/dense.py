"""dense: the convolution as it is, zeros included. Always applies; what every other lowering must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.nodes import conv_node
from rgp.compile.structure import Part


def choices(conv: Conv) -> tuple[Choice, ...] | str:
    """One part: every output reads every input."""
    return (Choice.dense(conv),)


def emit(
    conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
) -> list[ir.Node]:
    """One Conv with the weight's rows and columns in the order of the tensors around it."""
    weight = conv.weight[np.ix_(out_order, in_order)]
    bias = None if conv.bias is None else conv.bias[list(out_order)]
    return [conv_node(conv, conv.name, x, weight, bias, groups=1)]


def estimate(conv: Conv, parts: tuple[Part, ...]) -> float:
    """Its multiply-accumulates."""
    return float(conv.macs)
