"""Zeros around an image become the convolution's own; anything else that pads stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from tests.compile.handmade import assert_same, block_sparse, images, operators, proto, run, save


@pytest.mark.parametrize(
    ("pads", "mode", "value", "conv", "stays"),
    [
        ([0, 0, 1, 2, 0, 0, 0, 1], "constant", 0.0, {"pads": [1, 0, 0, 1]}, False),
        ([0, 0, 1, 1, 0, 0, 1, 1], "constant", 0.0, {}, False),
        ([0, 0, 3, 3, 0, 0, 3, 3], "constant", 0.0, {"auto_pad": "VALID", "strides": [2, 2]}, False),  # TensorFlow's
        ([0, 0, 1, 1, 0, 0, 1, 1], "constant", 0.0, {"auto_pad": "SAME_UPPER"}, True),
        ([0, 0, 1, 1, 0, 0, 1, 1], "constant", 1.0, {}, True),
        ([0, 0, 1, 1, 0, 0, 1, 1], "reflect", 0.0, {}, True),
        ([0, 0, -1, 0, 0, 0, 0, 0], "constant", 0.0, {}, True),
        ([0, 2, 0, 0, 0, 2, 0, 0], "constant", 0.0, {}, True),  # channels
    ],
)
def test_pad_of_zeros_moves_into_the_convolution(
    tmp_path: Path, pads: list[int], mode: str, value: float, conv: dict[str, list[int]], stays: bool
) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "pads", "value"], ["p"], mode=mode),
        helper.make_node("Conv", ["p", "w"], ["y"], **conv),  # type: ignore[arg-type]
    ]
    constants = {"pads": np.array(pads), "value": np.array(value, np.float32), "w": block_sparse(8, 2)}
    written = proto(nodes, constants, shape=("N", 8 - pads[1] - pads[5], 7, 7), output=(None,) * 4)
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert operators(model) == (["Pad", "Conv"] if stays else ["Conv"])
    x = images((2, 8 - pads[1] - pads[5], 7, 7))
    assert_same(run(written, x), run(model, x))


def test_a_pad_that_others_read_stays_for_them(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["p", "c"], ["y"]),
    ]
    constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": block_sparse(8, 2)}
    written = proto(nodes, constants, shape=("N", 8, 7, 7), output=(None,) * 4)
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert [value.name for node in model.graph if node.op_type == "Conv" for value in node.inputs[:1] if value] == ["x"]
    assert_same(run(written, images((2, 8, 7, 7))), run(model, images((2, 8, 7, 7))))
