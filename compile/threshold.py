"""Weights that are nearly zero become zero: for networks whose pruning left dust where zeros were meant.

Ensures: no weight of a convolution or linear layer lies in (0, threshold] in magnitude. The function changes by what
was dropped, and the proof that follows says whether by too much.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from rgp.compile.convs import constant
from rgp.compile.nodes import initializer
from rgp.compile.rewrite import register_constants
from rgp.errors import UsageError


def drop_small(model: ir.Model, threshold: float) -> int:
    """Rewrite ``model`` in place; how many weights became zero. UsageError for a threshold that is no magnitude."""
    if not (math.isfinite(threshold) and threshold >= 0):
        raise UsageError(f"threshold is {threshold}, give a magnitude, at least 0")
    dropped = 0
    for node in model.graph if threshold else ():
        weight = constant(node.inputs[1]) if node.op_type in ("Conv", "Gemm") and not node.domain else None
        if weight is None:
            continue
        small = (weight != 0) & (np.abs(weight) <= threshold)
        if small.any():
            dropped += int(small.sum())
            value = node.inputs[1]
            assert value is not None
            new = initializer(str(value.name), np.where(small, np.float32(0), weight))
            node.replace_input_with(1, new)
            if not value.uses():
                model.graph.initializers.pop(str(value.name), None)
    register_constants(model.graph)
    return dropped
