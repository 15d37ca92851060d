"""Circulant graphs: one row turned, and the best offsets found."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.families import circulant, offsets, parse
from rgp.families.climb import best_subset
from rgp.families.ring import circulant_matrix
from rgp.graph import Graph


@pytest.mark.parametrize("degree", [*range(14, 26), 30, 36, 37, 48, 61, 62, 63])
def test_from_14_neighbours_on_the_average_path_is_as_short_as_can_be(degree: int) -> None:
    graph = circulant(64, degree)
    assert graph.parts == 1
    assert graph.aspl == pytest.approx(graph.aspl_bound, abs=1e-12)


@pytest.mark.parametrize(
    ("nodes", "degree"), [(7, 2), (13, 4), (16, 4), (16, 5), (16, 8), (30, 4), (31, 6), (32, 7), (64, 4)]
)
def test_no_other_offsets_are_better(nodes: int, degree: int) -> None:
    opposite = [nodes // 2] if degree % 2 else []
    others = [
        Graph.of(circulant_matrix(nodes, [*chosen, *opposite]))
        for chosen in combinations(range(1, (nodes + 1) // 2), degree // 2)
    ]
    best = min(others, key=lambda graph: (graph.aspl, -round(graph.spectral_gap, 6)))
    graph = circulant(nodes, degree)
    assert graph.aspl == best.aspl
    assert graph.spectral_gap == pytest.approx(best.spectral_gap, abs=1e-6)


def test_where_not_all_offsets_can_be_tried_the_search_beats_a_thousand_random_tries() -> None:
    rng = np.random.default_rng(0)
    tries = [circulant_matrix(64, (1 + rng.permutation(31)[:5]).tolist()) for _ in range(1000)]
    assert circulant(64, 10).aspl < min(Graph.of(matrix).aspl for matrix in tries)


@given(st.integers(3, 30), st.integers(2, 29), st.integers(0, 5))
def test_the_offsets_make_the_graph(nodes: int, degree: int, seed: int) -> None:
    if degree >= nodes or nodes * degree % 2:
        return
    graph = circulant(nodes, degree, seed)
    found = offsets(graph)
    assert len(found) == (degree + 1) // 2
    assert all(1 <= offset <= nodes // 2 for offset in found)
    assert (nodes / 2 in found) == (degree % 2 == 1)
    assert np.array_equal(circulant_matrix(nodes, list(found)), graph.adjacency)
    assert offsets(circulant(nodes, degree + 1, seed, loops=1)) == found


@pytest.mark.parametrize(
    ("spelling", "fingerprint"),
    [
        ("circulant:64_8", "364ede6a28d75dd3"),
        ("circulant:64_16", "26c65fcba1942117"),
        ("circulant:64_16?seed=1", "f553b0c06d486c07"),
        ("circulant:32_7", "4353f7fa083a825d"),
        ("circulant:256_16", "104b23b0650bfeb7"),
    ],
)
def test_the_search_still_finds_the_graphs_that_checkpoints_name(spelling: str, fingerprint: str) -> None:
    (graph,) = parse(spelling)
    assert graph.spelling == spelling
    assert hashlib.sha256(np.packbits(graph.adjacency).tobytes()).hexdigest()[:16] == fingerprint


@pytest.mark.parametrize(("pool", "size", "tries"), [(8, 3, 56), (12, 6, 600), (20, 4, 3000)])
def test_hill_climbing_finds_the_least_cost(pool: int, size: int, tries: int) -> None:
    assert best_subset(pool, size, lambda chosen: (0, -sum(chosen)), tries=tries) == tuple(range(pool - size, pool))


def test_hill_climbing_keeps_the_first_numbers_if_nothing_is_better() -> None:
    assert best_subset(20, 4, lambda chosen: (int(sorted(chosen) != [0, 1, 2, 3]), 0), tries=300) == (0, 1, 2, 3)


def test_hill_climbing_chooses_nothing_and_everything() -> None:
    assert best_subset(5, 0, lambda chosen: (0, 0), tries=10) == ()
    assert best_subset(5, 5, lambda chosen: (0, 0), tries=10) == (0, 1, 2, 3, 4)
    assert best_subset(0, 0, lambda chosen: (0, 0), tries=10) == ()
