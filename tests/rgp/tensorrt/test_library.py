"""What is said where a library is missing, old or broken, and what is left of what it logs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rgp.engines.tensorrt.library import KINDS, Library, Log, load
from rgp.errors import EngineError, UsageError


@pytest.fixture(autouse=True)
def _forget() -> None:
    load.cache_clear()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("trt", "--engine trt needs the module tensorrt and an NVIDIA GPU: pip install 'rgp[gpu]'"),
        ("trt-rtx", "--engine trt-rtx needs the module tensorrt_rtx: pip install 'rgp[trt-rtx]'"),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_brings_it(
    kind: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(KINDS[kind].module):
        monkeypatch.setitem(sys.modules, KINDS[kind].module, None)
    with pytest.raises(EngineError) as caught:
        load(kind)
    assert str(caught.value) == message


def test_a_library_without_one_of_its_parts_names_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("import tensorrt_bindings_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EngineError, match="without its part tensorrt_bindings_that_nobody_has"):
        load("trt")


def test_a_library_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.11: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EngineError, match=r"tensorrt does not load: libnvinfer\.so\.11: cannot open"):
        load("trt")


def test_a_tensorrt_from_before_strong_types_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="8.6.1"))
    with pytest.raises(EngineError, match=r"tensorrt 8\.6\.1 is too old, 10 or newer is needed"):
        load("trt")


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="did you mean 'trt-rtx'"):
        load("trt-rtz")


def test_the_library_knows_its_version(rtx: Library) -> None:
    assert str(rtx) == f"tensorrt_rtx {rtx.module.__version__}"


def test_the_error_that_says_something_is_told_once_and_without_its_place_in_the_source() -> None:
    log = Log()
    log.add("[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (cudaError 35: too old)")
    log.add(
        "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: check_turing] Cannot compile operation "
        "'node_linear' for Turing (SM75): FP32 GEMM is not supported. In compileGraph at /_src/code.cpp:2012)"
    )
    assert log.take() == "Cannot compile operation 'node_linear' for Turing (SM75): FP32 GEMM is not supported"
    assert log.take() == ""


def test_an_error_is_told_whole_where_it_has_no_known_form() -> None:
    log = Log()
    log.add("No low-precision conv kernel available.\nFailing node: node_223_Conv")
    assert log.take() == "No low-precision conv kernel available. Failing node: node_223_Conv"
