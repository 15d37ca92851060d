"""The reference is the file itself: its nodes as they are written, its batch, its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from rgp.compile.reference import Reference, plain_session
from rgp.errors import EngineError
from rgp.preprocess import Preprocess
from tests.compile.handmade import assert_same, proto, save, small_net

PREPROCESS = Preprocess(channels=3, size=8, resize=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def pixels(batch: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (batch, 8, 8, 3), np.uint8)


def test_it_is_the_network_on_normalised_pixels(tmp_path: Path) -> None:
    written = small_net()
    images = pixels(4)
    x = (images.astype(np.float64) / 255 - PREPROCESS.mean) / PREPROCESS.std
    (expected,) = ReferenceEvaluator(written).run(None, {"x": x.transpose(0, 3, 1, 2).astype(np.float32)})
    (got,) = Reference(save(written, tmp_path / "net.onnx"), PREPROCESS)(images)
    assert_same(np.asarray(expected), got)


@pytest.mark.parametrize("fixed", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_a_file_of_a_fixed_batch_gets_the_images_by_so_many_at_a_time(tmp_path: Path, fixed: int, batch: int) -> None:
    free = Reference(save(small_net(), tmp_path / "free.onnx"), PREPROCESS)
    bound = Reference(save(small_net((fixed, 3, 8, 8), output=fixed), tmp_path / "fixed.onnx"), PREPROCESS)
    assert_same(free(pixels(batch))[0], bound(pixels(batch))[0])


def test_a_file_that_takes_bytes_gets_them_and_all_outputs_come_back(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=1), helper.make_node("Neg", ["y"], ["minus"])]
    written = proto(nodes, {}, shape=("N", 8, 8, 3), dtype=onnx.TensorProto.UINT8, output=(None,) * 4)
    written.graph.output.append(helper.make_tensor_value_info("minus", 1, (None,) * 4))
    values, negated = Reference(save(written, tmp_path / "net.onnx"), PREPROCESS)(pixels(2))
    assert (values == pixels(2)).all()
    assert (negated == -values).all()


def test_nothing_is_optimised(tmp_path: Path) -> None:
    """ONNX Runtime's optimiser would fold BatchNorm and drop the Identity; here every node runs."""
    written = small_net()
    written.graph.node.insert(1, helper.make_node("Identity", ["a"], ["i"]))
    written.graph.node[2].input[0] = "i"
    written.graph.output.append(helper.make_tensor_value_info("i", 1, (None,) * 4))
    session = plain_session(written.SerializeToString())
    assert session.get_session_options().graph_optimization_level.name == "ORT_DISABLE_ALL"
    assert [output.name for output in session.get_outputs()] == ["y", "i"]


def test_what_cannot_be_read_or_run_is_an_error_of_the_engine(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"nonsense")
    with pytest.raises(EngineError, match=r"ONNX Runtime [\d.]+ refuses the model: "):
        Reference(tmp_path / "net.onnx", PREPROCESS)
    reference = Reference(save(small_net(), tmp_path / "net.onnx"), PREPROCESS)
    with pytest.raises(EngineError, match=r"failed on an input of shape \(1, 3, 9, 8\): "):
        reference(np.zeros((1, 9, 8, 3), np.uint8))
