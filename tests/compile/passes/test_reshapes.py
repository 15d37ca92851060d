"""Reshapes say what they do in constants, and that they leave the batch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from tests.compile.handmade import assert_same, images, operators, proto, run, save


def targets(tmp_path: Path, nodes: list[onnx.NodeProto], rank: int, **constants: np.ndarray) -> list[list[int]]:
    """What the Reshapes of the prepared network reshape to; it is the same function at batch 1 and 3."""
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    weights = {"w": np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32), **constants}
    written = proto([conv, *nodes], weights, shape=("N", 3, 4, 4), output=(None,) * rank)
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    for batch in (1, 3):
        assert_same(run(written, images((batch, 3, 4, 4))), run(model, images((batch, 3, 4, 4))))
    assert set(operators(model)) == {"Conv", "Reshape"}
    return [_target(node) for node in model.graph if node.op_type == "Reshape"]


def _target(node: ir.Node) -> list[int]:
    assert node.inputs[1] is not None
    assert node.inputs[1].const_value is not None
    numbers: list[int] = node.inputs[1].const_value.numpy().tolist()
    return numbers


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ([-1, 32], [0, 32]),
        ([0, -1], [0, 32]),
        ([0, 0, 4], [0, 8, 4]),
        ([-1, 2, 4, 4], [0, 2, 4, 4]),
        ([-1, 8], [-1, 8]),  # here images come apart: the first number is no batch any more
        ([-1], [-1]),
    ],
)
def test_a_constant_target_says_what_stays_of_the_batch(tmp_path: Path, given: list[int], becomes: list[int]) -> None:
    reshape = helper.make_node("Reshape", ["c", "to"], ["y"])
    assert targets(tmp_path, [reshape], len(given), to=np.array(given)) == [becomes]


def test_a_target_that_asks_for_the_batch_becomes_constant(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["b"]),
        helper.make_node("Concat", ["b", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["c", "to"], ["y"]),
    ]
    assert targets(tmp_path, nodes, 2, first=np.array([0]), rest=np.array([-1])) == [[0, 32]]


def test_one_target_that_is_known_makes_the_next_one_known(tmp_path: Path) -> None:
    """ONNX cannot tell the -1 of the first, and so neither the second's shape."""
    nodes = [
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["b"]),
        helper.make_node("Concat", ["b", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["c", "to"], ["r"]),
        helper.make_node("Concat", ["b", "more"], ["on"], axis=0),
        helper.make_node("Reshape", ["r", "on"], ["y"]),
    ]
    constants = {"first": np.array([0]), "rest": np.array([-1]), "more": np.array([-1, 4])}
    assert targets(tmp_path, nodes, 3, **constants) == [[0, 32], [0, 8, 4]]
