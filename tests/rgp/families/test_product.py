"""Products: fewer and larger blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.errors import GraphError, UsageError
from rgp.families import affine, parse, product, random, ring
from rgp.graph import Graph


@given(st.integers(4, 12), st.integers(2, 5), st.integers(0, 1))
def test_copies_are_joined_exactly_where_their_nodes_are(nodes: int, copies: int, loops: int) -> None:
    base = random(nodes, 2 + loops, seed=1, loops=loops)
    graph = product(base, copies)
    assert (graph.nodes, graph.degree, graph.self_loops) == (nodes * copies, base.degree * copies, base.self_loops)
    assert graph.density == base.density
    node = np.arange(graph.nodes) // copies
    assert np.array_equal(graph.adjacency, base.adjacency[node][:, node])
    assert len(np.unique(graph.adjacency, axis=0)) == len(np.unique(base.adjacency, axis=0))  # copies are twins


def test_a_product_is_spelled_by_its_base() -> None:
    (graph,) = parse("product:affine:16_7x4")
    assert (graph.spelling, graph.nodes, graph.degree) == ("product:affine:16_7x4?classes=2", 64, 28)
    assert np.array_equal(graph.adjacency, np.kron(affine(16, 7).adjacency, np.ones((4, 4))))


def test_a_product_rotates_with_its_base() -> None:
    graphs = parse("product:affine:16_4x4?rotate=1")
    assert [graph.spelling for graph in graphs] == [
        "product:affine:16_4x4?classes=1",
        *(f"product:affine:16_4x4?classes=1&first={i}" for i in range(1, 5)),
    ]


def test_a_product_is_no_larger_than_a_graph_can_be() -> None:
    assert product(ring(64, 4), 64).nodes == 4096
    with pytest.raises(GraphError, match="product:ring:64_4x65: 4160 nodes, give at most 4096"):
        parse("product:ring:64_4x65")
    with pytest.raises(GraphError, match="nodes, give at most 4096"):
        parse(f"product:ring:64_4x{10**17}")


def test_a_product_needs_a_base_that_can_be_spelled() -> None:
    with pytest.raises(GraphError, match="a product is made of a graph spelled family:N_d"):
        product(parse("product:ring:8_4x2")[0], 2)
    with pytest.raises(UsageError, match="'matrix'"):
        product(Graph.of([[0, 1], [1, 0]]), 2)
