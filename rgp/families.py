"""Families of regular graphs, and the one way to spell a graph.

A spelling is ``family:N_d?option=value&option=value``; ``N_d`` alone means ``random:N_d``; a path ends in
``.npy``. N is the number of nodes, d the number of input groups each output group reads.

>>> [graph.degree for graph in parse("ring:64_16")]
[16]
>>> len(parse("affine:16_4?rotate=1"))  # one graph a layer, five in turn
5
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from rgp.affine import ORDERS, parallel_classes
from rgp.errors import GraphError, UsageError, unknown
from rgp.graph import MAX_NODES, Graph


def ring(nodes: int, degree: int) -> Graph:
    """The ring lattice: each node joined to its d/2 nearest on each side (odd d: and to the opposite one)."""
    _check_size(nodes, degree, "ring")
    return Graph.of(_ring_matrix(nodes, degree), f"ring:{nodes}_{degree}")


def random(nodes: int, degree: int, seed: int = 0) -> Graph:
    """A random connected regular graph: the ring lattice after ten double edge swaps an edge.

    Source: RGP section III, whose search uses the same degree-preserving swaps. The same seed gives the same
    graph on every machine.
    """
    _check_size(nodes, degree, "random")
    rng = np.random.Generator(np.random.PCG64(seed))
    matrix = _ring_matrix(nodes, degree)
    while True:
        _swap_edges(matrix, rng)
        graph = Graph.of(matrix, f"random:{nodes}_{degree}?seed={seed}", connected=False)
        if graph.parts == 1:
            return graph


def affine(nodes: int, degree: int, first: int = 0, *, connected: bool = True) -> Graph:
    """Join the points of the affine plane AG(2, q) that share a line of k of its q+1 parallel classes.

    N = q², d = k(q-1) + 1 with the self-loop. Each class is a partition of the nodes into q cliques of q, so a
    convolution is a sum of k grouped ones. Classes ``first``, ``first`` + 1, ... (modulo q+1) are taken. One
    class alone is not connected: layers must take different ones in turn.
    """
    order = math.isqrt(nodes)
    if order not in ORDERS or order**2 != nodes:
        raise GraphError(f"affine:{nodes}_{degree}: N must be q² for q in {', '.join(map(str, ORDERS))}, not {nodes}")
    count, rest = divmod(degree - 1, order - 1)
    if rest or not 1 <= count <= order + 1:
        possible = ", ".join(str(k * (order - 1) + 1) for k in range(1, order + 2))
        raise GraphError(f"affine:{nodes}_{degree}: with {nodes} nodes d is one of {possible}, not {degree}")
    chosen = [parallel_classes(order)[(first + k) % (order + 1)] for k in range(count)]
    matrix = np.logical_or.reduce([lines[:, None] == lines[None, :] for lines in chosen])
    spelling = f"affine:{nodes}_{degree}?first={first % (order + 1)}" + ("" if connected else "&rotate=1")
    return Graph.of(matrix, spelling, connected=connected)


def _affine_turns(nodes: int, degree: int, first: int = 0, rotate: int = 0) -> tuple[Graph, ...]:
    if rotate not in (0, 1):
        raise UsageError(f"affine:{nodes}_{degree}: rotate is {rotate}, give 0 or 1")
    if not rotate:
        return (affine(nodes, degree, first),)
    turns = range(first, first + math.isqrt(nodes) + 1)
    return tuple(affine(nodes, degree, turn, connected=False) for turn in turns)


# family -> (the graphs that layers take in turn, the options it knows)
FAMILIES: dict[str, tuple[Callable[..., tuple[Graph, ...]], tuple[str, ...]]] = {
    "ring": (lambda nodes, degree: (ring(nodes, degree),), ()),
    "random": (lambda nodes, degree, seed=0: (random(nodes, degree, seed),), ("seed",)),
    "affine": (_affine_turns, ("first", "rotate")),
}


def parse(spelling: str) -> tuple[Graph, ...]:
    """Make the graph, or the graphs that layers take in turn; UsageError for a spelling that is none."""
    if spelling.endswith(".npy"):
        return (Graph.load(Path(spelling)),)
    match = re.fullmatch(r"(?:([a-z]+):)?(\d{1,5})_(\d{1,5})(?:\?(.*))?", spelling)
    if not match:
        raise UsageError(f"graph '{spelling}': write family:N_d (ring:64_16, random:64_16?seed=1) or a .npy path")
    family = match[1] or "random"
    if family not in FAMILIES:
        raise UsageError(unknown("graph family", family, FAMILIES))
    build, known = FAMILIES[family]
    options: dict[str, int] = {}
    for name, value in parse_qsl(match[4] or "", keep_blank_values=True):
        if name not in known:
            raise UsageError(unknown(f"option of graph family {family}", name, known))
        if not re.fullmatch(r"\d{1,18}", value):
            raise UsageError(f"graph '{spelling}': {name} is '{value}', give a whole number from 0")
        options[name] = int(value)
    return build(int(match[2]), int(match[3]), **options)


def resized(graph: Graph, nodes: int) -> Graph:
    """The same family and density on fewer nodes, for a layer with fewer channels; GraphError if none exists."""
    family, _, rest = graph.spelling.partition(":")
    degree, odd = divmod(graph.degree * nodes, graph.nodes)
    if odd or family not in ("ring", "random"):
        raise GraphError(
            f"{graph.spelling}: has no form with {nodes} nodes at density {graph.density:g}; "
            "choose a ring or random graph, fewer nodes, or leave narrow layers dense"
        )
    options = rest.partition("?")[2]
    (smaller,) = parse(f"{family}:{nodes}_{degree}" + (f"?{options}" if options else ""))
    return smaller


def _check_size(nodes: int, degree: int, family: str) -> None:
    name = f"{family}:{nodes}_{degree}"
    if nodes > MAX_NODES:
        raise GraphError(f"{name}: {nodes} nodes, give at most {MAX_NODES}")
    if not 2 <= degree < nodes:
        raise GraphError(f"{name}: the degree must be from 2 to N-1, not {degree} with {nodes} nodes")
    if nodes * degree % 2:
        raise GraphError(f"{name}: N * d is {nodes * degree}, which is odd, and no regular graph has half an edge")


def _ring_matrix(nodes: int, degree: int) -> NDArray[np.bool_]:
    offsets = [*range(1, degree // 2 + 1), *([nodes // 2] if degree % 2 else [])]
    index = np.arange(nodes)
    apart = (index[:, None] - index[None, :]) % nodes
    return np.isin(apart, offsets) | np.isin(apart.T, offsets)


def _swap_edges(matrix: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Ten times an edge: take edges a-b and c-d, put a-d and c-b instead where that makes no double edge."""
    edges: list[tuple[int, int]] = [(int(a), int(b)) for a, b in np.argwhere(np.triu(matrix))]
    picks = rng.integers([len(edges), len(edges), 2], size=(10 * len(edges), 3))
    for first, second, turned in picks.tolist():
        (a, b), (c, d) = edges[first], edges[second][:: -1 if turned else 1]
        if len({a, b, c, d}) < 4 or matrix[a, d] or matrix[c, b]:
            continue
        matrix[a, b] = matrix[b, a] = matrix[c, d] = matrix[d, c] = False
        matrix[a, d] = matrix[d, a] = matrix[c, b] = matrix[b, c] = True
        edges[first], edges[second] = (a, d), (c, b)
