"""fp16 and bf16 stand in the file, and the file means what it meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from rgp.compile.precision.half import to_bf16, to_fp16
from rgp.compile.verify import TOLERANCES
from rgp.errors import CompileError
from tests.compile.precision.networks import difference, images, mixed, run, typed

HALVES: dict[str, tuple[Callable[[bytes], bytes], ir.DataType]] = {
    "fp16": (to_fp16, ir.DataType.FLOAT16),
    "bf16": (to_bf16, ir.DataType.BFLOAT16),
}
both = pytest.mark.parametrize("precision", list(HALVES))
FLOAT = TensorProto.FLOAT


def converted(model: bytes, precision: str) -> bytes:
    return HALVES[precision][0](model)


def small(nodes: list[onnx.NodeProto], weights: dict[str, Any], *, y: list[str | int | None], opset: int = 20) -> bytes:
    """A file of ``nodes`` from x (B, 4, 5, 5) float32 to y."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 4, 5, 5])],
        [helper.make_tensor_value_info("y", FLOAT, y)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    data: bytes = helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()
    return data


def floats(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@both
def test_every_product_and_what_lies_between_has_the_half_type(precision: str) -> None:
    model, half = typed(converted(mixed(), precision)), HALVES[precision][1]
    kinds = {node.op_type: {value.dtype for value in node.inputs if value is not None} for node in model.graph}
    indices = {ir.DataType.INT64}
    for op in ("Conv", "Gemm", "Add", "Relu", "Clip", "MaxPool", "Concat"):
        assert {half} in [
            {value.dtype for value in node.inputs if value is not None} for node in model.graph if node.op_type == op
        ]
    for op in ("Gather", "Slice"):
        assert kinds[op] - indices == {half}
    assert all(
        value.dtype == half
        for node in model.graph
        if node.op_type in ("Conv", "Gemm")
        for value in (*node.inputs, *node.outputs)
        if value is not None
    )


@both
def test_bytes_come_in_and_float32_goes_out_as_before(precision: str) -> None:
    before, after = typed(mixed()), typed(converted(mixed(), precision))
    for values, others in ((before.graph.inputs, after.graph.inputs), (before.graph.outputs, after.graph.outputs)):
        assert [(v.name, v.type, str(v.shape)) for v in values] == [(v.name, v.type, str(v.shape)) for v in others]
    normalisation = [node for node in after.graph if node.op_type != "Cast"][:3]
    assert [node.op_type for node in normalisation] == ["Transpose", "Mul", "Add"]
    assert {node.outputs[0].dtype for node in normalisation} == {ir.DataType.FLOAT}


@both
def test_long_sums_stay_in_float32(precision: str) -> None:
    model = typed(converted(mixed(), precision))
    (pooled,) = (node for node in model.graph if node.op_type in ("GlobalAveragePool", "ReduceMean"))
    assert pooled.outputs[0].dtype == ir.DataType.FLOAT


@both
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_it_gives_what_it_gave_when_really_computed_in_the_half_type(precision: str, batch: int) -> None:
    x, expected = images(batch), run(mixed(), images(batch))
    evaluated = ReferenceEvaluator(onnx.load_from_string(converted(mixed(), precision))).run(None, {"image": x})
    (got,) = evaluated if isinstance(evaluated, list) else [None]
    assert got is not None
    assert got.dtype == np.float32
    error = difference(expected, got)
    assert error <= TOLERANCES[precision] / 8
    assert error > 1e-5  # it was rounded


def test_onnxruntime_runs_fp16_files() -> None:
    x = images(3)
    assert difference(run(mixed(), x), run(to_fp16(mixed()), x)) <= TOLERANCES["fp16"] / 8


@both
def test_a_tensor_is_cast_once_and_the_file_is_half_as_large(precision: str) -> None:
    after = converted(mixed(), precision)
    casts = Counter(node.inputs[0] for node in typed(after).graph if node.op_type == "Cast")
    assert set(casts.values()) == {1}
    assert len(casts) == 5  # bytes, into the network, out of and into it around the pooling, out of it
    weights = sum(np.prod(each.dims) * 4 for each in onnx.load_from_string(mixed()).graph.initializer)
    assert len(mixed()) - len(after) > 0.4 * weights - 2000


@both
def test_names_stay(precision: str) -> None:
    def names(model: bytes) -> set[str]:
        graph = onnx.load_from_string(model).graph
        return {each.name for each in graph.initializer} | {name for node in graph.node for name in node.output}

    lost = names(mixed()) - names(converted(mixed(), precision))
    assert lost == set()


def conv_of(weight: NDArray[np.float32]) -> bytes:
    return small([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": weight}, y=["batch", 2, 5, 5])


@pytest.mark.parametrize(("value", "fits"), [(65504.0, True), (65519.0, True), (65520.0, False), (-1e6, False)])
def test_a_weight_that_fp16_cannot_hold_is_refused_by_name(value: float, fits: bool) -> None:
    weight = floats(2, 4, 1, 1)
    weight[1, 2] = value
    if fits:
        to_fp16(conv_of(weight))
    else:
        with pytest.raises(CompileError, match=r"'w' reaches .* more than float16 can hold: use --precision bf16"):
            to_fp16(conv_of(weight))
    to_bf16(conv_of(weight))


def test_small_weights_become_subnormal_and_smaller_ones_zero() -> None:
    weight = np.full((2, 4, 1, 1), 1e-6, np.float32)
    weight[1] = 1e-9
    (stored,) = onnx.load_from_string(to_fp16(conv_of(weight))).graph.initializer
    halved = numpy_helper.to_array(stored)
    assert halved.dtype == np.float16
    np.testing.assert_allclose(halved[0].astype(float), 1e-6, rtol=0.04)
    assert (halved[1] == 0).all()


@both
def test_operators_that_onnx_does_not_define_for_halves_stay_in_float32(precision: str) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Gelu", ["c"], ["g"], domain="com.microsoft"),
        helper.make_node("Resize", ["g", "", "scales"], ["r"], mode="nearest"),
        helper.make_node("Conv", ["r", "v"], ["d"]),
        helper.make_node("Softmax", ["d"], ["y"], axis=1),
    ]
    weights = {"w": floats(4, 4, 1, 1), "v": floats(2, 4, 1, 1), "scales": np.array([1, 1, 2, 2], np.float32)}
    before = small(nodes, weights, y=["batch", 2, 10, 10])
    after = converted(before, precision)
    types = {
        value.name: value.dtype for node in ir.from_proto(onnx.load_from_string(after)).graph for value in node.outputs
    }
    half = HALVES[precision][1]
    assert (types["c"], types["d"], types["y"]) == (half, half, ir.DataType.FLOAT)
    assert types["g"] != half
    scales = {each.name: each.data_type for each in onnx.load_from_string(after).graph.initializer}["scales"]
    assert scales == FLOAT
    if precision == "fp16":
        x = floats(2, 4, 5, 5)
        assert difference(run(before, x), run(after, x)) < 5e-3


@both
def test_a_constant_that_the_head_and_the_body_read_is_there_in_both_types(precision: str) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w"], ["c"]),
        helper.make_node("Mul", ["c", "scale"], ["y"]),
    ]
    before = small(nodes, {"w": floats(4, 4, 1, 1), "scale": floats(4, 1, 1)}, y=["batch", 4, 5, 5])
    stored = onnx.load_from_string(converted(before, precision)).graph.initializer
    assert {each.data_type for each in stored if each.name.startswith("scale")} == {FLOAT, HALVES[precision][1].value}
    typed(converted(before, precision))


@both
def test_an_output_whose_type_onnx_fixes_keeps_it(precision: str) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("LayerNormalization", ["c", "s"], ["normal", "mean"]),  # the mean is of its stash_type
        helper.make_node("Add", ["normal", "mean"], ["y"]),
    ]
    before = small(nodes, {"w": floats(4, 4, 1, 1), "s": floats(5)}, y=["batch", 4, 5, 5])
    types = {value.name: value.dtype for node in typed(converted(before, precision)).graph for value in node.outputs}
    assert types["normal"] == HALVES[precision][1]
    assert types["mean"] == ir.DataType.FLOAT


@both
def test_what_two_nodes_read_is_converted_once(precision: str) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["x", "w"], ["b"], pads=[0, 0, 0, 0]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    graph = onnx.load_from_string(
        converted(small(nodes, {"w": floats(4, 4, 1, 1)}, y=["batch", 4, 5, 5]), precision)
    ).graph
    assert [node.op_type for node in graph.node] == ["Cast", "Conv", "Conv", "Add", "Cast"]
    assert [each.name for each in graph.initializer] == ["w"]


@both
def test_an_output_that_is_read_inside_too_comes_out_in_float32(precision: str) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    proto = onnx.load_from_string(small(nodes, {"w": floats(4, 4, 1, 1)}, y=["batch", 4, 5, 5]))
    proto.graph.output.append(helper.make_tensor_value_info("z", FLOAT, ["batch", 4, 5, 5]))
    model = typed(converted(proto.SerializeToString(), precision))
    assert [(value.name, value.dtype) for value in model.graph.outputs] == [
        ("y", ir.DataType.FLOAT),
        ("z", ir.DataType.FLOAT),
    ]


def test_a_network_inside_an_operator_is_refused() -> None:
    value = helper.make_tensor_value_info("inner", FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["c"], ["inner"])], "branch", [], [value])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("If", ["which"], ["y"], then_branch=branch, else_branch=branch),
    ]
    before = small(nodes, {"w": floats(4, 4, 1, 1), "which": np.array(True)}, y=["batch", 4, 5, 5])
    with pytest.raises(CompileError, match="has a network inside: only --precision fp32"):
        to_fp16(before)


def test_bf16_stands_in_an_operator_set_that_defines_it() -> None:
    assert typed(to_bf16(mixed())).opset_imports[""] == 22
    assert typed(to_fp16(mixed())).opset_imports[""] == 20
