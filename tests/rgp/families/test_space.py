"""Affine spaces: parallel classes, their cliques, and which directions are taken."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rgp.families.field import plus, prime_power
from rgp.families.space import class_count, cliques, directions, field_and_dimension, flat
from rgp.graph import Graph

SPACES = [  # nodes, clique size: every one up to 243 nodes, and a few larger
    (nodes, prime**s)
    for nodes in [*range(4, 244), 256, 343, 512, 1024]
    for prime, size in [prime_power(nodes)]
    for s in range(1, size)
]
PLANES = [(q * q, q) for q in (2, 3, 4, 5, 7, 8, 9, 16)]


@pytest.mark.parametrize(("nodes", "clique"), SPACES)
def test_each_class_splits_the_nodes_into_cliques_of_one_size(nodes: int, clique: int) -> None:
    count = class_count(nodes, clique)
    for direction in {0, 1, count // 2, count - 1}:
        assert np.bincount(cliques(nodes, clique, direction)).tolist() == [clique] * (nodes // clique)


@pytest.mark.parametrize(("nodes", "clique"), SPACES)
def test_the_classes_differ_and_the_next_is_the_first_again(nodes: int, clique: int) -> None:
    count = class_count(nodes, clique)
    assert len({frozenset(flat(nodes, clique, i).tolist()) for i in range(count)}) == count
    assert set(flat(nodes, clique, count).tolist()) == set(flat(nodes, clique, 0).tolist())


@pytest.mark.parametrize(("nodes", "clique"), SPACES)
def test_as_few_consecutive_classes_as_can_connect_everything_do(nodes: int, clique: int) -> None:
    reached = np.zeros(1, dtype=np.int16)
    for direction in range(3, 3 + -(-prime_power(nodes)[1] // prime_power(clique)[1])):
        assert len(reached) < nodes
        reached = np.unique(plus(nodes, reached[:, None], flat(nodes, clique, direction)))
    assert len(reached) == nodes


@pytest.mark.parametrize(("nodes", "clique"), [space for space in SPACES if space[0] <= 128])
def test_two_nodes_lie_on_exactly_one_common_line(nodes: int, clique: int) -> None:
    if field_and_dimension(nodes, clique)[1] > 1:
        return  # larger flats meet in more than a point
    count = class_count(nodes, clique)
    assert count == (nodes - 1) // (clique - 1)
    line = np.stack([cliques(nodes, clique, i) for i in range(count)])
    common = (line[:, :, None] == line[:, None, :]).sum(0)
    assert np.array_equal(common, np.ones_like(common) + (count - 1) * np.eye(nodes, dtype=int))


@pytest.mark.parametrize(("nodes", "clique"), PLANES)
def test_in_a_plane_lines_of_different_classes_meet_in_exactly_one_point(nodes: int, clique: int) -> None:
    classes = [cliques(nodes, clique, i) for i in range(clique + 1)]
    for first, second in combinations(classes, 2):
        assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == nodes


def test_cliques_of_16_in_64_nodes_are_planes_over_the_field_of_four() -> None:
    assert field_and_dimension(64, 16) == (4, 2)
    assert class_count(64, 16) == 21


def union(nodes: int, clique: int, chosen: tuple[int, ...]) -> Graph:
    classes = [cliques(nodes, clique, i) for i in chosen]
    return Graph.of(np.logical_or.reduce([line[:, None] == line for line in classes]))


@pytest.mark.parametrize(
    ("nodes", "clique", "count"), [(8, 2, 4), (16, 2, 5), (16, 2, 6), (27, 3, 4), (27, 3, 5), (27, 3, 10), (64, 4, 4)]
)
def test_no_other_directions_are_better(nodes: int, clique: int, count: int) -> None:
    taken = union(nodes, clique, directions(nodes, clique, count))
    others = [
        union(nodes, clique, (0, *chosen))
        for chosen in combinations(range(1, class_count(nodes, clique)), count - 1)
        if count <= 5 or sum(chosen) % 3 == 0  # a third of many
    ]
    best = min(others, key=lambda graph: (graph.aspl, -round(graph.spectral_gap, 6)))
    assert len(others) >= 20
    assert taken.aspl <= best.aspl
    assert taken.aspl < best.aspl or taken.spectral_gap >= best.spectral_gap - 1e-6


@pytest.mark.parametrize(("nodes", "clique"), [(64, 2), (64, 4), (81, 3), (256, 4)])
def test_directions_are_different_classes_and_connect(nodes: int, clique: int) -> None:
    dimension = prime_power(nodes)[1] // prime_power(clique)[1]
    for count in (dimension, dimension + 1, class_count(nodes, clique) - 1, class_count(nodes, clique)):
        chosen = directions(nodes, clique, count)
        assert chosen[0] == 0
        assert len(set(chosen)) == count
        assert max(chosen) < class_count(nodes, clique)
        assert union(nodes, clique, chosen).parts == 1
