"""A fixed batch becomes free where shapes allow it, and stays where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from tests.compile.handmade import assert_same, images, proto, run, save, small_net


def ending(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """A convolution and pooling to ``f`` (2, 4, 1, 1), then ``nodes``; the file fixes a batch of 2."""
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    pool = helper.make_node("GlobalAveragePool", ["c"], ["f"])
    weights = {"w": np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32), **constants}
    return proto([conv, pool, *nodes], weights, shape=(2, 3, 8, 8))


def reshape(*target: int) -> onnx.ModelProto:
    return ending(helper.make_node("Reshape", ["f", "to"], ["y"]), to=np.array(target))


@pytest.mark.parametrize(
    "written",
    [
        small_net((1, 3, 8, 8), output=1),
        small_net((7, 3, 8, 8), opset=11, output=7),
        reshape(2, 4),
        reshape(2, -1),
        reshape(-1, 4),
        reshape(0, 4),
        ending(helper.make_node("Squeeze", ["f", "axes"], ["y"]), axes=np.array([2, 3])),
    ],
)
def test_a_network_exported_for_a_fixed_batch_takes_any(tmp_path: Path, written: onnx.ModelProto) -> None:
    batch = written.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert [str(value.shape[0]) for value in (*model.graph.inputs, *model.graph.outputs) if value.shape] == [
        "batch"
    ] * 2
    x = images((batch * 3, 3, 8, 8))
    expected = np.concatenate([run(written, part) for part in np.split(x, 3)])
    assert_same(expected, run(model, x))
    assert_same(expected[:1], run(model, x[:1]))


@pytest.mark.parametrize(
    "written",
    [
        reshape(1, 8),  # the images of a batch side by side
        ending(helper.make_node("Flatten", ["f"], ["y"], axis=0)),
        ending(
            helper.make_node("Concat", ["token", "f"], ["t"], axis=2),  # a constant that says the batch
            helper.make_node("Flatten", ["t"], ["y"]),
            token=np.ones((2, 4, 1, 1), np.float32),
        ),
        ending(helper.make_node("Slice", ["f", "from", "to"], ["y"]), **{"from": np.array([0]), "to": np.array([1])}),
    ],
)
def test_a_network_whose_shapes_need_the_batch_keeps_it(tmp_path: Path, written: onnx.ModelProto) -> None:
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert [value.shape[0] for value in model.graph.inputs if value.shape] == [2]
    assert_same(run(written, images((2, 3, 8, 8))), run(model, images((2, 3, 8, 8))))
