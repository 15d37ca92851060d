"""Ways to run one convolution. A file each: when it applies, what it computes, how it is written as ONNX.

A lowering splits a convolution into terms of parts (see ``rgp.compile.choice``); the layout then decides each
tensor's order once for the whole network, and ``rgp.compile.rewrite`` adds the terms up. To add one: write the
file, name it in LOWERINGS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import onnx_ir as ir

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv
from rgp.compile.lowerings import dense, grouped, matmul, native, sliced
from rgp.compile.structure import Part


class Lowering(Protocol):
    """What a module in this folder provides."""

    def choices(self, conv: Conv) -> tuple[Choice, ...] | str:
        """The ways in which it can run ``conv``, or a sentence that says why there is none."""
        ...

    def emit(
        self, conv: Conv, parts: tuple[Part, ...], x: ir.Value, in_order: Sequence[int], out_order: Sequence[int]
    ) -> list[ir.Node]:
        """Nodes that compute one term; the last one's only output has its channels in ``out_order``.

        ``conv``: with the weights that the term has; ``x``: the input, with its channels in ``in_order``
        (position -> original channel).
        """
        ...

    def estimate(self, conv: Conv, parts: tuple[Part, ...]) -> float:
        """How long one term of ``conv`` takes, in multiply-accumulates that a dense convolution does in that time."""
        ...


LOWERINGS: dict[str, Lowering] = {
    "dense": dense,
    "grouped": grouped,
    "sliced": sliced,
    "matmul": matmul,
    "native": native,
}
