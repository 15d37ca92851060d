"""The graphs that ship, and the ones that are searched anew."""

from __future__ import annotations

import numpy as np
import pytest

from rgp import library
from rgp.errors import GraphError
from rgp.families import parse, searched


@pytest.mark.parametrize(("nodes", "degree"), library.SIZES)
def test_a_size_alone_means_the_graph_that_ships(nodes: int, degree: int) -> None:
    (graph,) = parse(f"{nodes}_{degree}")
    shipped = library.load(nodes, degree)
    assert shipped is not None
    assert graph.spelling == f"{nodes}_{degree}"
    assert np.array_equal(graph.adjacency, shipped.adjacency)


def test_relabelled_it_is_the_same_graph_with_other_numbers() -> None:
    plain, other = searched(16, 4), searched(16, 4, relabel=7)
    assert other.spelling == "16_4?relabel=7"
    order = np.random.Generator(np.random.PCG64(7)).permutation(16)
    assert not np.array_equal(other.adjacency, plain.adjacency)
    assert all(other.adjacency[i, j] == plain.adjacency[order[i], order[j]] for i in range(16) for j in range(16))
    assert other.aspl == plain.aspl


def test_with_rotation_each_layer_has_other_numbers() -> None:
    graphs = parse("16_4?rotate=1")
    assert [graph.spelling for graph in graphs] == ["16_4", *(f"16_4?relabel={i}" for i in range(1, 64))]
    assert len({graph.adjacency.tobytes() for graph in graphs}) == 64


def test_self_loops_are_counted_in_the_degree() -> None:
    looped = searched(16, 5, loops=1)
    assert looped.spelling == "16_5?loops=1"
    assert np.array_equal(looped.adjacency, searched(16, 4).adjacency | np.eye(16, dtype=bool))


def test_a_seed_searches_anew_and_says_for_how_long() -> None:
    (graph,) = parse("10_3?seed=1&iterations=2000")
    assert graph.spelling == "10_3?seed=1&iterations=2000"
    assert graph.aspl == pytest.approx(15 / 9)  # Petersen's graph
    assert searched(10, 3, iterations=2000).spelling == "10_3?seed=0&iterations=2000"
    relabelled = searched(10, 3, seed=1, iterations=2000, relabel=1)
    assert relabelled.spelling == "10_3?seed=1&iterations=2000&relabel=1"
    assert relabelled.aspl == graph.aspl


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        (
            "64_5",
            "64_5: no such graph ships with rgp (the nearest that do are 64_3, 64_4, 64_6, 64_7): "
            "take random:64_5, or search one with rgp-graph search 64_5 -o FILE.npy",
        ),
        (
            "64_40?loops=1",
            "64_40?loops=1: no such graph ships with rgp (the nearest that do are 64_33, 64_35, 64_36, 64_37): "
            "take random:64_40?loops=1, or search one with rgp-graph search 64_39 -o FILE.npy",
        ),
        (
            "48_6",
            "48_6: no such graph ships with rgp (graphs of 16, 32, 64 nodes do): "
            "take random:48_6, or search one with rgp-graph search 48_6 -o FILE.npy",
        ),
        ("64_64", "64_64: the degree must be from 2 to N-1, not 64 with 64 nodes"),
        ("63_5", "63_5: N * d is 315, which is odd"),
        ("100000_16", "100000_16: 100000 nodes, give at most 4096"),
    ],
)
def test_a_size_that_does_not_ship_names_those_that_do(spelling: str, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse(spelling)
    assert str(caught.value).startswith(message)


def test_an_interrupted_search_is_not_what_its_spelling_means(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rgp.search.hunt.Hunt.settled", property(interrupt))
    with pytest.raises(KeyboardInterrupt):
        parse("22_4?iterations=1000")
