"""Structure is found in the weights, whatever order the channels come in."""

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
