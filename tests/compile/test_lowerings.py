"""Every lowering computes what the dense convolution computes, in any order of channels."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv, find
from rgp.compile.export import OPSET, serialize
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.nodes import initializer
from rgp.compile.rewrite import register_constants
from rgp.engines.ort import session


def conv_of(weight: np.ndarray, bias: np.ndarray | None, side: int, **attributes: Any) -> tuple[Conv, ir.Value]:
    """A Conv as ``find`` gives it, and the input value of its model."""
    channels = weight.shape[1]
    x = ir.Value(name="x", shape=ir.Shape(["batch", channels, side, side]), type=ir.TensorType(ir.DataType.FLOAT))
    inputs = [x, initializer("layer.weight", weight)]
    if bias is not None:
        inputs.append(initializer("layer.bias", bias))
    attributes = {"kernel_shape": list(weight.shape[2:]), **attributes}
    node = ir.node("Conv", inputs, attributes=attributes)
    height, width = F.conv2d(
        torch.zeros(1, channels, side, side), torch.zeros(weight.shape), **torch_of(attributes)
    ).shape[2:]
    y = node.outputs[0]
    y.name, y.type, y.shape = "y", x.type, ir.Shape(["batch", len(weight), height, width])
    graph = ir.Graph([x], [y], nodes=[node], opset_imports={"": OPSET}, name="one")
    register_constants(graph)
    (conv,) = find(ir.Model(graph, ir_version=10))
    return conv, x


def torch_of(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "stride": tuple(attributes.get("strides", (1, 1))),
        "padding": tuple(attributes.get("pads", (0, 0, 0, 0))[:2]),
        "dilation": tuple(attributes.get("dilations", (1, 1))),
    }


def run(nodes: list[ir.Node], x: ir.Value, image: np.ndarray) -> np.ndarray:
    output = nodes[-1].outputs[0]
    graph = ir.Graph([x], [output], nodes=nodes, opset_imports={"": OPSET}, name="lowered")
    register_constants(graph)
    model = ir.Model(graph, ir_version=10)
    result: np.ndarray = session(serialize(model), threads=1).run(None, {"x": image})[0]
    return result


def block_weight(
    rng: np.random.Generator, groups: int, outs: int, ins: int, kernel: int, *, overlap: bool
) -> np.ndarray:
    """``groups`` blocks of ``outs`` x ``ins``, each reading the next block too if they overlap; channels shuffled."""
    adjacency = np.eye(groups, dtype=bool)
    if overlap:
        adjacency |= np.roll(adjacency, 1, axis=1)
    mask = np.kron(adjacency, np.ones((outs, ins), bool))
    mask = mask[rng.permutation(len(mask))][:, rng.permutation(mask.shape[1])]
    weight = rng.normal(size=(*mask.shape, kernel, kernel)).astype(np.float32)
    return weight * mask[:, :, None, None]


@settings(max_examples=40)
@given(
    name=st.sampled_from(sorted(LOWERINGS)),
    groups=st.integers(2, 5),
    outs=st.sampled_from([1, 2, 3, 8, 16, 17]),
    ins=st.sampled_from([1, 2, 3, 8, 16, 17]),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1]),
    dilation=st.sampled_from([1, 2]),
    biased=st.booleans(),
    batch=st.sampled_from([1, 2, 7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_lowering_equals_the_dense_convolution_in_any_order(
    name: str,
    groups: int,
    outs: int,
    ins: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    biased: bool,
    batch: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    weight = block_weight(rng, groups, outs, ins, kernel, overlap=name == "sliced" and groups > 2)
    bias = rng.normal(size=len(weight)).astype(np.float32) if biased else None
    attributes = {"strides": [stride] * 2, "pads": [padding] * 4, "dilations": [dilation] * 2}
    side = max(5, dilation * (kernel - 1) + 1)
    conv, x = conv_of(weight, bias, side, **attributes)

    lowering = LOWERINGS[name]
    choices = lowering.choices(conv)
    if isinstance(choices, str):
        if name == "native":
            assert dilation > 1
        else:
            assert name == "matmul"
            assert (kernel, stride, padding) != (1, 1, 0)
        return
    choice = choices[-1]
    (parts,) = choice.terms
    in_order = rng.permutation(weight.shape[1]).tolist()
    sequence = rng.permutation(len(parts))
    if choice.ins(parts):
        in_order = [i for index in sequence for i in rng.permutation(parts[index].ins).tolist()]
    out_order = [o for index in sequence for o in rng.permutation(parts[index].outs).tolist()]

    image = rng.normal(size=(batch, weight.shape[1], side, side)).astype(np.float32)
    fresh = ir.Value(name="x", shape=x.shape, type=x.type)
    got = run(lowering.emit(conv, parts, fresh, in_order, out_order), fresh, image[:, in_order])
    want = F.conv2d(
        torch.from_numpy(image),
        torch.from_numpy(weight),
        None if bias is None else torch.from_numpy(bias),
        **torch_of(attributes),
    ).numpy()[:, out_order]
    np.testing.assert_allclose(got, want, atol=1e-4 * max(1.0, np.abs(want).max()), rtol=0)


def refusal(name: str, weight: np.ndarray) -> str:
    reason = LOWERINGS[name].choices(conv_of(weight.astype(np.float32), None, 4)[0])
    assert isinstance(reason, str)
    return reason


def test_a_lowering_says_why_it_does_not_apply() -> None:
    full = np.ones((4, 4, 1, 1))
    assert "no zeros" in refusal("grouped", full)
    assert "every output reads every input" in refusal("sliced", full)
    assert "no blocks" in refusal("matmul", full)
    assert "only a 1x1" in refusal("matmul", np.ones((4, 4, 3, 3)))


@pytest.mark.parametrize("count", [2, 8])
def test_sliced_takes_two_to_eight_neighbourhoods(count: int) -> None:
    conv, _ = conv_of(np.eye(count, dtype=np.float32)[:, :, None, None], None, 4)
    choices = LOWERINGS["sliced"].choices(conv)
    assert not isinstance(choices, str)
    assert max(len(choice.terms[0]) for choice in choices) == count


def test_shares_of_the_macs_are_those_of_the_blocks() -> None:
    rng = np.random.default_rng(0)
    conv, _ = conv_of(block_weight(rng, 4, 3, 2, 1, overlap=False), None, 4)
    assert Choice.dense(conv).macs_share(conv) == 1
    for name in ("grouped", "sliced", "matmul"):
        choices = LOWERINGS[name].choices(conv)
        assert not isinstance(choices, str)
        assert min(choice.macs_share(conv) for choice in choices) == 0.25
