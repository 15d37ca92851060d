"""Many neighbourhoods merge into few parts that read little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.blocks import node_of_channel
from rgp.compile.merge import MAX_CLASSES, merged
from rgp.compile.structure import Part, Structure
from rgp.families import parse


def support_of(spelling: str, outs: int, ins: int, seed: int) -> np.ndarray:
    """(outs, ins) bool: the first graph's mask, outputs and inputs each shuffled."""
    graph = parse(spelling, connected=False)[0]
    mask = graph.adjacency[node_of_channel(outs, graph.nodes)][:, node_of_channel(ins, graph.nodes)]
    rng = np.random.default_rng(seed)
    mixed: np.ndarray = mask[rng.permutation(outs)][:, rng.permutation(ins)]
    return mixed


def merges(support: np.ndarray) -> dict[int, tuple[Part, ...]]:
    """What is merged, after checking that each count is a split of all outputs that loses no edge and pays."""
    found = merged(Structure.of(support.astype(np.float32)))
    for count, parts in found.items():
        assert len(parts) == count
        assert sorted(out for part in parts for out in part.outs) == list(range(len(support)))
        for part in parts:
            assert part.outs
            assert part.ins == tuple(np.flatnonzero(support[list(part.outs)].any(axis=0)))  # all they read, no more
            assert len(part.ins) < support.shape[1]
        assert share(parts, support) <= 0.9
    return found


def share(parts: tuple[Part, ...], support: np.ndarray) -> float:
    return sum(len(part.outs) * len(part.ins) for part in parts) / support.size


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("outs", "ins"), [(64, 64), (128, 256), (70, 67)])
def test_a_ring_becomes_its_windows_whatever_the_order(outs: int, ins: int, seed: int) -> None:
    support = support_of("ring:64_16", outs, ins, seed)
    found = merges(support)
    assert sorted(found) == [2, 3, 4, 6, 8]
    for count, parts in found.items():  # a window of 64/count nodes reads 16 more than it has
        assert share(parts, support) == pytest.approx((64 / count + 16) / 64, rel=0.03)


def test_separate_parts_are_merged_before_all_others() -> None:
    support = support_of("affine:64_8?classes=1", 128, 128, seed=0)
    found = merges(support)
    assert found[8] == Structure.of(support.astype(np.float32)).parts
    assert share(found[4], support) == pytest.approx(1 / 4)
    assert share(found[2], support) == pytest.approx(1 / 2)


def test_counts_at_which_nothing_is_gained_are_left_out() -> None:
    assert merges(support_of("64_36", 64, 64, seed=0)) == {}
    assert set(merges(support_of("random:64_16", 64, 64, seed=0))) <= {6, 8}


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_no_edge_is_lost_and_every_output_is_in_one_part(outs: int, ins: int, density: float, seed: int) -> None:
    merges(np.random.default_rng(seed).random((outs, ins)) < density)


def test_outputs_that_read_nothing_belong_to_the_part_that_reads_least() -> None:
    support = np.zeros((6, 6), bool)
    support[:2, :4] = True
    support[2:4, 4:] = True
    assert merges(support)[2] == (Part((0, 1), (0, 1, 2, 3)), Part((2, 3, 4, 5), (4, 5)))


def test_a_class_in_the_wrong_part_moves() -> None:
    # Merging pairs first joins 1 with 2 (the cheapest), from which there is no way back to {0, 1} and {2, 3}.
    support = np.zeros((4, 40), bool)
    support[0, :18] = support[1, 2:20] = True
    support[2, 19:37] = support[3, 21:39] = True
    support[1, 19] = support[2, 19] = True
    parts = merges(support)[2]
    assert [part.outs for part in parts] == [(0, 1), (2, 3)]


def test_dense_weights_and_weights_of_zeros_have_nothing_to_merge() -> None:
    assert merges(np.ones((4, 4), bool)) == {}
    assert merges(np.zeros((4, 4), bool)) == {}


@pytest.mark.parametrize(("classes", "some"), [(MAX_CLASSES, True), (MAX_CLASSES + 1, False)])
def test_too_many_neighbourhoods_are_no_structure(classes: int, some: bool) -> None:
    band = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) < 5
    assert bool(merges(band)) == some
