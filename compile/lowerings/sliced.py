"""sliced: few distinct neighbourhoods become few dense convolutions over slices of the input.

Applies where the output channels have 2 to 8 distinct neighbourhoods, not all of them everything, however they
overlap. Each reads a Slice of the input where its channels lie together, a Gather where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rgp.compile.convs import Conv
from rgp.compile.nodes import concat_node, conv_node, take_channels
from rgp.compile.structure import Part, Structure
from rgp.outlook import MAX_NEIGHBOURHOODS

NEEDS_INPUT_ORDER = False


def split(structure: Structure) -> tuple[Part, ...] | str:
    """One part for each distinct neighbourhood, if they are few and none is empty."""
    count, inputs = len(structure.biadjacency), len(structure.in_class)
    if structure.biadjacency.all():
        return "not sliced: every output reads every input"
    if not 2 <= count <= MAX_NEIGHBOURHOODS:
        return f"not sliced: {count} distinct neighbourhoods, sliced takes 2 to {MAX_NEIGHBOURHOODS}"
    parts = structure.neighbourhoods
    if any(not part.ins for part in parts):
        return "not sliced: some outputs read nothing"
    assert any(len(part.ins) < inputs for part in parts)
    return parts


def emit(
    conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
) -> list[ir.Node]:
    """Take, convolve, and concatenate the parts in the order in which ``out_order`` has them."""
    position = {channel: index for index, channel in enumerate(in_order)}
    nodes: list[ir.Node] = []
    pieces: list[ir.Value] = []
    written = {channel: index for index, channel in enumerate(out_order)}
    for index, part in enumerate(sorted(parts, key=lambda part: min(written[out] for out in part.outs))):
        name = f"{conv.name}.part{index}"
        outs = sorted(part.outs, key=written.__getitem__)
        taken = sorted(position[channel] for channel in part.ins)
        piece = x
        if len(taken) < len(in_order):
            nodes.append(take_channels(x, taken, f"{name}.input"))
            piece = nodes[-1].outputs[0]
        weight = conv.weight[np.ix_(outs, [in_order[place] for place in taken])]
        bias = None if conv.bias is None else conv.bias[outs]
        nodes.append(conv_node(conv, name, piece, weight, bias, groups=1))
        pieces.append(nodes[-1].outputs[0])
    return [*nodes, concat_node(pieces, f"{conv.name}.concat", channels=len(out_order))]
