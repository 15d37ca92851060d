"""linear: MatMul of a matrix with a constant matrix, and the bias that an Add brings, become one Gemm.

Requires: shapes; constants are initialisers. Ensures: no MatMul of a computed (M, K) with a constant (K, N) is left.
A MatMul of another rank stays: a Gemm multiplies matrices only.
"""

from __future__ import annotations

import onnx_ir as ir


class Linear(ir.passes.InPlacePass):
    """Gemm(x, W, b) for Add(MatMul(x, W), b) where b has one number for each column, or one for all."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite every MatMul that qualifies."""
        linear = [node for node in model.graph if _is_linear(node)]
        for node in linear:
            add, bias = _bias(node)
            last = node if add is None else add
            gemm = ir.node("Gemm", [*node.inputs, *([] if bias is None else [bias])], name=node.name)
            gemm.outputs[0].name, y = last.outputs[0].name, last.outputs[0]
            gemm.outputs[0].shape, gemm.outputs[0].type = y.shape, y.type
            replaced = [node] if add is None else [node, add]
            ir.convenience.replace_nodes_and_values(model.graph, last, replaced, [gemm], [y], gemm.outputs)
        return ir.passes.PassResult(model, bool(linear))

    def ensures(self, model: ir.Model) -> None:
        """Every linear layer is a Gemm."""
        for node in model.graph:
            if _is_linear(node):
                raise ir.passes.PostconditionError(f"MatMul '{node.outputs[0].name}' is still there")


def _is_linear(node: ir.Node) -> bool:
    if node.op_type != "MatMul" or node.domain:
        return False
    x, weight = node.inputs
    assert x is not None
    return (
        x.const_value is None
        and x.shape is not None
        and len(x.shape) == 2
        and weight is not None
        and weight.const_value is not None
        and len(weight.const_value.shape) == 2
        and weight.dtype == ir.DataType.FLOAT
    )


def _bias(node: ir.Node) -> tuple[ir.Node, ir.Value] | tuple[None, None]:
    """The Add that alone reads ``node``, and what it adds, if that is a bias."""
    y, weight = node.outputs[0], node.inputs[1]
    uses = list(y.uses())
    if len(uses) != 1 or uses[0].node.op_type != "Add" or uses[0].node.domain or y.is_graph_output():
        return None, None
    add = uses[0].node
    bias = add.inputs[1 - uses[0].idx]
    assert weight is not None
    assert weight.const_value is not None
    if add.graph is not node.graph or bias is None or bias.const_value is None:
        return None, None
    rank, columns = len(bias.const_value.shape), bias.const_value.size
    last = bias.const_value.shape[-1] if rank else 1
    is_bias = rank <= 2 and last == columns and columns in (1, weight.const_value.shape[1])
    return (add, bias) if is_bias else (None, None)
