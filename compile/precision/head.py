"""Where a network begins: what lies before its first products only prepares the input."""

from __future__ import annotations

import onnx_ir as ir

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def head(graph: ir.Graph) -> list[ir.Node]:
    """The nodes that depend on no product. They stay float32: every layer would see the rounding of normalised pixels.

    For a network as ``rgp.compile.export`` writes it: the bytes' cast, scale, shift and transposition.
    """
    after: set[ir.Value | None] = set()
    found = []
    for node in graph:
        if node.op_type in PRODUCTS or after.intersection(node.inputs):
            after.update(node.outputs)
        else:
            found.append(node)
    return found
