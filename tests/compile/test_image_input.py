"""A network that takes floats takes images, with the arithmetic that exported checkpoints have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from rgp.compile.image_input import with_image_input
from rgp.compile.onnx_bytes import serialize
from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import prepare
from rgp.compile.reference import Reference
from rgp.engines.ort import OrtEngine
from rgp.errors import CompileError
from rgp.normalise import Normalise
from rgp.preprocess import Preprocess
from tests.compile.handmade import assert_same, proto, run, save, small_net

PREPROCESS = Preprocess(channels=3, size=8, resize=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
ALL_PIXELS = np.arange(8 * 8 * 3 * 4, dtype=np.uint16).astype(np.uint8).reshape(4, 8, 8, 3)
ONES = {"w": np.eye(3, dtype=np.float32)[:, :, None, None]}


def test_pixels_become_the_floats_that_training_has_to_the_bit(tmp_path: Path) -> None:
    written = proto([helper.make_node("Conv", ["x", "w"], ["y"])], ONES, output=(None,) * 4)  # passes its input on
    model = with_image_input(read_onnx(save(written, tmp_path / "net.onnx")), PREPROCESS)
    expected = Normalise(PREPROCESS)(torch.from_numpy(ALL_PIXELS)).numpy()
    assert (run(model, ALL_PIXELS) == expected).all()


@pytest.mark.parametrize("batch", ["N", 1])
def test_it_is_the_file_on_images(tmp_path: Path, batch: str | int) -> None:
    path = save(small_net((batch, 3, 8, 8), output=batch), tmp_path / "net.onnx")
    model = prepare(with_image_input(read_onnx(path), PREPROCESS))
    assert [(value.name, str(value.shape)) for value in (*model.graph.inputs, *model.graph.outputs)] == [
        ("image", "[batch,8,8,3]"),
        ("logits", "[batch,5]"),
    ]
    (expected,) = Reference(path, PREPROCESS)(ALL_PIXELS)
    assert_same(expected, OrtEngine(serialize(model), threads=1).run(ALL_PIXELS))


def test_a_network_that_takes_bytes_is_only_renamed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["y"]),
    ]
    written = proto(nodes, ONES, shape=("N", 8, 8, 3), dtype=onnx.TensorProto.UINT8, output=(None,) * 4)
    path = save(written, tmp_path / "net.onnx")
    model = with_image_input(read_onnx(path), PREPROCESS)
    assert [node.op_type for node in model.graph] == ["Cast", "Transpose", "Conv"]
    assert (model.graph.inputs[0].name, model.graph.outputs[0].name) == ("image", "logits")
    assert_same(Reference(path, PREPROCESS)(ALL_PIXELS)[0], run(model, ALL_PIXELS))


def test_other_tensors_of_these_names_make_way(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "image"], ["logits"]),
        helper.make_node("Mul", ["logits", "normalise.scale"], ["normalised"]),
        helper.make_node("Neg", ["normalised"], ["y"]),
    ]
    weights = {"image": ONES["w"], "normalise.scale": np.ones(1, np.float32)}
    path = save(proto(nodes, weights, output=(None,) * 4), tmp_path / "net.onnx")
    model = prepare(with_image_input(read_onnx(path), PREPROCESS))
    assert (model.graph.inputs[0].name, model.graph.outputs[0].name) == ("image", "logits")
    assert_same(Reference(path, PREPROCESS)(ALL_PIXELS)[0], run(model, ALL_PIXELS))


@pytest.mark.parametrize(
    ("channels", "size", "why"),
    [(1, 8, r"'x' takes 3x8x8 after the batch, the preprocessing makes 1x8x8: give"), (3, 9, "makes 3x9x9")],
)
def test_images_of_another_shape_are_refused(tmp_path: Path, channels: int, size: int, why: str) -> None:
    model = read_onnx(save(small_net(), tmp_path / "net.onnx"))
    with pytest.raises(CompileError, match=why):
        with_image_input(model, Preprocess(channels, size, size, (0.5,) * channels, (0.5,) * channels))
