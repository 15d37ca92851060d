"""The kernel takes over what follows it, and nothing that others need."""

from __future__ import annotations

import numpy as np
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
    import onnx

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
