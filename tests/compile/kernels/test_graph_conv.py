"""The operators in ONNX Runtime compute what their functions say: with the kernels, and without."""

from __future__ import annotations

import threading

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.compile.graph_conv import ACTIVATIONS, operator
from rgp.engines import native
from rgp.engines.ort import OrtEngine, session
from rgp.errors import EngineError
from tests.compile.kernels.one_operator import file_of, masked

Array = NDArray[np.float32]

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=f"no kernels: {native.missing()}")


@pytest.fixture(params=["avx512", "avx2", "portable", "neon"])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force one instruction set, if the CPU has it."""
    name: str = request.param
    monkeypatch.setenv("RGP_ISA", name)
    weight = np.ones((1, 1, 1, 1), np.float32)
    try:
        session(file_of("GraphConv", weight, np.zeros(1, np.float32), (1, 1), (0, 0, 0, 0)), threads=1)
    except EngineError:
        pytest.skip(f"this CPU has no {name}")
    return name


def stock(model: bytes) -> ort.InferenceSession:
    """The same file in a runtime that knows nothing of the kernels."""
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


def expected(
    op: str,
    x: Array,
    weight: Array,
    bias: Array,
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    residual: Array | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the operator means, in float64, and how large the sums of magnitudes are.

    With 3x3 and stride 1 the magnitudes are the largest nearby: Winograd's sums are of whole tiles.
    """

    def conv(x: Array, weight: Array, bias: Array) -> torch.Tensor:
        top, left, bottom, right = pads
        padded = F.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
        return F.conv2d(padded, torch.from_numpy(weight).double(), torch.from_numpy(bias).double(), stride=strides)

    x_size, weight_size = np.abs(x), np.abs(weight)
    if weight.shape[2:] == (3, 3) and strides == (1, 1):
        x_size = F.max_pool2d(torch.from_numpy(x_size), 7, stride=1, padding=3).numpy()
        weight_size = np.broadcast_to(weight_size.sum((2, 3), keepdims=True), weight.shape).copy()
    y, size = conv(x, weight, bias), conv(x_size, weight_size, np.abs(bias))
    if residual is not None:
        y, size = y + torch.from_numpy(residual), size + torch.from_numpy(np.abs(residual))
    if op.endswith("Relu"):
        y = y.relu()
    if op.endswith("Relu6"):
        y = y.clamp(0, 6)
    return y.numpy(), size.numpy()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    adds=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    outs=st.sampled_from([1, 2, 4, 7, 8, 16, 24, 64, 67]),
    ins=st.sampled_from([1, 3, 8, 16, 37, 64, 130]),
    kernel=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3, 4])),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    nodes=st.integers(1, 9),
    degree=st.integers(1, 6),
    side=st.tuples(st.sampled_from([1, 4, 7, 14, 17, 28, 33]), st.sampled_from([1, 3, 7, 14, 16, 28, 31, 49])),
    batch=st.integers(0, 3),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_operator_equals_the_dense_convolution(
    isa: str,
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
    model = file_of(op, weight, bias, strides, pads)
    feed = {"x": x} if residual is None else {"x": x, "r": residual}
    got = session(model, threads=threads).run(None, feed)[0]
    want, size = expected(op, x, weight, bias, strides, pads, residual)
    assert got.shape == want.shape
    assert (np.abs(got - want) <= 1e-5 * size + 1e-30).all()


@pytest.mark.parametrize("side", [(7, 7), (1, 17), (3, 11), (1, 33), (5, 13), (1, 16), (2, 9)])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("channels", [64, 1024])  # the second in panels
def test_a_pixel_behind_whole_vectors(isa: str, side: tuple[int, int], kernel: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    weight = masked(rng, 64, channels, (kernel, kernel), 4, 2)  # eight rows to a strip
    bias, pads = rng.normal(size=64).astype(np.float32), (kernel // 2,) * 4
    x, residual = (rng.normal(size=(2, count, *side)).astype(np.float32) for count in (channels, 64))
    model = file_of("GraphConvAddRelu", weight, bias, (1, 1), pads)
    got = session(model, threads=2).run(None, {"x": x, "r": residual})[0]
    want, size = expected("GraphConvAddRelu", x, weight, bias, (1, 1), pads, residual)
    assert (np.abs(got - want) <= 1e-5 * size).all()


@pytest.mark.parametrize("rows", [2, 3, 4, 8, 13])  # output channels of a node: strips of 1, 2, 4 and 8
@pytest.mark.parametrize(("batch", "side"), [(1, (14, 14)), (3, (15, 9)), (2, (40, 33))])  # rounds of images, of rows
@pytest.mark.parametrize("threads", [1, 3])
def test_tiles(isa: str, rows: int, batch: int, side: tuple[int, int], threads: int) -> None:
    rng = np.random.default_rng(0)
    weight = masked(rng, 8 * rows, 96, (3, 3), 8, 4)
    bias, pads = rng.normal(size=8 * rows).astype(np.float32), (1, 1, 1, 1)
    x, residual = (rng.normal(size=(batch, count, *side)).astype(np.float32) for count in (96, 8 * rows))
    got = session(file_of("GraphConvAddRelu6", weight, bias, (1, 1), pads), threads=threads).run(
        None, {"x": x, "r": residual}
    )[0]
    want, _ = expected("GraphConvAddRelu6", x, weight, bias, (1, 1), pads, residual)
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)  # of sums of 432 products, about 20


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_the_library_the_file_computes_the_same(adds: bool, activation: str) -> None:
    rng = np.random.default_rng(0)
    weight, bias = masked(rng, 16, 16, (3, 3), 4, 2), rng.normal(size=16).astype(np.float32)
    x, residual = (rng.normal(size=(2, 16, 9, 9)).astype(np.float32) for _ in range(2))
    op = operator(adds=adds, activation=activation)
    model = file_of(op, weight, bias, (1, 1), (1, 1, 1, 1))
    feed = {"x": x, "r": residual} if adds else {"x": x}
    np.testing.assert_allclose(
        session(model, threads=1).run(None, feed)[0], stock(model).run(None, feed)[0], atol=1e-5, rtol=0
    )


def test_nan_and_infinity_pass_where_they_are_read_and_only_there(isa: str) -> None:
    weight = np.zeros((2, 2, 1, 1), np.float32)
    weight[0, 0] = weight[1, 1] = 1
    x = np.ones((1, 2, 4, 4), np.float32)
    x[0, 0, 1, 2], x[0, 0, 3, 3] = np.nan, np.inf
    model = file_of("GraphConvRelu", weight, np.zeros(2, np.float32), (1, 1), (0, 0, 0, 0))
    got = session(model, threads=1).run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, x)


def test_many_callers_share_one_session() -> None:
    rng = np.random.default_rng(0)
    weight, bias = masked(rng, 64, 64, (3, 3), 8, 2), rng.normal(size=64).astype(np.float32)
    for strides in ((1, 1), (2, 2)):  # the second packs its input into scratch
        shared = session(file_of("GraphConvRelu", weight, bias, strides, (1, 1, 1, 1)), threads=2)
        images = [rng.normal(size=(1, 64, 20, 20)).astype(np.float32) for _ in range(8)]
        alone = [shared.run(None, {"x": image})[0] for image in images]
        wrong: list[int] = []

        def call(
            index: int,
            shared: ort.InferenceSession = shared,
            images: list[Array] = images,
            alone: list[Array] = alone,
            wrong: list[int] = wrong,
        ) -> None:
            for _ in range(30):
                if not np.array_equal(shared.run(None, {"x": images[index]})[0], alone[index]):
                    wrong.append(index)

        callers = [threading.Thread(target=call, args=(index,)) for index in range(len(images))]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert not wrong


def refusal(model: bytes, **feed: Array) -> str:
    with pytest.raises(Exception, match=r"rgp::GraphConv") as found:
        session(model, threads=1).run(None, feed)
    return str(found.value)


def test_what_does_not_fit_is_refused_with_the_shapes() -> None:
    weight, bias, zero = np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32), (0, 0, 0, 0)
    plain = file_of("GraphConv", weight, bias, (1, 1), zero)
    assert "(1, 4, 5, 5)" in refusal(plain, x=np.ones((1, 4, 5, 5), np.float32))
    assert "the bias is (3)" in refusal(file_of("GraphConv", weight, np.zeros(3, np.float32), (1, 1), zero))
    assert "stride is 0" in refusal(file_of("GraphConv", weight, bias, (0, 1), zero))
    assert "padding is -1" in refusal(file_of("GraphConv", weight, bias, (1, 1), (-1, 0, 0, 0)))
    assert "strides has 1 values" in refusal(file_of("GraphConv", weight, bias, (1,), zero))
    assert "pads has 2 values" in refusal(file_of("GraphConv", weight, bias, (1, 1), (0, 0)))
    assert "input 1 is not a constant" in refusal(file_of("GraphConv", weight, bias, (1, 1), zero, constant=False))
    wide = file_of("GraphConv", np.ones((2, 3, 7, 7), np.float32), bias, (1, 1), zero)
    assert "larger than the padded image" in refusal(wide, x=np.ones((1, 3, 6, 9), np.float32))
    added = file_of("GraphConvAdd", weight, bias, (1, 1), zero)
    x = np.ones((1, 3, 5, 5), np.float32)
    assert "what is added is (1, 2, 5, 4)" in refusal(added, x=x, r=np.ones((1, 2, 5, 4), np.float32))


def test_an_instruction_set_that_the_cpu_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RGP_ISA", "avx1024")
    weight = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(EngineError, match="RGP_ISA is avx1024, this CPU runs: "):
        OrtEngine(file_of("GraphConv", weight, np.zeros(1, np.float32), (1, 1), (0, 0, 0, 0)), threads=1)
