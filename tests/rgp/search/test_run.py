"""Annealing keeps what it promises of every graph, whatever group acts on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.graph import Graph, aspl_bound
from rgp.search.groups import Group, groups
from rgp.search.lift import empty, matrix
from rgp.search.polarity import polarity
from rgp.search.run import COLD, Recipe, Run


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, Group]:
    order = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16]))
    nodes = order * draw(st.sampled_from([1, 2, 3, 5, 8]))
    nodes = nodes if nodes >= 8 else 8 * order
    degree = draw(st.integers(2, min(nodes - 1, 9)))
    if nodes * degree % 2:
        degree -= 1
    return nodes, max(degree, 2), draw(st.sampled_from(groups(order)))


def ranks(graph: Graph) -> int:
    """The sum of distances, N for each node out of reach."""
    away = graph.distances < 0
    return int(graph.distances[~away].sum(dtype=np.int64)) + int(away.sum()) * graph.nodes


@given(sizes(), st.integers(0, 2**62), st.sampled_from([COLD, 4 * COLD]))
@settings(max_examples=60)
def test_a_run_gives_the_regular_graph_that_it_ranks(size: tuple[int, int, Group], seed: int, hot: int) -> None:
    nodes, degree, group = size
    run = Run(nodes, degree, Recipe(group, hot), seed, 300)
    if not run.possible:
        assert run.left == 0
        return
    while run.left:
        run.advance(77)
    adjacency = run.result()
    graph = Graph.of(adjacency)
    assert (graph.nodes, graph.degree, graph.self_loops) == (nodes, degree, False)
    assert ranks(graph) == run.rank[0]
    for element in group.table():  # from the left, each element carries edges to edges
        carried = (np.arange(nodes) // group.order)[:, None] * group.order + element
        moved = carried[np.arange(nodes), np.arange(nodes) % group.order]
        assert (adjacency[np.ix_(moved, moved)] == adjacency).all()


@pytest.mark.parametrize("nodes", [62, 64, 66, 126, 128, 130])
def test_words_of_64_nodes_meet_without_a_seam(nodes: int) -> None:
    run = Run(nodes, 5, Recipe(Group(2), COLD), 1, 200)
    while run.left:
        run.advance(run.left)
    assert ranks(Graph.of(run.result())) == run.rank[0]


def test_pieces_of_any_size_make_the_same_run() -> None:
    whole, pieces = (Run(64, 6, Recipe(Group(8), 2 * COLD), 5, 4000) for _ in range(2))
    while whole.left:
        whole.advance(whole.left)
    while pieces.left:
        pieces.advance(13)
    assert whole.rank == pieces.rank
    assert (whole.result() == pieces.result()).all()


def test_at_the_bound_the_spectral_gap_grows() -> None:
    run = Run(64, 16, Recipe(Group(16), COLD), 3, 20_000)
    while not run.at_bound:
        assert run.advance(1000)
    before = Graph.of(run.result())
    assert before.aspl == pytest.approx(aspl_bound(64, 16))
    while run.left:
        run.advance(run.left)
    after = Graph.of(run.result())
    assert after.aspl == pytest.approx(before.aspl)
    assert after.spectral_gap > before.spectral_gap + 0.5


def test_a_run_goes_on_from_a_given_graph() -> None:
    start = Graph.of(Run(66, 4, Recipe(Group(3), COLD), 1, 100).result())
    run = Run(66, 4, Recipe(Group(1), COLD, start.adjacency), 1, 50)
    assert run.rank[0] == ranks(start)
    assert (run.result() == start.adjacency).all()


def test_a_group_that_admits_no_graph_is_left_out() -> None:
    assert not Run(9, 3, Recipe(Group(9), COLD), 1, 10).possible  # Z9 has no involution, so no odd degree
    assert not matrix(empty(9, 2, Group(9).table())).any()


@pytest.mark.parametrize(("nodes", "degree"), [(16, 4), (64, 8), (256, 16), (1024, 32)])
def test_the_polarity_graph_is_nearly_of_diameter_two(nodes: int, degree: int) -> None:
    adjacency = polarity(nodes, degree)
    assert adjacency is not None
    graph = Graph.of(adjacency)
    assert (graph.degree, graph.self_loops, graph.diameter) == (degree, False, 3)
    assert (graph.distances == 3).sum(1).max() < degree


@pytest.mark.parametrize(("nodes", "degree"), [(64, 6), (36, 6), (25, 5), (60, 8)])
def test_there_is_no_polarity_graph_of_other_sizes(nodes: int, degree: int) -> None:
    assert polarity(nodes, degree) is None
