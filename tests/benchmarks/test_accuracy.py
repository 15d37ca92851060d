"""The study of accuracy: its cases are what they say, its rows are kept, a whole small run works."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy.cases import ARCHITECTURE, CASES, LOOPS, MATCH, Case, graphs, unequal
from benchmarks.accuracy.page import section
from benchmarks.accuracy.summary import summaries
from rgp.errors import UsageError
from rgp.models.price import price

SHARES = {"100%": 1.0, "25%": 0.25, "12.5%": 0.125}
KEYS = [case.key for case in CASES]


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(set(KEYS)) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=KEYS)
def test_a_case_keeps_the_share_of_connections_that_it_names(case: Case) -> None:
    if case.graph == "dense":
        return
    share = SHARES[case.density]
    for graph in graphs(case.graph.format(seed=1)):
        assert share - 1 / 64 <= graph.adjacency.mean() <= share + (1 / 64 if LOOPS in case.name else 0)


@pytest.mark.parametrize("case", [case for case in CASES if case.like or MATCH in case.name], ids=lambda case: case.key)
def test_a_width_is_matched_within_a_percent(case: Case) -> None:
    options = {"num_classes": 62, "in_channels": 1}
    target = price(ARCHITECTURE, options, graphs(case.like) if case.like else (), (1, 32, 32)).cost.macs
    matched = case.resolved(0, 62, 32)["match_macs"]
    assert matched == ("dense" if MATCH in case.name else f"{target / 1e6:.6f}")


@settings(max_examples=20)
@given(st.integers(4, 16), st.data())
def test_unequal_blocks_are_as_many_as_a_regular_graph_has(nodes: int, data: st.DataObject) -> None:
    degree = data.draw(st.integers(min(nodes, 4), nodes))
    graph = unequal(nodes, degree, data.draw(st.integers(0, 99)))
    assert graph.adjacency.sum() == nodes * degree
    assert graph.adjacency.any(axis=0).all()
    assert graph.adjacency.any(axis=1).all()
    arcs = nx.from_numpy_array(graph.adjacency.T, create_using=nx.DiGraph)
    expected = np.full((nodes, nodes), -1)
    for source, lengths in nx.all_pairs_shortest_path_length(arcs):
        for end, length in lengths.items():
            expected[end, source] = length
    assert np.array_equal(graph.distances, expected)


def test_a_run_that_has_ended_is_not_done_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, results = tmp_path / "glyphs", tmp_path / "accuracy.csv"
    command._make_small(data)
    asked = [str(data), "--only", "25--ring", "--seeds", "1", "--jobs", "1"]
    places = ["--runs", str(tmp_path / "runs"), "--results", str(results)]
    command._run([*asked, *places])
    kept = results.read_bytes()
    (row,) = command._read(results)
    assert (row["case"], row["seed"], row["graph"]) == ("ring", "0", "ring:64_16")
    assert 0 < int(row["macs"]) < 0.3 * int(row["dense_macs"])
    assert 0 <= float(row["test_top1"]) <= 100
    assert list(row) == list(command.COLUMNS)
    assert results.with_suffix(".svg").is_file()
    command._run([*asked, *places])  # that would give other seconds
    assert results.read_bytes() == kept
    assert "ring" in capfd.readouterr().out
    assert f"| 25% | ring | 1 | {int(row['macs']) / 1e6:.1f} | {float(row['aspl']):.3f} |" in section([row])
    with pytest.raises(UsageError, match="none of the cases"):
        command._run([*asked, *places, "--only", "no such case"])


def test_differences_to_dense_are_paired_by_seed() -> None:
    common = {"density": "25%", "macs": "1", "aspl": "", "val_top1": "1", "test_loss": "1", "seconds": "1"}
    tops = {"dense": (80, 90, 70), "ring": (81, 91), "circulant": (82, 94)}
    rows = [
        {**common, "case": case, "seed": str(seed), "test_top1": str(top)}
        for case, of in tops.items()
        for seed, top in enumerate(of)
    ]
    found = {each.case: each.beside for each in summaries(rows)}
    assert found == {"dense": None, "ring": (1, 0), "circulant": (3, 1)}


def test_without_data_it_says_what_to_give() -> None:
    with pytest.raises(UsageError, match="--quick"):
        command._run([])
