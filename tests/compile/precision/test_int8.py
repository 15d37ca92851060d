"""int8 networks run in int8 and give nearly what they gave."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from rgp.compile.precision import int8
from rgp.compile.precision.int8 import LEAST_IMAGES, MOST_IMAGES, saturates, to_int8
from rgp.engines.ort import OrtEngine
from rgp.errors import CompileError, UsageError
from tests.compile.precision.networks import difference, images, mixed, run

CALIBRATION = list(images(16, seed=1))


@pytest.fixture(scope="module")
def quantised() -> bytes:
    return to_int8(mixed(), CALIBRATION)


def constants(model: bytes) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in onnx.load_from_string(model).graph.initializer}


def test_onnxruntime_runs_every_convolution_and_the_classifier_in_int8(quantised: bytes, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    ran = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    convolutions = sum(node.op_type == "Conv" for node in onnx.load_from_string(mixed()).graph.node)
    assert convolutions == 6
    assert ran["QLinearConv"] == convolutions
    assert ran["QGemm"] == 1
    assert ran["Conv"] + ran["FusedConv"] + ran["Gemm"] == 0


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_it_gives_nearly_what_it_gave(quantised: bytes, batch: int) -> None:
    expected, got = run(mixed(), images(batch)), OrtEngine(quantised, threads=1).run(images(batch))
    assert 1e-4 < difference(expected, got) < 0.05


def test_logits_are_float32_and_not_of_256_steps(quantised: bytes) -> None:
    (output,) = onnx.load_from_string(quantised).graph.output
    assert (output.name, output.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    (last,) = (node for node in onnx.load_from_string(quantised).graph.node if "logits" in node.output)
    assert last.op_type == "Gemm"


def test_weights_are_symmetric_with_a_scale_for_each_channel(quantised: bytes) -> None:
    stored = constants(quantised)
    weights = {name: array for name, array in stored.items() if array.dtype == np.int8 and array.ndim == 4}
    assert len(weights) == 6
    for name, weight in weights.items():
        base = name.removesuffix("_quantized")
        assert stored[f"{base}_scale"].shape == (len(weight),)
        assert not stored[f"{base}_zero_point"].any()
        assert np.abs(weight.astype(int)).max() == 127
    assert np.uint8 in {array.dtype.type for name, array in stored.items() if name.endswith("zero_point")}


def test_the_normalisation_stays_in_float32(quantised: bytes) -> None:
    nodes = onnx.load_from_string(quantised).graph.node
    assert [node.op_type for node in nodes if "Dequantize" not in node.op_type][:4] == [
        *("Cast", "Transpose", "BatchNormalization", "QuantizeLinear")
    ]


def test_symmetric_files_have_zero_points_of_zero_and_biases_in_float32_as_tensorrt_asks() -> None:
    symmetric = to_int8(mixed(), CALIBRATION, symmetric=True)
    stored = constants(symmetric)
    points = [array for name, array in stored.items() if name.endswith("zero_point")]
    assert {array.dtype.type for array in points} == {np.int8}
    assert not any(array.any() for array in points)
    assert not any(array.dtype == np.int32 for array in stored.values())
    assert difference(run(mixed(), images(7)), run(symmetric, images(7))) < 0.1


def test_weights_have_seven_bits_where_products_would_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "saturates", lambda: True)
    weights = [array for array in constants(to_int8(mixed(), CALIBRATION)).values() if array.dtype == np.int8]
    assert max(np.abs(array.astype(int)).max() for array in weights) <= 64


def test_whether_products_overflow_is_what_the_processor_says() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "vnni" not in flags:
        pytest.skip("no x86 with VNNI: nothing to compare with")
    assert not saturates()


@pytest.mark.parametrize("count", [0, LEAST_IMAGES - 1])
def test_too_few_images_are_refused_with_the_option_to_give_them(count: int) -> None:
    with pytest.raises(UsageError, match=rf"found {count}: give a folder of at least {LEAST_IMAGES} with --images"):
        to_int8(mixed(), CALIBRATION[:count])


def test_the_least_number_of_images_is_enough() -> None:
    to_int8(mixed(), CALIBRATION[:LEAST_IMAGES])


def input_scale(calibration: list[np.ndarray]) -> float:
    """The step of the first tensor that is quantised."""
    model = onnx.load_from_string(to_int8(mixed(), calibration))
    (first, *_) = (node for node in model.graph.node if node.op_type == "QuantizeLinear")
    return float(constants(model.SerializeToString())[first.input[1]])


def test_of_many_images_some_are_used_from_the_first_to_the_last() -> None:
    grey = [np.full((12, 12, 3), 120, np.uint8)] * (3 * MOST_IMAGES)
    black, white = np.zeros_like(grey[0]), np.full_like(grey[0], 255)
    assert input_scale([black, *grey, white]) > 1.5 * input_scale([black, *grey])
    assert input_scale([black, *grey, white]) == pytest.approx((1 / 255) / 0.25 * 1.0, rel=0.3)


def test_nothing_is_printed_logged_or_left_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with caplog.at_level(logging.WARNING):
        to_int8(mixed(), CALIBRATION)
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_file_of_a_fixed_batch_is_calibrated_at_it() -> None:
    proto = onnx.load_from_string(mixed())
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    fixed = to_int8(proto.SerializeToString(), CALIBRATION)
    assert difference(run(mixed(), images(3)), run(fixed, images(3))) < 0.05


def test_images_of_another_size_are_an_error_of_one_line() -> None:
    with pytest.raises(
        CompileError, match=r"ONNX Runtime cannot quantise the network: .*use --precision fp32"
    ) as raised:
        to_int8(mixed(), [image[:5] for image in CALIBRATION])
    assert "\n" not in str(raised.value)
