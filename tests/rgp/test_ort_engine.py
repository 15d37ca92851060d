"""The ONNX Runtime engine, on a real small network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from rgp.engines.ort import OrtEngine
from rgp.errors import EngineError, UsageError
from tests.serve.tiny import network


def batch(size: int, side: int = 12) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=(size, side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def engine() -> OrtEngine:
    return OrtEngine(network(), threads=2)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_batch_gives_the_logits_that_its_images_give_alone(size: int, engine: OrtEngine) -> None:
    images = batch(size)
    logits = engine.run(images)
    assert logits.shape == (size, 7)
    assert logits.dtype == np.float32
    alone = np.concatenate([engine.run(images[index : index + 1]) for index in range(size)])
    np.testing.assert_allclose(logits, alone, rtol=1e-5, atol=1e-5)
    assert len(np.unique(logits[:, 0])) == size


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_a_batch_in_parts_gives_what_its_parts_give_alone(size: int, at_once: int, engine: OrtEngine) -> None:
    images = batch(size)
    alone = [engine.run(images[first : first + at_once]) for first in range(0, size, at_once)]
    np.testing.assert_array_equal(OrtEngine(network(), threads=2, at_once=at_once).run(images), np.concatenate(alone))


def test_an_empty_batch_is_passed_on(engine: OrtEngine) -> None:
    assert OrtEngine(network(), threads=1, at_once=1).run(batch(0)).shape == engine.run(batch(0)).shape == (0, 7)


def test_images_need_not_lie_in_one_piece(engine: OrtEngine) -> None:
    images = batch(3)
    assert np.array_equal(engine.run(np.asfortranarray(images)), engine.run(images))
    assert np.array_equal(engine.run(images[:, ::-1]), engine.run(images[:, ::-1].copy()))


def test_several_threads_may_call_it_at_once(engine: OrtEngine) -> None:
    images = batch(40)
    alone = [engine.run(image[np.newaxis]) for image in images]
    with ThreadPoolExecutor(8) as callers:
        together = list(callers.map(lambda image: engine.run(image[np.newaxis]), images))
    assert np.array_equal(together, alone)


def test_it_describes_itself(engine: OrtEngine) -> None:
    assert engine.describe() == {"engine": "ort", "version": onnxruntime.__version__, "device": "cpu", "threads": 2}


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_threads_than_one_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads is {threads}, give at least 1"):
        OrtEngine(network(), threads=threads)


@pytest.mark.parametrize("model", [b"", b"not ONNX", network()[:-100]])
def test_bytes_that_are_no_network_are_refused(model: bytes) -> None:
    with pytest.raises(EngineError, match="refuses the model"):
        OrtEngine(model, threads=1)


def test_a_network_that_takes_numbers_runs_on_numbers_alone() -> None:
    engine = OrtEngine(network(input_type=TensorProto.FLOAT), threads=1)
    assert engine.run(batch(2).astype(np.float32)).shape == (2, 7)
    with pytest.raises(EngineError, match="failed on a batch of shape"):
        engine.run(batch(2))


def test_a_device_that_is_not_there_is_refused_with_what_to_install() -> None:
    with pytest.raises(UsageError, match="unknown device"):
        OrtEngine(network(), threads=1, device="tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(EngineError, match=r"remove the package onnxruntime and install rgp\[gpu\]"):
            OrtEngine(network(), threads=1, device="cuda")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 12, 12, 4), np.uint8),
        np.zeros((12, 12, 3), np.uint8),
        np.zeros((1, 12, 12, 3), np.float32),
    ],
)
def test_a_batch_that_does_not_fit_is_an_engine_error(images: NDArray[np.uint8], engine: OrtEngine) -> None:
    with pytest.raises(EngineError, match="failed on a batch of shape"):
        engine.run(images)
