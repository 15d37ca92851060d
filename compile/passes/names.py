"""names: every tensor and node has a name of its own, and a layer's weight is called after its layer.

Requires: nothing. Ensures: no two tensors of the main graph share a name. Inputs and outputs keep theirs. torch's old
exporter calls a folded weight ``onnx::Conv_497`` but its node ``/layer1/layer1.0/conv1/Conv``: the weight becomes
``layer1.0.conv1.weight``, as in the network it came from.
"""

from __future__ import annotations

import re
from itertools import chain, count

import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass

_ANONYMOUS = re.compile(r"onnx::\w+|_v_\d+|val_\d+|\d+")
_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})


class Names(ir.passes.InPlacePass):
    """Name weights, then let onnx-ir number what is named twice."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        modified = False
        for node in model.graph:
            weight = node.inputs[1] if node.op_type in _LAYERS and not node.domain else None
            name = _module(node.name or "")
            if weight is not None and weight.is_initializer() and name and _ANONYMOUS.fullmatch(weight.name or ""):
                names = chain([f"{name}.weight"], (f"{name}#{i}.weight" for i in count(2)))
                weight.name = next(each for each in names if each not in model.graph.initializers)
                modified = True
        return ir.passes.PassResult(model, NameFixPass()(model).modified or modified)

    def ensures(self, model: ir.Model) -> None:
        """Names are unique."""
        values = [*model.graph.inputs, *model.graph.initializers.values()]
        values += [value for node in model.graph for value in node.outputs]
        seen: set[str] = set()
        for value in values:
            if not value.name or value.name in seen:
                raise ir.passes.PostconditionError(f"the name {value.name!r} is not one tensor's own")
            seen.add(value.name)


def _module(node: str) -> str:
    """The module that a node of torch's old exporter comes from: a scope repeats the one before it, or goes deeper.

    >>> _module("/layer1/layer1.0/conv1/Conv"), _module("/conv/conv.0/conv.0.0/Conv"), _module("Conv_12")
    ('layer1.0.conv1', 'conv.0.0', '')
    """
    path: list[str] = []
    for scope in node.removeprefix("/").split("/")[:-1]:
        if path and scope.startswith(f"{path[-1]}."):
            path.pop()
        path.append(scope)
    return ".".join(path)
