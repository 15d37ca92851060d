"""The ring lattice, from which the paper's search starts: long paths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rgp.families.sizes import looped, neighbours
from rgp.families.spelling import Spelling
from rgp.graph import Graph


def ring(nodes: int, degree: int, loops: int = 0) -> Graph:
    """Join each node to its d/2 nearest on each side (odd d: and to the opposite one).

    Source: RGP (arXiv 2110.15192), section III. Raises GraphError for a size that does not exist.
    """
    matrix = ring_matrix(nodes, neighbours("ring", nodes, degree, loops))
    return Graph.of(looped(matrix, loops), str(Spelling("ring", nodes, degree).having(loops=loops or None)))


def ring_matrix(nodes: int, degree: int) -> NDArray[np.bool_]:
    """(N, N), without self-loops."""
    return circulant_matrix(nodes, [*range(1, degree // 2 + 1), *([nodes // 2] if degree % 2 else [])])


def circulant_matrix(nodes: int, offsets: list[int]) -> NDArray[np.bool_]:
    """(N, N): node i is joined to i + o and i - o (modulo N) for each offset o."""
    apart: NDArray[np.int64] = np.subtract.outer(np.arange(nodes), np.arange(nodes)) % nodes
    return np.isin(apart, [*offsets, *(nodes - offset for offset in offsets)])
