"""Mixing depth: after how many layers every output node depends on every input node.

A layer's output node i reads the input nodes j with adjacency[i, j]; layers take a sequence of graphs in turn.
After several layers node i depends on the nodes that the boolean product of their adjacencies says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray

from rgp.graph import Graph

Reach = NDArray[np.uint8]
"""(N, ceil(N / 8)): row i holds the input nodes that node i depends on, a bit each, as numpy.packbits has them."""


def mixing_depth(graphs: Sequence[Graph]) -> int | None:
    """After how many layers, taking ``graphs`` in turn, every node depends on every input node.

    The worst over all graphs that the first layer may take. None if never, as in a graph that is bipartite and
    has no self-loops: there each layer reads the other half only. Skip connections are not counted; with them a
    node also keeps what it knew.

    >>> mixing_depth([Graph.of([[0, 1, 1], [1, 0, 1], [1, 1, 0]])])  # a triangle
    2
    """
    if not _mixes(graphs):
        return None
    return max(_layers_to_all(graphs, first) for first in range(len(graphs)))


def mixing_bound(graphs: Sequence[Graph]) -> int | None:
    """No sequence with these nodes and degrees mixes in fewer layers: L layers of degree d see at most d^L nodes.

    The fewest L for which a product of L consecutive degrees reaches N, wherever that starts; None if it never
    does (each node reads one).
    """
    degrees = [graph.degree for graph in graphs]
    if max(degrees) == 1:
        return None
    fewest = []
    for first in range(len(degrees)):
        seen, layers = 1, 0
        while seen < graphs[0].nodes:
            seen *= degrees[(first + layers) % len(degrees)]
            layers += 1
        fewest.append(layers)
    return min(fewest)


def reach(graphs: Sequence[Graph], first: int = 0) -> Iterator[Reach]:
    """What each node depends on after 1, 2, 3, ... layers without end, of which the first takes ``graphs[first]``."""
    neighbours = [np.nonzero(graph.adjacency)[1].reshape(graph.nodes, graph.degree) for graph in graphs]
    reached = np.packbits(graphs[first].adjacency, axis=1)
    while True:
        yield reached
        first = (first + 1) % len(graphs)
        grown = np.zeros_like(reached)
        for column in neighbours[first].T:
            grown |= reached[column]
        reached = grown


def unpacked(reached: Reach) -> NDArray[np.bool_]:
    """(N, N) bool: whether node i depends on input node j."""
    return np.unpackbits(reached, axis=1, count=len(reached)).view(bool)


def _layers_to_all(graphs: Sequence[Graph], first: int) -> int:
    return next(layers for layers, reached in enumerate(reach(graphs, first), 1) if _all(reached))


def _all(reached: Reach) -> bool:
    return bool((reached == np.packbits(np.ones(len(reached), bool))).all())


def _mixes(graphs: Sequence[Graph]) -> bool:
    """Whether some number of rounds reaches everything: the product over one round is a primitive matrix.

    Where the first layer starts does not matter: a round from elsewhere is the same product, turned around.
    """
    for _, reached in zip(graphs, reach(graphs), strict=False):
        if _all(reached):
            return True
    # Regular matrices multiply to one with equal row and column sums, where every arc lies on a cycle: so what is
    # reached from node 0 reaches it too. Primitive means that this is all, and that cycle lengths have no factor.
    product = unpacked(reached)
    steps = np.full(len(product), -1)
    frontier, step = np.array([0]), 0
    while len(frontier):
        steps[frontier] = step
        frontier = np.flatnonzero(product[frontier].any(axis=0) & (steps < 0))
        step += 1
    if (steps < 0).any():
        return False
    factor = 0
    for node, row in enumerate(product):
        factor = gcd(factor, int(np.gcd.reduce(steps[node] + 1 - steps[row])))
    return factor == 1
