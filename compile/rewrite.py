"""Write the plan into the model: convolutions lowered, weights in their tensors' new order, shuffles where left.

Requires: ``convs`` and ``spaces`` were found in this very model, ``layout`` was made from them. Ensures: the same
function of the same inputs, and a trace of each convolution's output to compare the two by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass

from rgp.compile.bisect import Trace
from rgp.compile.choice import Choice, shares
from rgp.compile.convs import Conv, constant
from rgp.compile.layout import Layout, Wiring
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.nodes import binary_node, initializer, take_channels
from rgp.compile.spaces import Follower, Spaces
from rgp.compile.structure import Channels


def rewrite(
    model: ir.Model, convs: Sequence[Conv], choices: Mapping[str, Choice], spaces: Spaces, layout: Layout
) -> tuple[Trace, ...]:
    """Rewrite ``model`` in place; ``convs``: those that ``choices`` and ``layout`` speak of."""
    for follower in spaces.followers:
        _permute(follower, layout.orders[spaces.of(follower.value)])
    shuffled: dict[tuple[ir.Value, Channels], ir.Value] = {}
    rewritten: list[tuple[Conv, str, ir.Value]] = []
    for conv in convs:
        x = conv.node.inputs[0]  # not conv.x: what made it may have been rewritten by now
        assert x is not None
        wiring = layout.wirings[conv.name]
        nodes = lower(conv, choices[conv.name], wiring, x, shuffled)
        last = nodes[-1].outputs[0]
        name = str(conv.y.name)
        if conv.y.is_graph_output():  # outputs keep their names
            conv.y.name, last.name = None, name
        rewritten.append((conv, name, last))
        model.graph.insert_before(conv.node, nodes)
        conv.y.replace_all_uses_with(last, replace_graph_outputs=True)
        model.graph.remove(conv.node, safe=True)
    register_constants(model.graph)
    NameFixPass()(model)  # a new tensor may have the name of one that was there
    return tuple(Trace(conv.name, name, str(last.name), layout.wirings[conv.name].y) for conv, name, last in rewritten)


def lower(
    conv: Conv, choice: Choice, wiring: Wiring, x: ir.Value, shuffled: dict[tuple[ir.Value, Channels], ir.Value]
) -> list[ir.Node]:
    """The nodes that compute ``conv`` of ``x``: each term, shuffles included, and their sum.

    ``shuffled``: the shuffled tensors that exist already; two convolutions may read the same one.
    """
    nodes: list[ir.Node] = []
    total: ir.Value | None = None
    for share, parts, orders in zip(shares(conv, choice), choice.terms, wiring.terms, strict=True):
        source = x
        if wiring.x != orders.reads:
            if (x, orders.reads) not in shuffled:
                nodes.append(_shuffle(x, wiring.x, orders.reads, f"{share.name}.shuffle_in"))
                shuffled[x, orders.reads] = nodes[-1].outputs[0]
            source = shuffled[x, orders.reads]
        nodes += LOWERINGS[choice.lowering].emit(share, parts, source, orders.reads, orders.writes)
        if orders.writes != wiring.y:
            nodes.append(_shuffle(nodes[-1].outputs[0], orders.writes, wiring.y, f"{share.name}.shuffle_out"))
        if total is not None:
            nodes.append(binary_node("Add", total, nodes[-1].outputs[0], f"{share.name}.sum"))
        total = nodes[-1].outputs[0]
    return nodes


def _shuffle(x: ir.Value, have: Channels, want: Channels, name: str) -> ir.Node:
    position = {channel: index for index, channel in enumerate(have)}
    return take_channels(x, [position[channel] for channel in want], name)


def _permute(follower: Follower, order: Channels) -> None:
    """Put the follower's constant in ``order``."""
    value = follower.node.inputs[follower.index]
    array = constant(value)
    if value is None or array is None or list(order) == list(range(len(order))):
        return
    taken = (np.array(order)[:, None] * follower.repeat + np.arange(follower.repeat)).reshape(-1)
    new = initializer(f"{value.name}.permuted", np.take(array, taken, axis=follower.axis))
    follower.node.replace_input_with(follower.index, new)


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
