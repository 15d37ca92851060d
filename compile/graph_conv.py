"""The operators of the native kernels as ONNX has them: nodes of the domain ``rgp``, each with a function beside it.

GraphConv[Add][Relu|Relu6](X, W, B[, R]) with ``strides`` and ``pads`` as Conv has them: the convolution, what is added
to it, the activation. The weight is dense, zeros included, and the kernel finds in it who reads whom: nothing in the
file can disagree with it. The function's body is stock operators, so the file means the same to every runtime
(https://onnx.ai/onnx/repo-docs/IR.html, model-local functions).
"""

from __future__ import annotations

import onnx_ir as ir

from rgp.engines.native import DOMAIN

ACTIVATIONS = ("", "Relu", "Relu6")
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


def _function(name: str, opset: int) -> ir.Function:
    adds, activation = _OPERATORS[name]
    inputs = [ir.Value(name=each) for each in ("X", "W", "B", "R")[: 4 if adds else 3]]
    names = ("strides", "pads")
    same = [ir.RefAttr(each, each, ir.AttributeType.INTS) for each in names]
    nodes = [ir.Node("", "Conv", inputs[:3], same, num_outputs=1)]
    if adds:
        nodes.append(ir.Node("", "Add", [nodes[-1].outputs[0], inputs[3]], num_outputs=1))
    if activation == "Relu":
        nodes.append(ir.Node("", "Relu", [nodes[-1].outputs[0]], num_outputs=1))
    if activation == "Relu6":
        bounds = [ir.node("Constant", [], {"value_float": bound}) for bound in (0.0, 6.0)]
        clipped = ir.Node("", "Clip", [nodes[-1].outputs[0], *(each.outputs[0] for each in bounds)], num_outputs=1)
        nodes += [*bounds, clipped]
    for index, node in enumerate(nodes):
        node.outputs[0].name = f"step{index}"
    nodes[-1].outputs[0].name = "Y"
    attributes = [ir.Attr(each, ir.AttributeType.INTS, None) for each in names]
    graph = ir.Graph(inputs, nodes[-1].outputs, nodes=nodes, opset_imports={"": opset}, name=name)
    return ir.Function(DOMAIN, name, graph=graph, attributes=attributes)
