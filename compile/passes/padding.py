"""padding: zeros that a Pad puts around an image are put there by the convolution that reads it.

Requires: shapes; constants are initialisers. Ensures: no convolution with explicit pads reads a Pad of zeros on
height and width alone (a Pad that others read too may stay for them).
"""

from __future__ import annotations

import onnx_ir as ir
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import fuse_pad_into_conv_rule


class Padding(ir.passes.InPlacePass):
    """onnxscript's rule; ``auto_pad=VALID``, which means no pads, is written as such before."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold all that can be folded."""
        modified = False
        for node in model.graph:
            if node.op_type == "Conv" and node.attributes.get_string("auto_pad", "NOTSET") == "VALID":
                del node.attributes["auto_pad"]
                node.attributes.pop("pads", None)
                modified = True
        modified |= RewritePass([fuse_pad_into_conv_rule])(model).modified
        return ir.passes.PassResult(model, modified)
