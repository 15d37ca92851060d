"""batchnorm: a BatchNormalization right after a Conv, ConvTranspose or Gemm moves into its weight and bias.

Requires: constants are initialisers. Ensures: no BatchNormalization is left that could move: one stays where its
input is no such layer, is read by others too, or where the layer's weight is shared or computed. Zeros of a weight
stay zeros, and it keeps its name.
"""

from __future__ import annotations

import onnx_ir as ir
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)

_RULES = (fuse_batchnorm_into_conv_rule, fuse_batchnorm_into_conv_transpose_rule, fuse_batchnorm_into_gemm_rule)
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm"})


class BatchNorm(ir.passes.InPlacePass):
    """onnxscript's rules, in running order: two that follow each other both move."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold all that can be folded."""
        for node in model.graph:
            if node.op_type in _LAYERS and len(node.inputs) == 3 and node.inputs[2] is None:
                node.resize_inputs(2)  # the rules take a third input for a bias
        return ir.passes.PassResult(model, RewritePass(_RULES)(model).modified)

    def ensures(self, model: ir.Model) -> None:
        """What could move has moved."""
        for node in model.graph:
            if node.op_type == "BatchNormalization" and not node.domain and _movable(node):
                raise ir.passes.PostconditionError(f"BatchNormalization '{node.outputs[0].name}' was not folded")


def _movable(node: ir.Node) -> bool:
    x = node.inputs[0]
    layer = None if x is None else x.producer()
    if x is None or layer is None or layer.op_type not in _LAYERS or len(x.uses()) > 1 or x.is_graph_output():
        return False
    constants = [*layer.inputs[1:], *node.inputs[1:]]
    mine = [value is not None and value.is_initializer() and not value.is_graph_input() for value in constants]
    return all(mine) and all(len(value.uses()) == 1 for value in layer.inputs[1:] if value is not None)
