"""On a real GPU: what the engine computes is what ONNX Runtime computes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rgp.engines.ort import OrtEngine
from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt.engine import OFTEN, TensorRTEngine
from rgp.engines.tensorrt.library import load
from rgp.engines.tensorrt.store import Store
from rgp.errors import EngineError
from tests.rgp.tensorrt.networks import SIDE, half, tiny

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["trt", "trt-rtx"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        load(name)
        cuda.gpu()
    except EngineError as error:
        pytest.skip(str(error))
    return name


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 2e-2)])
def test_it_gives_the_logits_of_onnx_runtime(kind: str, precision: str, tolerance: float, tmp_path: Path) -> None:
    model = tiny() if precision == "fp32" else half(tiny())
    reference = OrtEngine(tiny(), threads=1)
    store = Store(tmp_path / "engines")
    random = np.random.default_rng(0)
    for _ in ("built", "stored"):
        engine = TensorRTEngine.of(model, kind=kind, precision=precision, batches=(1, 8), store=store)
        for size in [1] * (OFTEN + 2) + [2] * (OFTEN + 2) + [7, 8, 2, 9, 17, 1]:
            images = random.integers(256, size=(size, SIDE, SIDE, 3), dtype=np.uint8)
            np.testing.assert_allclose(engine.run(images), reference.run(images), rtol=tolerance, atol=tolerance)
    assert "Conv" in engine.layers() or "conv" in engine.layers()


def test_several_threads_may_call_it_at_once(kind: str) -> None:
    engine = TensorRTEngine.of(tiny(), kind=kind, precision="fp32", batches=(4,), store=Store(None))
    images = np.random.default_rng(0).integers(256, size=(40, SIDE, SIDE, 3), dtype=np.uint8)
    alone = [engine.run(image[np.newaxis]) for image in images]
    with ThreadPoolExecutor(8) as callers:
        together = list(callers.map(lambda image: engine.run(image[np.newaxis]), images))
    assert np.array_equal(together, alone)
