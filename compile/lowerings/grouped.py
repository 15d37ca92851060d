"""grouped: a permuted block diagonal is one grouped convolution, which every runtime has.

Applies where the connected parts of the biadjacency are at least two and of equal size; inside a part the
weight may still have zeros. Example: outputs {0, 2} read inputs {0, 2}, outputs {1, 3} read {1, 3}: with the
channels in the order 0 2 1 3 that is groups=2, half of the MACs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rgp.compile.convs import Conv
from rgp.compile.nodes import conv_node
from rgp.compile.structure import Part, Structure

NEEDS_INPUT_ORDER = True


def split(structure: Structure) -> tuple[Part, ...] | str:
    """The connected parts, if a grouped convolution can compute them."""
    parts = structure.parts
    if len(parts) < 2:
        return "not grouped: the biadjacency is connected, no permutation makes it block-diagonal"
    sizes = {(len(part.outs), len(part.ins)) for part in parts}
    if len(sizes) > 1:
        return f"not grouped: its {len(parts)} separate parts differ in size"
    ((outs, ins),) = sizes
    if outs * len(parts) != len(structure.out_class) or ins * len(parts) != len(structure.in_class):
        return "not grouped: some channels are connected to nothing"
    return parts


def emit(
    conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
) -> list[ir.Node]:
    """One Conv with groups: output channel o keeps the columns of its own part."""
    ins = {out: frozenset(part.ins) for part in parts for out in part.outs}
    rows = [conv.weight[out][[i for i in in_order if i in ins[out]]] for out in out_order]
    bias = None if conv.bias is None else conv.bias[list(out_order)]
    return [conv_node(conv, conv.name, x, np.stack(rows), bias, groups=len(parts))]
