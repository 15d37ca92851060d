"""grouped: a permuted block diagonal is one grouped convolution, which every runtime has.

Applies where the weight's support is covered by one or several parallel classes of equal blocks (see
``rgp.compile.parallel_classes``); one class is one convolution with groups, several are summed. Inside a block the
weight may still have zeros. Example: outputs {0, 2} read inputs {0, 2}, outputs {1, 3} read {1, 3}: with the
channels in the order 0 2 1 3 that is groups=2, half of the MACs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.nodes import conv_node
from rgp.compile.structure import Part

VECTOR = 16
"""Channels that ONNX Runtime's blocked layout keeps together on AVX-512 (8 on AVX2); groups want a multiple."""


def choices(conv: Conv) -> tuple[Choice, ...] | str:
    """The cover by parallel classes, if there is one that computes less than the dense convolution."""
    if conv.structure.density == 1:
        return "not grouped: no zeros to leave out"
    found = conv.decomposition
    if not found.classes:
        return f"not grouped: {found.why}"
    return (Choice("grouped", found.classes, wants="both"),)


def emit(
    conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
) -> list[ir.Node]:
    """One Conv with groups: output channel o keeps the columns of its own part."""
    bias = None if conv.bias is None else conv.bias[list(out_order)]
    return [conv_node(conv, conv.name, x, blocks(conv, parts, in_order, out_order), bias, groups=len(parts))]


def blocks(
    conv: Conv, parts: tuple[Part, ...], in_order: Sequence[int], out_order: Sequence[int]
) -> NDArray[np.float32]:
    """The weight (O, I/groups, kh, kw), its rows in ``out_order`` and each row's columns as ``in_order`` has them."""
    place = np.argsort(np.asarray(in_order))
    ins = {out: part for part, of in enumerate(parts) for out in of.outs}
    columns = [sorted(part.ins, key=place.__getitem__) for part in parts]
    taken = np.array([columns[ins[out]] for out in out_order])
    weight: NDArray[np.float32] = conv.weight[np.asarray(out_order)[:, None], taken]
    return weight


def estimate(conv: Conv, parts: tuple[Part, ...]) -> float:
    """Its multiply-accumulates; twice as many where a group's channels do not fill the vectors."""
    ins, outs = len(parts[0].ins), len(parts[0].outs)
    full = ins % VECTOR == 0 and outs % VECTOR == 0
    return conv.macs / len(parts) * (1 if full else 2)
