"""The operators in bfloat16: what their functions say, within one rounding of the result."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.compile.graph_conv import ACTIVATIONS, operator
from rgp.compile.precision import to_bf16_kernels
from rgp.engines import native
from rgp.engines.ort import OrtEngine, session
from tests.compile.kernels.one_operator import file_of, masked
from tests.compile.kernels.test_graph_conv import expected, refusal, stock

ROUNDING = 2.0**-8
"""Half a step of bfloat16's 8 bits, as a share of the number, and as much for one that rounds the other way."""

pytestmark = pytest.mark.skipif(native.missing("bf16") is not None, reason=f"{native.missing('bf16')}")


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def half_file(op: str, weight: NDArray[np.float32], bias: NDArray[np.float32], **geometry: tuple[int, ...]) -> bytes:
    """Casts around the operator in bfloat16."""
    strides, pads = geometry.get("strides", (1, 1)), geometry.get("pads", (0, 0, 0, 0))
    return to_bf16_kernels(file_of(op, weight, bias, strides, pads))


@settings(max_examples=150)
@given(
    adds=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    outs=st.sampled_from([1, 2, 4, 7, 8, 16, 24, 64, 67]),
    ins=st.sampled_from([1, 2, 3, 5, 8, 16, 37, 64, 130]),
    kernel=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3, 4])),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    nodes=st.integers(1, 9),
    degree=st.integers(1, 4),
    side=st.tuples(st.sampled_from([1, 4, 7, 14, 17, 28, 33]), st.sampled_from([1, 3, 7, 14, 16, 28, 31, 49])),
    batch=st.integers(0, 3),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_operator_is_one_rounding_from_the_dense_convolution(
    adds: bool,
    activation: str,
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
    weight, bias = masked(rng, outs, ins, kernel, nodes, degree), rng.normal(size=outs).astype(np.float32)
    side = (max(side[0], kernel[0]), max(side[1], kernel[1]))
    x = rng.normal(size=(batch, ins, *side)).astype(np.float32)
    shape = [(side[i] + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i in (0, 1)]
    residual = rng.normal(size=(batch, outs, *shape)).astype(np.float32) if adds else None
    op = operator(adds=adds, activation=activation)
    feed = {"x": x} if residual is None else {"x": x, "r": residual}
    got = session(half_file(op, weight, bias, strides=strides, pads=pads), threads=threads).run(None, feed)[0]
    added = None if residual is None else rounded(residual)
    want, size = expected(op, rounded(x), rounded(weight), bias, strides, pads, added)
    assert got.shape == want.shape
    assert (np.abs(got - want) <= ROUNDING * np.abs(want) + 1e-5 * size + 1e-30).all()


@pytest.mark.parametrize("side", [(7, 7), (1, 17), (3, 11), (1, 33), (5, 13), (1, 16), (2, 9)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_pixel_behind_whole_vectors(side: tuple[int, int], kernel: int) -> None:
    rng = np.random.default_rng(0)
    weight = masked(rng, 64, 64, (kernel, kernel), 4, 2)  # eight rows to a strip
    bias, pads = rng.normal(size=64).astype(np.float32), (kernel // 2,) * 4
    x, residual = (rounded(rng.normal(size=(2, 64, *side))) for _ in range(2))
    model = half_file("GraphConvAddRelu", weight, bias, pads=pads)
    got = session(model, threads=2).run(None, {"x": x, "r": residual})[0]
    want, size = expected("GraphConvAddRelu", x, rounded(weight), bias, (1, 1), pads, residual)
    assert (np.abs(got - want) <= ROUNDING * np.abs(want) + 1e-5 * size).all()


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_the_library_the_file_computes_the_same(adds: bool, activation: str) -> None:
    rng = np.random.default_rng(0)
    weight, bias = masked(rng, 16, 16, (3, 3), 4, 2), rng.normal(size=16).astype(np.float32)
    feed = {"x": rng.normal(size=(2, 16, 9, 9)).astype(np.float32)}
    if adds:
        feed["r"] = rng.normal(size=(2, 16, 9, 9)).astype(np.float32)
    model = half_file(operator(adds=adds, activation=activation), weight, bias, pads=(1, 1, 1, 1))
    got, want = session(model, threads=1).run(None, feed)[0], stock(model).run(None, feed)[0]
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=ROUNDING)
    np.testing.assert_array_equal(got, rounded(got))


@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_where_the_cpu_has_no_bf16_stock_operators_run(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    model = half_file("GraphConvRelu", masked(rng, 16, 16, (3, 3), 4, 2), np.zeros(16, np.float32))
    x = rng.normal(size=(1, 16, 9, 9)).astype(np.float32)
    want = stock(model).run(None, {"x": x})[0]
    monkeypatch.setenv("RGP_ISA", isa)
    np.testing.assert_array_equal(session(model, threads=1).run(None, {"x": x})[0], want)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    model = half_file("GraphConv", masked(rng, 64, 64, (3, 3), 16, 3), np.zeros(64, np.float32), pads=(1, 1, 1, 1))
    x = rng.normal(size=(2, 64, 28, 28)).astype(np.float32)
    one, *more = (session(model, threads=threads).run(None, {"x": x})[0] for threads in (1, 2, 3))
    for other in more:
        np.testing.assert_array_equal(other, one)


def test_nan_and_infinity_come_through_and_stay_in_their_word() -> None:
    weight = np.zeros((2, 4, 1, 1), np.float32)
    weight[0, :2] = weight[1, 2:] = 1
    x = np.ones((1, 4, 4, 4), np.float32)
    x[0, 1] = x[0, 3] = 0
    x[0, 0, 1, 2], x[0, 2, 3, 3], x[0, 2, 0, 0] = np.nan, np.inf, 3.4e38  # which rounds to infinity
    got = session(half_file("GraphConvRelu", weight, np.zeros(2, np.float32)), threads=1).run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, rounded(x[:, [0, 2]]))


def test_an_engine_names_what_runs_bf16() -> None:
    model = half_file("GraphConv", np.ones((4, 8, 1, 1), np.float32), np.zeros(4, np.float32))
    assert OrtEngine(model, threads=1).describe()["kernels"] == "avx512_bf16"


def test_what_does_not_fit_is_refused_with_the_shapes() -> None:
    weight, bias = np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32)
    assert "reads 3 channels" in refusal(half_file("GraphConv", weight, bias), x=np.ones((1, 4, 5, 5), np.float32))
    assert "the bias is (3)" in refusal(half_file("GraphConv", weight, np.zeros(3, np.float32)))
    added = half_file("GraphConvAdd", weight, bias)
    x = np.ones((1, 3, 5, 5), np.float32)
    assert "what is added is (1, 2, 5, 4)" in refusal(added, x=x, r=np.ones((1, 2, 5, 4), np.float32))


def test_a_file_that_mixes_the_types_is_refused() -> None:
    weight = np.ones((2, 3, 1, 1), np.float32)
    model = file_of("Bf16GraphConv", weight, np.zeros(2, np.float32), (1, 1), (0, 0, 0, 0))
    with pytest.raises(Exception, match=r"(?i)type"):
        ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match=r"(?i)type"):
        session(model, threads=1)
