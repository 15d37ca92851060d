"""Let the native kernel do what follows it: the Add of a residual block, ReLU and ReLU6.

Requires: convolutions are lowered. Ensures: the same function of the same inputs; a GraphConv whose result only an Add
of two equal shapes reads adds for itself, and one whose result only a ReLU or ReLU6 reads applies it. The output is
then written once instead of three times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from rgp.compile.bisect import Trace
from rgp.compile.convs import constant
from rgp.compile.graph_conv import operator
from rgp.engines.native import DOMAIN


def fuse(model: ir.Model, traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """Fuse in place; the traces with those of fused layers changed.

    A layer whose own output is gone is compared by what it writes instead, which has one name in both files.
    """
    written: dict[str, str] = {}
    for node in reversed(list(model.graph)):  # of two that one Add joins, the later: it waits for the other anyway
        if node.domain == DOMAIN and node.graph is not None:
            before, after = node.outputs[0].name, _fused(model.graph, node)
            if after != before:
                written[str(before)] = str(after)
    return tuple(
        replace(trace, dense_value=written[trace.compiled_value], compiled_value=written[trace.compiled_value])
        if trace.compiled_value in written
        else trace
        for trace in traces
    )


def _fused(graph: ir.Graph, node: ir.Node) -> str | None:
    """Replace ``node`` and what it can do for itself; the name of the tensor that it writes then."""
    chain, inputs = [node], list(node.inputs)
    reader = _only_reader(node)
    if reader is not None and (other := _added(reader, node.outputs[0])) is not None:
        chain.append(reader)
        inputs.append(other)
        reader = _only_reader(reader)
    activation = _activation(reader) if reader is not None else ""
    if reader is not None and activation:
        chain.append(reader)
    old = chain[-1].outputs[0]
    if len(chain) == 1:
        return old.name
    new = ir.Value(name=old.name, shape=old.shape, type=old.type)
    name = operator(adds=len(inputs) > len(node.inputs), activation=activation)
    fused = ir.Node(DOMAIN, name, inputs, node.attributes.values(), outputs=[new], name=node.name)
    graph.insert_before(chain[-1], fused)
    old.name = None
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    for gone in reversed(chain):
        graph.remove(gone, safe=True)
    return new.name


def _added(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """What ``node`` adds to ``value``, if it is an Add of another tensor of its shape."""
    if node.op_type != "Add" or node.domain:
        return None
    other = next((each for each in node.inputs if each is not value), None)
    return other if other is not None and other.shape is not None and other.shape == value.shape else None


def _only_reader(node: ir.Node) -> ir.Node | None:
    """Who reads the result, if that is one input of one node beside ``node`` and no output of the network."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node if uses[0].node.graph is node.graph else None  # not in the body of an If


def _activation(node: ir.Node) -> str:
    """Relu or Relu6, if ``node`` is one."""
    if node.op_type == "Relu" and not node.domain:
        return "Relu"
    if node.op_type == "Clip" and not node.domain and len(node.inputs) == 3:
        bounds = [constant(value) for value in node.inputs[1:]]
        if all(bound is not None and bound.size == 1 for bound in bounds):
            low, high = (np.asarray(bound).item() for bound in bounds)
            return "Relu6" if (low, high) == (0, 6) else ""
    return ""
