"""Parallel classes are found in the zeros alone: exact where they exist, refused with a reason where none pay."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.blocks import node_of_channel
from rgp.compile.parallel_classes import Decomposition, decompose
from rgp.compile.structure import Part, Structure
from rgp.families import parse

PATIENT = 60.0
"""Seconds: the search ends by itself, on a busy machine too."""


def masked(adjacency: np.ndarray, outs: int, ins: int) -> np.ndarray:
    """(outs, ins) bool: what ``adjacency`` lets through."""
    p, q = adjacency.shape
    support: np.ndarray = adjacency[node_of_channel(outs, p)][:, node_of_channel(ins, q)]
    return support


def shuffled(support: np.ndarray, seed: int) -> np.ndarray:
    """Outputs and inputs each in an order of their own."""
    rng = np.random.default_rng(seed)
    mixed: np.ndarray = support[rng.permutation(len(support))][:, rng.permutation(support.shape[1])]
    return mixed


def decomposed(support: np.ndarray, seconds: float = PATIENT) -> Decomposition:
    """What is found in ``support`` (O, I), after checking all that a decomposition promises."""
    found = decompose(Structure.of(support.astype(np.float32)), seconds=seconds)
    check(found, support)
    return found


def check(found: Decomposition, support: np.ndarray) -> None:
    assert found.why
    assert "\n" not in found.why
    if not found.classes:
        assert found.macs_share == 1
        return
    assert found.macs_share < 1
    times = np.zeros(support.shape, int)
    macs = 0
    for parts in found.classes:
        assert len(parts) >= 2
        assert sorted(out for part in parts for out in part.outs) == list(range(len(support)))
        assert sorted(channel for part in parts for channel in part.ins) == list(range(support.shape[1]))
        assert len({(len(part.outs), len(part.ins)) for part in parts}) == 1
        assert [part.ins[0] for part in parts] == sorted(part.ins[0] for part in parts)
        for part in parts:
            assert list(part.outs) == sorted(part.outs)
            assert list(part.ins) == sorted(part.ins)
            times[np.ix_(part.outs, part.ins)] += 1
            macs += len(part.outs) * len(part.ins)
    assert ((times > 0) >= support).all()
    assert found.exact == ((times > 0) == support).all()
    assert found.macs_share == pytest.approx(macs / support.size)


# (graph, classes, parts of each): for affine graphs the lines of as many directions
EXACT = [
    ("affine:16_4", 1, 4),
    ("affine:64_8?classes=1", 1, 8),
    ("affine:9_5", 2, 3),
    ("affine:16_7", 2, 4),
    ("affine:16_10?classes=3", 3, 4),
    ("affine:64_15?classes=2", 2, 8),
    ("affine:64_22?classes=3", 3, 8),
    ("affine:64_29?classes=4", 4, 8),
    ("affine:64_16?classes=5", 5, 16),
    ("affine:81_9?classes=4", 4, 27),
    ("affine:81_17", 2, 9),
    ("affine:256_31", 2, 16),
    ("product:affine:16_7x4", 2, 4),
    ("product:affine:9_5x3", 2, 3),
    ("64_4", 4, 64),
    ("product:16_4x4", 4, 16),
]


@pytest.mark.parametrize(("spelling", "classes", "parts"), EXACT)
def test_cliques_in_parallel_are_found_exactly_from_shuffled_channels(spelling: str, classes: int, parts: int) -> None:
    graph = parse(spelling, connected=False)[0]
    for seed in range(2):
        support = shuffled(masked(graph.adjacency, 2 * graph.nodes, 4 * graph.nodes), seed)
        found = decomposed(support)
        assert found.exact, found.why
        assert [len(each) for each in found.classes] == [parts] * classes


@pytest.mark.parametrize("spelling", ["affine:16_4?rotate=1", "affine:64_15?classes=2&rotate=1"])
def test_every_layer_of_a_rotation_has_classes_of_its_own(spelling: str) -> None:
    graphs = parse(spelling)
    found = [decomposed(masked(graph.adjacency, graph.nodes, graph.nodes)) for graph in graphs]
    assert all(each.exact for each in found)
    assert len({each.macs_share for each in found}) == 1
    assert len({each.classes for each in found}) == len(graphs)


def test_the_lines_of_an_affine_graph_are_the_parts_again() -> None:
    (graph,) = parse("affine:9_5")
    found = decomposed(graph.adjacency)
    for parts in found.classes:
        for part in parts:
            assert part.outs == part.ins  # in no shuffled order, a line is the same nodes on both sides
            assert len(part.ins) == 3


@pytest.mark.parametrize(("spelling", "classes", "parts"), [("affine:64_14?loops=0", 2, 8), ("ring:64_16", 3, 8)])
def test_parts_with_zeros_are_found_where_full_ones_are_not(spelling: str, classes: int, parts: int) -> None:
    (graph,) = parse(spelling)
    for seed in range(2):
        found = decomposed(shuffled(masked(graph.adjacency, 64, 128), seed))
        assert not found.exact
        assert [len(each) for each in found.classes] == [parts] * classes, found.why


@pytest.mark.parametrize("spelling", ["random:64_16", "64_16", "random:64_36", "circulant:64_16"])
def test_graphs_without_such_structure_are_refused_with_a_reason(spelling: str) -> None:
    (graph,) = parse(spelling)
    found = decomposed(shuffled(masked(graph.adjacency, 64, 64), 1))
    assert found.classes == ()
    assert found.why == (
        "no cover by parallel classes found within 60 s: its channels are all connected; no order in which equal "
        "windows cover it in at most 4 classes; no full blocks of one size that cover it in parallel classes"
    )


@pytest.mark.parametrize(
    ("matrix", "parts"),
    [("4/M0", [64] * 4), ("16/M0", []), ("36/M0", []), ("16/ring", [8] * 3), ("36/ring", [])],
)
def test_the_published_matrices_end_in_a_cover_or_a_reason(matrix: str, parts: list[int]) -> None:
    degree, name = matrix.split("/")
    folder = Path(__file__).parents[3] / "shared" / "data" / "adjacency" / "64" / degree
    if not folder.is_dir():
        pytest.skip("the published matrices (../shared/data) are not on this machine")
    paths = sorted(folder.glob("M*.npy"), key=lambda path: int(path.stem[1:]))  # the last one is the ring lattice
    found = decomposed(shuffled(np.load(paths[0 if name == "M0" else -1]).astype(bool), 0))
    assert [len(each) for each in found.classes] == parts, found.why


@settings(max_examples=25)
@given(
    st.sampled_from([spelling for spelling, *_ in EXACT[:6]] + ["ring:16_4", "ring:24_6"]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_shuffling_changes_nothing_about_the_share(spelling: str, outs: int, ins: int, seed: int) -> None:
    graph = parse(spelling, connected=False)[0]
    support = masked(graph.adjacency, outs * graph.nodes, ins * graph.nodes)
    plain, mixed = decomposed(support), decomposed(shuffled(support, seed))
    assert plain.macs_share == pytest.approx(mixed.macs_share)
    assert plain.exact == mixed.exact


@given(st.integers(1, 14), st.integers(1, 14), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_whatever_is_found_is_a_cover_by_partitions(outs: int, ins: int, density: float, seed: int) -> None:
    decomposed(np.random.default_rng(seed).random((outs, ins)) < density)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_random_sums_of_grouped_convolutions_come_apart_again(classes: int) -> None:
    blocks = np.kron(np.eye(8, dtype=bool), np.ones((8, 6), bool))
    for seed in range(3):
        support = np.logical_or.reduce([shuffled(blocks, 10 * seed + index) for index in range(classes)])
        found = decomposed(support)
        assert found.exact
        assert [len(parts) for parts in found.classes] == [8] * classes


def test_small_separate_parts_are_packed_into_equal_ones() -> None:
    support = np.zeros((12, 12), bool)
    for low, high in pairwise([0, 4, 7, 9, 10, 11, 12]):
        support[low:high, low:high] = True
    found = decomposed(shuffled(support, 5))
    assert [len(parts) for parts in found.classes] == [3]
    assert not found.exact


def test_channels_of_no_edge_fill_parts_that_have_room() -> None:
    (graph,) = parse("affine:64_15")
    support = masked(graph.adjacency, 128, 128)
    support[3] = False
    support[:, [5, 9, 77]] = False
    found = decomposed(shuffled(support, 0))
    assert [len(parts) for parts in found.classes] == [8, 8]
    assert not found.exact


def test_lines_of_unequal_channels_are_packed_or_refused_with_a_reason() -> None:
    (graph,) = parse("affine:64_15")
    found = decomposed(masked(graph.adjacency, 72, 72))  # 9 channels a line on average, 8 to 11 in fact
    assert len(found.classes) == 2
    assert not found.exact
    refused = decomposed(masked(graph.adjacency, 67, 67))  # a prime: no groups at all
    assert refused.classes == ()
    assert "2 parallel classes of full blocks, whose unequal blocks do not make equal groups" in refused.why


def test_one_separate_part_each_is_a_depthwise_convolution() -> None:
    found = decomposed(np.eye(5, dtype=bool)[[3, 1, 0, 4, 2]])
    assert found.classes == (tuple(Part((out,), (index,)) for index, out in enumerate([2, 1, 4, 0, 3])),)
    assert found.exact


@pytest.mark.parametrize("value", [0, 1])
def test_without_zeros_or_without_edges_there_is_nothing_to_find(value: int) -> None:
    found = decomposed(np.full((6, 4), bool(value)))
    assert found == Decomposition((), False, found.why)
    assert found.why.startswith("no parallel classes: ")


def test_without_time_the_reason_is_that_it_was_stopped() -> None:
    (graph,) = parse("affine:256_31")
    found = decomposed(shuffled(masked(graph.adjacency, 256, 256), 0), seconds=1e-9)
    assert found.classes == ()
    assert found.why == (
        "no cover by parallel classes found within 1e-09 s: its channels are all connected; "
        "the search for windows was stopped"
    )


@pytest.mark.parametrize("density", [0.003, 0.03, 0.5])
def test_large_weights_of_no_structure_end_in_a_reason(density: float) -> None:
    support = np.random.default_rng(0).random((1024, 1024)) < density
    found = decomposed(support, seconds=0.2)
    assert found.classes == ()


def test_the_same_structure_gives_the_same_classes() -> None:
    (graph,) = parse("affine:64_16?classes=5")
    support = shuffled(graph.adjacency, 3)
    assert decomposed(support) == decomposed(support)
