"""Outlook: twins, separate parts, what a lowering could make of them, block sizes."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.blocks import node_of_channel
from rgp.graph import Graph
from rgp.outlook import MAX_NEIGHBOURHOODS, Block, Outlook


def outlook(matrix: NDArray[np.number] | NDArray[np.bool_]) -> Outlook:
    return Outlook.of(Graph.of(matrix))


def cliques(count: int, size: int) -> NDArray[np.floating]:
    return np.kron(np.eye(count), np.ones((size, size)))


def cycle(nodes: int) -> NDArray[np.float64]:
    return np.asarray(nx.to_numpy_array(nx.cycle_graph(nodes)))


def test_separate_cliques_are_twins_and_groups() -> None:
    seen = outlook(cliques(4, 3))
    assert seen.twin_of.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert seen.twin_classes == (3, 3, 3, 3)
    assert seen.parts == ((3, 3),) * 4
    assert (seen.groups, seen.slices) == (4, 4)


def test_without_self_loops_the_nodes_of_a_clique_are_no_twins() -> None:
    seen = outlook(cliques(4, 3) - np.eye(12))
    assert seen.twin_classes == (1,) * 12
    assert (seen.groups, seen.slices) == (4, None)


def test_a_graph_in_which_all_read_all_is_dense_and_nothing_else() -> None:
    seen = outlook(np.ones((5, 5)))
    assert (seen.twin_classes, seen.parts, seen.groups, seen.slices) == ((5,), ((5, 5),), None, None)


def test_a_bipartite_graph_reads_in_two_groups_unless_nodes_read_themselves() -> None:
    assert outlook(cycle(8)).parts == ((4, 4), (4, 4))
    assert outlook(cycle(8)).groups == 2
    assert outlook(cycle(8) + np.eye(8)).groups is None
    assert outlook(cycle(7)).groups is None


def test_parts_of_different_size_are_no_groups() -> None:
    both = nx.disjoint_union(nx.complete_graph(4), nx.complete_bipartite_graph(3, 3))
    seen = outlook(nx.to_numpy_array(both))
    assert sorted(seen.parts) == [(3, 3), (3, 3), (4, 4)]
    assert seen.groups is None
    assert seen.slices == 6  # four nodes of the first part, and two sides of three twins
    assert seen.twin_classes == (3, 3, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("count", "slices"), [(1, None), (2, 2), (MAX_NEIGHBOURHOODS, 8), (MAX_NEIGHBOURHOODS + 1, None)]
)
def test_slices_are_two_to_eight(count: int, slices: int | None) -> None:
    assert outlook(cliques(count, 2)).slices == slices


@pytest.mark.parametrize(
    ("channels", "block"),
    [
        (11, None),
        (12, Block(3, 3)),
        (13, Block(3, 4)),
        (24, Block(6, 6)),
        (35, Block(8, 9)),  # three cliques whose nodes have three channels, and one node that has two
    ],
)
def test_a_block_has_the_channels_of_its_twins(channels: int, block: Block | None) -> None:
    assert outlook(cliques(4, 3)).block(channels) == block


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 60))
def test_blocks_are_those_of_the_mask(count: int, size: int, more: int) -> None:
    nodes = max(count * size, 2)
    matrix = cliques(count, size) if count * size > 1 else cliques(1, 2)
    channels = nodes + more
    mask = matrix[node_of_channel(channels, nodes)][:, node_of_channel(channels, nodes)]
    sides = mask.sum(axis=0)  # each channel is read by those of its own clique
    assert outlook(matrix).block(channels) == Block(int(sides.min()), int(sides.max()))


def test_a_block_says_its_range() -> None:
    assert [str(Block(4, 4)), str(Block(3, 4))] == ["4 x 4", "3..4 x 3..4"]


def test_a_graph_of_thousands_of_nodes_is_looked_at() -> None:
    seen = outlook(cycle(4096))
    assert (seen.groups, len(seen.twin_classes)) == (2, 4096)
