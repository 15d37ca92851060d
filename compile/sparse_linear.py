"""Linear layers with zeros in blocks as 1x1 convolutions, so that they are planned and lowered like any other.

Requires: shapes are known. Ensures: the same function; a Gemm with a constant weight (I, O) that leaves out channel
pairs has become Reshape to (B, I, 1, 1), Conv, Reshape to (B, O). Others stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass

from rgp.compile.convs import constant
from rgp.compile.nodes import initializer, reshape_node
from rgp.compile.rewrite import register_constants
from rgp.compile.spaces import is_linear
from rgp.compile.structure import Structure


def as_convolutions(model: ir.Model, keep: Collection[str] = ()) -> dict[str, ir.Node]:
    """Rewrite ``model`` in place; the new convolutions, by the name of the linear layer's output, which it keeps.

    ``keep``: the outputs of those to leave alone.
    """
    made = {}
    for node in list(model.graph):
        output = str(node.outputs[0].name) if node.outputs else ""
        if output not in keep and _sparse(node):
            made[output] = _replace(model.graph, node)
    NameFixPass()(model)  # two layers may share a weight, and then the names made from it
    return made


def _sparse(node: ir.Node) -> bool:
    if not is_linear(node) or any(node.attributes.get_float(scale, 1.0) != 1 for scale in ("alpha", "beta")):
        return False
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
    weight = _weight(node)
    fits = bias is not None and (bias.shape == (len(weight),) or len(node.inputs) < 3)
    return fits and Structure.of(weight).density < 1


def _weight(node: ir.Node) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(O, I)."""
    weight = constant(node.inputs[1])
    assert weight is not None
    return weight if node.attributes.get_int("transB", 0) else weight.T


def _replace(graph: ir.Graph, node: ir.Node) -> ir.Node:
    name = str(node.inputs[1].name).removesuffix(".weight") if node.inputs[1] is not None else ""
    weight, (x, _, *bias), y = _weight(node), node.inputs, node.outputs[0]
    assert x is not None
    outs, ins = weight.shape
    image = reshape_node(x, (0, ins, 1, 1), f"{name}.image")
    kernel = initializer(f"{name}.weight", weight.reshape(outs, ins, 1, 1))
    conv = ir.node("Conv", [image.outputs[0], kernel, *bias], {"kernel_shape": [1, 1]}, name=f"{name}.conv")
    result = conv.outputs[0]
    result.name, result.type = f"{name}.pixels", y.type
    result.shape = ir.Shape([image.outputs[0].shape[0] if image.outputs[0].shape else "batch", outs, 1, 1])
    flat = reshape_node(result, (0, outs), f"{name}.flat")
    graph.insert_before(node, [image, conv, flat])
    last, output = flat.outputs[0], y.name
    y.name = None
    y.replace_all_uses_with(last, replace_graph_outputs=True)
    last.name = output
    graph.remove(node, safe=True)
    register_constants(graph)
    return conv
