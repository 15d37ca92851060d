"""The search finds good graphs, the same ones from the same seed."""

from __future__ import annotations

import signal
import threading

import networkx as nx
import pytest

from rgp.errors import GraphError
from rgp.families import ring
from rgp.graph import aspl_bound
from rgp.search import search
from rgp.search.hunt import Hunt


@pytest.mark.parametrize(
    ("nodes", "degree", "iterations", "reaches"),
    [
        (16, 4, 100_000, 1.75),
        (64, 6, 300_000, 2.336),
        (64, 12, 300_000, aspl_bound(64, 12)),
        (64, 14, 50_000, aspl_bound(64, 14)),
        (64, 36, 5_000, aspl_bound(64, 36)),
    ],
)
def test_short_searches_reach_what_the_published_one_did_not(
    nodes: int, degree: int, iterations: int, reaches: float
) -> None:
    found = search(nodes, degree, iterations=iterations)
    assert found.graph.aspl <= reaches + 1e-9
    assert (found.graph.degree, found.graph.self_loops) == (degree, False)
    assert nx.average_shortest_path_length(nx.from_numpy_array(found.graph.adjacency)) == pytest.approx(
        found.graph.aspl
    )


@pytest.mark.parametrize(("nodes", "degree"), [(64, 8), (30, 4), (64, 20), (13, 4)])
def test_seed_and_iterations_decide_the_graph_and_pieces_do_not(nodes: int, degree: int) -> None:
    first, again = (search(nodes, degree, seed=7, iterations=20_011) for _ in range(2))
    assert first.iterations == again.iterations <= 20_011
    assert (first.graph.adjacency == again.graph.adjacency).all()
    hunt = Hunt(nodes, degree, 7)
    while hunt.iterations < first.iterations:
        hunt.advance(min(97, first.iterations - hunt.iterations))
    assert (hunt.end().graph.adjacency == first.graph.adjacency).all()


def test_the_same_graph_on_every_machine() -> None:
    graph = search(64, 10, seed=1, iterations=30_000).graph
    assert graph.adjacency.nonzero()[1].reshape(64, 10)[0].tolist() == [1, 2, 3, 6, 16, 22, 39, 49, 53, 60]


def test_another_seed_is_another_search() -> None:
    one, other = (search(64, 10, seed=seed, iterations=30_000).graph for seed in (1, 2))
    assert (one.adjacency != other.adjacency).any()


def test_interrupted_it_keeps_the_best() -> None:
    seen: list[float] = []

    def interrupt(hunt: Hunt) -> None:
        seen.append(hunt.aspl)
        if len(seen) == 5:
            threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()

    handler = signal.getsignal(signal.SIGINT)
    found = search(64, 4, progress=interrupt)
    assert found.interrupted
    assert found.graph.aspl <= min(seen) < ring(64, 4).aspl
    again = search(64, 4, iterations=found.iterations)
    assert not again.interrupted
    assert (again.graph.adjacency == found.graph.adjacency).all()
    assert signal.getsignal(signal.SIGINT) is handler


def test_time_ends_it() -> None:
    assert search(64, 8, seconds=0.2).iterations > 0


def test_it_ends_by_itself_where_nothing_is_left_to_find() -> None:
    found = search(16, 8)
    assert found.graph.aspl == pytest.approx(found.graph.aspl_bound)


@pytest.mark.parametrize(("nodes", "degree"), [(8, 7), (6, 5), (5, 4), (4, 2), (3, 2), (10, 8)])
def test_the_smallest_and_the_fullest_graphs(nodes: int, degree: int) -> None:
    assert search(nodes, degree, iterations=2_000).graph.aspl == pytest.approx(aspl_bound(nodes, degree))


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(GraphError, match=r"1025 nodes, give at most 1024"):
        search(1025, 4, iterations=1)


def test_a_thousand_nodes_are_searched() -> None:
    found = search(1024, 6, iterations=3_000)
    assert found.graph.aspl < 4.1  # the best of as many random graphs has 4.2, the ring 85
