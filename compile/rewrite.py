"""Write the plan into the model: convolutions lowered, weights in their tensors' new order, shuffles where left.

Requires: ``convs`` and ``spaces`` were found in this very model, ``layout`` was made from them. Ensures: the same
function of the same inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rgp.compile.convs import Conv, constant, find
from rgp.compile.layout import Choice, Layout, Wiring
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.nodes import initializer, take_channels
from rgp.compile.spaces import Spaces, is_linear
from rgp.compile.structure import Channels


def rewrite(
    model: ir.Model, convs: Sequence[Conv], choices: Mapping[str, Choice], spaces: Spaces, layout: Layout
) -> None:
    """Rewrite ``model`` in place; ``convs``: those that ``choices`` and ``layout`` speak of."""
    lowered = {conv.node for conv in convs}
    for conv in find(model):
        if conv.node not in lowered and conv.depthwise:
            _permute(conv.node, {1: conv.weight, 2: conv.bias}, layout.orders[spaces.of(conv.x)], axis=0)
    for node in model.graph:
        if is_linear(node):
            weight, x = constant(node.inputs[1]), node.inputs[0]
            assert weight is not None
            assert x is not None
            axis = 1 if node.attributes.get_int("transB", 0) else 0
            _permute(node, {1: weight}, layout.orders[spaces.of(x)], axis=axis)
    shuffled: dict[tuple[ir.Value, Channels], ir.Value] = {}
    for conv in convs:
        x = conv.node.inputs[0]  # not conv.x: what made it may have been rewritten by now
        assert x is not None
        nodes = lower(conv, choices[conv.name], layout.wirings[conv.name], x, shuffled)
        model.graph.insert_before(conv.node, nodes)
        conv.y.replace_all_uses_with(nodes[-1].outputs[0], replace_graph_outputs=True)
        model.graph.remove(conv.node, safe=True)
    register_constants(model.graph)


def lower(
    conv: Conv, choice: Choice, wiring: Wiring, x: ir.Value, shuffled: dict[tuple[ir.Value, Channels], ir.Value]
) -> list[ir.Node]:
    """The nodes that compute ``conv`` of ``x``, shuffles included.

    ``shuffled``: the shuffled tensors that exist already; two convolutions may read the same one.
    """
    nodes: list[ir.Node] = []
    if wiring.x != wiring.reads:
        if (x, wiring.reads) not in shuffled:
            nodes.append(_shuffle(x, wiring.x, wiring.reads, f"{conv.name}.shuffle_in"))
            shuffled[x, wiring.reads] = nodes[-1].outputs[0]
        x = shuffled[x, wiring.reads]
    nodes += LOWERINGS[choice.lowering].emit(conv, choice.parts, x, wiring.reads, wiring.writes)
    if wiring.writes != wiring.y:
        nodes.append(_shuffle(nodes[-1].outputs[0], wiring.writes, wiring.y, f"{conv.name}.shuffle_out"))
    return nodes


def _shuffle(x: ir.Value, have: Channels, want: Channels, name: str) -> ir.Node:
    position = {channel: index for index, channel in enumerate(have)}
    return take_channels(x, [position[channel] for channel in want], name)


def _permute(node: ir.Node, inputs: Mapping[int, NDArray[np.float32] | None], order: Channels, *, axis: int) -> None:
    """Replace constant inputs of ``node`` by themselves with ``axis`` in ``order``."""
    if list(order) == list(range(len(order))):
        return
    for index, array in inputs.items():
        value = node.inputs[index] if array is not None else None
        if array is not None and value is not None:
            new = initializer(f"{value.name}.permuted", np.take(array, order, axis=axis))
            node.replace_input_with(index, new)


def register_constants(graph: ir.Graph) -> None:
    """Drop initialisers that nobody reads any more, add those of the new nodes, each under a name of its own."""
    for name, unused in list(graph.initializers.items()):
        if not unused.uses() and not unused.is_graph_output():
            del graph.initializers[name]
    for node in graph:
        for value in node.inputs:
            if value is None or value.const_value is None or value.is_initializer():
                continue
            base, count = str(value.name), 1
            while value.name in graph.initializers:
                count += 1
                value.name = f"{base}.{count}"
            graph.register_initializer(value)
