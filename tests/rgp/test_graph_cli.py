"""rgp-graph: what it prints, writes and refuses."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from rgp.families import parse, ring
from rgp.graph import Graph
from rgp.graph_cli import EXAMPLES, SPELLINGS, main


def test_the_table_shows_every_measure_beside_every_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "ring:64_16", "64_16", "affine:64_15"]) == 0
    table = capsys.readouterr().out
    for shown in ("ring:64_16", "random:64_16?seed=0", "affine:64_15?first=0", "2.4762", "1.7460", "41.8182"):
        assert shown in table
    for name in ("nodes", "degree", "density", "self loops", "parts", "aspl", "aspl bound", "gap percent"):
        assert name in table
    for name in ("diameter", "clustering", "transitivity", "spectral gap"):
        assert name in table


def test_a_pipe_gets_the_whole_table_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "affine:64_8?rotate=1"]) == 0
    table = capsys.readouterr().out
    assert all(f"affine:64_8?first={i}&rotate=1" in table for i in range(9))
    assert "…" not in table


def test_json_has_one_object_a_graph_with_the_measures_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", "ring:12_4", "affine:16_7"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    known = nx.circulant_graph(12, [1, 2])
    gap = first.pop("gap_percent")
    assert first == pytest.approx(
        {
            "spelling": "ring:12_4",
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
        }
    )
    assert gap == pytest.approx(100 * (first["aspl"] / first["aspl_bound"] - 1))
    assert (second["self_loops"], second["gap_percent"], type(second["diameter"])) == (True, pytest.approx(0), int)


def test_infinite_measures_are_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", "affine:16_4?rotate=1"]) == 0
    objects = json.loads(capsys.readouterr().out)
    assert len(objects) == 5
    assert {(o["parts"], o["aspl"], o["gap_percent"], o["diameter"]) for o in objects} == {(4, None, None, None)}


def test_a_file_with_brackets_in_its_name_is_shown_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ring(8, 4).save(Path("[red]g.npy"))
    assert main(["info", "[red]g.npy"]) == 0
    assert "[red]g.npy" in capsys.readouterr().out


@pytest.mark.parametrize("spelling", ["ring:16_4", "16_4?seed=3", "affine:16_7?first=2"])
def test_make_writes_the_graph_that_the_spelling_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spelling: str
) -> None:
    path = tmp_path / "new" / "g.npy"
    assert main(["make", spelling, "-o", str(path)]) == 0
    (graph,) = parse(spelling)
    assert np.array_equal(Graph.load(path).adjacency, graph.adjacency)
    assert capsys.readouterr().out.startswith(f"{path}: {graph.spelling}, ASPL {graph.aspl:.4f}")


def test_make_replaces_a_file_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.npy"
    path.write_bytes(b"mine")
    assert main(["make", "ring:16_4", "-o", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"rgp-graph: error: {path}: exists: choose another name with -o, or add --force to replace it\n"
    )
    assert path.read_bytes() == b"mine"
    assert main(["make", "ring:16_4", "-o", str(path), "--force"]) == 0
    assert Graph.load(path).degree == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            "make affine:16_7?rotate=1 -o g.npy",
            2,
            "makes 5 graphs, a file holds one: choose one with first=0 to first=4",
        ),
        ("make affine:16_4?rotate=1 -o g.npy", 2, "makes graphs that mix only in turn, a file holds one"),
        ("make affine:16_4 -o g.npy", 1, "affine:16_4?first=0: not connected"),
        ("make ring:16_4 -o g.txt", 2, "g.txt: a graph is spelled by a name that ends in .npy: give -o g.txt.npy"),
        ("make ring:9_3 -o g.npy", 1, "ring:9_3: N * d is 27, which is odd"),
        ("info ring:16_4 rnig:16_4", 2, "unknown graph family 'rnig': did you mean 'ring'?"),
        ("info missing.npy", 1, "missing.npy: No such file or directory"),
        ("info folder.npy", 1, "folder.npy: Is a directory"),
        ("info text.npy", 1, "text.npy: not a .npy matrix"),
        ("info directed.npy", 1, "directed.npy: not symmetric: (0, 1) is 1 but (1, 0) is 0"),
        ("info --json text.npy ring:8_4", 1, "text.npy: not a .npy matrix"),
    ],
)
def test_bad_input_is_one_line_that_leaves_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.npy").mkdir()
    Path("text.npy").write_text("0 1\n1 0\n")
    np.save("directed.npy", np.roll(np.eye(3, dtype=int), 1, axis=1))
    before = sorted(tmp_path.iterdir())
    assert main(shlex.split(arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rgp-graph: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", ["", "make ring:8_4", "info", "inof ring:8_4", "info --jsn ring:8_4"])
def test_a_wrong_command_line_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(arguments))
    assert caught.value.code == 2
    assert "rgp-graph" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["--help", "info --help", "make --help"])
def test_help_teaches_the_spelling(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(arguments))
    assert caught.value.code == 0
    assert SPELLINGS in capsys.readouterr().out


def test_every_spelling_and_example_in_the_help_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ring(16, 4).save(Path("path/to/M0.npy"))
    taught = [word.strip(",") for line in SPELLINGS.splitlines()[2:] for word in line[:26].split()]
    taught = [word for word in taught if "_" in word or word.endswith(".npy")]
    assert len(taught) == 8
    for spelling in taught:
        parse(spelling)
    for example in EXAMPLES.strip().splitlines()[1:]:
        assert main(shlex.split(example)[1:]) == 0


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "rgp.graph_cli", "info", "--json", "ring:8_4"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)[0]["nodes"] == 8
