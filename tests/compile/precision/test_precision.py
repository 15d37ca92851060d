"""Which engine computes in which type is found by asking it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial

import onnxruntime
import pytest

from rgp.compile.precision import supported, to_bf16, to_fp16, to_int8
from rgp.engines import native
from rgp.engines.target import PRECISIONS
from rgp.errors import EngineError
from tests.compile.precision.networks import images, mixed

CALIBRATION = list(images(8, seed=1))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnxruntime_on_cpu_computes_in_fp32_and_int8(precision: str) -> None:
    assert supported(precision, "ort", "cpu") is None


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors may have such kernels")
def test_onnxruntime_on_x86_casts_fp16_to_float32_and_has_no_bf16_but_ours_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (supported("bf16", "ort", "cpu") is None) == (native.missing("bf16") is None)
    supported.cache_clear()
    monkeypatch.setattr(native, "missing", lambda precision: f"{precision} needs another CPU")
    half, brain = supported("fp16", "ort", "cpu"), supported("bf16", "ort", "cpu")
    supported.cache_clear()
    assert half is not None
    assert "runs fp16 networks by casting to float32" in half
    assert brain is not None
    assert "on CPUs only rgp's own kernels compute in bf16: bf16 needs another CPU" in brain
    for reason in (half, brain):
        assert "use --precision fp32, or int8 with --images" in reason
        assert "\n" not in reason


def test_a_device_that_is_not_there_is_no_matter_of_precision() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(EngineError, match="runs on CPU only"):
        supported("fp16", "ort", "cuda")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensorrt_is_left_to_its_builder(precision: str) -> None:
    assert supported(precision, "trt-rtx", "cuda") is None


@pytest.mark.parametrize(
    ("convert", "convolutions"),
    [
        (to_fp16, {"HALF"}),
        (to_bf16, {"BF16"}),
        (partial(to_int8, calibration=CALIBRATION, symmetric=True), {"FLOAT"}),  # until the builder fuses
    ],
)
def test_tensorrt_reads_the_types_that_stand_in_the_file(
    convert: Callable[[bytes], bytes], convolutions: set[str]
) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    network = trt.Builder(logger).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(convert(mixed())), parser.get_error(0).desc()
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    found = {layer.get_output(0).dtype.name for layer in layers if layer.type == trt.LayerType.CONVOLUTION}
    assert found == convolutions
    assert (network.get_input(0).dtype.name, network.get_output(0).dtype.name) == ("UINT8", "FLOAT")
    quantised = sum(layer.type == trt.LayerType.QUANTIZE for layer in layers)
    assert (quantised > 0) == (convolutions == {"FLOAT"})
