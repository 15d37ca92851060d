"""Names: unique, and a layer's weight is called after its layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from rgp.compile.convs import find
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.compile.passes.names import Names
from tests.compile.handmade import proto, save, small_net


def renamed(tmp_path: Path, node: str, weight: str) -> str:
    conv = helper.make_node("Conv", ["x", weight], ["y"], name=node)
    written = proto([conv], {weight: np.ones((4, 3, 3, 3), np.float32)}, output=(None,) * 4)
    (found,) = find(prepare(read_onnx(save(written, tmp_path / "net.onnx"))))
    return found.name


@pytest.mark.parametrize(
    ("node", "weight", "layer"),
    [
        ("/layer1/layer1.0/conv1/Conv", "onnx::Conv_497", "layer1.0.conv1"),
        ("/features/features.1/conv/conv.0/conv.0.0/Conv", "817", "features.1.conv.0.0"),
        ("/stem/Conv", "stem.weight", "stem"),
        ("/stem/Conv", "my_filter", "my_filter"),
        ("Conv_12", "onnx::Conv_497", "onnx::Conv_497"),
        ("", "onnx::Conv_497", "onnx::Conv_497"),
    ],
)
def test_a_weight_without_a_name_is_called_after_its_module(tmp_path: Path, node: str, weight: str, layer: str) -> None:
    assert renamed(tmp_path, node, weight) == layer


def test_one_module_applied_twice_gives_two_names(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "onnx::Conv_1"], ["a"], name="/conv/Conv"),
        helper.make_node("Conv", ["a", "onnx::Conv_2"], ["y"], name="/conv/Conv_1"),
    ]
    weight = np.ones((3, 3, 3, 3), np.float32)
    written = proto(nodes, {"onnx::Conv_1": weight, "onnx::Conv_2": 2 * weight}, output=(None,) * 4)
    convs = find(prepare(read_onnx(save(written, tmp_path / "net.onnx"))))
    assert [conv.name for conv in convs] == ["conv", "conv#2"]
    assert [conv.weight.max() for conv in convs] == [1, 2]


def test_names_given_twice_become_unique_and_inputs_and_outputs_keep_theirs(tmp_path: Path) -> None:
    model = read_onnx(save(small_net(), tmp_path / "net.onnx"))
    for node in list(model.graph)[:-1]:
        node.outputs[0].name = "x"
    Names()(model)
    onnx.checker.check_model(ir.to_proto(model))
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == ["x", "y"]
