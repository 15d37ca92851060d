"""Mixing: the depth against a plain product of matrices, and when there is none."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.graph import Graph
from rgp.mixing import mixing_bound, mixing_depth, reach, unpacked


@st.composite
def sequences(draw: st.DrawFn) -> list[Graph]:
    """One to four regular graphs on the same nodes: connected or not, with self-loops or without, of any degrees."""
    nodes = draw(st.integers(2, 17))  # a byte holds eight nodes
    graphs = []
    for _ in range(draw(st.integers(1, 4))):
        degree = draw(st.integers(1, nodes - 1).filter(lambda degree: nodes * degree % 2 == 0))
        drawn = nx.random_regular_graph(degree, nodes, seed=draw(st.integers(0, 2**32 - 1)))
        matrix = nx.to_numpy_array(drawn, nodelist=range(nodes))
        graphs.append(Graph.of(matrix + np.eye(nodes) if draw(st.booleans()) else matrix))
    return graphs


def plain_depth(graphs: list[Graph], first: int) -> int | None:
    """Multiply until all is reached, or until the reach at the same turn comes back."""
    reached = np.eye(graphs[0].nodes, dtype=int)
    seen: set[tuple[int, bytes]] = set()
    for layer in range(10**6):
        turn = (first + layer) % len(graphs)
        if reached.all():
            return layer
        if (state := (turn, reached.tobytes())) in seen:
            return None
        seen.add(state)
        reached = (graphs[turn].adjacency.astype(int) @ reached > 0).astype(int)
    raise AssertionError


@given(sequences())
def test_depth_is_the_worst_over_all_starts_of_the_plain_product(graphs: list[Graph]) -> None:
    depths = [plain_depth(graphs, first) for first in range(len(graphs))]
    worst = None if None in depths else max(depth for depth in depths if depth is not None)
    assert mixing_depth(graphs) == worst


@given(sequences())
def test_no_start_mixes_in_fewer_layers_than_the_bound(graphs: list[Graph]) -> None:
    bound = mixing_bound(graphs)
    if bound is None:
        assert mixing_depth(graphs) is None
        return
    for first in range(len(graphs)):
        depth = plain_depth(graphs, first)
        assert depth is None or depth >= bound


@given(sequences(), st.data())
def test_reach_is_the_product_in_the_order_of_the_layers(graphs: list[Graph], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(graphs) - 1))
    product = np.eye(graphs[0].nodes)
    for layer, reached in zip(range(6), reach(graphs, first), strict=False):
        product = graphs[(first + layer) % len(graphs)].adjacency @ product
        assert np.array_equal(unpacked(reached), product > 0)


def cycle(nodes: int, *, loops: bool = False) -> Graph:
    return Graph.of(nx.to_numpy_array(nx.cycle_graph(nodes)) + loops * np.eye(nodes))


def cliques(count: int, size: int) -> Graph:
    return Graph.of(np.kron(np.eye(count), np.ones((size, size))))


@pytest.mark.parametrize(
    ("graph", "depth", "bound"),
    [
        (cycle(5), 4, 3),  # no loops: the long way round, because walks of both parities are needed
        (cycle(9), 8, 4),
        (cycle(9, loops=True), 4, 2),  # the diameter
        (cycle(8), None, 3),  # bipartite
        (cycle(8, loops=True), 4, 2),
        (cliques(1, 4), 1, 1),
        (cliques(2, 2), None, 2),  # separate parts
        (Graph.of(np.array([[0.0, 1.0], [1.0, 0.0]])), None, None),
        (Graph.of(nx.to_numpy_array(nx.petersen_graph())), 4, 3),  # no walk of two steps joins neighbours
    ],
)
def test_depths_that_can_be_counted_by_hand(graph: Graph, depth: int | None, bound: int | None) -> None:
    assert mixing_depth([graph]) == depth
    assert mixing_bound([graph]) == bound


def test_two_partitions_that_cross_mix_in_two_layers_wherever_they_start() -> None:
    points = np.arange(16)
    rows, columns = (Graph.of((line[:, None] == line).astype(float)) for line in np.divmod(points, 4))
    assert mixing_depth([rows, columns]) == mixing_bound([rows, columns]) == 2
    assert mixing_depth([rows, rows, columns]) == 3  # the worst start
    assert mixing_depth([rows, rows]) is None


def test_the_bound_takes_the_best_start_of_unequal_degrees() -> None:
    matching = Graph.of(np.kron(np.eye(8), [[0, 1], [1, 0]]))
    assert mixing_bound([matching, cliques(1, 16)]) == 1
    assert mixing_depth([matching, cliques(1, 16)]) == 2


def test_single_matchings_in_turn_permute_and_never_mix() -> None:
    pairs = Graph.of(np.kron(np.eye(3), [[0, 1], [1, 0]]))
    shifted = Graph.of(np.roll(pairs.adjacency, (1, 1), (0, 1)).astype(float))
    assert mixing_depth([pairs, shifted]) is None
    assert mixing_bound([pairs, shifted]) is None


def test_graphs_of_thousands_of_nodes_are_measured() -> None:
    """The hypercube: nodes are numbers of 12 bits, joined where one bit differs."""
    bit = np.isin(np.arange(4096)[:, None] ^ np.arange(4096), 2 ** np.arange(12))
    assert mixing_depth([Graph.of(bit)]) is None  # bipartite
    assert mixing_depth([Graph.of(bit | np.eye(4096, dtype=bool))]) == 12
    assert mixing_bound([Graph.of(bit)]) == 4  # 12^3 < 4096 <= 12^4


def test_many_graphs_in_turn_are_measured() -> None:
    graphs = [Graph.of(nx.to_numpy_array(nx.random_regular_graph(16, 64, seed=seed))) for seed in range(64)]
    assert mixing_depth(graphs) == 3
    assert mixing_bound(graphs) == 2
