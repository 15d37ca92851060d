"""The engine on a GPU made of paper: batches, pieces, graphs, threads, lifetimes, errors. See ``paper_gpu``."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from rgp.engines import Engine
from rgp.engines.ort import OrtEngine
from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt import ready as ready_module
from rgp.engines.tensorrt.build import Built, Summary
from rgp.engines.tensorrt.engine import MAX_GRAPHS, OFTEN, TensorRTEngine
from rgp.engines.tensorrt.key import Key
from rgp.engines.tensorrt.settings import Settings
from rgp.engines.tensorrt.store import Store
from rgp.errors import EngineError
from tests.rgp.tensorrt.conftest import Paper
from tests.rgp.tensorrt.networks import data_of, tiny
from tests.rgp.tensorrt.paper_gpu import paper_engine

ONNX = tiny()
PROFILES = ((1, 1), (2, 8), (9, 32))


def batch(size: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng((seed, size)).integers(256, size=(size, 12, 12, 3), dtype=np.uint8)


def engine_of(paper: Paper, **options: Any) -> TensorRTEngine:
    return TensorRTEngine(paper_engine(ONNX, *PROFILES, **options), paper.library, precision="fp32")


@pytest.fixture(scope="module")
def reference() -> OrtEngine:
    return OrtEngine(ONNX, threads=1)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 31, 32, 33, 64, 65])
def test_every_batch_gives_its_own_logits(size: int, paper: Paper, reference: OrtEngine) -> None:
    logits = engine_of(paper).run(batch(size))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, reference.run(batch(size)), rtol=1e-5, atol=1e-5)


def test_a_batch_that_comes_often_stays_right_when_others_come_between(paper: Paper, reference: OrtEngine) -> None:
    engine = engine_of(paper)
    for seed, size in enumerate([2, 2, 2, 2, 5, 2, 1, 1, 1, 1, 3, 2, 40, 40, 40, 8, 40, 1, 2]):
        images = batch(size, seed)
        np.testing.assert_allclose(engine.run(images), reference.run(images), rtol=1e-5, atol=1e-5)


def test_only_tensorrt_is_recorded_here_and_each_size_once(paper: Paper) -> None:
    engine = engine_of(paper)
    contexts = paper.module.contexts
    for _ in range(OFTEN + 4):
        engine.run(batch(4))
    recorded = paper.library.kind == "trt"  # TensorRT-RTX records in the library
    assert paper.driver.launches == 4 * recorded
    assert paper.module.contexts - contexts == recorded


def test_no_more_graphs_than_the_limit_are_kept(paper: Paper, reference: OrtEngine) -> None:
    engine = engine_of(paper)
    before = paper.module.contexts
    for size in range(1, MAX_GRAPHS + 4):
        for _ in range(OFTEN + 1):
            np.testing.assert_allclose(engine.run(batch(size)), reference.run(batch(size)), rtol=1e-5, atol=1e-5)
    assert paper.module.contexts - before == (MAX_GRAPHS if paper.library.kind == "trt" else 0)


def test_no_more_is_computed_than_the_batch(paper: Paper) -> None:
    engine = engine_of(paper)
    for size in (8, 2, 7, 1, 40):
        engine.run(batch(size))
    assert paper.module.computed == [8, 2, 7, 1, 32, 8]


@pytest.mark.parametrize("recording", ["refused", "breaks"])
def test_a_network_that_cannot_be_recorded_runs_as_before(recording: str, paper: Paper, reference: OrtEngine) -> None:
    engine = engine_of(paper, recording=recording)
    before = paper.module.contexts
    for _ in range(OFTEN + 2):
        np.testing.assert_allclose(engine.run(batch(4)), reference.run(batch(4)), rtol=1e-5, atol=1e-5)
    assert paper.driver.launches == 0
    assert paper.module.contexts - before == (paper.library.kind == "trt")  # tried once


def test_without_memory_for_a_graph_it_runs_as_before(paper: Paper, reference: OrtEngine) -> None:
    engine = engine_of(paper)
    paper.module.most_contexts = paper.module.contexts
    for _ in range(OFTEN + 2):
        np.testing.assert_allclose(engine.run(batch(4)), reference.run(batch(4)), rtol=1e-5, atol=1e-5)


def test_an_engine_without_memory_for_its_contexts_says_so(paper: Paper) -> None:
    paper.module.most_contexts = 2
    with pytest.raises(EngineError, match="cannot start the engine: no memory for another context"):
        engine_of(paper)


def test_several_threads_may_call_it_at_once(paper: Paper, reference: OrtEngine) -> None:
    engine = engine_of(paper)
    batches = [batch(1 + seed % 11, seed) for seed in range(60)]
    with ThreadPoolExecutor(8) as callers:
        together = list(callers.map(engine.run, batches))
    for logits, images in zip(together, batches, strict=True):
        np.testing.assert_allclose(logits, reference.run(images), rtol=1e-5, atol=1e-5)


def test_images_need_not_lie_in_one_piece_and_results_are_the_callers(paper: Paper) -> None:
    engine = engine_of(paper)
    images = batch(3)
    logits = engine.run(np.asfortranarray(images))
    kept = logits.copy()
    engine.run(batch(3, seed=1))
    assert np.array_equal(logits, kept)
    assert np.array_equal(engine.run(images), kept)


def test_its_memory_streams_and_graphs_are_freed_with_it(paper: Paper) -> None:
    engine = engine_of(paper)
    for _ in range(OFTEN + 1):
        engine.run(batch(4))
    assert paper.driver.alive
    del engine
    gc.collect()
    assert not paper.driver.alive


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (batch(2)[:0], r"\(0, 12, 12, 3\) uint8"),
        (batch(2)[:, :11], r"\(2, 11, 12, 3\) uint8"),
        (batch(2)[0], r"\(12, 12, 3\) uint8"),
        (batch(2).astype(np.float32), r"\(2, 12, 12, 3\) float32"),
    ],
)
def test_what_is_no_batch_of_its_images_is_refused(images: NDArray[Any], found: str, paper: Paper) -> None:
    with pytest.raises(EngineError, match=rf"takes \(B, 12, 12, 3\) uint8, not {found}"):
        engine_of(paper).run(images)


def test_a_failure_names_the_batch_and_the_reason_and_the_next_batch_runs(paper: Paper, reference: OrtEngine) -> None:
    engine = engine_of(paper)
    paper.module.fail_next = True
    with pytest.raises(EngineError, match="failed on a batch of 2: out of memory"):
        engine.run(batch(2))
    np.testing.assert_allclose(engine.run(batch(2)), reference.run(batch(2)), rtol=1e-5, atol=1e-5)


def test_bytes_that_are_no_engine_are_refused_with_the_reason(paper: Paper) -> None:
    with pytest.raises(EngineError, match=r"refuses the engine on Paper 3000 \(8.6\): wrong magic tag$"):
        TensorRTEngine(b"no engine", paper.library, precision="fp32")


def test_it_describes_itself(paper: Paper) -> None:
    assert engine_of(paper).describe() == {
        "engine": paper.library.kind,
        "version": "11.2",
        "device": "Paper 3000 (8.6)",
        "precision": "fp32",
        "threads": 1,
    }


def branches(output_type: int = TensorProto.INT64, rows: int | str = "batch") -> bytes:
    """ONNX: x (batch, 3) to x + x float32, and x in another type, with another number of rows."""
    nodes = [helper.make_node("Add", ["x", "x"], ["double"]), helper.make_node("Cast", ["x"], ["cast"], to=output_type)]
    ends = [
        helper.make_tensor_value_info("double", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("cast", output_type, [rows, 3]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "branches", [x], ends)
    return data_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def test_every_output_comes_in_its_own_type(paper: Paper) -> None:
    engine = TensorRTEngine(paper_engine(branches(), (1, 4)), paper.library, precision="fp32")
    x = np.arange(27, dtype=np.float32).reshape(9, 3)  # in pieces of 4
    double, whole = engine.outputs(x)
    assert double.dtype == np.float32
    assert whole.dtype == np.int64
    assert np.array_equal(double, x + x)
    assert np.array_equal(whole, x)
    assert np.array_equal(engine.run(x), x + x)


def test_a_type_that_numpy_lacks_is_refused(paper: Paper) -> None:
    onnx = branches(TensorProto.BFLOAT16)
    with pytest.raises(EngineError, match="'cast' has a type that numpy lacks: cast it to float32 in the ONNX"):
        TensorRTEngine(paper_engine(onnx, (1, 4)), paper.library, precision="bf16")


class TestFromOnnx:
    """``TensorRTEngine.of``, with a builder on paper: its engine is the ONNX."""

    @pytest.fixture
    def builds(self, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
        builds: list[Settings] = []

        def build(onnx: bytes, library: object, settings: Settings, **_: object) -> Built:
            builds.append(settings)
            return Built(paper_engine(onnx, *settings.profiles), None, Summary(1, 1, 0, ("FLOAT",), quantised=False))

        monkeypatch.setattr(ready_module, "build", build)
        return builds

    def of(self, paper: Paper, folder: Path, told: list[str] | None = None) -> TensorRTEngine:
        told = [] if told is None else told
        return TensorRTEngine.of(
            ONNX, kind=paper.library.kind, precision="fp32", store=Store(folder / "engines"), progress=told.append
        )

    def test_it_is_built_once_and_then_taken_from_the_store(
        self, paper: Paper, builds: list[Settings], tmp_path: Path, reference: OrtEngine
    ) -> None:
        for _ in range(2):
            engine: Engine = self.of(paper, tmp_path)
            np.testing.assert_allclose(engine.run(batch(40)), reference.run(batch(40)), rtol=1e-5, atol=1e-5)
        assert builds == [Settings("fp32")]

    def test_a_stored_engine_that_does_not_load_is_built_anew_and_the_reason_told(
        self, paper: Paper, builds: list[Settings], tmp_path: Path
    ) -> None:
        self.of(paper, tmp_path)
        key = Key.of(ONNX, paper.library, Settings("fp32"), cuda.gpu())
        assert Store(tmp_path / "engines").put(key, b"of another kind") == ""
        told: list[str] = []
        self.of(paper, tmp_path, told)
        assert len(builds) == 2
        assert "the stored one fails" in told[0]
        assert "wrong magic tag" in told[0]

    def test_a_new_engine_that_does_not_load_is_not_built_again(
        self, paper: Paper, builds: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paper.module, "_load", lambda engine, logger: None)
        with pytest.raises(EngineError, match="refuses the engine"):
            self.of(paper, tmp_path)
        assert len(builds) == 1
