"""Circulant graphs: one row of the matrix, turned; its offsets are searched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from rgp.families.climb import best_subset
from rgp.families.ring import circulant_matrix
from rgp.families.sizes import looped, neighbours
from rgp.families.spelling import Spelling
from rgp.graph import Graph

_TRIES = 4500  # every choice at 64_6
_WORK = 400_000_000
"""About how many edges the tries of one search may look at."""
_FAR = 1 << 62
"""A sum of path lengths that no connected graph has."""


def circulant(nodes: int, degree: int, seed: int = 0, loops: int = 0) -> Graph:
    """Join node i to i + o and i - o (modulo N) for the best offsets o found, and if d is odd to i + N/2.

    Best is the least ASPL, then the largest spectral gap, after hill climbing from ``seed``. Source: any text
    on circulant graphs; their eigenvalues are sums of cosines. The same seed gives the same graph on every
    machine. Raises GraphError for a size that does not exist.
    """
    chosen = _best_offsets(nodes, neighbours("circulant", nodes, degree, loops), seed)
    spelling = Spelling("circulant", nodes, degree).having(seed=seed or None, loops=loops or None)
    return Graph.of(looped(circulant_matrix(nodes, list(chosen)), loops), str(spelling))


def offsets(graph: Graph) -> tuple[int, ...]:
    """The offsets o, from 1 to N/2, by which a circulant graph joins node 0 to o and N - o."""
    return tuple(int(node) for node in np.flatnonzero(graph.adjacency[0]) if 0 < node <= graph.nodes // 2)


@lru_cache(maxsize=64)
def _best_offsets(nodes: int, degree: int, seed: int) -> tuple[int, ...]:
    opposite = [nodes // 2] if degree % 2 else []
    # eigenvalue j is the sum of 2 cos(2 pi j o / N) over the offsets; whole numbers, so that machines agree
    cosine = np.rint(2.0**31 * np.cos(2 * np.pi * np.arange(nodes) / nodes)).astype(np.int64)
    turns = np.arange(1, nodes // 2 + 1)
    of_offset = cosine[np.outer(np.arange(1, (nodes - 1) // 2 + 1), turns) % nodes]
    of_opposite = cosine[nodes // 2 * turns % nodes] // 2 if opposite else 0

    def cost(chosen: Sequence[int]) -> tuple[int, int]:
        """The sum of the path lengths, and the second largest eigenvalue."""
        paths = _path_lengths(nodes, [*(offset + 1 for offset in chosen), *opposite])
        return paths, int((of_offset[list(chosen)].sum(0) + of_opposite).max())

    tries = min(_TRIES, _WORK // (nodes * degree))
    best = best_subset((nodes - 1) // 2, degree // 2, cost, tries=tries, seed=seed)
    return (*(offset + 1 for offset in best), *opposite)


def _path_lengths(nodes: int, offsets: Sequence[int]) -> int:
    """The sum of the distances from node 0: breadth-first, a set of nodes being the bits of one whole number."""
    every = (1 << nodes) - 1
    shifts = {shift for offset in offsets for shift in (offset, nodes - offset)}
    reached = new = 1
    distance = total = 0
    while reached != every:
        grown = 0
        for shift in shifts:
            grown |= new << shift
        new = (grown | grown >> nodes) & every & ~reached
        if not new:
            return _FAR
        distance += 1
        total += distance * new.bit_count()
        reached |= new
    return total
