"""The graphs that ship are what the list says, and better than the published ones."""

from __future__ import annotations

import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.families import parse
from rgp.graph import Graph, aspl_bound
from rgp.graph_cli import main
from rgp.library import SIZES, entries, from_graph6, load, to_graph6

NAMES = [f"{nodes}_{degree}" for nodes, degree in SIZES]
TO_REACH = {"64_4": 2.88, "64_6": 2.336, "64_8": 1.95, "64_10": 1.862, "16_4": 1.75, "64_3": 3.769, "64_7": 2.128}


def test_every_size_ships_and_no_other() -> None:
    assert list(entries()) == NAMES
    assert len(NAMES) == 17 + 5 + 3 + 8
    assert load(64, 5) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_measures_what_its_entry_says(name: str) -> None:
    entry = entries()[name]
    (graph,) = parse(name)
    assert graph.spelling == f"{graph.nodes}_{graph.degree}" == name
    assert not graph.self_loops
    known = nx.from_graph6_bytes(entry.graph6.encode())
    assert (nx.to_numpy_array(known).astype(bool) == graph.adjacency).all()
    assert nx.average_shortest_path_length(known) == pytest.approx(entry.aspl) == pytest.approx(graph.aspl)
    assert graph.spectral_gap == pytest.approx(entry.spectral_gap, abs=1e-5)
    assert re.fullmatch(rf"rgp-graph search {name} --seed \d+ --iterations \d+", entry.command)


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_is_as_short_as_it_has_to_be(name: str) -> None:
    (graph,) = parse(name)
    limit = TO_REACH.get(name)
    if limit is None and name not in ("32_8",):
        limit = aspl_bound(graph.nodes, graph.degree)
    if limit is not None:
        assert graph.aspl <= limit + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["16_8", "32_16", "64_6", "64_36"])
def test_the_command_of_an_entry_finds_it_again(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("found") / "g.npy"
    assert main([*entries()[name].command.split()[1:], "-o", str(path)]) == 0
    assert (Graph.load(path).adjacency == parse(name)[0].adjacency).all()


@given(st.integers(1, 70), st.integers(0, 2**32))
def test_graph6_is_what_networkx_reads_and_writes(nodes: int, seed: int) -> None:
    upper = np.triu(np.random.default_rng(seed).random((nodes, nodes)) < 0.3, 1)
    adjacency = upper | upper.T
    text = to_graph6(adjacency)
    assert nx.to_graph6_bytes(nx.from_numpy_array(adjacency), header=False).strip() == text.encode()
    assert (from_graph6(text) == adjacency).all()


def test_graph6_beyond_62_nodes_has_a_longer_size() -> None:
    for nodes in (62, 63, 64, 300):
        adjacency = ~np.eye(nodes, dtype=bool)
        assert (from_graph6(to_graph6(adjacency)) == adjacency).all()
