"""The ring lattice, and random graphs made from it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.families import parse, random, ring

sizes = st.tuples(st.integers(3, 24), st.integers(2, 23)).filter(
    lambda size: size[1] < size[0] and size[0] * size[1] % 2 == 0
)


@given(sizes)
def test_a_ring_joins_each_node_to_its_nearest(size: tuple[int, int]) -> None:
    nodes, degree = size
    graph = ring(nodes, degree)
    nearest = sorted(range(1, nodes), key=lambda node: min(node, nodes - node))[:degree]
    if degree % 2:  # an odd degree takes the opposite node instead of half a pair
        nearest[-1] = nodes // 2
    assert sorted(np.flatnonzero(graph.adjacency[0])) == sorted(nearest)
    assert all(np.array_equal(graph.adjacency[i], np.roll(graph.adjacency[0], i)) for i in range(nodes))


def test_different_seeds_give_different_graphs() -> None:
    assert len({random(16, 4, seed).adjacency.tobytes() for seed in range(50)}) == 50


def test_a_random_graph_mixes_nearly_as_well_as_the_mean_of_its_kind() -> None:
    # ../shared/facts/rgp.md: the mean ASPL of random regular graphs at 64_8 is 2.184, the ring has 4.444
    assert np.mean([random(64, 8, seed).aspl for seed in range(10)]) == pytest.approx(2.184, abs=0.01)


@pytest.mark.parametrize(("nodes", "degree"), [(3, 2), (4, 3), (6, 2), (7, 6), (12, 2), (64, 63)])
def test_a_random_graph_exists_where_swaps_are_scarce(nodes: int, degree: int) -> None:
    assert all(random(nodes, degree, seed).parts == 1 for seed in range(5))


@pytest.mark.parametrize(
    ("nodes", "degree", "seed", "fingerprint"),
    [(8, 3, 0, "3b9837fcd2ed3e4a"), (64, 16, 0, "1e322ed96793e838"), (64, 16, 1, "64f7afc1d0cf21d9")],
)
def test_the_generator_still_makes_the_graphs_that_checkpoints_name(
    nodes: int, degree: int, seed: int, fingerprint: str
) -> None:
    bits = np.packbits(random(nodes, degree, seed).adjacency)
    assert hashlib.sha256(bits.tobytes()).hexdigest()[:16] == fingerprint


def test_with_rotation_each_layer_has_the_next_seed() -> None:
    graphs = parse("random:8_4?seed=5&rotate=1&loops=1")
    assert [graph.spelling for graph in graphs] == [f"random:8_4?seed={5 + i}&loops=1" for i in range(64)]
    assert np.array_equal(graphs[3].adjacency, random(8, 4, seed=8, loops=1).adjacency)


def test_after_the_largest_seed_comes_0() -> None:
    graphs = parse(f"random:8_3?seed={10**18 - 1}&rotate=1")
    assert [graph.spelling for graph in graphs[:2]] == [f"random:8_3?seed={10**18 - 1}", "random:8_3?seed=0"]
