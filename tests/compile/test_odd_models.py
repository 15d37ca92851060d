"""ONNX files that a review broke the compiler with: each compiles, and is proved equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from rgp.bundle import Bundle
from rgp.compile.pipeline import Settings, compile_source
from rgp.compile.source import from_onnx
from rgp.errors import BundleError, UsageError, VerificationError
from rgp.serve.cli import serve

RNG = np.random.default_rng(0)
SETTINGS = {"threads": 1, "batches": (1,), "pairs": 20, "seconds": 0.05, "tune": "off"}


def blocks(outs: int, ins: int, *kernel: int) -> NDArray[np.float32]:
    """Zeros but for four blocks, in shuffled channels."""
    weight = RNG.standard_normal((outs, ins, *kernel)).astype(np.float32)
    rows, columns = RNG.permutation(outs) % 4, RNG.permutation(ins) % 4
    mask = (rows[:, None] == columns).reshape(outs, ins, *(1 for _ in kernel))
    return np.where(mask, weight, np.float32(0))


def model(path: Path, nodes: list[NodeProto], weights: dict[str, NDArray[np.float32]], outputs: int) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "odd",
        [value("x", TensorProto.FLOAT, ["batch", 64, 6, 6])],
        [value("y", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def node(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


CONV = node("Conv", "x conv1.weight", "c", pads=[1, 1, 1, 1])
POOL = [node("GlobalAveragePool", "h", "p"), node("Flatten", "p", "f")]


def compiled(path: Path, out: Path, **settings: object) -> Bundle:
    return compile_source(from_onnx(path), out, Settings(**(SETTINGS | settings)))  # type: ignore[arg-type]


def test_a_tensor_may_have_the_name_that_a_new_one_would_get(tmp_path: Path) -> None:
    nodes = [CONV, node("Relu", "c", "conv1.out"), node("Identity", "conv1.out", "h"), *POOL, node("Gemm", "f fc", "y")]
    weights = {"conv1.weight": blocks(64, 64, 3, 3), "fc": RNG.standard_normal((64, 5)).astype(np.float32)}
    compiled(model(tmp_path / "m.onnx", nodes, weights, 5), tmp_path / "b")


def test_a_sparse_linear_layer_may_read_flattened_pixels(tmp_path: Path) -> None:
    nodes = [CONV, node("Flatten", "c", "f"), node("Gemm", "f fc", "y", transB=1)]
    weights = {"conv1.weight": blocks(64, 64, 3, 3), "fc": blocks(64, 64 * 36)}
    report = compiled(model(tmp_path / "m.onnx", nodes, weights, 64), tmp_path / "b").report
    assert report["equivalence"]["max_abs_diff"] >= 0


def test_linear_layers_may_share_a_sparse_weight(tmp_path: Path) -> None:
    nodes = [CONV, node("Relu", "c", "h"), *POOL, node("Gemm", "f fc", "g"), node("Gemm", "g fc", "i", alpha=2.0)]
    nodes.append(node("Gemm", "i fc", "y"))
    weights = {"conv1.weight": blocks(64, 64, 3, 3), "fc": blocks(64, 64)}
    compiled(model(tmp_path / "m.onnx", nodes, weights, 64), tmp_path / "b")


def test_a_plan_without_the_linear_layer_that_stayed_dense_is_followed(tmp_path: Path) -> None:
    nodes = [CONV, node("Relu", "c", "h"), *POOL, node("Gemm", "f fc", "y")]
    almost_full = RNG.standard_normal((64, 5)).astype(np.float32)
    almost_full[3, 2] = 0
    path = model(tmp_path / "m.onnx", nodes, {"conv1.weight": blocks(64, 64, 3, 3), "fc": almost_full}, 5)
    first = compiled(path, tmp_path / "a")
    again = compiled(path, tmp_path / "b", plan=first.path / "plan.json")
    assert [layer["lowering"] for layer in again.report["layers"]] == [
        layer["lowering"] for layer in first.report["layers"]
    ]


def test_a_fault_in_a_linear_layer_is_named(tmp_path: Path) -> None:
    nodes = [CONV, node("Relu", "c", "h"), *POOL, node("Gemm", "f fc.weight", "y", transB=1)]
    dusty = blocks(64, 64) + np.float32(0.01) * RNG.standard_normal((64, 64)).astype(np.float32)
    weights = {"conv1.weight": blocks(64, 64, 3, 3), "fc.weight": dusty}
    path = model(tmp_path / "m.onnx", nodes, weights, 64)
    with pytest.raises(VerificationError, match="no bundle was written"):
        compiled(path, tmp_path / "b", threshold=0.1)
    assert not (tmp_path / "b").exists()


def test_a_network_of_numbers_is_compiled_but_not_served(tmp_path: Path) -> None:
    nodes = [CONV, node("Relu", "c", "h"), *POOL, node("Gemm", "f fc", "y")]
    weights = {"conv1.weight": blocks(64, 64, 3, 3), "fc": RNG.standard_normal((64, 5)).astype(np.float32)}
    path = model(tmp_path / "m.onnx", nodes, weights, 5)
    bundle = compiled(path, tmp_path / "b")
    assert (bundle.preprocess, bundle.labels) == (None, ())
    with pytest.raises(BundleError, match="takes numbers, not images"):
        serve([str(bundle.path), "--port", "0"])
    with pytest.raises(UsageError, match="--preprocess"):
        compiled(path, tmp_path / "c", images=tmp_path)
    with pytest.raises(UsageError, match="--labels needs --preprocess"):
        from_onnx(path, labels=("a",))
