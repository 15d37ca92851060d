"""Where the kernels are missing or refused, the file runs without them, and the engine says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from rgp.engines import native
from rgp.engines.ort import OrtEngine
from tests.compile.kernels.one_operator import file_of, masked

WEIGHT = masked(np.random.default_rng(0), 16, 16, (3, 3), 4, 2)
MODEL = file_of("GraphConvRelu", WEIGHT, np.ones(16, np.float32), (1, 1), (1, 1, 1, 1))
IMAGE = np.random.default_rng(1).normal(size=(2, 16, 9, 9)).astype(np.float32)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What was found out about one library does not hold for another."""
    native.missing.cache_clear()
    yield
    native.missing.cache_clear()


def test_a_file_says_whether_it_uses_the_kernels() -> None:
    assert native.used_by(MODEL)
    assert not native.used_by(MODEL.replace(b"\x0a\x03rgp", b"\x0a\x03abc"))


@pytest.mark.skipif(native.missing() is not None, reason=f"no kernels: {native.missing()}")
def test_an_engine_names_the_instruction_set() -> None:
    engine = OrtEngine(MODEL, threads=1)
    assert engine.describe()["kernels"] in ("avx512", "avx2", "neon", "portable")
    assert native.identity().startswith(f"{native.describe()} ")


@pytest.mark.parametrize("content", [None, b"", b"no library", b"\x7fELF" + bytes(200)])
def test_without_a_library_that_loads_stock_operators_run(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = OrtEngine(MODEL, threads=1).run(IMAGE)
    library = tmp_path / "librgp_kernels.so"
    if content is not None:
        library.write_bytes(content)
    native.missing.cache_clear()
    monkeypatch.setattr(native, "LIBRARY", library)
    engine = OrtEngine(MODEL, threads=1)
    np.testing.assert_allclose(engine.run(IMAGE), want, atol=1e-5, rtol=0)
    expected = "without a C++ compiler" if content is None else "does not load"
    assert expected in str(engine.describe()["kernels"])
    assert str(engine.describe()["kernels"]).startswith("stock operators: ")


def test_a_library_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(Path(ort.__file__).parent.glob("capi/libonnxruntime*.so*"))
    monkeypatch.setattr(native, "LIBRARY", other)
    assert "does not load" in str(OrtEngine(MODEL, threads=1).describe()["kernels"])
