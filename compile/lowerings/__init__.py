"""Ways to run one convolution. A file each: when it applies, what it computes, how it is written as ONNX.

A lowering splits a convolution into parts (some outputs, the inputs they read) and says what order of
channels it needs around it; the layout then decides each tensor's order once for the whole network. To add
one: write the file, name it in LOWERINGS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import onnx_ir as ir

from rgp.compile.convs import Conv
from rgp.compile.lowerings import dense, grouped, sliced
from rgp.compile.structure import Part, Structure


class Lowering(Protocol):
    """What a module in this folder provides."""

    NEEDS_INPUT_ORDER: bool
    """Whether each part's inputs must lie together, in the order of the parts (outputs always must)."""

    def split(self, structure: Structure) -> tuple[Part, ...] | str:
        """The parts, or a sentence that says why this lowering does not apply."""
        ...

    def emit(
        self, conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
    ) -> list[ir.Node]:
        """Nodes that compute the convolution; the last one's only output has its channels in ``out_order``.

        ``x``: the input, with its channels in ``in_order`` (position -> original channel).
        """
        ...


LOWERINGS: dict[str, Lowering] = {"dense": dense, "grouped": grouped, "sliced": sliced}


def macs_share(parts: tuple[Part, ...], conv: Conv) -> float:
    """The share of the dense convolution's MACs that a split computes."""
    ins, outs = conv.channels
    return sum(len(part.outs) * len(part.ins) for part in parts) / (ins * outs)
