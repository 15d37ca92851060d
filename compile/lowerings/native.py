"""native: our own kernel, which computes what each neighbourhood reads and nothing else, in any order of channels.

Applies to every convolution with zeros between channels on ONNX Runtime's CPU, random regular graphs above all, which
no stock operator serves. The kernel is in compile/kernels/ (docs/kernel.md); how fast it is depends on how many output
channels read the same inputs: each load of pixels serves so many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.graph_conv import operator
from rgp.compile.nodes import initializer, node_like
from rgp.compile.structure import Part
from rgp.engines.native import DOMAIN

EFFICIENCY = ((8, 0.8), (4, 0.7), (2, 0.55), (1, 0.4))
"""By output channels in a neighbourhood, at least: speed per multiply-accumulate, a dense convolution's being 1.
Read off ONNX Runtime 1.32 on an AVX-512 core."""
MACS_PER_ELEMENT = 10
"""Multiply-accumulates in the time of writing one element."""


def choices(conv: Conv) -> tuple[Choice, ...] | str:
    """The neighbourhoods as they are."""
    if conv.structure.density == 1:
        return "not native: no zeros to leave out"
    if any(step != 1 for step in conv.node.attributes.get_ints("dilations", (1, 1))):
        return "not native: the kernel knows no dilation"
    if conv.node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return "not native: the kernel wants its padding in numbers, not auto_pad"
    return (Choice("native", (conv.structure.neighbourhoods,), wants="nothing"),)


def emit(
    conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
) -> list[ir.Node]:
    """One GraphConv with the weight's rows and columns in the order of the tensors around it."""
    weight = conv.weight[np.ix_(out_order, in_order)]
    bias = np.zeros(len(weight), np.float32) if conv.bias is None else conv.bias[list(out_order)]
    inputs = [x, initializer(f"{conv.name}.weight", weight), initializer(f"{conv.name}.bias", bias)]
    attributes = [
        ir.AttrInt64s(name, conv.node.attributes.get_ints(name, default))
        for name, default in (("strides", (1, 1)), ("pads", (0, 0, 0, 0)))
    ]
    name = operator(adds=False, activation="")
    return [node_like(conv, name, inputs, conv.name, x, attributes, domain=DOMAIN)]


def estimate(conv: Conv, parts: tuple[Part, ...]) -> float:
    """The multiply-accumulates that it does, by its speed, and what writing the output takes."""
    ins, outs = conv.channels
    share = sum(len(part.outs) * len(part.ins) / _efficiency(part) for part in parts) / (ins * outs)
    return share * conv.macs + MACS_PER_ELEMENT * conv.out_elements


def _efficiency(part: Part) -> float:
    return next(speed for rows, speed in EFFICIENCY if len(part.outs) >= rows)
