"""Counting on the ONNX form: by hand, and as rgp.cost counts the torch network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from rgp.compile.export import export
from rgp.compile.macs import LayerMacs, network_macs
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.cost import cost
from rgp.errors import CompileError
from rgp.families import parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune
from tests.compile.conftest import randomised
from tests.compile.handmade import block_sparse, proto, save, small_net


def test_a_pruned_resnet18_costs_what_the_torch_network_costs() -> None:
    preprocess = Preprocess(3, 32, 32, (0.5,) * 3, (0.25,) * 3)
    torch.manual_seed(0)
    model = build("cifar_resnet18", num_classes=10)
    prune(model, parse("random:64_16"))
    expected = cost(model, (3, 32, 32))
    got = network_macs(prepare(export(randomised(model), preprocess)))
    assert {(layer.name, layer.dense_macs, layer.macs) for layer in got.layers} == {
        (layer.name, layer.dense_macs, layer.macs) for layer in expected.layers
    }
    assert (got.dense_macs, got.macs) == (expected.dense_macs, expected.macs)
    folded = sum(module.num_features for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert got.dense_parameters == expected.dense_parameters - folded  # scale and shift became one bias
    assert got.parameters == expected.parameters - folded


@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_a_small_network_counted_by_hand(tmp_path: Path, batch: str | int) -> None:
    model = prepare(read_onnx(save(small_net((batch, 3, 8, 8), output=batch), tmp_path / "net.onnx")))
    assert network_macs(model).layers == (
        LayerMacs("stem", 16 * 216, 16 * 216, 216 + 8, 216 + 8),
        LayerMacs("body", 16 * 576, 16 * 144, 576 + 8, 144 + 8),
        LayerMacs("head", 40, 40, 40 + 5, 40 + 5),
    )


def test_a_batch_that_stays_fixed_counts_one_image(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Flatten", ["c"], ["y"], axis=0)]
    path = save(proto(nodes, {"w": block_sparse(8, 2)}, shape=(2, 8, 5, 5)), tmp_path / "net.onnx")
    assert network_macs(prepare(read_onnx(path))).layers == (LayerMacs("w", 9 * 576, 9 * 288, 576, 288),)


def test_shared_weights_count_twice_in_macs_and_once_in_parameters(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Conv", ["c", "w"], ["y"])]
    path = save(
        proto(nodes, {"w": block_sparse(8, 2)}, shape=("N", 8, 6, 6), output=(None,) * 4), tmp_path / "net.onnx"
    )
    assert network_macs(prepare(read_onnx(path))).layers == (
        LayerMacs("w", 16 * 576, 16 * 288, 576, 288),
        LayerMacs("w#2", 4 * 576, 4 * 288, 0, 0),
    )


def test_groups_other_dimensions_and_products_of_many_rows_count(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "depthwise"], ["a"], group=8),
        helper.make_node("Reshape", ["a", "rows"], ["b"]),
        helper.make_node("Conv", ["b", "line"], ["c"]),  # of one dimension
        helper.make_node("MatMul", ["c", "m"], ["d"]),
        helper.make_node("Add", ["d", "bias"], ["y"]),
    ]
    weights = {
        "depthwise": np.ones((8, 1, 3, 3), np.float32),
        "rows": np.array([0, 8, 16]),
        "line": block_sparse(8, 4)[:, :, 0],
        "m": np.kron(np.eye(2), np.ones((7, 3))).astype(np.float32),
        "bias": np.ones(6, np.float32),
    }
    path = save(proto(nodes, weights, shape=("N", 8, 6, 6), output=(None,) * 3), tmp_path / "net.onnx")
    assert network_macs(prepare(read_onnx(path))).layers == (
        LayerMacs("depthwise", 16 * 72, 16 * 72, 72, 72),
        LayerMacs("line", 14 * 192, 14 * 48, 192, 48),
        LayerMacs("m", 8 * 84, 8 * 42, 84 + 6, 42 + 6),
    )


def test_work_that_depends_on_the_image_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("NonZero", ["c"], ["z"]),
        helper.make_node("Cast", ["z"], ["f"], to=1),
        helper.make_node("Transpose", ["f"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["t", "m"], ["y"]),
    ]
    weights = {"w": block_sparse(8, 2), "m": np.ones((4, 2), np.float32)}
    model = prepare(read_onnx(save(proto(nodes, weights, shape=("N", 8, 6, 6)), tmp_path / "net.onnx")))
    with pytest.raises(
        CompileError, match=r"layer 'm': its output has the shape \[.*,2\], which leaves its work unknown"
    ):
        network_macs(model)
