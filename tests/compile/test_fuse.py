"""The kernel takes over what follows it, and nothing that others need."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from rgp.compile.choice import Choice
from rgp.compile.convs import find
from rgp.compile.export import export
from rgp.compile.fuse import fuse
from rgp.compile.layout import lay_out
from rgp.compile.lowerings import native
from rgp.compile.onnx_bytes import serialize
from rgp.compile.reference import plain_session
from rgp.compile.rewrite import rewrite
from rgp.compile.spaces import find_spaces
from rgp.engines.native import used_by
from tests.compile.conftest import GREY, randomised


def sparse(ins: int, outs: int, kernel: int = 3) -> nn.Conv2d:
    conv = nn.Conv2d(ins, outs, kernel, padding=kernel // 2)
    with torch.no_grad():
        conv.weight[:, 1::2] = 0
        conv.weight[::2, 2] = 0
    return conv


class Net(nn.Module):
    """Every case: plain ReLU, ReLU6, Add of two kernels, a broadcast Add, a result that two read, the output."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(1, 8, 1), sparse(8, 8), sparse(8, 8), sparse(8, 8)
        self.e, self.f = sparse(8, 8), sparse(8, 8)
        self.shift = nn.Parameter(torch.arange(8.0).reshape(1, 8, 1, 1))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = torch.relu(self.b(x) + self.c(x))  # the later one adds
        x = nn.functional.relu6(self.d(x))
        x = torch.relu(self.e(x) + self.shift)  # another shape
        y = self.f(x)
        z = torch.relu(y) + torch.sigmoid(y)  # two readers
        logits: Tensor = self.head(z.mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes, list[str], list[tuple[str, str]]]:
    """The network before and after, its operators after, and what traces compare."""
    torch.manual_seed(0)
    model = export(randomised(Net()).eval(), GREY)
    dense = serialize(model)
    convs, spaces = find(model), find_spaces(model)
    choices = {}
    for conv in convs:
        found = native.choices(conv)
        choices[conv.name] = Choice.dense(conv) if isinstance(found, str) else found[0]
    traces = rewrite(model, convs, choices, spaces, lay_out(convs, choices, spaces))
    traces = fuse(model, traces)
    ops = [node.op_type for node in model.graph]
    return dense, serialize(model), ops, [(trace.dense_value, trace.compiled_value) for trace in traces]


def test_it_takes_what_only_it_writes_for(files: tuple[bytes, bytes, list[str], list[tuple[str, str]]]) -> None:
    _, _, ops, _ = files
    ours = [op for op in ops if op.startswith("GraphConv")]
    assert ours == ["GraphConv", "GraphConvAddRelu", "GraphConvRelu6", "GraphConv", "GraphConv"]  # a is dense
    assert ops.count("Relu") == 3  # of the dense one, after the broadcast Add, and beside the sigmoid


def test_the_function_and_every_trace_stay(
    files: tuple[bytes, bytes, list[str], list[tuple[str, str]]],
) -> None:
    dense, fused, _, traces = files
    x = np.random.default_rng(0).integers(0, 256, (2, *(GREY.size,) * 2, 1), np.uint8)
    values = []
    for data, names in ((dense, [a for a, _ in traces]), (fused, [b for _, b in traces])):
        model = onnx.load_from_string(data)
        logits = model.graph.output[0].name
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in [logits, *names])
        session = plain_session(model.SerializeToString())
        values.append(session.run(None, {session.get_inputs()[0].name: x}))
    assert len(traces) == 6
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5 * max(1.0, float(np.abs(a).max())), rtol=0)


def test_a_reader_in_the_body_of_an_if_stays_where_it_is() -> None:
    value = onnx.helper.make_tensor_value_info
    shape = [1, 2, 3, 3]
    weight = onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1), "w")
    bias = onnx.numpy_helper.from_array(np.zeros(2, np.float32), "b")
    outputs = [value("chosen", onnx.TensorProto.FLOAT, shape)]
    bodies = [
        onnx.helper.make_graph([onnx.helper.make_node(op, ["y"], ["chosen"])], op, [], outputs)
        for op in ("Relu", "Neg")
    ]
    bodies[1].node[0].input[0] = "x"
    nodes = [
        onnx.helper.make_node(
            "GraphConv", ["x", "w", "b"], ["y"], domain="rgp", strides=[1, 1], pads=[0, 0, 0, 0], name="conv"
        ),
        onnx.helper.make_node("If", ["which"], ["z"], then_branch=bodies[0], else_branch=bodies[1]),
    ]
    inputs = [value("x", onnx.TensorProto.FLOAT, shape), value("which", onnx.TensorProto.BOOL, [])]
    graph = onnx.helper.make_graph(nodes, "g", inputs, [value("z", onnx.TensorProto.FLOAT, shape)], [weight, bias])
    imports = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("rgp", 1)]
    model = ir.from_proto(onnx.helper.make_model(graph, opset_imports=imports))
    fuse(model, ())
    assert [node.op_type for node in model.graph] == ["GraphConv", "If"]


def test_a_file_without_our_operators_does_not_import_them() -> None:
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    imports = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("rgp", 1)]
    model = onnx.helper.make_model(graph, opset_imports=imports)
    assert used_by(model.SerializeToString())
    assert not used_by(serialize(ir.from_proto(model)))
