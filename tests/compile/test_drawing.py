"""The drawing of a network: its blocks are those of the model, and each is drawn once, in order."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from rgp.compile.drawing import COLOURS, LEAST_PITCH, WIDTH, Block, _rows, network_svg, read_blocks
from rgp.compile.export import export
from rgp.compile.lowerings import LOWERINGS
from rgp.models.registry import build
from tests.compile.conftest import GREY
from tests.compile.example_report import layer

SVG = "{http://www.w3.org/2000/svg}"


def read(*nodes: Any) -> tuple[Block, ...]:
    """The blocks of a model of 4 channels on 8x8 with a 3x3 weight ``w``, a 1x1 ``v`` and a matrix ``m``."""
    weights = {"w.weight": (4, 4, 3, 3), "v.weight": (4, 4, 1, 1), "m.weight": (10, 4)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", 1, ["N", 4, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["N", 4, 8, 8])],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
        value_info=[helper.make_tensor_value_info(name, 1, ["N", 4, 8, 8]) for name in "abcd"],
    )
    return read_blocks(ir.from_proto(helper.make_model(graph)))


def conv(x: str, y: str, weight: str = "w.weight") -> Any:
    pad = 1 if weight == "w.weight" else 0
    return helper.make_node("Conv", [x, weight], [y], pads=[pad] * 4)


def test_a_residual_addition_joins_two_blocks_and_an_activation_is_no_block() -> None:
    first, second, join = read(
        conv("x", "a"),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "c", "v.weight"),
        helper.make_node("Add", ["b", "c"], ["y"]),
    )
    assert (first.name, first.channels, first.kernel, first.image, first.macs) == ("w", (4, 4), (3, 3), (8, 8), 9216)
    assert (second.name, second.sources) == ("v", (0,))
    assert (join.name, join.join, join.sources) == ("Add", True, (0, 1))


def test_a_tensor_that_meets_itself_is_no_join() -> None:
    swish = read(
        conv("x", "a"),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Mul", ["a", "b"], ["c"]),
        conv("c", "y", "v.weight"),
    )
    assert [(block.name, block.sources) for block in swish] == [("w", ()), ("v", (0,))]


def test_a_linear_layer_is_a_block_with_its_matrix() -> None:
    *_, linear = read(
        conv("x", "a"),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["f"]),
        helper.make_node("Gemm", ["f", "m.weight"], ["y"], transB=1),
    )
    assert (linear.name, linear.channels, linear.macs, linear.sources) == ("m", (4, 10), 40, (0,))


def test_an_exported_network_has_its_convolutions_its_additions_and_its_classifier() -> None:
    blocks = read_blocks(export(build("small_resnet", num_classes=10, in_channels=1), GREY))
    assert sum(not block.join for block in blocks) == 9 + 1
    assert [block.name for block in blocks if block.join] == ["Add"] * 3
    assert all(len(block.sources) == 2 for block in blocks if block.join)
    assert blocks[-1].channels[1] == 10
    assert blocks[-1].macs == blocks[-1].channels[0] * 10


@st.composite
def networks(draw: st.DrawFn) -> list[Block]:
    """Sequences of blocks that read the one before, and here and there an earlier one too."""
    blocks = [Block("0", False, (), (4, 4), (3, 3), (8, 8), 100)]
    for number in range(1, draw(st.integers(1, 150))):
        skipped = draw(st.integers(0, number - 1)) if draw(st.integers(0, 3)) == 0 else number - 1
        sources = tuple(sorted({skipped, number - 1}))
        blocks.append(Block(str(number), len(sources) > 1, sources, (4, 4), (3, 3), (8, 8), 100 * (len(sources) < 2)))
    return blocks


@settings(max_examples=30, deadline=None)
@given(networks())
def test_lines_are_broken_in_order_and_none_is_too_long(blocks: list[Block]) -> None:
    rows = _rows(blocks)
    assert [number for row in rows for number in row] == list(range(len(blocks)))
    assert max(map(len, rows)) * LEAST_PITCH <= WIDTH


def test_a_line_is_broken_where_it_tears_no_arc() -> None:
    residual = [Block("0", False, ())]
    while len(residual) < 100:  # eight blocks, and an addition of what came before them
        start = len(residual) - 1
        residual += [Block("conv", False, (start + i,)) for i in range(8)]
        residual.append(Block("Add", True, (start, start + 8)))
    for row in _rows(residual)[1:]:
        readers = range(row.start, len(residual))
        assert all(source >= row.start - 1 for reader in readers for source in residual[reader].sources)


@settings(max_examples=30, deadline=None)
@given(networks())
def test_every_block_is_drawn_once_with_its_title_and_within_the_picture(blocks: list[Block]) -> None:
    svg = ElementTree.fromstring(network_svg(blocks, []))
    titles = [str(title.text).partition(":")[0] for title in svg.iter(f"{SVG}title")]
    assert titles == [block.name for block in blocks]
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for mark in svg.iter(f"{SVG}rect"):
        x, y, across, down = (float(mark.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + across <= width
        assert y + down <= height


def test_a_bar_is_as_long_as_its_time_and_its_head_has_the_colour_of_the_lowering() -> None:
    blocks = [Block(name, False, (), (4, 4), (3, 3), (8, 8), 100) for name in ("a", "b", "c")]
    measured = {"lowering": "grouped", "macs_share": 0.25}
    svg = ElementTree.fromstring(
        network_svg(
            blocks,
            [
                layer("a", **measured, dense_ms=2.0, chosen_ms=0.5),
                layer("b", dense_ms=1.0, chosen_ms=1.0),
                layer("c", **measured),
            ],
        )
    )
    groups = [group for group in svg.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
    rects = [[rect.attrib for rect in group.iter(f"{SVG}rect")] for group in groups]
    heads, outlines, filled = zip(*rects, strict=True)
    assert heads[0]["fill"] == heads[2]["fill"] != heads[1]["fill"]
    lengths = [
        (float(outline["height"]), float(fill["height"])) for outline, fill in zip(outlines, filled, strict=True)
    ]
    assert lengths == [(84, 21), (42, 42), (63, 15.8)]  # the third by its MACs, at the median rate of the others
    assert ["stroke-dasharray" in outline for outline in outlines] == [False, False, True]
    text = "".join(str(each.text) for each in svg.iter(f"{SVG}text"))
    assert "milliseconds" in text
    assert "dashed: not measured" in text


def test_without_any_time_bars_are_multiply_accumulates_and_say_so() -> None:
    svg = network_svg([Block("a", False, (), (4, 4), (3, 3), (8, 8), 100)], [layer("a")])
    assert "bars: multiply-accumulates" in svg
    assert "dasharray" not in svg


def test_a_name_with_markup_is_text() -> None:
    svg = network_svg([Block("<script>&", False, (), (4, 4), (3, 3), (8, 8), 100)], [])
    assert "<script>" not in svg
    assert "&lt;script&gt;&amp;" in svg


def test_every_lowering_has_a_colour_of_its_own() -> None:
    assert LOWERINGS.keys() <= COLOURS.keys()
    assert len(set(COLOURS.values())) == len(COLOURS)
