"""BatchNorm moves into what it follows, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from rgp.compile.convs import find
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from tests.compile.handmade import assert_same, block_sparse, images, operators, proto, run, save

RNG = np.random.default_rng(0)
NORM = {f"n{index}": RNG.uniform(0.5, 2, 8).astype(np.float32) for index in range(4)}


def norm(x: str, y: str) -> onnx.NodeProto:
    return helper.make_node("BatchNormalization", [x, *NORM], [y], epsilon=0.1)


def same(tmp_path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], rank: int = 4) -> list[str]:
    """The operators after ``prepare``, which has left the function as it was."""
    written = proto(nodes, {**NORM, **weights}, shape=("N", 8, 6, 6), output=(None,) * rank)
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert_same(run(written, images((2, 8, 6, 6))), run(model, images((2, 8, 6, 6))))
    return operators(model)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_it_moves_into_a_convolution_and_leaves_zeros_and_names(tmp_path: Path, groups: int, bias: bool) -> None:
    weights = {"body.weight": block_sparse(8, 2)[:, : 8 // groups], "body.bias": np.ones(8, np.float32)}
    inputs = ["x", "body.weight", *(["body.bias"] if bias else [])]
    nodes = [helper.make_node("Conv", inputs, ["c"], group=groups), norm("c", "y")]
    assert same(tmp_path, nodes, weights) == ["Conv"]
    (conv,) = find(prepare(read_onnx(tmp_path / "net.onnx")))
    assert conv.name == "body"
    assert ((conv.weight == 0) == (weights["body.weight"] == 0)).all()


def test_it_moves_into_a_linear_layer(tmp_path: Path) -> None:
    weights = {"w": RNG.standard_normal((8, 8)).astype(np.float32), "b": np.ones(8, np.float32)}
    pooled = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    nodes = [*pooled, helper.make_node("Gemm", ["f", "w", "b"], ["g"], beta=0.5, transB=1), norm("g", "y")]
    assert same(tmp_path, nodes, weights, rank=2) == ["GlobalAveragePool", "Flatten", "Gemm"]


def test_three_in_a_row_all_move(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), norm("c", "d"), norm("d", "e"), norm("e", "y")]
    assert same(tmp_path, nodes, {"w": block_sparse(8, 2)}) == ["Conv"]


@pytest.mark.parametrize(
    "nodes",
    [
        [norm("x", "b"), helper.make_node("Conv", ["b", "w"], ["y"])],  # before, as in DenseNet
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            norm("c", "b"),
            helper.make_node("Add", ["b", "c"], ["y"]),  # who else reads the convolution wants it as it is
        ],
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            norm("c", "b"),
            helper.make_node("Conv", ["b", "w"], ["y"]),  # a weight of two convolutions
        ],
    ],
)
def test_it_stays_where_it_cannot_move(tmp_path: Path, nodes: list[onnx.NodeProto]) -> None:
    assert same(tmp_path, nodes, {"w": block_sparse(8, 2)}).count("BatchNormalization") == 1
