"""What every family promises, and that a spelling means one graph."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rgp import library
from rgp.errors import GraphError, RgpError
from rgp.families import FAMILIES, Spelling, parse, resized, ring
from rgp.families.spelling import OPTIONS
from rgp.graph import Graph

numbers = st.integers(0, 10**18 - 1)


@st.composite
def sized(draw: st.DrawFn) -> str:
    """ring, circulant and random: any size, with self-loops or without."""
    family = draw(st.sampled_from(["ring", "circulant", "random"]))
    nodes = draw(st.integers(3, 24))
    degree = draw(st.integers(2, nodes - 1).filter(lambda degree: nodes * degree % 2 == 0))
    loops = draw(st.integers(0, 1))
    seed = "" if family == "ring" else f"&seed={draw(numbers)}"
    return f"{family}:{nodes}_{degree + loops}?loops={loops}{seed}"


@st.composite
def affines(draw: st.DrawFn) -> str:
    """k classes of cliques of p^s in p^n nodes."""
    prime, size = draw(
        st.sampled_from([(2, 2), (2, 3), (2, 4), (2, 5), (2, 6), (3, 2), (3, 3), (3, 4), (5, 2), (7, 2)])
    )
    s = draw(st.integers(1, size - 1))
    most = (prime**size - 1) // (prime**s - 1) if size % s == 0 else 1
    classes, loops = draw(st.integers(1, most)), draw(st.integers(0, 1))
    degree = classes * (prime**s - 1) + loops
    assume(degree > 1)
    options = f"classes={classes}&loops={loops}&first={draw(numbers)}&rotate={draw(st.integers(0, 1))}"
    return f"affine:{prime**size}_{degree}?{options}"


@st.composite
def shipped(draw: st.DrawFn) -> str:
    nodes, degree = draw(st.sampled_from(library.SIZES))
    loops = draw(st.integers(0, 1))
    return f"{nodes}_{degree + loops}?relabel={draw(numbers)}&loops={loops}"


bases = sized() | affines() | shipped()
products = st.builds(
    lambda base, copies: "product:" + base.replace("?", f"x{copies}?", 1), sized() | affines(), st.integers(2, 4)
)


def known_by_networkx(matrix: np.typing.NDArray[np.bool_]) -> nx.Graph[int]:
    return nx.from_numpy_array(matrix.astype(int))


@given(bases | products)
def test_a_graph_is_what_its_spelling_says(text: str) -> None:
    spelling = Spelling.parse(text)
    for graph in parse(text, connected=False):
        assert np.array_equal(graph.adjacency, graph.adjacency.T)
        assert set(graph.adjacency.sum(1).tolist()) == {spelling.degree * spelling.copies}
        assert set(graph.adjacency.diagonal().tolist()) == {bool(dict(spelling.options)["loops"])}
        assert (graph.nodes, graph.degree) == (spelling.nodes * spelling.copies, spelling.degree * spelling.copies)
        known = known_by_networkx(graph.adjacency)
        if graph.nodes <= 64 and nx.is_connected(known):
            assert graph.aspl == pytest.approx(nx.average_shortest_path_length(known))


@given(bases | products)
def test_a_graph_is_spelled_so_that_it_can_be_made_again(text: str) -> None:
    for graph in parse(text, connected=False):
        (again,) = parse(graph.spelling, connected=False)
        assert again.spelling == graph.spelling == str(Spelling.parse(graph.spelling))
        assert np.array_equal(again.adjacency, graph.adjacency)
        assert "rotate" not in graph.spelling


@given(bases | products)
def test_the_layers_together_are_connected_or_the_spelling_is_refused(text: str) -> None:
    graphs = parse(text, connected=False)
    union = nx.compose_all([known_by_networkx(graph.adjacency) for graph in graphs])
    if nx.is_connected(union):
        assert len(parse(text)) == len(graphs)
    else:
        with pytest.raises(GraphError, match=f"not connected: {nx.number_connected_components(union)} separate parts"):
            parse(text)


def test_every_family_knows_self_loops_and_takes_the_options_that_can_be_spelled() -> None:
    assert all("loops" in options for options in OPTIONS.values())
    assert set(FAMILIES) == set(OPTIONS) - {"file"}
    for family, build in FAMILIES.items():
        taken = build.__code__.co_varnames[2 : build.__code__.co_argcount]
        assert set(taken) == set(OPTIONS[family]) - {"rotate"}, family


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("ring:64_64", "ring:64_64: the degree must be from 2 to N-1, not 64 with 64 nodes"),
        ("ring:64_65", "not 65 with 64 nodes"),
        ("ring:64_1", "not 1 with 64 nodes"),
        ("ring:64_2?loops=1", "ring:64_2: the degree must be from 3 to N, not 2"),
        ("circulant:64_65?loops=1", "from 3 to N, not 65"),
        ("random:64_0", "not 0 with 64 nodes"),
        ("random:0_0", "not 0 with 0 nodes"),
        ("ring:9_3", "N . d is 27, which is odd"),
        ("circulant:9_4?loops=1", "N . .d-1., the loops left out, is 27, which is odd"),
        ("ring:4097_2", "4097 nodes, give at most 4096"),
        ("random:100000_10", "random:100000_10: 100000 nodes, give at most 4096"),
        (f"circulant:{10**17}_10", "nodes, give at most 4096"),
        ("product:ring:9_3x2", "ring:9_3: N . d is 27, which is odd"),
    ],
)
def test_a_graph_that_cannot_exist_says_why(spelling: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse(spelling)


@given(st.text(max_size=30) | st.from_regex(r"\A([a-z]{1,8}:)?[0-9]{0,2}_[0-9]{0,2}(\?[a-z=&0-9]{0,12})?\Z"))
def test_any_text_is_a_graph_or_an_error_of_ours(spelling: str) -> None:
    assume(".npy" not in spelling)
    try:
        graphs = parse(spelling)
    except RgpError:
        return
    assert all(isinstance(graph, Graph) for graph in graphs)


def test_a_file_is_spelled_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "my_graph?x=1.npy"
    ring(16, 4).save(path)
    (graph,) = parse(str(path))
    assert graph.spelling == str(path)
    assert np.array_equal(graph.adjacency, ring(16, 4).adjacency)


def test_self_loops_are_added_to_a_file_and_taken_away(tmp_path: Path) -> None:
    bare, looped = ring(16, 4), ring(16, 5, loops=1)
    bare.save(tmp_path / "bare.npy")
    looped.save(tmp_path / "looped.npy")
    for name in ("bare", "looped"):
        for loops, expected in ((0, bare), (1, looped)):
            (graph,) = parse(f"{tmp_path}/{name}.npy?loops={loops}")
            assert graph.spelling == f"{tmp_path}/{name}.npy?loops={loops}"
            assert np.array_equal(graph.adjacency, expected.adjacency)
            assert np.array_equal(parse(graph.spelling)[0].adjacency, expected.adjacency)


def test_a_file_with_separate_parts_is_refused_unless_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "parts.npy"
    Graph.of(np.kron(np.eye(3), np.ones((4, 4)))).save(path)
    with pytest.raises(GraphError, match=r"parts.npy: not connected: 3 separate parts, so information never crosses"):
        parse(str(path))
    assert parse(str(path), connected=False)[0].parts == 3


@pytest.mark.parametrize("path", ["nowhere.npy", "no/folder.npy?loops=1"])
def test_a_file_that_is_not_there_is_the_systems_error(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        parse(path)


@pytest.mark.parametrize(
    ("spelling", "nodes", "expected"),
    [
        ("ring:64_16", 32, "ring:32_8"),
        ("ring:64_16", 16, "ring:16_4"),
        ("ring:64_16?loops=1", 32, "ring:32_8?loops=1"),
        ("random:64_16?seed=7", 32, "random:32_8?seed=7"),
        ("random:64_16", 8, "random:8_2?seed=0"),
        ("circulant:64_16?seed=1", 32, "circulant:32_8?seed=1"),
        ("64_16", 32, "32_8"),
        ("64_16?relabel=3", 16, "16_4?relabel=3"),
        ("affine:64_16?classes=1&first=2", 16, "affine:16_4?classes=1&first=2"),
        ("affine:64_16?classes=1&first=9", 16, "affine:16_4?classes=1&first=4"),
        ("affine:64_8?classes=1", 32, "affine:32_4?classes=1"),
        ("product:ring:16_4x4", 32, "product:ring:16_4x2"),
        ("product:ring:16_4x4", 16, "ring:16_4"),
        ("product:random:16_4x4", 8, "random:8_2?seed=0"),
        ("product:16_4x2", 16, "16_4"),
        ("product:ring:16_4x3", 24, "ring:24_6"),
    ],
)
def test_resizing_keeps_family_options_and_density(spelling: str, nodes: int, expected: str) -> None:
    (graph,) = parse(spelling, connected=False)
    smaller = resized(graph, nodes)
    assert (smaller.spelling, smaller.nodes) == (expected, nodes)
    assert smaller.density == graph.density


@pytest.mark.parametrize(
    ("spelling", "nodes", "message"),
    [
        ("ring:64_16", 30, "has no form with 30 nodes at density 0.25"),  # 7.5 neighbours
        ("ring:64_16", 4, "the degree must be from 2"),
        ("ring:12_4", 9, "which is odd"),
        ("affine:64_15", 32, "has no form with 32 nodes"),
        ("affine:64_16?classes=5", 16, "classes is one of 1 .cliques of 4., 3 .cliques of 2., not 5"),
        ("affine:64_16?classes=1", 48, "N must be p"),
        ("64_16", 8, "no such graph ships with rgp"),
        ("product:ring:16_4x4", 4, "the degree must be from 2"),
        ("product:ring:16_5x4?loops=1", 8, "ring:16_5.loops=1: has no form with 8 nodes"),
    ],
)
def test_resizing_refuses_what_does_not_exist(spelling: str, nodes: int, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        resized(parse(spelling, connected=False)[0], nodes)


def test_a_matrix_without_a_family_has_no_other_size(tmp_path: Path) -> None:
    ring(16, 4).save(tmp_path / "ring:16.npy")
    for graph in (Graph.load(tmp_path / "ring:16.npy"), Graph.of(ring(16, 4).adjacency)):
        with pytest.raises(GraphError, match="has no form with 8 nodes"):
            resized(graph, 8)
