"""Affine graphs: unions of parallel classes of cliques, which a compiler runs as sums of grouped convolutions.

Source: any text on affine geometry. In an affine plane AG(2, c) the points on k of its c + 1 parallel classes
of lines make a strongly regular graph; ``rgp.families.space`` has the lines, in a plane or a larger space.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rgp.errors import GraphError
from rgp.families.field import PRIMES, plus, prime_power
from rgp.families.sizes import looped
from rgp.families.space import class_count, cliques, directions, field_and_dimension, flat
from rgp.families.spelling import Spelling
from rgp.graph import MAX_NODES, Graph

MAX_ENTRIES = 1 << 27
"""Of all matrices of a rotation together: every class at up to 512 nodes, the first 128 at 1024."""


def affine(nodes: int, degree: int, classes: int | None = None, first: int = 0, loops: int = 1) -> Graph:
    """Join the nodes that share a clique of one of k parallel classes: d = k(c-1), and 1 for the self-loop.

    ``classes`` is k; left out, the fewest that connect the graph, or the fewest if none does. ``first`` shifts
    the classes. In an affine plane (N = c²) any k >= 2 give a strongly regular graph, whose ASPL is the lower
    bound; in a larger space the k directions are searched for a short ASPL. One class alone is not connected:
    layers must take different ones in turn. Raises GraphError for a size that does not exist.
    """
    clique, count = _shape(nodes, degree, classes, loops, connect=True)
    return _union(nodes, degree, clique, count, first, loops)


def affine_turns(
    nodes: int, degree: int, classes: int | None = None, first: int = 0, loops: int = 1
) -> Iterator[Graph]:
    """The k classes of each layer follow those of the layer before; left out, k is the least that exists."""
    clique, count = _shape(nodes, degree, classes, loops, connect=False)
    number = class_count(nodes, clique)
    for turn in range(min(number // math.gcd(number, count), MAX_ENTRIES // nodes**2)):
        yield _union(nodes, degree, clique, count, first + turn * count, loops)


def parallel_classes(graph: Graph) -> NDArray[np.int64]:
    """(k, N): for each class of an affine graph, the number of the clique (from 0 to N/c-1) that a node lies in.

    Raises GraphError for a graph that is not spelled affine:N_d.
    """
    spelling = Spelling.parse(graph.spelling)
    if spelling.family != "affine":
        raise GraphError(f"{graph.spelling}: has no parallel classes: give an affine graph, as affine:64_15")
    known = dict(spelling.options)
    clique, count = _shape(graph.nodes, graph.degree, known.get("classes"), int(graph.self_loops), connect=True)
    first = known.get("first", 0)
    return np.stack([cliques(graph.nodes, clique, first + i) for i in directions(graph.nodes, clique, count)])


def _shape(nodes: int, degree: int, classes: int | None, loops: int, *, connect: bool) -> tuple[int, int]:
    """The clique size c and the number of classes k; GraphError that lists what there is if there is none."""
    name = f"affine:{nodes}_{degree}"
    prime, size = prime_power(nodes)
    if size < 2 or nodes > MAX_NODES:
        powers_of = ", ".join(map(str, PRIMES[:-1]))
        raise GraphError(
            f"{name}: N must be p^n for p in {powers_of} or {PRIMES[-1]} and n from 2, at most {MAX_NODES}, not {nodes}"
        )
    others = degree - loops
    if not 2 <= degree <= nodes or not others < nodes:
        raise GraphError(f"{name}: the degree must be from 2 to {'N' if loops else 'N-1'}, not {degree}")
    shapes = []
    for clique in (prime**s for s in range(size - 1, 0, -1)):
        count, rest = divmod(others, clique - 1)
        lines = field_and_dimension(nodes, clique)[1] == 1
        if not rest and 1 <= count <= (class_count(nodes, clique) if lines else 1):
            connected = lines and clique**count >= nodes
            shapes.append((connected, clique, count))
    if not shapes:
        step = prime - 1
        above = -(-others // step) * step + loops
        nearest = f"{above - step} or {above}" if above - step >= 2 else f"{above}"
        what = "a multiple" if not loops else "one more than a multiple"
        raise GraphError(f"{name}: with {nodes} nodes d is {what} of {step}: {nearest}, not {degree}")
    fitting = [shape for shape in shapes if classes in (None, shape[2])]
    if not fitting:
        possible = ", ".join(f"{count} (cliques of {clique})" for _, clique, count in shapes)
        raise GraphError(f"{name}: classes is one of {possible}, not {classes}")
    best = next((shape for shape in fitting if connect and shape[0]), fitting[0])
    return best[1:]


def _union(nodes: int, degree: int, clique: int, count: int, first: int, loops: int) -> Graph:
    first %= class_count(nodes, clique)
    every = np.arange(nodes, dtype=np.int16)[:, None]
    matrix = np.zeros((nodes, nodes), dtype=bool)
    for direction in directions(nodes, clique, count):
        matrix[every, plus(nodes, every, flat(nodes, clique, first + direction))] = True
    options = {"classes": count, "first": first or None, "loops": None if loops else 0}
    return Graph.of(looped(matrix, loops), str(Spelling("affine", nodes, degree).having(**options)))
