"""Our kernel in a quantised file: a QLinearGraphConv where the network has a GraphConv.

The quantising tool knows stock operators only. So it gets those that a GraphConv stands for, and chooses every scale as
it would in a network without our kernel; afterwards DequantizeLinear, Conv and QuantizeLinear become one node again.
"""

from __future__ import annotations

import onnx_ir as ir

from rgp.compile.graph_conv import steps
from rgp.engines.native import DOMAIN, INT8


def unfused(model: ir.Model) -> list[ir.Node]:
    """Write each of our operators as stock ones, in place; the convolutions among them."""
    convs = []
    for node in [each for each in model.graph if each.domain == DOMAIN]:
        stock = steps(node)
        old, new = node.outputs[0], stock[-1].outputs[0]
        new.name, new.shape, new.type = old.name, old.shape, old.type
        old.name = None
        for each in stock[:-1]:
            if each.op_type != "Constant":
                each.outputs[0].shape, each.outputs[0].type = old.shape, old.type
        model.graph.insert_before(node, stock)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
        convs.append(stock[0])
    model.functions.clear()
    model.graph.opset_imports.pop(DOMAIN, None)
    return convs


def fused(model: ir.Model, convs: set[str]) -> None:
    """Let our kernel run the convolutions with these names, in place, where the tool quantised all they touch."""
    for node in list(model.graph):
        if node.name in convs and (found := _quantised(node)) is not None:
            inputs, old = found
            new = ir.Value(name=old.name, shape=old.shape, type=ir.TensorType(ir.DataType.UINT8))
            attributes = [node.attributes[name] for name in ("strides", "pads")]
            kernel = ir.Node(DOMAIN, INT8, inputs, attributes, outputs=[new], name=node.name)
            quantise = old.producer()
            assert quantise is not None
            model.graph.insert_before(quantise, kernel)
            old.name = None
            old.replace_all_uses_with(new)
            model.graph.remove([quantise, node], safe=True)
    for node in list(model.graph):  # what was of the convolutions and clips that are gone
        (y, *_) = node.outputs
        if node.op_type in ("DequantizeLinear", "Constant") and not y.uses() and not y.is_graph_output():
            model.graph.remove(node, safe=True)


def _quantised(conv: ir.Node) -> tuple[list[ir.Value | None], ir.Value] | None:
    """The inputs of the QLinearConv that ``conv`` is with its neighbours, and its output; None if it is none."""
    uses = list(conv.outputs[0].uses())
    if len(uses) != 1 or uses[0].node.op_type != "QuantizeLinear" or len(conv.inputs) != 3:
        return None
    x, weight, bias = (_dequantised(value) for value in conv.inputs)
    quantise = uses[0].node
    if x is None or weight is None or bias is None or len(quantise.inputs) != 3:
        return None
    y = quantise.outputs[0]
    numbers = [*x, *weight, *quantise.inputs[1:], bias[0]]
    whole = [value.dtype if value else None for value in (numbers[index] for index in (2, 3, 7, 8))]
    expected = [ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32]
    return (numbers, y) if whole == expected else None


def _dequantised(value: ir.Value | None) -> tuple[ir.Value | None, ...] | None:
    """What DequantizeLinear made ``value`` of: the whole numbers, the scale, the zero point."""
    node = value.producer() if value is not None else None
    return tuple(node.inputs) if node is not None and node.op_type == "DequantizeLinear" else None
