"""Structure is found in the weights, whatever order the channels come in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.blocks import node_of_channel
from rgp.compile.structure import Part, Structure
from rgp.families import affine, parse


def masked_weight(adjacency: np.ndarray, outs: int, ins: int, seed: int, kernel: int = 3) -> np.ndarray:
    """A weight (outs, ins, kernel, kernel) masked by ``adjacency``, its channels shuffled on both sides."""
    rng = np.random.default_rng(seed)
    p, q = adjacency.shape
    mask = adjacency[node_of_channel(outs, p)][:, node_of_channel(ins, q)]
    mask = mask[rng.permutation(outs)][:, rng.permutation(ins)]
    weight = rng.normal(size=(outs, ins, kernel, kernel)).astype(np.float32)
    masked: np.ndarray = weight * mask[:, :, None, None]
    return masked


def rebuilt(structure: Structure) -> np.ndarray:
    return structure.biadjacency[np.ix_(structure.out_class, structure.in_class)]


@given(
    st.sampled_from(["ring:8_4", "random:8_3", "16_4", "affine:16_7", "affine:9_5", "ring:5_2"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)
def test_support_is_recovered_exactly_from_shuffled_channels(spelling: str, more: int, less: int, seed: int) -> None:
    (graph,) = parse(spelling)
    weight = masked_weight(graph.adjacency, graph.nodes + more, graph.nodes + less, seed)
    structure = Structure.of(weight)
    support = (weight != 0).any(axis=(2, 3))
    assert (rebuilt(structure) == support).all()
    assert structure.density == pytest.approx(support.mean())
    distinct = len(np.unique(graph.adjacency, axis=0))  # nodes with one neighbourhood are twins
    assert structure.nodes == distinct


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_one_parallel_class_is_as_many_parts_as_it_has_lines(order: int) -> None:
    graph = affine(order**2, order, 1)
    channels = 2 * order**2 + 1  # not divisible by the nodes
    structure = Structure.of(masked_weight(graph.adjacency, channels, channels, seed=1))
    assert len(structure.parts) == order
    assert structure.nodes == order
    outs = sorted(channel for part in structure.parts for channel in part.outs)
    assert outs == list(range(channels))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_parts_never_meet_and_neighbourhoods_cover_every_edge(outs: int, ins: int, seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    support = rng.random((outs, ins)) < density
    structure = Structure.of(support.astype(np.float32)[:, :, None, None])
    covered = np.zeros_like(support)
    for part in structure.parts:
        rows, columns = list(part.outs), list(part.ins)
        assert support[rows].any(axis=1).all()
        assert support[:, columns].any(axis=0).all()
        covered[np.ix_(rows, columns)] = True
    assert not (support & ~covered).any()
    assert sum(len(part.outs) for part in structure.parts) == support.any(axis=1).sum()
    for part in structure.neighbourhoods:
        for out in part.outs:
            assert tuple(np.flatnonzero(support[out])) == part.ins


def test_a_dense_weight_is_one_class_and_one_part() -> None:
    structure = Structure.of(np.ones((3, 2, 1, 1), np.float32))
    assert structure.biadjacency.shape == (1, 1)
    assert structure.parts == (Part((0, 1, 2), (0, 1)),)


def test_a_weight_of_zeros_has_no_part() -> None:
    structure = Structure.of(np.zeros((3, 2, 1, 1), np.float32))
    assert structure.parts == ()
    assert structure.density == 0


def test_one_nonzero_tap_of_a_kernel_is_an_edge() -> None:
    weight = np.zeros((2, 2, 3, 3), np.float32)
    weight[0, 1, 2, 2] = -1e-30
    structure = Structure.of(weight)
    assert structure.parts == (Part((0,), (1,)),)


def test_a_linear_layer_is_a_convolution_without_a_kernel() -> None:
    weight = masked_weight(affine(9, 5, 2).adjacency, 20, 18, seed=3, kernel=1)
    linear, convolution = Structure.of(weight[:, :, 0, 0]), Structure.of(weight)
    assert (linear.biadjacency == convolution.biadjacency).all()
    assert linear.parts == convolution.parts


@given(st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_weights_up_to_the_threshold_are_no_edge(threshold: float, seed: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(40, 7, 2, 1)).astype(np.float32)
    support = (np.abs(weight) > threshold).any(axis=(2, 3))
    assert (rebuilt(Structure.of(weight, threshold)) == support).all()


def test_a_weight_that_is_exactly_the_threshold_is_no_edge() -> None:
    assert Structure.of(np.array([[0.5, -0.5]], np.float32), 0.5).parts == ()
    assert Structure.of(np.array([[0.5, -0.75]], np.float32), 0.5).parts == (Part((0,), (1,)),)


def test_nan_is_an_edge_whatever_the_threshold() -> None:
    weight = np.zeros((3, 3, 1, 2), np.float32)
    weight[2, 1, 0, 1] = np.nan
    assert Structure.of(weight, threshold=1e9).parts == (Part((2,), (1,)),)


@pytest.mark.parametrize("degree", ["4", "16", "36"])
def test_a_published_matrix_is_found_again(degree: str) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "adjacency" / "64" / degree
    if not folder.is_dir():
        pytest.skip("the published matrices (../shared/data) are not on this machine")
    path = sorted(folder.glob("M*.npy"))[0]
    adjacency = np.load(path).astype(bool)
    rng = np.random.default_rng(0)
    outs, ins = rng.permutation(128), rng.permutation(192)
    support = np.kron(adjacency, np.ones((2, 3), bool))[outs][:, ins]
    structure = Structure.of(support.astype(np.float32))
    assert structure.biadjacency.shape == adjacency.shape
    assert structure.regular
    # channel -> published node: up to that order, the biadjacency is the published matrix
    out_node = (outs // 2)[np.unique(structure.out_class, return_index=True)[1]]
    in_node = (ins // 3)[np.unique(structure.in_class, return_index=True)[1]]
    assert (structure.biadjacency == adjacency[out_node][:, in_node]).all()


def test_a_regular_structure_says_how_many_classes_each_reads() -> None:
    (graph,) = parse("random:64_16")
    structure = Structure.of(masked_weight(graph.adjacency, 128, 256, seed=0, kernel=1))
    assert structure.regular
    assert set(structure.degrees.tolist()) == {16}
    assert structure.describe() == "64 x 64 classes, every output class reads 16: 25% of the channel pairs"


def test_an_irregular_structure_says_the_least_and_the_most() -> None:
    structure = Structure.of(np.tri(3, 3, -1, dtype=np.float32))
    assert not structure.regular
    assert structure.degrees.tolist() == [0, 1, 2]
    assert structure.describe() == "3 x 3 classes, output classes read 0 to 2: 33.3% of the channel pairs"


def test_a_structure_without_zeros_or_without_edges_says_so() -> None:
    assert Structure.of(np.ones((3, 2), np.float32)).describe() == "every output channel reads every input channel"
    assert Structure.of(np.zeros((3, 2), np.float32)).describe() == "no output channel reads any input channel"


def test_a_chain_of_channels_is_one_part_however_long() -> None:
    chain = np.eye(300) + np.eye(300, k=1)
    order = np.random.default_rng(0).permutation(300)
    structure = Structure.of(chain[order][:, order[::-1]].astype(np.float32))
    assert structure.parts == (Part(tuple(range(300)), tuple(range(300))),)
