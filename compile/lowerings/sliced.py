"""sliced: few neighbourhoods become few dense convolutions over slices of the input.

Applies where the output channels have 2 to 8 distinct neighbourhoods, not all of them everything, or where more
of them merge into so few (see ``rgp.compile.merge``): windows of a ring, for example. Each reads a Slice of the
input where its channels lie together, a Gather where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.nodes import concat_node, conv_node, take_channels
from rgp.compile.reduced import merged_neighbourhoods
from rgp.compile.structure import Part
from rgp.outlook import MAX_NEIGHBOURHOODS

MACS_PER_ELEMENT = 100
"""Multiply-accumulates in the time of moving one element in and out of a piece of its own."""


def choices(conv: Conv) -> tuple[Choice, ...] | str:
    """The distinct neighbourhoods if they are few, and each way to merge them that leaves MACs out."""
    structure = conv.structure
    if structure.biadjacency.all():
        return "not sliced: every output reads every input"
    ways = merged_neighbourhoods(structure)
    count = len(structure.biadjacency)
    exact = structure.neighbourhoods
    if 2 <= count <= MAX_NEIGHBOURHOODS and all(part.ins for part in exact):
        ways[count] = exact
    if not ways:
        return (
            f"not sliced: its {count} distinct neighbourhoods do not merge into 2 to {MAX_NEIGHBOURHOODS} that read "
            "clearly less than everything"
        )
    return tuple(Choice("sliced", (parts,)) for _, parts in sorted(ways.items()))


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


def estimate(conv: Conv, parts: tuple[Part, ...]) -> float:
    """Its multiply-accumulates, and what taking the pieces and joining them moves."""
    ins, outs = conv.channels
    macs = sum(len(part.ins) * len(part.outs) for part in parts) / (ins * outs) * conv.macs
    taken = sum(len(part.ins) for part in parts if len(part.ins) < ins) / ins
    return macs + MACS_PER_ELEMENT * (taken * conv.in_elements + conv.out_elements)
