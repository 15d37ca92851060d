"""Which sizes a regular graph can have, and its self-loops: what the families share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rgp.errors import GraphError
from rgp.graph import MAX_NODES


def neighbours(family: str, nodes: int, degree: int, loops: int) -> int:
    """How many other nodes each of the N is joined to; GraphError where no connected regular graph is so."""
    name = f"{family}:{nodes}_{degree}".removeprefix("searched:")
    others = degree - loops
    if nodes > MAX_NODES:
        raise GraphError(f"{name}: {nodes} nodes, give at most {MAX_NODES}")
    if not 2 <= others < nodes:
        low, high = 2 + loops, "N" if loops else "N-1"
        raise GraphError(f"{name}: the degree must be from {low} to {high}, not {degree} with {nodes} nodes")
    if nodes * others % 2:
        what = "N * (d-1), the loops left out," if loops else "N * d"
        raise GraphError(f"{name}: {what} is {nodes * others}, which is odd, and no regular graph has half an edge")
    return others


def looped(matrix: NDArray[np.bool_], loops: int) -> NDArray[np.bool_]:
    """(N, N): the same edges, and an edge from each node to itself, or from none."""
    diagonal = np.eye(len(matrix), dtype=bool)
    return matrix | diagonal if loops else matrix & ~diagonal
