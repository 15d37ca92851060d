"""The operators of the native kernels as ONNX has them: nodes of the domain ``rgp``, each with a function beside it.

[Bf16]GraphConv[Add][Relu|Relu6](X, W, B[, R]) with ``strides`` and ``pads`` as Conv has them: the convolution, what is
added to it, the activation; X, W, R and the output in bfloat16 where the name says so. QLinearGraphConv has the inputs
of QLinearConv, all constants but X. The weight is dense, zeros included, and the kernel finds in it who reads whom:
nothing in the file can disagree with it. The function's body is stock operators, so the file means the same to every
runtime (https://onnx.ai/onnx/repo-docs/IR.html, model-local functions); that for bfloat16 computes in float32 between
casts, as not every runtime has a convolution in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rgp.engines.native import BF16, DOMAIN, INT8

ACTIVATIONS = ("", "Relu", "Relu6")
ATTRIBUTES = ("strides", "pads")
QLINEAR_INPUTS = ("X", "x_scale", "x_zero", "W", "w_scale", "w_zero", "y_scale", "y_zero", "B")
_OPERATORS = {
    f"GraphConv{'Add' * adds}{activation}": (adds, activation) for adds in (False, True) for activation in ACTIVATIONS
}


def operator(*, adds: bool, activation: str) -> str:
    """The name of the operator that does this much at once."""
    return f"GraphConv{'Add' * adds}{activation}"


def declare(model: ir.Model) -> None:
    """Give ``model`` the functions of those of our operators that it uses, and no others."""
    used = {node.op_type for node in model.graph if node.domain == DOMAIN}
    for identifier in [each for each in model.functions if each[0] == DOMAIN]:
        del model.functions[identifier]
    for name in sorted(used):
        function = _function(name, model.graph.opset_imports[""])
        model.functions[function.identifier()] = function
    model.graph.opset_imports.pop(DOMAIN, None)  # a file that imports it is taken for one that uses it
    if used:
        model.graph.opset_imports[DOMAIN] = 1


def in_bf16(node: ir.Node) -> frozenset[int]:
    """Which inputs of ``node`` are bfloat16 in the operator with BF16 before its name; none if it is not of ours."""
    return frozenset({0, 1, 3}) if node.op_type in _OPERATORS else frozenset()


def steps(node: ir.Node) -> list[ir.Node]:
    """Stock operators that do what ``node``, one of ours for float32, does: the Conv, and what is fused to it."""
    adds, activation = _OPERATORS[node.op_type]
    same = [node.attributes[name] for name in ATTRIBUTES]
    return _steps(list(node.inputs), same, adds=adds, activation=activation)


def _steps(
    inputs: Sequence[ir.Value | None], attributes: Sequence[ir.Attr], *, adds: bool, activation: str
) -> list[ir.Node]:
    nodes = [ir.Node("", "Conv", inputs[:3], attributes, num_outputs=1)]
    if adds:
        nodes.append(ir.Node("", "Add", [nodes[-1].outputs[0], inputs[3]], num_outputs=1))
    if activation == "Relu":
        nodes.append(ir.Node("", "Relu", [nodes[-1].outputs[0]], num_outputs=1))
    if activation == "Relu6":
        bounds = [ir.node("Constant", [], {"value_float": bound}) for bound in (0.0, 6.0)]
        clipped = ir.Node("", "Clip", [nodes[-1].outputs[0], *(each.outputs[0] for each in bounds)], num_outputs=1)
        nodes += [*bounds, clipped]
    return nodes


def _steps_in_bf16(
    inputs: Sequence[ir.Value], attributes: Sequence[ir.Attr], *, adds: bool, activation: str
) -> list[ir.Node]:
    casts = [_cast(value, ir.DataType.FLOAT) for index, value in enumerate(inputs) if index != 2]
    x, weight, *added = (cast.outputs[0] for cast in casts)
    nodes = _steps([x, weight, inputs[2], *added], attributes, adds=adds, activation=activation)
    return [*casts, *nodes, _cast(nodes[-1].outputs[0], ir.DataType.BFLOAT16)]


def _cast(value: ir.Value, to: ir.DataType) -> ir.Node:
    return ir.Node("", "Cast", [value], [ir.AttrInt64("to", to.value)], num_outputs=1)


def _function(name: str, opset: int) -> ir.Function:
    same = [ir.RefAttr(each, each, ir.AttributeType.INTS) for each in ATTRIBUTES]
    if name == INT8:
        inputs = [ir.Value(name=each) for each in QLINEAR_INPUTS]
        nodes = [ir.Node("", "QLinearConv", inputs, same, num_outputs=1)]
    else:
        adds, activation = _OPERATORS[name.removeprefix(BF16)]
        inputs = [ir.Value(name=each) for each in ("X", "W", "B", "R")[: 4 if adds else 3]]
        if name.startswith(BF16):
            nodes = _steps_in_bf16(inputs, same, adds=adds, activation=activation)
        else:
            nodes = _steps(inputs, same, adds=adds, activation=activation)
    for index, node in enumerate(nodes):
        node.outputs[0].name = f"step{index}"
    nodes[-1].outputs[0].name = "Y"
    attributes = [ir.Attr(each, ir.AttributeType.INTS, None) for each in ATTRIBUTES]
    graph = ir.Graph(inputs, nodes[-1].outputs, nodes=nodes, opset_imports={"": opset}, name=name)
    return ir.Function(DOMAIN, name, graph=graph, attributes=attributes)
