"""reshapes: a Reshape says in constants what it does, and says that it leaves the batch alone where it does.

Requires: shapes. Ensures: a Reshape of (batch, ...) to another form of the same numbers for each image has the
target [0, ...], where 0 copies the batch; any other one whose result is known but for one number has that number as
-1. Only a Reshape with more unknown numbers still computes its target. Example: ``x.view(x.size(0), -1)`` of
(batch, 64, 1, 1) becomes a Reshape to [0, 64].
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from rgp.compile.passes.shapes import infer_anew


class Reshapes(ir.passes.InPlacePass):
    """Give each Reshape a constant target and infer anew, which may make the next one's known; until none changes."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite every Reshape that qualifies."""
        modified = False
        while _rewrite(model):
            modified = True
            shape = model.graph.inputs[0].shape
            assert shape is not None
            infer_anew(model, list(shape))
        return ir.passes.PassResult(model, modified)

    def ensures(self, model: ir.Model) -> None:
        """No target is computed without need."""
        for node in model.graph:
            given = node.inputs[1] if _target(node) is not None else None
            if given is not None and given.const_value is None:
                raise ir.passes.PostconditionError(f"the Reshape that gives '{node.outputs[0].name}' is still computed")


def _rewrite(model: ir.Model) -> bool:
    modified = False
    for node in list(model.graph):
        target = _target(node)
        given = node.inputs[1] if target is not None else None
        if target is None or given is None:
            continue
        if given.const_value is None or given.const_value.numpy().tolist() != target:
            node.replace_input_with(1, _constant(model.graph, f"{node.outputs[0].name}.target", target))
            node.attributes.pop("allowzero", None)
            modified = True
    return modified


def _target(node: ir.Node) -> list[int] | None:
    """What a Reshape reshapes to, as constants, or None if that is not known or if the node is none."""
    if node.op_type != "Reshape" or node.domain or node.inputs[0] is None:
        return None
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if before is None or after is None or not len(before) or not len(after):
        return None
    numbers = prod(dim for dim in before[1:] if isinstance(dim, int))
    per_image = [dim if isinstance(dim, int) else -1 for dim in after[1:]]
    if all(isinstance(dim, int) for dim in before[1:]) and numbers > 0 and 0 not in per_image:
        if -1 not in per_image and prod(per_image) == numbers:
            return [0, *per_image]
        if per_image.count(-1) == 1 and _is_same(before[0], after[0]):
            return [0, *(dim if dim > 0 else numbers // -prod(per_image) for dim in per_image)]
    target = [dim if isinstance(dim, int) else -1 for dim in after]
    return target if target.count(-1) <= 1 and 0 not in target else None


def _is_same(a: int | ir.SymbolicDim, b: int | ir.SymbolicDim) -> bool:
    return a == b and (isinstance(a, int) or a.value is not None)


def _constant(graph: ir.Graph, name: str, target: list[int]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(np.array(target), name=name), shape=ir.Shape([len(target)]))
    value.type = ir.TensorType(ir.DataType.INT64)
    graph.register_initializer(value)
    return value
