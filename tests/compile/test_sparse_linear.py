"""Linear layers with zeros in blocks are planned as convolutions, and stay the same function."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from rgp.compile.convs import find
from rgp.compile.layout import lay_out
from rgp.compile.onnx_bytes import serialize
from rgp.compile.passes import prepare
from rgp.compile.plan import possible
from rgp.compile.rewrite import rewrite
from rgp.compile.spaces import find_spaces
from rgp.compile.sparse_linear import as_convolutions
from rgp.engines.ort import session


def perceptron(*, transposed: bool, alpha: float = 1.0) -> ir.Model:
    """(B, 12) to (B, 8) to (B, 6): two layers with zeros in two shuffled blocks, then one without zeros."""
    rng = np.random.default_rng(0)
    nodes, initializers, x = [], [], "x"
    for number, (ins, outs) in enumerate([(12, 8), (8, 8), (8, 6)]):
        weight = rng.standard_normal((outs, ins)).astype(np.float32)
        if number < 2:
            weight *= (rng.permutation(outs) % 2)[:, None] == (rng.permutation(ins) % 2)
        initializers.append(numpy_helper.from_array(weight if transposed else weight.T.copy(), f"fc{number}.weight"))
        initializers.append(numpy_helper.from_array(rng.standard_normal(outs).astype(np.float32), f"fc{number}.bias"))
        inputs = [x, f"fc{number}.weight", f"fc{number}.bias"]
        nodes.append(helper.make_node("Gemm", inputs, [f"h{number}"], transB=int(transposed), alpha=alpha))
        nodes.append(helper.make_node("Relu", [f"h{number}"], [f"r{number}"]))
        x = f"r{number}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [value("x", TensorProto.FLOAT, ["batch", 12])],
        [value("r2", TensorProto.FLOAT, ["batch", 6])],
        initializers,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return prepare(ir.from_proto(proto))


def outputs(model: ir.Model) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32)
    result: np.ndarray = session(serialize(model), threads=1).run(["r2"], {"x": x})[0]
    return result


@pytest.mark.parametrize("transposed", [False, True])
def test_sparse_layers_become_convolutions_that_lower(transposed: bool) -> None:
    model = perceptron(transposed=transposed)
    before = outputs(model)
    assert list(as_convolutions(model)) == ["h0", "h1"]
    np.testing.assert_allclose(outputs(model), before, atol=1e-5)
    convs, spaces = find(model), find_spaces(model)
    assert [conv.name for conv in convs] == ["fc0", "fc1"]
    choices = {conv.name: possible(conv)[0][0] for conv in convs}
    assert {choice.lowering for choice in choices.values()} == {"grouped"}
    rewrite(model, convs, choices, spaces, lay_out(convs, choices, spaces))
    np.testing.assert_allclose(outputs(model), before, atol=1e-5)


def test_a_layer_to_keep_stays_a_gemm() -> None:
    model = perceptron(transposed=True)
    assert list(as_convolutions(model, keep=["h0"])) == ["h1"]
    assert [node.op_type for node in model.graph].count("Gemm") == 2


def test_a_scaled_product_is_left_alone() -> None:
    assert as_convolutions(perceptron(transposed=True, alpha=0.5)) == {}
