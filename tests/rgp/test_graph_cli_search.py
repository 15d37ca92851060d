"""rgp-graph search, list and export, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rgp.families import ring
from rgp.graph import Graph
from rgp.graph_cli import main
from rgp.library import SIZES


def test_a_search_writes_its_graph_and_says_how_to_have_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "g.npy"
    assert main(["search", "30_4", "--iterations", "20000", "--seed", "3", "-o", str(path)]) == 0
    first, again = capsys.readouterr().out.splitlines()
    graph = Graph.load(path)
    assert first.startswith(f"{path}: 30_4, ASPL {graph.aspl:.4f}, lower bound {graph.aspl_bound:.4f}, gap ")
    command = again.partition("again: rgp-graph ")[2]
    other = tmp_path / "other.npy"
    assert main([*command.split(), "-o", str(other)]) == 0
    assert (Graph.load(other).adjacency == graph.adjacency).all()


def test_a_spelling_searches_too(tmp_path: Path) -> None:
    path = tmp_path / "g.npy"
    assert main(["search", "30_4", "--iterations", "5000", "--seed", "2", "-o", str(path)]) == 0
    assert main(["make", "30_4?seed=2&iterations=5000", "-o", str(tmp_path / "made.npy")]) == 0
    assert (Graph.load(tmp_path / "made.npy").adjacency == Graph.load(path).adjacency).all()


def test_ctrl_c_keeps_the_best(tmp_path: Path) -> None:
    path = tmp_path / "g.npy"
    command = [sys.executable, "-m", "rgp.graph_cli", "search", "64_4", "--time", "300", "-o", str(path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    assert process.stderr is not None
    assert "ASPL" in process.stderr.readline()  # it is searching
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "64_4, ASPL" in out
    assert Graph.load(path).aspl < ring(64, 4).aspl


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "7_3"], "N * d is 21, which is odd"),
        (["search", "8_8"], "the degree must be from 2 to N-1, not 8 with 8 nodes"),
        (["search", "8_1"], "the degree must be from 2 to N-1, not 1"),
        (["search", "2000_4", "--iterations", "1"], "2000 nodes, give at most 1024"),
        (["search", "64x8"], "'64x8': write N_d, nodes and degree, such as 64_8"),
        (["search", "64_8", "--time", "0"], "'0' is not a number of seconds above 0"),
        (["search", "64_8", "--seed", "-1"], "'-1' is not a whole number from 0"),
        (["search", "64_8", "-o", "g.txt"], "the name must end in .npy"),
        (["export", "x", "--layout", "sede"], "sede"),
        (["export", "x", "--layout", "seed", "--sizes", "64_5"], "'64_5' does not ship with rgp"),
        (["export", "x", "--layout", "seed", "--rungs", "1"], "'1' is not a number of graphs from 2"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not list(tmp_path.iterdir())


def test_the_list_has_every_graph_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    table = capsys.readouterr().out
    assert all(f" {nodes}_{degree} " in table for nodes, degree in SIZES)
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["spelling"] for row in rows] == [f"{nodes}_{degree}" for nodes, degree in SIZES]
    assert all(row["aspl"] >= row["aspl_bound"] - 1e-9 and row["command"] and row["symmetry"] for row in rows)


def test_an_export_has_the_published_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--layout", "seed", str(tmp_path), "--sizes", "16_4,16_6", "--rungs", "6"]) == 0
    assert "of 2 sizes" in capsys.readouterr().out
    header, *rows = (tmp_path / "Adjacency" / "16_4_information.csv").read_text().splitlines()
    assert header == "Date Finished, Nodes, Degree, Dir, Path, Cluster, Tranvity"
    lengths = []
    for index, row in enumerate(rows):
        _, nodes, degree, place, aspl, clustering, transitivity = row.split(", ")
        assert (nodes, degree, place) == ("16", "4", f"Adjacency/16/4/M{index}.npy")
        matrix = np.load(tmp_path / place)
        assert matrix.dtype == np.int64
        graph = Graph.of(matrix)
        assert (float(aspl), float(clustering)) == pytest.approx((graph.aspl, graph.clustering))
        assert float(transitivity) == pytest.approx(graph.transitivity)
        lengths.append(graph.aspl)
    assert (lengths[0], lengths[-1]) == pytest.approx((1.75, 2.4))
    assert lengths == sorted(lengths)
    assert len(list((tmp_path / "Adjacency/16/4").iterdir())) == len(rows)


def test_an_export_replaces_ladders_only_when_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "--layout", "seed", str(tmp_path), "--sizes", "16_12", "--rungs"]
    assert main([*command, "6"]) == 0
    assert main([*command, "2"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "2", "--force"]) == 0
    assert len(list((tmp_path / "Adjacency/16/12").iterdir())) <= 2
