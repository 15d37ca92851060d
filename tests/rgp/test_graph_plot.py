"""The pictures: files that can be read, the same twice, with what they must show."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from rgp.families import parse
from rgp.graph import Graph
from rgp.graph_cli import main
from rgp.graph_plot import comparison, picture, save, turns_picture

SVG = "{http://www.w3.org/2000/svg}"


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def svg_text(path: Path) -> str:
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return "\n".join("".join(text.itertext()).strip() for text in root.iter(f"{SVG}text"))


def drawn(tmp_path: Path, *arguments: str) -> str:
    path = tmp_path / "g.svg"
    assert main([*arguments, "-o", str(path), "--force"]) == 0
    return svg_text(path)


def test_one_graph_is_drawn_with_its_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn(tmp_path, "plot", "ring:64_16")
    assert "ring:64_16" in text
    assert "ASPL 2.4762, lower bound 1.7460, gap 41.82%" in text
    assert "at the lower bound" in text
    for share in ("25.4", "23.8"):  # at distances 1 to 3, and 4
        assert share in text.splitlines()
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'g.svg'}: ring:64_16, ASPL 2.4762 (no graph can have less")


def test_separate_parts_are_drawn_as_what_never_meets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn(tmp_path, "plot", "affine:16_4")
    assert "4 separate parts" in text
    assert "never" in text
    assert "each reads itself" in text
    assert capsys.readouterr().out.endswith("4 separate parts\n")


def test_graphs_in_turn_are_drawn_layer_by_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn(tmp_path, "plot", "affine:16_4?rotate=1")
    assert "5 graphs in turn, mixing depth 2 layers, at least 2 at these degrees" in text
    for shown in ("layer 1", "layer 4", "read after 2 layers", "100% of pairs"):
        assert shown in text
    assert "read after 3 layers" not in text  # nothing is new there
    assert capsys.readouterr().out.endswith("affine:16_4?rotate=1, 5 graphs in turn\n")


def test_graphs_that_never_mix_together_are_drawn(tmp_path: Path) -> None:
    pairs = Graph.of(np.kron(np.eye(8), np.ones((2, 2))))
    save(turns_picture("pairs", [pairs, pairs]), tmp_path / "g.svg")
    assert "2 graphs in turn, never mixes" in svg_text(tmp_path / "g.svg")


def test_a_comparison_shows_every_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["ring:16_4", "affine:16_4?rotate=1", "affine:9_3", "ring:9_2"]
    text = drawn(tmp_path, "compare", *names)
    for shown in ("ring:16_4", "affine:16_4?rotate=1", "the first of 5 in turn", "3 separate parts", "ring:9_2"):
        assert shown in text
    assert "eigenvalues" in text
    assert "* best of these" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["png", "SVG"])
@pytest.mark.parametrize(
    "arguments", [("plot", "random:16_4"), ("plot", "affine:16_4?rotate=1"), ("compare", "ring:8_4", "ring:9_4")]
)
def test_the_same_graphs_give_the_same_file(tmp_path: Path, arguments: tuple[str, ...], suffix: str) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        assert main([*arguments, "-o", str(path)]) == 0
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    if suffix.lower() == "png":
        assert png_size(paths[0])[0] >= 1200
    else:
        assert svg_text(paths[0])
        assert b"<dc:date>" not in first


def test_different_graphs_give_different_files(tmp_path: Path) -> None:
    files = []
    for seed in range(2):
        (graph,) = parse(f"random:16_4?seed={seed}")
        save(picture(Graph.of(graph.adjacency, "same")), tmp_path / "g.png")
        files.append((tmp_path / "g.png").read_bytes())
    assert files[0] != files[1]


def test_the_smallest_and_barest_graphs_are_drawn(tmp_path: Path) -> None:
    pair = np.array([[0, 1], [1, 0]])
    graphs = [Graph.of(matrix) for matrix in (np.eye(4), np.ones((4, 4)), pair, np.kron(np.eye(2), pair))]
    figures = [*map(picture, graphs), turns_picture("turns", graphs[:1]), comparison([("one", [g]) for g in graphs])]
    for figure in figures:
        save(figure, tmp_path / "g.png")
        assert png_size(tmp_path / "g.png")[0] >= 1200


def test_eight_graphs_stand_side_by_side(tmp_path: Path) -> None:
    compared = [(f"ring:{nodes}_4", parse(f"ring:{nodes}_4")) for nodes in range(8, 16)]
    save(comparison(compared), tmp_path / "g.png")
    assert png_size(tmp_path / "g.png")[0] > 3000


@pytest.mark.parametrize("degree", [16, 200])
def test_a_large_graph_is_drawn_and_its_svg_stays_small(tmp_path: Path, degree: int) -> None:
    (graph,) = parse(f"ring:1024_{degree}")
    figure = picture(graph)
    save(figure, tmp_path / "g.png")
    save(figure, tmp_path / "g.svg")
    assert png_size(tmp_path / "g.png")[0] >= 1200
    assert (tmp_path / "g.svg").stat().st_size < 6e5
    assert ("the others are too many" in svg_text(tmp_path / "g.svg")) == (degree == 200)


def test_a_path_of_dollars_and_of_great_length_is_shown_as_text(tmp_path: Path) -> None:
    (graph,) = parse("ring:8_4")
    save(picture(Graph.of(graph.adjacency, f"$x^2$/<b>&amp;/{'long/' * 40}g$_3$.npy")), tmp_path / "g.svg")
    title = svg_text(tmp_path / "g.svg").splitlines()
    assert any(line.startswith("…") and line.endswith("g$_3$.npy") and len(line) == 90 for line in title)


def test_characters_that_the_font_lacks_are_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (graph,) = parse("ring:8_4")
    graph.save(tmp_path / "图.npy")
    assert main(["plot", str(tmp_path / "图.npy"), "-o", str(tmp_path / "g.png")]) == 0
    assert capsys.readouterr().err == ""
