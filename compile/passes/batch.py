"""batch: a model exported for one image, or any fixed number, takes any number of them.

Requires: shapes; Reshapes that leave the batch alone say so (reshapes). Ensures: the first number of the input's shape
is the free ``batch`` wherever all outputs then begin with it too, else all is as it was. That no image has a part in
another one's outputs is for the comparison with the file to show.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx.shape_inference import InferenceError

from rgp.compile.passes.shapes import infer_anew

BATCH = ir.SymbolicDim("batch")


class Batch(ir.passes.InPlacePass):
    """Try it on a copy: shape inference says whether a free batch passes through the whole network."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Free the batch if it is fixed and can be free."""
        (x,) = model.graph.inputs
        assert x.shape is not None
        if isinstance(x.shape[0], ir.SymbolicDim):
            return ir.passes.PassResult(model, False)
        free = [BATCH, *x.shape[1:]]
        trial = model.clone()
        try:
            infer_anew(trial, free)
        except InferenceError:
            return ir.passes.PassResult(model, False)
        outputs = [value.shape for value in trial.graph.outputs]
        if not all(shape is not None and len(shape) and shape[0] == BATCH for shape in outputs):
            return ir.passes.PassResult(model, False)
        infer_anew(model, free)
        return ir.passes.PassResult(model, True)
