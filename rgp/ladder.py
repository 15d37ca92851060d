"""A ladder of graphs of one size, from the shortest average path to the ring: for accuracy against ASPL.

Source: RGP section III. The paper's ladders were made by degree-preserving double edge swaps that shorten the
average path of the ring lattice, step by step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rgp.families.ring import ring
from rgp.graph import Graph

_PATIENCE = 400  # swaps in a row that shorten nothing


def ladder(best: Graph, rungs: int, seed: int = 0) -> list[Graph]:
    """Up to ``rungs`` graphs with strictly rising ASPL, as evenly as there are: ``best`` first, the ring last.

    A ring that is as good as ``best`` is the only rung. The same seed gives the same ladder on every machine.
    """
    way = [ring(best.nodes, best.degree)]
    rng = np.random.Generator(np.random.PCG64(seed))
    quiet = 0
    while quiet < _PATIENCE and way[-1].aspl > best.aspl:
        matrix = _swapped(way[-1].adjacency, rng)
        graph = None if matrix is None else Graph.of(matrix, f"ladder:{best.spelling}")
        if graph is not None and graph.aspl < way[-1].aspl - 1e-9:
            way.append(graph)
            quiet = 0
        else:
            quiet += 1
    if way[0].aspl <= best.aspl + 1e-9:
        return way[:1]
    way = [graph for graph in way if graph.aspl > best.aspl + 1e-9]
    chosen: set[int] = set()
    for value in np.linspace(best.aspl, way[0].aspl, rungs).tolist()[:0:-1]:
        left = (index for index in range(len(way)) if index not in chosen)
        nearest = min(left, key=lambda index: abs(way[index].aspl - value), default=0)
        chosen.add(nearest)
    return [best, *(way[index] for index in sorted(chosen, reverse=True))]


def _swapped(matrix: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """One random double edge swap: a-b and c-d become a-d and c-b; None where that gives a double edge."""
    edges = np.argwhere(matrix)
    (a, b), (c, d) = edges[rng.integers(len(edges), size=2)].tolist()
    if len({a, b, c, d}) < 4 or matrix[a, d] or matrix[c, b]:
        return None
    swapped = matrix.copy()
    swapped[[a, b, c, d], [b, a, d, c]] = False
    swapped[[a, d, c, b], [d, a, b, c]] = True
    return swapped
