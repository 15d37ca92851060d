"""constants: what does not depend on the input is computed now and becomes an initialiser.

Requires: nothing. Ensures: no Constant node is left in the main graph but one that is itself an output, and no
initialiser may be overridden by an input. Nothing is folded that grows: a result larger than its inputs together
and than 2^20 numbers stays a node.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveInitializersFromInputsPass
from onnxscript.optimizer import fold_constants

from rgp.compile.passes.shapes import infer

_LARGEST_GROWTH = 1 << 20
_NO_LIMIT = 1 << 62
_MAX_ROUNDS = 100
"""A deep ShuffleNet, whose every block asks the shape of the one before, takes as many rounds as it has blocks."""


class Constants(ir.passes.InPlacePass):
    """Fold by onnxscript, which also drops Dropout and follows shapes that are computed from shapes."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold until nothing changes: a shape that becomes known lets the next one be computed."""
        lift = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
        modified = RemoveInitializersFromInputsPass()(model).modified
        modified |= lift(model).modified
        for _ in range(_MAX_ROUNDS):
            infer(model)
            if not (_read_dims(model) | _fold(model)):
                break
            modified = True
        modified |= lift(model).modified
        return ir.passes.PassResult(model, modified)

    def ensures(self, model: ir.Model) -> None:
        """All constants are initialisers."""
        for node in model.graph:
            if node.op_type == "Constant" and not node.domain and not node.outputs[0].is_graph_output():
                raise ir.passes.PostconditionError(f"the constant '{node.outputs[0].name}' is still a node")


def _read_dims(model: ir.Model) -> bool:
    """Gather(Shape(x), i) is a constant where number i of x's shape is known, even if the batch is not."""
    read = []
    for node in model.graph:
        shape_node = node.inputs[0].producer() if node.op_type == "Gather" and node.inputs[0] is not None else None
        if node.domain or shape_node is None or shape_node.op_type != "Shape" or shape_node.attributes:
            continue
        x, index = shape_node.inputs[0], node.inputs[1]
        if x is None or x.shape is None or index is None or index.const_value is None:
            continue
        picked = [x.shape[i] for i in index.const_value.numpy().reshape(-1)]
        known = [dim for dim in picked if isinstance(dim, int)]
        if len(known) == len(picked):
            read.append((node, np.array(known, np.int64).reshape(index.const_value.shape.numpy())))
    for node, dims in read:
        (y,), name = node.outputs, node.outputs[0].name
        constant = ir.node("Constant", [], {"value": ir.tensor(dims, name=name)}, name=node.name)
        constant.outputs[0].name, constant.outputs[0].shape, constant.outputs[0].type = name, y.shape, y.type
        ir.convenience.replace_nodes_and_values(model.graph, node, [node], [constant], [y], constant.outputs)
    return bool(read)


def _fold(model: ir.Model) -> bool:
    return fold_constants(
        model,
        onnx_shape_inference=True,
        should_fold=_stays_small,
        input_size_limit=_NO_LIMIT,
        output_size_limit=_NO_LIMIT,
    ).modified


def _stays_small(node: ir.Node) -> bool:
    """Whether the result is known to be small beforehand: a tiny file must not become terabytes."""
    inputs = sum(value.const_value.size for value in node.inputs if value is not None and value.const_value is not None)
    shapes = [output.shape for output in node.outputs]
    sizes = [prod(shape.numpy()) if shape is not None and shape.is_static() else _NO_LIMIT for shape in shapes]
    return sum(sizes) <= max(inputs, _LARGEST_GROWTH)
