"""What can be computed beforehand is; what would grow is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.compile.passes.constants import Constants
from tests.compile.handmade import assert_same, images, operators, proto, run, save, small_net


def read(tmp_path: Path, written: onnx.ModelProto) -> ir.Model:
    return read_onnx(save(written, tmp_path / "net.onnx"))


def test_a_weight_that_is_computed_from_constants_becomes_one(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((3, 3, 3, 64)).astype(np.float32)  # as TensorFlow keeps it
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[3, 2, 0, 1]),
        helper.make_node("Mul", ["t", "s"], ["v"]),
        helper.make_node("Conv", ["x", "v"], ["y"]),
    ]
    written = proto(nodes, {"w": weight, "s": np.float32(0.5).reshape(1)}, output=(None,) * 4)
    model = read(tmp_path, written)
    Constants()(model)
    assert operators(model) == ["Conv"]
    assert_same(run(written, images((2, 3, 8, 8))), run(model, images((2, 3, 8, 8))))


def test_a_constant_that_would_be_far_larger_than_what_it_is_made_of_stays_a_node(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Expand", ["one", "many"], ["e"]),  # 4 TB
        helper.make_node("ReduceMean", ["e"], ["m"], keepdims=0),
        helper.make_node("Add", ["c", "m"], ["y"]),
    ]
    constants = {"one": np.ones(1, np.float32), "many": np.array([1 << 20, 1 << 20])}
    written = proto(nodes, {"w": np.ones((4, 3, 3, 3), np.float32), **constants}, output=(None,) * 4)
    model = prepare(read(tmp_path, written))
    assert operators(model) == ["Conv", "Expand", "ReduceMean", "Add"]


def test_dropout_with_a_mask_that_nobody_reads_is_gone(tmp_path: Path) -> None:
    written = small_net()
    node = helper.make_node("Dropout", ["g", "ratio"], ["dropped", "mask"])
    written.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "ratio"))
    written.graph.node[-1].input[0] = "dropped"
    written.graph.node.insert(len(written.graph.node) - 1, node)
    model = prepare(read(tmp_path, written))
    assert operators(model)[-2:] == ["Flatten", "Gemm"]
    assert_same(run(written, images((2, 3, 8, 8))), run(model, images((2, 3, 8, 8))))


def test_a_channel_shuffle_whose_every_number_is_asked_of_the_tensor_becomes_constant(tmp_path: Path) -> None:
    """As torch's old exporter writes ShuffleNet with a free batch, two blocks deep."""
    weights = {"w": np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32), "zero": np.array([0])}
    weights |= {"two": np.array([2]), "at0": np.array(0), "at1": np.array(1), "at2": np.array(2), "at3": np.array(3)}
    weights |= {"half": np.array(2)}
    nodes: list[onnx.NodeProto] = []
    x = "x"
    for block in "ab":
        nodes.append(helper.make_node("Conv", [x, "w"], [f"{block}c"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Shape", [f"{block}c"], [f"{block}s"]))
        for axis in range(4):
            nodes.append(helper.make_node("Gather", [f"{block}s", f"at{axis}"], [f"{block}{axis}"]))
            nodes.append(helper.make_node("Unsqueeze", [f"{block}{axis}", "zero"], [f"{block}u{axis}"]))
        nodes.append(helper.make_node("Div", [f"{block}1", "half"], [f"{block}d"]))
        nodes.append(helper.make_node("Unsqueeze", [f"{block}d", "zero"], [f"{block}ud"]))
        split = [f"{block}u0", "two", f"{block}ud", f"{block}u2", f"{block}u3"]
        nodes.append(helper.make_node("Concat", split, [f"{block}to"], axis=0))
        nodes.append(helper.make_node("Reshape", [f"{block}c", f"{block}to"], [f"{block}5"]))
        nodes.append(helper.make_node("Transpose", [f"{block}5"], [f"{block}t"], perm=[0, 2, 1, 3, 4]))
        nodes.append(helper.make_node("Concat", [f"{block}u{axis}" for axis in range(4)], [f"{block}back"], axis=0))
        x = f"{block}y"
        nodes.append(helper.make_node("Reshape", [f"{block}t", f"{block}back"], [x]))
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["p"]))
    nodes.append(helper.make_node("Flatten", ["p"], ["y"]))
    written = proto(nodes, weights, shape=("N", 8, 6, 6))
    model = prepare(read(tmp_path, written))
    assert operators(model) == ["Conv", "Reshape", "Transpose", "Reshape"] * 2 + ["GlobalAveragePool", "Flatten"]
    assert [str(node.outputs[0].shape) for node in model.graph][3] == "[batch,8,6,6]"
    assert_same(run(written, images((2, 8, 6, 6))), run(model, images((2, 8, 6, 6))))
