"""What is said where there is no GPU, and the GPU's name where there is one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest

from rgp.engines.tensorrt import cuda
from rgp.errors import EngineError
from tests.rgp.tensorrt.conftest import Paper
from tests.rgp.tensorrt.paper_gpu import PaperDriver


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    cuda._device.cache_clear()
    yield
    cuda._device.cache_clear()


def test_a_machine_without_a_driver_says_so() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    try:
        driver.cuInit(0)
    except RuntimeError:
        with pytest.raises(EngineError, match="this machine has no NVIDIA driver"):
            cuda.gpu()
    else:
        pytest.skip("this machine has an NVIDIA driver")


def test_a_driver_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", PaperDriver(devices=0))
    with pytest.raises(EngineError, match=r"finds none: no CUDA-capable device is detected \(CUDA error 100\)"):
        cuda.gpu()


def test_without_cuda_bindings_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    with pytest.raises(EngineError, match=r"package cuda-bindings: pip install 'rgp\[trt-rtx\]'"):
        cuda.gpu()


def test_the_gpu_is_described(paper: Paper) -> None:
    assert cuda.gpu() == cuda.Gpu("Paper 3000", capability="8.6", driver="13.2")


def test_every_call_that_is_used_exists_in_cuda_bindings() -> None:
    """The paper driver stands for the real one: what it has, the real one must have."""
    real = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    for name in vars(PaperDriver):
        if name.startswith(("cu", "CU")):
            assert hasattr(real, name), name
            for member in getattr(vars(PaperDriver)[name], "__dict__", {}):
                if member.startswith("CU_"):
                    assert hasattr(getattr(real, name), member), (name, member)
    assert importlib.import_module("cuda.bindings.driver").CUresult.CUDA_SUCCESS == 0
