"""A small graph times all-ones: fewer and larger blocks, for layers that compile better so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rgp.errors import GraphError
from rgp.families.spelling import Spelling
from rgp.graph import MAX_NODES, Graph


def product(base: Graph, copies: int) -> Graph:
    """Take each node of ``base`` M times: copies are joined iff their nodes are; N * M nodes, degree d * M.

    All copies of a node read the same nodes (they are twins). ``base`` is spelled family:N_d. Source: the
    lexicographic product with an empty graph, any text on graph products. Raises GraphError above 4096 nodes.
    """
    spelling = Spelling.parse(base.spelling)
    if spelling.family in ("product", "file"):
        raise GraphError(f"{base.spelling}: a product is made of a graph spelled family:N_d")
    spelling = replace(spelling, family="product", base=spelling.family, copies=copies)
    if base.nodes * copies > MAX_NODES:
        raise GraphError(f"{spelling}: {base.nodes * copies} nodes, give at most {MAX_NODES}")
    ones = np.ones((copies, copies), dtype=bool)
    return Graph.of(np.kron(base.adjacency, ones), str(spelling))
