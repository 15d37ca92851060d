"""Asking a real builder for a grouped convolution, and hearing what a builder without the kernel says."""

from __future__ import annotations

import sys

import pytest

from rgp.engines.tensorrt import probe
from rgp.engines.tensorrt.library import Library, load
from rgp.engines.tensorrt.probe import grouped_refusal
from rgp.engines.tensorrt.settings import Settings
from rgp.errors import EngineError


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize(("channels", "groups", "kernel"), [((64, 128), 4, 1), ((32, 32), 16, 3)])
def test_tensorrt_rtx_has_grouped_convolutions_in_every_precision(
    precision: str, channels: tuple[int, int], groups: int, kernel: int, rtx: Library
) -> None:
    assert grouped_refusal("trt-rtx", precision, channels=channels, groups=groups, kernel=kernel) is None


def test_a_builder_without_the_kernel_gives_its_reason(rtx: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    # as an engine for Turing refuses bf16; TensorRT 11.2.1 refuses fp16 groups in the same place
    for_turing = Settings("bf16", targets=("7.5",))
    monkeypatch.setattr(probe, "Settings", lambda precision: for_turing)
    refusal = grouped_refusal("trt-rtx", "bf16", channels=(16, 16), groups=2, kernel=5)
    assert refusal is not None
    assert "HW-specific datatypes: b16" in refusal


def test_where_nothing_can_be_asked_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    load.cache_clear()
    with pytest.raises(EngineError, match="--engine trt needs the module tensorrt"):
        grouped_refusal("trt", "fp16", channels=(16, 16), groups=2, kernel=3)
