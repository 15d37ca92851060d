"""TensorRT-RTX builds what the pipeline makes, ahead of time, on a machine without a GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rgp.bundle import Bundle
from rgp.checkpoint import Checkpoint
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_checkpoint
from rgp.engines.target import Target
from rgp.families import parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="needs the extra trt-rtx (Linux on x86-64)"
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def without_gpu(target: Target) -> bool:
    return target.absent() is not None


def compiled(checkpoint: Path, out: Path, precision: str, batches: tuple[int, ...] = (1,)) -> Bundle:
    target = Target("trt-rtx", "cuda", precision)
    if not without_gpu(target):
        pytest.skip("there is a GPU here: these tests are about machines without one")
    return compile_source(from_checkpoint(checkpoint), out, Settings(threads=2, target=target, batches=batches))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_small_network_is_built_and_says_that_it_was_not_measured(
    write_checkpoint: Callable[..., Path], tmp_path: Path, precision: str
) -> None:
    bundle = compiled(write_checkpoint(), tmp_path / "bundle", precision, (1, 8))
    report = bundle.report
    assert "not measured: no NVIDIA GPU here" in report["verdict"]
    assert report["latency"] == []
    assert report["built"]["compiled.onnx"]["grouped"] > 0
    assert report["built"]["dense.onnx"]["grouped"] == 0
    assert report["equivalence"]["precision"] == (
        "fp32" if precision == "bf16" else precision
    )  # where it could be proved
    assert bundle.target.precision == precision
    assert report["tune"] == "quick"
    assert all("estimated" in layer["why"] for layer in report["layers"] if layer["lowering"] != "dense")
    assert "Built, not measured" in bundle.files["report.html"].decode()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_resnet50_is_built_dense_and_compiled(tmp_path: Path, precision: str) -> None:
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_channels": 3}
    model = build("resnet50", **options)
    prune(model, parse("affine:16_4?rotate=1"), turns="blocks")
    preprocess = Preprocess(3, 224, 224, (0.5,) * 3, (0.25,) * 3)
    path = tmp_path / "net.pth"
    Checkpoint("resnet50", options, tuple("0123456789"), preprocess, "affine:16_4", model.state_dict()).save(path)
    built = compiled(path, tmp_path / "bundle", precision).report["built"]
    dense, lowered = built["dense.onnx"], built["compiled.onnx"]
    assert (dense["convolutions"], dense["grouped"]) == (53, 0)
    assert (lowered["convolutions"], lowered["grouped"]) == (53, 52)
    assert lowered["engine_bytes"] < 0.5 * dense["engine_bytes"]
    assert dense["types"] == lowered["types"] == ["FLOAT" if precision == "fp32" else "HALF"]
