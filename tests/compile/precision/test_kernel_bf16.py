"""Our kernel in bfloat16 networks: its convolutions are, and nothing is cast that need not be."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from rgp.compile.precision import to_bf16_kernels
from rgp.engines.ort import OrtEngine
from rgp.errors import CompileError
from tests.compile.kernels.one_operator import file_of
from tests.compile.precision.networks import images, run
from tests.compile.precision.test_kernel import files, operators

__all__ = ["files"]  # a fixture


@pytest.fixture(scope="module")
def halved(files: tuple[bytes, bytes]) -> bytes:
    return to_bf16_kernels(files[1])


def test_every_kernel_is_bfloat16_and_each_tensor_is_cast_once(halved: bytes) -> None:
    found = operators(halved)
    assert {op: count for op, count in found.items() if "GraphConv" in op} == {
        "Bf16GraphConv": 3,
        "Bf16GraphConvAddRelu": 1,
        "Bf16GraphConvRelu6": 1,
    }
    # bytes; before a and b; a's sum for c, which is dense; c's for d; e for its two readers; their sum for f; f
    assert found["Cast"] == 7
    onnx.checker.check_model(onnx.load_from_string(halved), full_check=True)


def test_weights_are_halved_and_biases_are_not(halved: bytes) -> None:
    graph = onnx.load_from_string(halved).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if "GraphConv" in node.op_type:
            assert [types[name] for name in node.input[1:3]] == [TensorProto.BFLOAT16, TensorProto.FLOAT]
    read = {name for node in graph.node for name in node.input}
    assert types.keys() <= read


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_answers_are_near(files: tuple[bytes, bytes], halved: bytes, batch: int) -> None:
    want = run(files[0], images(batch))
    for got in (OrtEngine(halved, threads=2).run(images(batch)), run(halved, images(batch))):
        assert np.abs(got - want).max() <= 8 * 2.0**-8 * np.abs(want).max()


def test_a_file_without_our_kernels_stays_as_it_is(files: tuple[bytes, bytes]) -> None:
    assert to_bf16_kernels(files[0]) is files[0]


def test_a_weight_beyond_the_range_is_named() -> None:
    weight = np.full((2, 2, 1, 1), 3.4e38, np.float32)
    with pytest.raises(CompileError, match=r"'w' reaches 3.4e\+38, more than bfloat16 can hold"):
        to_bf16_kernels(file_of("GraphConv", weight, np.zeros(2, np.float32), (1, 1), (0, 0, 0, 0)))
