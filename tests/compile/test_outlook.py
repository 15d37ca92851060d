"""What rgp.outlook says of a graph is what the lowerings do with a weight that the graph masks."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.blocks import node_of_channel
from rgp.compile.parallel_classes import decompose
from rgp.compile.structure import Structure
from rgp.graph import Graph
from rgp.outlook import MAX_NEIGHBOURHOODS, Outlook


def lines(order: int, classes: int) -> NDArray[np.bool_]:
    """The points of a prime order's affine plane, joined on common lines of some slopes: affine graphs."""
    x, y = np.divmod(np.arange(order**2), order)
    slopes = [(y - m * x) % order for m in range(classes)]
    joined: NDArray[np.bool_] = np.any([line[:, None] == line for line in slopes], axis=0)
    return joined


@st.composite
def matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Rings, random regular graphs, affine ones, cliques, unequal parts, unions of copies; thickened or not."""
    kind = draw(st.sampled_from(["ring", "random", "affine", "cliques", "unequal", "copies"]))
    size = draw(st.integers(2, 10))
    if kind == "ring":
        matrix = nx.to_numpy_array(nx.cycle_graph(size + 1))
    elif kind == "random":
        matrix = nx.to_numpy_array(nx.random_regular_graph(3, 2 * size + 2, seed=draw(st.integers(0, 99))))
    elif kind == "affine":
        matrix = lines(draw(st.sampled_from([2, 3, 5])), draw(st.integers(1, 2))).astype(float)
    elif kind == "cliques":
        matrix = np.kron(np.eye(size), np.ones((2, 2)))
    elif kind == "unequal":
        matrix = nx.to_numpy_array(nx.disjoint_union(nx.complete_graph(4), nx.complete_bipartite_graph(3, 3)))
    else:
        matrix = np.kron(np.eye(size), nx.to_numpy_array(nx.cycle_graph(draw(st.integers(3, 6)))))
    if draw(st.booleans()):
        np.fill_diagonal(matrix, 1)
    thick = draw(st.integers(1, 3))
    return np.asarray(np.kron(matrix, np.ones((thick, thick))))  # the product with an all-ones matrix: twins


@given(matrices(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_the_outlook_of_a_graph_is_what_the_compiler_splits_it_into_at_least(
    matrix: NDArray[np.float64], out_width: int, in_width: int, seed: int
) -> None:
    seen = Outlook.of(Graph.of(matrix))
    nodes = len(matrix)
    outs, ins = nodes * out_width, nodes * in_width
    mask = matrix[node_of_channel(outs, nodes)][:, node_of_channel(ins, nodes)]
    rng = np.random.default_rng(seed)
    structure = Structure.of(mask[rng.permutation(outs)][:, rng.permutation(ins)][:, :, None, None].astype(np.float32))

    if seen.groups:  # the compiler may find a finer split still
        assert decompose(structure).macs_share <= 1 / seen.groups
    if seen.slices:
        assert len(structure.neighbourhoods) == seen.slices <= MAX_NEIGHBOURHOODS

    assert len(seen.twin_classes) == len(structure.biadjacency)
    assert sorted(size * out_width for size in seen.twin_classes) == sorted(np.bincount(structure.out_class).tolist())
    found = sorted((len(part.outs), len(part.ins)) for part in structure.parts)
    assert sorted((out * out_width, into * in_width) for out, into in seen.parts) == found


@given(matrices(), st.integers(0, 30))
def test_blocks_are_the_classes_that_the_compiler_finds(matrix: NDArray[np.float64], more: int) -> None:
    channels = len(matrix) + more
    owner = node_of_channel(channels, len(matrix))
    structure = Structure.of(matrix[owner][:, owner][:, :, None, None].astype(np.float32))
    sides = np.bincount(structure.in_class)
    block = Outlook.of(Graph.of(matrix)).block(channels)
    assert block is not None
    assert (block.least, block.most) == (sides.min(), sides.max())
