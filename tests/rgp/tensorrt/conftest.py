"""The libraries and the GPUs, real and on paper."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt.library import KINDS, Library, load
from rgp.errors import EngineError
from tests.rgp.tensorrt.paper_gpu import PaperDriver, PaperTensorRT


@pytest.fixture
def rtx() -> Library:
    """The real TensorRT-RTX, which builds without a GPU."""
    try:
        return load("trt-rtx")
    except EngineError as error:
        pytest.skip(str(error))


@dataclass
class Paper:
    """A GPU and a library on paper, in the place of the real ones."""

    driver: PaperDriver
    module: PaperTensorRT
    library: Library


@pytest.fixture(params=["trt", "trt-rtx"])
def paper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paper]:
    kind: str = request.param
    driver = PaperDriver()
    module = PaperTensorRT(driver, records_itself=kind == "trt-rtx")
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", driver)
    monkeypatch.setitem(sys.modules, KINDS[kind].module, module)
    _forget()
    yield Paper(driver, module, load(kind))
    _forget()


def _forget() -> None:
    cuda._device.cache_clear()
    load.cache_clear()
