"""Families: what each promises, and that a spelling means one graph."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rgp.affine import ORDERS
from rgp.errors import GraphError, RgpError, UsageError
from rgp.families import affine, parse, random, resized, ring
from rgp.graph import Graph

sizes = st.tuples(st.integers(3, 24), st.integers(2, 23)).filter(
    lambda size: size[1] < size[0] and size[0] * size[1] % 2 == 0
)
affine_sizes = st.sampled_from([(q * q, k * (q - 1) + 1) for q in ORDERS for k in range(2, q + 2)])


@given(sizes)
def test_a_ring_joins_each_node_to_its_nearest(size: tuple[int, int]) -> None:
    nodes, degree = size
    graph = ring(nodes, degree)
    assert (graph.nodes, graph.degree, graph.parts, graph.self_loops) == (nodes, degree, 1, False)
    nearest = sorted(range(1, nodes), key=lambda node: min(node, nodes - node))[:degree]
    if degree % 2:  # an odd degree takes the opposite node instead of half a pair
        nearest[-1] = nodes // 2
    assert sorted(np.flatnonzero(graph.adjacency[0])) == sorted(nearest)
    assert all(np.array_equal(graph.adjacency[i], np.roll(graph.adjacency[0], i)) for i in range(nodes))


@given(sizes, st.integers(0, 1000))
def test_a_random_graph_is_regular_and_connected_and_decided_by_its_seed(size: tuple[int, int], seed: int) -> None:
    graph, again = random(*size, seed), random(*size, seed)
    assert (graph.nodes, graph.degree, graph.parts, graph.self_loops) == (*size, 1, False)
    assert np.array_equal(graph.adjacency, again.adjacency)


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


@given(affine_sizes, st.integers(0, 30))
def test_an_affine_graph_is_strongly_regular_and_meets_the_bound(size: tuple[int, int], first: int) -> None:
    graph = affine(*size, first)
    assert (graph.nodes, graph.degree, graph.parts, graph.self_loops) == (*size, 1, True)
    assert graph.aspl == pytest.approx(graph.aspl_bound, abs=1e-12)
    edges = graph.adjacency & ~np.eye(graph.nodes, dtype=bool)
    common = edges.astype(int) @ edges
    distinct = ~np.eye(graph.nodes, dtype=bool)
    assert len(np.unique(common[edges])) == 1  # of two neighbours
    assert len(np.unique(common[~edges & distinct])) <= 1  # of two others (none if the graph is complete)


spellings = st.one_of(
    sizes.map(lambda size: f"ring:{size[0]}_{size[1]}"),
    sizes.map(lambda size: f"{size[0]}_{size[1]}"),
    st.builds(lambda size, seed: f"random:{size[0]}_{size[1]}?seed={seed}", sizes, st.integers(0, 10**17)),
    st.builds(lambda size, first: f"affine:{size[0]}_{size[1]}?first={first}", affine_sizes, st.integers(0, 99)),
    st.builds(
        lambda q, k, first: f"affine:{q * q}_{k * (q - 1) + 1}?rotate=1&first={first}",
        st.sampled_from([2, 3, 4, 5]),
        st.integers(1, 3),
        st.integers(0, 99),
    ),
)


@given(spellings)
def test_a_graph_is_spelled_so_that_it_can_be_made_again(spelling: str) -> None:
    for graph in parse(spelling):
        again = parse(graph.spelling)[0]
        assert again.spelling == graph.spelling
        assert np.array_equal(again.adjacency, graph.adjacency)


def test_a_size_alone_means_random_with_seed_0() -> None:
    (graph,) = parse("16_4")
    assert graph.spelling == "random:16_4?seed=0"
    assert np.array_equal(graph.adjacency, random(16, 4, seed=0).adjacency)


def test_a_file_is_spelled_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "my_graph?x=1.npy"
    ring(16, 4).save(path)
    (graph,) = parse(str(path))
    assert graph.spelling == str(path)
    assert np.array_equal(graph.adjacency, ring(16, 4).adjacency)


@pytest.mark.parametrize("order", ORDERS)
def test_rotation_gives_each_parallel_class_once_and_all_together_everything(order: int) -> None:
    graphs = parse(f"affine:{order**2}_{order}?rotate=1")
    assert len(graphs) == order + 1
    assert all(graph.parts == order for graph in graphs)
    together = sum(graph.adjacency.astype(int) for graph in graphs)
    assert np.array_equal(together, np.ones((order**2, order**2)) + order * np.eye(order**2))


def test_two_layers_of_different_classes_connect_everything() -> None:
    first, second = (graph.adjacency.astype(int) for graph in parse("affine:64_8?rotate=1")[:2])
    assert np.array_equal(second @ first, np.ones((64, 64)))


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("rnig:64_16", "unknown graph family 'rnig': did you mean 'ring'"),
        ("afine:64_15", "unknown graph family 'afine': did you mean 'affine'"),
        ("zzz:64_16", "unknown graph family 'zzz': known: affine, random, ring"),
        ("random:64_16?sed=1", "unknown option of graph family random 'sed': did you mean 'seed'"),
        ("ring:64_16?seed=1", "unknown option of graph family ring 'seed': known: none"),
        ("random:64_16?seed=-1", "seed is '-1', give a whole number from 0"),
        ("random:64_16?seed=1.5", "seed is '1.5', give a whole number from 0"),
        ("random:64_16?seed", "seed is '', give a whole number from 0"),
        (f"random:64_16?seed={'9' * 5000}", "give a whole number from 0"),
        ("affine:64_8?rotate=2", "rotate is 2, give 0 or 1"),
        ("", "graph '': write family:N_d"),
        ("dense", "graph 'dense': write family:N_d"),
        ("64", "graph '64': write family:N_d"),
        ("64-16", "write family:N_d"),
        ("ring:64_16 ", "write family:N_d"),
        ("ring:64_16\n", "write family:N_d"),
        ("ring:-64_16", "write family:N_d"),
        ("ring:100000_4", "write family:N_d"),
    ],
)
def test_a_wrong_spelling_is_a_usage_error_that_says_what_is_meant(spelling: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(spelling)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("ring:64_64", "ring:64_64: the degree must be from 2 to N-1, not 64"),
        ("ring:64_65", "not 65 with 64 nodes"),
        ("ring:64_1", "not 1 with 64 nodes"),
        ("random:64_0", "not 0 with 64 nodes"),
        ("random:0_0", "not 0 with 0 nodes"),
        ("ring:9_3", "N . d is 27, which is odd"),
        ("ring:4097_2", "4097 nodes, give at most 4096"),
        ("random:99999_2", "99999 nodes, give at most 4096"),
        ("affine:0_0?rotate=1", "N must be q² for q in 2, 3, 4, 5, 7, 8, 9, not 0"),
        ("affine:1_1", "not 1"),
        ("affine:36_6", "N must be q² for q in 2, 3, 4, 5, 7, 8, 9, not 36"),
        ("affine:65_8", "not 65"),
        ("affine:99999_8", "not 99999"),
        ("affine:64_16", "with 64 nodes d is one of 8, 15, 22, 29, 36, 43, 50, 57, 64, not 16"),
        ("affine:64_1", "not 1"),
        ("affine:64_71", "not 71"),
        ("affine:64_8", "not connected: 8 separate parts"),
    ],
)
def test_a_graph_that_cannot_exist_says_why(spelling: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse(spelling)


@given(st.text(max_size=30) | st.from_regex(r"\A([a-z]{1,8}:)?[0-9]{0,2}_[0-9]{0,2}(\?[a-z=&0-9]{0,12})?\Z"))
def test_any_text_is_a_graph_or_an_error_of_ours(spelling: str) -> None:
    assume(not spelling.endswith(".npy"))
    try:
        graphs = parse(spelling)
    except RgpError:
        return
    assert all(isinstance(graph, Graph) for graph in graphs)


@pytest.mark.parametrize(
    ("spelling", "nodes", "expected"),
    [
        ("ring:64_16", 32, "ring:32_8"),
        ("ring:64_16", 16, "ring:16_4"),
        ("random:64_16?seed=7", 32, "random:32_8?seed=7"),
        ("random:64_16", 8, "random:8_2?seed=0"),
    ],
)
def test_resizing_keeps_family_density_and_seed(spelling: str, nodes: int, expected: str) -> None:
    (graph,) = parse(spelling)
    smaller = resized(graph, nodes)
    assert smaller.spelling == expected
    assert smaller.density == graph.density


@pytest.mark.parametrize(
    ("spelling", "nodes", "message"),
    [
        ("ring:64_16", 30, "has no form with 30 nodes at density 0.25"),  # 7.5 neighbours
        ("ring:64_16", 4, "the degree must be from 2"),
        ("ring:12_4", 9, "which is odd"),
        ("affine:64_15", 32, "has no form with 32 nodes"),
    ],
)
def test_resizing_refuses_what_does_not_exist(spelling: str, nodes: int, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        resized(parse(spelling)[0], nodes)


def test_a_graph_from_a_file_has_no_other_size(tmp_path: Path) -> None:
    ring(16, 4).save(tmp_path / "ring:16.npy")
    with pytest.raises(GraphError, match="has no form with 8 nodes"):
        resized(Graph.load(tmp_path / "ring:16.npy"), 8)
