"""Random regular graphs, from a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rgp.families.ring import ring_matrix
from rgp.families.sizes import looped, neighbours
from rgp.families.spelling import MAX_DIGITS, Spelling
from rgp.graph import Graph, count_parts

TURNS = 64
_AT_A_TIME = 1 << 16


def random(nodes: int, degree: int, seed: int = 0, loops: int = 0) -> Graph:
    """A random connected regular graph: the ring lattice after ten double edge swaps an edge.

    Source: RGP section III, whose search uses the same degree-preserving swaps. The same seed gives the same
    graph on every machine. Raises GraphError for a size that does not exist.
    """
    matrix = ring_matrix(nodes, neighbours("random", nodes, degree, loops))
    rng = np.random.Generator(np.random.PCG64(seed))
    _swap_edges(matrix, rng)
    while count_parts(matrix) > 1:
        _swap_edges(matrix, rng)
    spelling = Spelling("random", nodes, degree).having(seed=seed, loops=loops or None)
    return Graph.of(looped(matrix, loops), str(spelling))


def random_turns(nodes: int, degree: int, seed: int = 0, loops: int = 0) -> Iterator[Graph]:
    """Another seed in each layer: ``seed``, ``seed`` + 1, ... in turn."""
    for turn in range(TURNS):
        yield random(nodes, degree, (seed + turn) % 10**MAX_DIGITS, loops)


def _picks(rng: np.random.Generator, edges: int) -> Iterator[list[int]]:
    """Ten times ``edges`` rows: two edges, and whether the second is turned round; some at a time, for memory."""
    for done in range(0, 10 * edges, _AT_A_TIME):
        count = min(_AT_A_TIME, 10 * edges - done)
        yield from rng.integers([edges, edges, 2], size=(count, 3)).tolist()


def _swap_edges(matrix: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Ten times an edge: take edges a-b and c-d, put a-d and c-b instead where that makes no double edge."""
    edges: list[tuple[int, int]] = [(int(a), int(b)) for a, b in np.argwhere(np.triu(matrix))]
    for first, second, turned in _picks(rng, len(edges)):
        (a, b), (c, d) = edges[first], edges[second][:: -1 if turned else 1]
        if len({a, b, c, d}) < 4 or matrix[a, d] or matrix[c, b]:
            continue
        matrix[a, b] = matrix[b, a] = matrix[c, d] = matrix[d, c] = False
        matrix[a, d] = matrix[d, a] = matrix[c, b] = matrix[b, c] = True
        edges[first], edges[second] = (a, d), (c, b)
