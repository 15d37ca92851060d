"""QLinearGraphConv gives the very bytes of ONNX's QLinearConv, which the file has beside it for other runtimes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.compile.nodes import initializer
from rgp.compile.onnx_bytes import OPSET, serialize
from rgp.compile.rewrite import register_constants
from rgp.engines import native
from rgp.engines.ort import OrtEngine, session
from tests.compile.kernels.one_operator import masked

UINT8 = ir.TensorType(ir.DataType.UINT8)

needs_int8 = pytest.mark.skipif(native.missing("int8") is not None, reason=f"{native.missing('int8')}")


def numbers(rng: np.random.Generator, weight: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Inputs of QLinearConv for this weight, in its order, by name."""
    outs = len(weight)
    return {
        "x_scale": np.array(rng.uniform(0.001, 0.1), np.float32),
        "x_zero": np.array(rng.choice([0, 3, 255]), np.uint8),
        "w": weight,
        "w_scale": rng.uniform(0.001, 0.02, outs).astype(np.float32),
        "w_zero": np.zeros(outs, np.int8),
        "y_scale": np.array(rng.uniform(0.01, 1), np.float32),
        "y_zero": np.array(rng.choice([0, 128, 255]), np.uint8),
        "b": rng.integers(-5000, 5000, outs).astype(np.int32),
    }


def file_of(
    inputs: dict[str, NDArray[Any]], strides: tuple[int, ...] = (1, 1), pads: tuple[int, ...] = (0,) * 4
) -> bytes:
    x = ir.Value(name="x", shape=ir.Shape(["batch", "channels", "height", "width"]), type=UINT8)
    attributes = [ir.AttrInt64s("strides", strides), ir.AttrInt64s("pads", pads)]
    constants = [initializer(name, array) for name, array in inputs.items()]
    node = ir.Node(native.DOMAIN, native.INT8, [x, *constants], attributes, num_outputs=1)
    y = node.outputs[0]
    y.name, y.type, y.shape = "y", UINT8, ir.Shape(["batch", len(inputs["w"]), "p", "q"])
    graph = ir.Graph([x], [y], nodes=[node], opset_imports={"": OPSET}, name="one")
    register_constants(graph)
    return serialize(ir.Model(graph, ir_version=10))


def stock(model: bytes) -> ort.InferenceSession:
    """The same file in a runtime that knows nothing of the kernels."""
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


def bytes_of(weight: NDArray[np.float32]) -> NDArray[np.int8]:
    """Weights over all of int8, and the same zeros."""
    largest = np.abs(weight).max(initial=1e-9)
    whole = np.clip(np.round(weight / largest * 128), -128, 127)
    return np.where((whole == 0) & (weight != 0), 1, whole).astype(np.int8)


@needs_int8
@settings(max_examples=150)
@given(
    outs=st.sampled_from([1, 2, 4, 7, 8, 16, 24, 64, 67]),
    ins=st.sampled_from([1, 2, 3, 4, 5, 8, 16, 37, 64, 130]),
    kernel=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3, 4])),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    nodes=st.integers(1, 9),
    degree=st.integers(1, 4),
    side=st.tuples(st.sampled_from([1, 4, 7, 14, 17, 28, 33]), st.sampled_from([1, 3, 7, 14, 16, 28, 31, 49])),
    batch=st.integers(1, 3),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_byte_is_that_of_the_dense_operator(
    outs: int,
    ins: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    nodes: int,
    degree: int,
    side: tuple[int, int],
    batch: int,
    threads: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    model = file_of(numbers(rng, bytes_of(masked(rng, outs, ins, kernel, nodes, degree))), strides, pads)
    x = rng.integers(0, 256, (batch, ins, *map(max, side, kernel))).astype(np.uint8)
    got = session(model, threads=threads).run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, stock(model).run(None, {"x": x})[0])


@needs_int8
def test_an_empty_batch_stays_empty() -> None:
    model = file_of(numbers(np.random.default_rng(0), np.ones((4, 8, 3, 3), np.int8)))
    assert session(model, threads=1).run(None, {"x": np.zeros((0, 8, 5, 5), np.uint8)})[0].shape == (0, 4, 3, 3)


@needs_int8
def test_one_scale_may_stand_for_all_outputs() -> None:
    rng = np.random.default_rng(0)
    inputs = numbers(rng, rng.integers(-128, 128, (4, 8, 1, 1)).astype(np.int8))
    inputs |= {"w_scale": np.array(0.01, np.float32), "w_zero": np.array(0, np.int8)}
    x = rng.integers(0, 256, (1, 8, 5, 5)).astype(np.uint8)
    got = session(file_of(inputs), threads=1).run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, stock(file_of(inputs)).run(None, {"x": x})[0])


def test_sums_far_beyond_a_byte_saturate() -> None:
    inputs = numbers(np.random.default_rng(0), np.full((2, 16, 3, 3), 127, np.int8))
    inputs["w"][1] = -127
    inputs |= {"w_scale": np.full(2, 1e6, np.float32), "y_scale": np.array(1e-6, np.float32)}
    x = np.full((1, 16, 4, 4), 200, np.uint8)
    y = session(file_of(inputs), threads=1).run(None, {"x": x})[0]
    zero = int(inputs["x_zero"])
    assert (y[0, 0] == (255 if zero < 200 else 0)).all()
    assert (y[0, 1] == (0 if zero < 200 else 255)).all()


@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_where_the_cpu_has_no_int8_stock_operators_run(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    model = file_of(numbers(rng, bytes_of(masked(rng, 16, 16, (3, 3), 4, 2))))
    x = rng.integers(0, 256, (1, 16, 9, 9)).astype(np.uint8)
    want = session(model, threads=1).run(None, {"x": x})[0]
    monkeypatch.setenv("RGP_ISA", isa)
    np.testing.assert_array_equal(session(model, threads=1).run(None, {"x": x})[0], want)


@needs_int8
def test_an_engine_names_what_runs_int8() -> None:
    model = file_of(numbers(np.random.default_rng(0), np.ones((4, 8, 1, 1), np.int8)))
    assert OrtEngine(model, threads=1).describe()["kernels"] == "avx512_vnni"


@needs_int8
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"w_zero": np.array([0, 1], np.int8)}, "a zero point of the weight is 1, not 0"),
        ({"w_scale": np.ones(3, np.float32)}, r"the weight's scale is \(3\) for 2"),
        ({"x_scale": np.array(0, np.float32)}, "the input's scale is 0.0+, not above 0"),
        ({"y_scale": np.array(np.nan, np.float32)}, "the output's scale is nan, not above 0"),
        ({"y_scale": np.array(-1, np.float32)}, "the output's scale is -1.0+, not above 0"),
        ({"b": np.zeros(3, np.int32)}, r"the bias is \(3\) for the weight \(2, 8, 1, 1\)"),
        ({"w": np.ones((2, 8, 1), np.int8)}, r"the weight is \(2, 8, 1\), not \(O, C, kh, kw\)"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, NDArray[Any]], said: str) -> None:
    inputs = numbers(np.random.default_rng(0), np.ones((2, 8, 1, 1), np.int8)) | change
    with pytest.raises(Exception, match=said):
        session(file_of(inputs), threads=1)


@needs_int8
def test_another_number_of_channels_is_refused() -> None:
    shared = session(file_of(numbers(np.random.default_rng(0), np.ones((2, 8, 1, 1), np.int8))), threads=1)
    with pytest.raises(Exception, match=r"the input is \(1, 7, 5, 5\), the weight reads 8 channels"):
        shared.run(None, {"x": np.zeros((1, 7, 5, 5), np.uint8)})
