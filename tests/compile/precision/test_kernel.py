"""Our kernel in quantised networks: every scale is the dense network's, and so is every bit of the answer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
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
from rgp.compile.passes import prepare
from rgp.compile.precision.int8 import to_int8
from rgp.compile.precision.kernel import unfused
from rgp.compile.rewrite import rewrite
from rgp.compile.spaces import find_spaces
from rgp.engines.native import INT8, missing
from rgp.engines.ort import OrtEngine
from tests.compile.conftest import randomised
from tests.compile.precision.networks import COLOUR, images, run

CALIBRATION = list(images(16, seed=1))


class Net(nn.Module):
    """Every place in which a kernel stands: ReLU, ReLU6, a sum, a dense reader, a stride, two readers, none."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.a, self.b, self.c, self.d, self.e, self.f = (
            nn.Conv2d(16, 16, 3, padding=1, stride=2 if name == "d" else 1) for name in "abcdef"
        )
        for number, conv in enumerate((self.a, self.b, self.d, self.e, self.f)):
            with torch.no_grad():
                conv.weight[torch.eye(4).roll(number, 0).repeat_interleave(4, 0).repeat_interleave(4, 1) == 0] = 0
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.a(x) + self.b(x))
        x = nn.functional.relu6(self.c(x))
        x = nn.functional.relu6(self.d(x))
        y = self.e(x)
        x = torch.relu(y) + torch.sigmoid(y)
        logits: Tensor = self.head(self.f(x).mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    """The network in float32, dense and with our kernel wherever it can run."""
    torch.manual_seed(0)
    model = prepare(export(randomised(Net()).eval(), COLOUR))
    dense = serialize(model)
    convs, spaces = find(model), find_spaces(model)
    choices = {}
    for conv in convs:
        found = native.choices(conv)
        choices[conv.name] = Choice.dense(conv) if isinstance(found, str) else found[0]
    fuse(model, rewrite(model, convs, choices, spaces, lay_out(convs, choices, spaces)))
    return dense, serialize(model)


@pytest.fixture(scope="module")
def quantised(files: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    dense, lowered = (to_int8(file, CALIBRATION) for file in files)
    return dense, lowered


def operators(file: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(file).graph.node)


def test_every_kernel_becomes_one_for_int8(files: tuple[bytes, bytes], quantised: tuple[bytes, bytes]) -> None:
    before = operators(files[1])
    ours = {op: count for op, count in before.items() if op.startswith("GraphConv")}
    assert ours == {"GraphConv": 3, "GraphConvAddRelu": 1, "GraphConvRelu6": 1}
    after = operators(quantised[1])
    assert after[INT8] == 5
    assert after["Conv"] == 2
    assert not any(op.startswith("GraphConv") for op in after)
    onnx.checker.check_model(onnx.load_from_string(quantised[1]), full_check=True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_every_bit_is_that_of_the_dense_network(quantised: tuple[bytes, bytes], batch: int, threads: int) -> None:
    x = images(batch)
    want, got = (OrtEngine(file, threads=threads).run(x) for file in quantised)
    np.testing.assert_array_equal(got, want)


def test_a_runtime_without_our_library_gives_the_same_bits(quantised: tuple[bytes, bytes]) -> None:
    bare = ort.InferenceSession(quantised[1], providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(
        bare.run(None, {"image": images(2)})[0], OrtEngine(quantised[1], threads=1).run(images(2))
    )


def test_the_engine_runs_the_kernel(quantised: tuple[bytes, bytes]) -> None:
    expected = "avx512_vnni" if missing("int8") is None else f"stock operators: {missing('int8')}"
    assert OrtEngine(quantised[1], threads=1).describe()["kernels"] == expected


def test_nothing_is_left_of_what_the_kernel_does_itself(quantised: tuple[bytes, bytes]) -> None:
    graph = onnx.load_from_string(quantised[1]).graph
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    assert all(set(node.output) & read for node in graph.node)


def test_kernels_as_stock_operators_mean_the_same(files: tuple[bytes, bytes]) -> None:
    model = ir.from_proto(onnx.load_from_string(files[1]))
    assert len(unfused(model)) == 5
    np.testing.assert_allclose(run(serialize(model), images(3)), run(files[0], images(3)), rtol=0, atol=1e-5)
    assert "rgp" not in model.graph.opset_imports


def test_tensorrt_gets_no_kernel(files: tuple[bytes, bytes]) -> None:
    assert operators(to_int8(files[1], CALIBRATION, symmetric=True))[INT8] == 0


def test_bytes_are_scaled_in_planes_with_the_same_numbers(files: tuple[bytes, bytes]) -> None:
    ours, tensorrt = (operators(to_int8(files[0], CALIBRATION, symmetric=symmetric)) for symmetric in (False, True))
    assert ours["BatchNormalization"] == 1
    assert ours["Mul"] == tensorrt["BatchNormalization"] == 0
    assert tensorrt["Mul"] == 1
