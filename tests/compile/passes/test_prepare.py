"""All passes together, on random small graphs: each one leaves the function as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from rgp.compile.onnx_file import read_onnx
from rgp.compile.passes import PASSES, prepare
from rgp.errors import CompileError
from tests.compile.handmade import assert_same, images, operators, proto, run, save, small_net

Draw = Callable[..., Any]
STEPS = ("conv", "conv", "batchnorm", "batchnorm", "relu", "pad", "dropout", "identity", "add", "reshape", "scale")


def random_network(draw: Draw) -> onnx.ModelProto:
    """A chain of operators on 4 channels, some read twice; pooling, ``x.view(x.size(0), -1)`` and a linear layer."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, NDArray[Any]] = {}
    side, x = 6, "x"
    earlier: list[tuple[str, int]] = [(x, side)]

    def constant(array: NDArray[Any]) -> str:
        name = f"w{len(weights)}"
        weights[name] = array.astype(np.float32) if array.dtype == np.float64 else array
        if draw(st.integers(0, 3)) == 0:  # as a node, not an initialiser
            tensor = onnx.numpy_helper.from_array(weights[name], name)
            nodes.append(helper.make_node("Constant", [], [f"{name}c"], value=tensor))
            return f"{name}c"
        return name

    for index, step in enumerate(draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=9))):
        y, op = f"t{index}", step.capitalize()
        inputs, fields = [x], dict[str, Any]()
        if step == "conv":
            groups, kernel = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 3]))
            op, fields = "Conv", {"group": groups}
            auto_pad, pads = draw(st.sampled_from(["", "SAME_UPPER", "VALID"])), [0, 0, 0, 0]
            if auto_pad:
                fields["auto_pad"] = auto_pad
                pads = [kernel // 2] * 4 if auto_pad == "SAME_UPPER" else pads
            else:
                fields["pads"] = pads = draw(st.sampled_from([[0] * 4, [1] * 4, [0, 1, 1, 0]]))
            if (after := side + pads[0] + pads[2] - kernel + 1) < 1:
                continue
            side = after
            inputs.append(constant(rng.standard_normal((4, 4 // groups, kernel, kernel))))
            inputs += draw(st.sampled_from([[], [""], [constant(rng.standard_normal(4))]]))
        elif step == "batchnorm":
            op, fields = "BatchNormalization", {"epsilon": draw(st.sampled_from([1e-5, 0.5]))}
            inputs += [constant(rng.uniform(0.5, 2, 4)) for _ in range(4)]
        elif step == "pad":
            around = draw(st.sampled_from([[1, 1, 1, 1], [0, 1, 1, 0], [-1, -1, 1, 1]]))
            value, mode = draw(st.sampled_from([(0.0, "constant"), (1.0, "constant"), (0.0, "edge")]))
            fields = {"mode": mode}
            pads = [0, 0, *around[:2], 0, 0, *around[2:]]
            inputs += [constant(np.array(pads)), constant(np.array(value, np.float32))]
            side += around[0] + around[2]
        elif step == "add":
            same = [name for name, its_side in earlier if its_side == side]
            inputs.append(draw(st.sampled_from(same)))
        elif step == "reshape":
            nodes.append(helper.make_node("Shape", [x], [f"{y}.shape"]))
            inputs.append(f"{y}.shape")
        elif step == "scale":
            op = "Mul"
            inputs.append(constant(rng.uniform(0.5, 2, (1, 4, 1, 1))))
        nodes.append(helper.make_node(op, inputs, [y], **fields))
        x = y
        earlier.append((x, side))
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Shape", ["pooled"], ["dims"]))
    nodes.append(helper.make_node("Gather", ["dims", constant(np.array(0))], ["rows"]))
    nodes.append(helper.make_node("Unsqueeze", ["rows", constant(np.array([0]))], ["row"]))
    nodes.append(helper.make_node("Concat", ["row", constant(np.array([-1]))], ["target"], axis=0))
    nodes.append(helper.make_node("Reshape", ["pooled", "target"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", constant(rng.standard_normal((4, 3)))], ["product"]))
    bias = draw(st.sampled_from([(3,), (1,), (), (1, 3)]))
    added = ["product", constant(rng.standard_normal((1, 3))[0, : bias[-1] if bias else 1].reshape(bias))]
    nodes.append(helper.make_node("Add", added[:: draw(st.sampled_from([1, -1]))], ["y"]))
    nodes.append(helper.make_node("Conv", ["x", constant(np.ones((1, 4, 1, 1)))], ["unread"]))
    return proto(nodes, weights, shape=(draw(st.sampled_from([1, 2, "N"])), 4, 6, 6), output=(None, 3))


@settings(max_examples=50)
@given(st.data())
def test_each_pass_leaves_the_function_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    written = random_network(data.draw)
    model = read_onnx(save(written, tmp_path_factory.getbasetemp() / "random.onnx"))
    batch = model.graph.inputs[0].shape[0]  # type: ignore[index]
    x = images((batch if isinstance(batch, int) else 3, 4, 6, 6))
    expected = run(written, x)
    for name, step in PASSES.items():
        step(model)
        got = run(model, x)
        assert got.shape == expected.shape, name
        assert np.abs(got - expected).max() <= 1e-4 * max(1.0, float(np.abs(expected).max())), name
    assert {"MatMul", "Constant", "Dropout", "Identity", "Shape"}.isdisjoint(operators(model))
    assert model.graph.inputs[0].shape == ir.Shape(["batch", 4, 6, 6])
    assert all(value.shape is not None for node in model.graph for value in node.outputs)
    assert all(node.inputs[1].is_initializer() for node in model.graph if node.op_type == "Reshape")  # type: ignore[union-attr]
    many = images((5, 4, 6, 6))
    alone = np.concatenate([run(model, many[i : i + 1]) for i in range(5)])
    assert np.abs(run(model, many) - alone).max() <= 1e-4 * max(1.0, float(np.abs(alone).max()))


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
def test_the_same_network_of_any_opset_becomes_the_same_graph(tmp_path: Path, opset: int) -> None:
    written = small_net(opset=opset)
    model = prepare(read_onnx(save(written, tmp_path / "net.onnx")))
    assert operators(model) == ["Conv", "Relu", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm"]
    assert_same(run(written, images((2, 3, 8, 8))), run(model, images((2, 3, 8, 8))))


def test_a_prepared_model_is_left_as_it_is(tmp_path: Path) -> None:
    model = prepare(read_onnx(save(small_net(), tmp_path / "net.onnx")))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    assert ir.to_proto(prepare(model)).SerializeToString(deterministic=True) == before


def test_dump_writes_the_model_before_and_after_each_pass(tmp_path: Path) -> None:
    prepare(read_onnx(save(small_net(), tmp_path / "net.onnx")), tmp_path / "new" / "dump")
    written = sorted((tmp_path / "new" / "dump").iterdir())
    assert [path.name for path in written] == sorted(
        f"{number:02}-{when}-{name}.onnx" for number, name in enumerate(PASSES, 1) for when in ("before", "after")
    )
    number = 1 + list(PASSES).index("batchnorm")
    before, after = (
        ir.load(tmp_path / "new" / "dump" / f"{number:02}-{when}-batchnorm.onnx") for when in ("before", "after")
    )
    assert "BatchNormalization" in operators(before)
    assert "BatchNormalization" not in operators(after)


def test_a_pass_that_does_not_do_its_work_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_onnx(save(small_net(), tmp_path / "net.onnx"))
    monkeypatch.setattr(type(PASSES["batchnorm"]), "call", lambda self, model: ir.passes.PassResult(model, False))
    with pytest.raises(
        CompileError, match="pass 'batchnorm': PostconditionError: BatchNormalization 'b' was not folded"
    ):
        prepare(model)


def test_a_convolution_that_reads_other_channels_than_its_weight_has_is_refused(tmp_path: Path) -> None:
    path = save(small_net(("N", 7, 8, 8)), tmp_path / "net.onnx")
    with pytest.raises(CompileError, match=r"pass 'shapes': .*'b' reads 7 channels"):
        prepare(read_onnx(path))
