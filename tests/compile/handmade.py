"""ONNX files made by hand, as others' exporters make them: no torch, any opset, zeros in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from rgp.compile.onnx_bytes import serialize
from rgp.compile.reference import plain_session

Dim = int | str | None


def proto(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    shape: Sequence[Dim] = ("N", 3, 8, 8),
    dtype: int = onnx.TensorProto.FLOAT,
    output: Sequence[Dim] = (None, None),
    opset: int = 20,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model of one input ``x`` and one output ``y``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, output)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=imports, functions=functions)
    model.ir_version = 8
    return model


def block_sparse(channels: int, parts: int, seed: int = 0, kernel: int = 3) -> NDArray[np.float32]:
    """A weight (channels, channels, kernel, kernel) whose channel i reads channel j iff i = j modulo ``parts``."""
    weight = np.random.default_rng(seed).standard_normal((channels, channels, kernel, kernel)).astype(np.float32)
    index = np.arange(channels)
    weight[index[:, None] % parts != index[None] % parts] = 0
    return weight


def small_net(shape: Sequence[Dim] = ("N", 3, 8, 8), opset: int = 20, output: Dim = None) -> onnx.ModelProto:
    """Stem, BatchNorm not folded, a block-sparse convolution with a residual, pooling and a linear layer."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        "stem.weight": rng.standard_normal((8, 3, 3, 3)),
        "scale": rng.uniform(0.5, 2, 8),
        "shift": rng.standard_normal(8),
        "mean": rng.standard_normal(8),
        "var": rng.uniform(0.5, 2, 8),
        "body.weight": block_sparse(8, 4),
        "body.bias": rng.standard_normal(8),
        "head.weight": rng.standard_normal((5, 8)),
        "head.bias": rng.standard_normal(5),
    }
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "body.weight", "body.bias"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "c"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "head.weight", "head.bias"], ["y"], transB=1),
    ]
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    return proto(nodes, floats, shape=shape, opset=opset, output=(output, 5))


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def run(model: onnx.ModelProto | ir.Model, x: NDArray[Any]) -> NDArray[np.float32]:
    """The first output of ``model``, nothing optimised."""
    data = serialize(model) if isinstance(model, ir.Model) else model.SerializeToString()
    session = plain_session(data)
    outputs = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(outputs[0])


def images(shape: Sequence[int], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_same(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    assert a.shape == b.shape
    assert np.abs(a - b).max(initial=0) <= 1e-5 * max(1.0, float(np.abs(a).max(initial=0)))


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]
