"""rgp-graph info and compare: the tables, the JSON, the marks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.families import parse
from rgp.graph import Graph
from rgp.graph_cli import main
from rgp.graph_cli.compare import best_in
from rgp.graph_cli.measures import measures

Printed = pytest.CaptureFixture[str]


def objects(printed: Printed, *arguments: str) -> list[dict[str, Any]]:
    assert main([*arguments, "--json"]) == 0
    loaded: list[dict[str, Any]] = json.loads(printed.readouterr().out)
    return loaded


def test_one_graph_is_a_table_of_two_columns(capsys: Printed) -> None:
    assert main(["info", "ring:64_16"]) == 0
    rows = [line.strip("│").split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = {label.strip(): value.strip() for label, value in rows}
    assert cells == {
        "family": "ring",
        "nodes": "64",
        "degree": "16",
        "density": "0.2500",
        "self-loops": "no",
        "separate parts": "1",
        "ASPL": "2.4762",
        "ASPL, lower bound": "1.7460",
        "gap, %": "41.8182",
        "diameter": "4",
        "clustering": "0.7000",
        "transitivity": "0.7000",
        "spectral gap": cells["spectral gap"],
        "mixing depth, layers": "4",
        "mixing depth, bound": "2",
        "twin classes": "64 x 1",
        "as grouped": "no",
        "as slices": "no",
        "block, 64 channels": "1 x 1",
        "block, 128 channels": "2 x 2",
        "block, 256 channels": "4 x 4",
        "block, 512 channels": "8 x 8",
        "block, 1024 channels": "16 x 16",
        "block, 2048 channels": "32 x 32",
    }


def test_graphs_in_turn_are_one_column(capsys: Printed) -> None:
    assert main(["info", "affine:16_4?rotate=1", "--channels", "8,16,18"]) == 0
    table = capsys.readouterr().out
    rows = [line.strip("│").split("│") for line in table.splitlines() if line.startswith("│")]
    cells = {label.strip(): value.strip() for label, value in rows}
    assert cells["graphs in turn"] == "5"
    assert cells["separate parts"] == "4"  # of each alone
    assert (cells["ASPL"], cells["gap, %"], cells["diameter"]) == ("inf", "inf", "inf")
    assert cells["mixing depth, layers"] == "2"
    assert (cells["twin classes"], cells["as grouped"], cells["as slices"]) == ("4 x 4", "groups=4", "4 slices")
    assert (cells["block, 8 channels"], cells["block, 16 channels"]) == ("too few", "4 x 4")
    assert cells["block, 18 channels"] == "4..6 x 4..6"


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_tables_are_as_wide_as_the_terminal_and_no_figure_is_cut(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    spellings = ["ring:64_16", "affine:64_8?rotate=1", *(f"random:64_16?seed={seed}" for seed in range(4))]
    assert main(["info", *spellings, "--channels", "100,1000000"]) == 0
    table = capsys.readouterr().out
    assert all(len(line) <= width for line in table.splitlines())
    assert width - max(map(len, table.splitlines())) < 20  # as many columns as fit
    for shown in ("41.8182", "125000 x 125000", "15625 x 15625", "1..2 x 1..2", "8..16 x 8..16", "random:64_16"):
        assert shown in table
    assert "…" not in table


def test_long_names_are_folded_before_folders_and_options(tmp_path: Path, capsys: Printed) -> None:
    path = tmp_path / "a" / "matrix.npy"
    path.parent.mkdir()
    np.save(path, np.ones((4, 4)) - np.eye(4))
    assert main(["info", str(path), "random:64_16?seed=12345678901234567"]) == 0
    heads = [line.split("┃") for line in capsys.readouterr().out.splitlines() if line.startswith("┃")]
    first, second = ([head[column].strip() for head in heads if head[column].strip()] for column in (2, 3))
    assert "".join(first) == str(path)
    assert first[-1].endswith("/a/matrix.npy") or first[-1] == "/matrix.npy"
    assert second == ["random:64_16", "?seed=1234567890", "1234567"]
    assert max(map(len, first)) <= 17


def test_on_a_terminal_too_narrow_for_one_graph_figures_stay_whole(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert main(["info", "ring:64_16"]) == 0
    assert "41.8182" in capsys.readouterr().out


def test_json_has_one_object_a_graph_with_the_measures_as_numbers(capsys: Printed) -> None:
    (found,) = objects(capsys, "info", "ring:12_4", "--channels", "12,30")
    known = nx.circulant_graph(12, [1, 2])
    gap = found.pop("gap_percent")
    lists = {name: found.pop(name) for name in ("graphs", "lowerings", "blocks")}
    assert lists == {
        "graphs": ["ring:12_4"],
        "lowerings": [{"name": "dense"}],
        "blocks": [{"channels": 12, "side": 1}, {"channels": 30, "side": {"min": 2, "max": 3}}],
    }
    assert found == pytest.approx(
        {
            "spelling": "ring:12_4",
            "family": "ring",
            "nodes": 12,
            "degree": 4,
            "density": 4 / 12,
            "self_loops": False,
            "parts": 1,
            "aspl": nx.average_shortest_path_length(known),
            "aspl_bound": (4 * 1 + 7 * 2) / 11,
            "diameter": nx.diameter(known),
            "clustering": nx.average_clustering(known),
            "transitivity": nx.transitivity(known),
            "spectral_gap": 4 - sorted(np.linalg.eigvalsh(nx.to_numpy_array(known)))[-2],
            "mixing_depth": 3,
            "mixing_bound": 2,
            "twin_classes": 12,
            "twins": 1,
        }
    )
    assert gap == pytest.approx(100 * (found["aspl"] / found["aspl_bound"] - 1))


def test_infinite_is_null_in_json_and_turns_are_named(capsys: Printed) -> None:
    (found,) = objects(capsys, "info", "affine:16_4?rotate=1", "--channels", "8,64")
    assert (found["spelling"], found["family"]) == ("affine:16_4?rotate=1", "affine")
    assert len(found["graphs"]) == 5
    for spelling in found["graphs"]:
        (graph,) = parse(spelling, connected=False)
        assert graph.parts == 4
    assert (found["parts"], found["aspl"], found["gap_percent"], found["diameter"]) == (4, None, None, None)
    assert (found["mixing_depth"], found["mixing_bound"], found["spectral_gap"]) == (2, 2, 0)
    assert (found["twin_classes"], found["twins"]) == (4, 4)
    assert found["lowerings"] == [
        {"name": "dense"},
        {"name": "grouped", "groups": 4},
        {"name": "sliced", "slices": 4},
    ]
    assert found["blocks"] == [{"channels": 8, "side": None}, {"channels": 64, "side": 16}]


def test_a_graph_that_never_mixes_says_so(capsys: Printed) -> None:
    assert main(["info", "ring:8_2"]) == 0
    assert "never" in capsys.readouterr().out
    (found,) = objects(capsys, "info", "ring:8_2")
    assert (found["mixing_depth"], found["mixing_bound"]) == (None, 3)
    assert found["lowerings"] == [
        {"name": "dense"},
        {"name": "grouped", "groups": 2},
        {"name": "sliced", "slices": 8},
    ]


def test_turns_that_differ_show_the_least_and_the_greatest() -> None:
    graphs = [Graph.of(nx.to_numpy_array(nx.random_regular_graph(3, 12, seed=seed))) for seed in range(3)]
    separate = Graph.of(np.kron(np.eye(3), np.ones((4, 4)) - np.eye(4)))
    found = measures("random:12_3?rotate=1", [*graphs, separate])
    aspls = [graph.aspl for graph in graphs]
    assert found["aspl"] == {"min": min(aspls), "max": None}
    assert found["parts"] == {"min": 1, "max": 3}
    assert found["aspl_bound"] == graphs[0].aspl_bound
    assert found["lowerings"] == [{"name": "dense"}]  # grouped applies to one turn only


def test_a_relabelled_graph_is_one_value(capsys: Printed) -> None:
    """Eigenvalues of the same graph with its nodes in another order differ in the last digits."""
    graph = Graph.of(nx.to_numpy_array(nx.random_regular_graph(4, 32, seed=1)))
    rng = np.random.default_rng(0)
    orders = [rng.permutation(32) for _ in range(8)]
    turns = [Graph.of(graph.adjacency[order][:, order]) for order in orders]
    assert len({turn.spectral_gap for turn in turns}) > 1
    assert measures("random:32_4?rotate=1", turns)["spectral_gap"] == pytest.approx(graph.spectral_gap)


def test_good_graphs_are_shown_beside_bad_ones(tmp_path: Path, capsys: Printed) -> None:
    missing = str(tmp_path / "missing.npy")
    assert main(["info", "--json", missing, "ring:8_4", "rnig:8_4", "ring:8_2"]) == 1  # the first error's
    out, err = capsys.readouterr()
    assert [found["spelling"] for found in json.loads(out)] == ["ring:8_4", "ring:8_2"]
    lines = err.splitlines()
    assert [line.startswith("rgp-graph: error: ") for line in lines] == [True, True]
    assert "missing.npy: No such file" in lines[0]
    assert "'rnig'" in lines[1]
    assert main(["info", "rnig:8_4", "ring:8_4", missing]) == 2
    assert "ring:8_4" in capsys.readouterr().out


def test_ctrl_c_ends_all_of_it(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rgp.graph_cli.info.parse", interrupted)
    assert main(["info", "ring:8_4", "ring:8_2"]) == 130
    assert capsys.readouterr() == ("", "rgp-graph: error: interrupted\n")


def test_a_file_of_separate_parts_is_measured(tmp_path: Path, capsys: Printed) -> None:
    path = tmp_path / "[red]g.npy"  # not markup
    np.save(path, np.kron(np.eye(4), np.ones((2, 2))))
    (found,) = objects(capsys, "info", str(path))
    assert (found["spelling"], found["family"]) == (str(path), "file")
    assert (found["parts"], found["aspl"], found["mixing_depth"]) == (4, None, None)
    assert main(["info", str(path)]) == 0
    assert "[red]g.npy" in capsys.readouterr().out.replace("│", "").replace("┃", "")


def test_compare_marks_the_best_of_each_measure(capsys: Printed) -> None:
    names = ["ring:16_4", "random:16_4?seed=0", "affine:16_7"]
    ring, random, affine = objects(capsys, "compare", *names)
    assert ring["best"] == []
    assert random["best"] == ["spectral_gap"] or "spectral_gap" in affine["best"]
    assert {"aspl", "gap_percent", "diameter", "mixing_depth"} <= set(affine["best"])
    assert main(["compare", *names]) == 0
    out = capsys.readouterr().out
    marked = [line for line in out.splitlines() if " *" in line and line.startswith("│")]
    assert [line.split("│")[1].strip() for line in marked] == [
        "ASPL", "gap, %", "diameter", "spectral gap", "mixing depth, layers",
    ]  # fmt: skip
    assert out.endswith("allow for that\n")  # degrees differ


def test_compare_marks_nothing_where_all_are_equal(capsys: Printed) -> None:
    one, other = objects(capsys, "compare", "ring:8_4", "ring:8_4")
    assert one["best"] == other["best"] == []
    assert main(["compare", "ring:8_4", "ring:8_4"]) == 0
    assert "differ" not in capsys.readouterr().out


VALUES = st.one_of(st.none(), st.integers(0, 5), st.fixed_dictionaries({"min": st.integers(0, 5), "max": st.none()}))


@given(st.lists(VALUES, min_size=2, max_size=6))
def test_the_best_is_beaten_by_none_and_beats_one(values: list[Any]) -> None:
    names = ("aspl", "gap_percent", "diameter", "spectral_gap", "mixing_depth")
    best = best_in([dict.fromkeys(names, value) | {"spectral_gap": 0.0} for value in values])
    numbers = [value if isinstance(value, int) else math.inf for value in values]
    least = min(numbers)
    for number, found in zip(numbers, best, strict=True):
        assert ("aspl" in found) == (number == least < max(numbers))
        assert "spectral_gap" not in found
