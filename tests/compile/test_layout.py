"""The layout: one order a tensor, the least shuffled of all; and what a permutation passes through."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv, find
from rgp.compile.export import export
from rgp.compile.layout import FIXED_COST, Layout, lay_out, wire
from rgp.compile.nodes import initializer
from rgp.compile.onnx_bytes import OPSET, serialize
from rgp.compile.plan import possible
from rgp.compile.rewrite import register_constants, rewrite
from rgp.compile.spaces import Spaces, find_spaces
from rgp.engines.ort import session
from rgp.families import parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune

COLOUR = Preprocess(channels=3, size=32, resize=32, mean=(0.5,) * 3, std=(0.25,) * 3)


def moved(convs: list[Conv], layout: Layout) -> int:
    total = 0
    for conv in convs:
        wiring = layout.wirings[conv.name]
        total += sum(term.reads != wiring.x for term in wiring.terms) * (conv.in_elements + FIXED_COST)
        total += sum(term.writes != wiring.y for term in wiring.terms) * (conv.out_elements + FIXED_COST)
    return total


def laid_out(architecture: str, graph: str, turns: str, **options: int) -> tuple[list[Conv], Spaces, Layout]:
    torch.manual_seed(0)
    model = build(architecture, **({"num_classes": 10} | options))
    prune(model, parse(graph), turns=turns)  # type: ignore[arg-type]
    working = export(model.eval(), COLOUR)
    convs = [conv for conv in find(working) if conv.groups == 1]
    choices = {conv.name: (possible(conv)[0] or [Choice.dense(conv)])[0] for conv in convs}
    spaces = find_spaces(working)
    return convs, spaces, lay_out(convs, choices, spaces)


def test_turns_inside_blocks_shuffle_the_narrow_tensors_of_a_bottleneck_twice() -> None:
    convs, _, layout = laid_out("resnet50", "affine:16_4?rotate=1", "blocks")
    assert layout.least
    shuffled = [
        conv.x if term.reads != wiring.x else conv.y
        for conv in convs
        for wiring in [layout.wirings[conv.name]]
        for term in wiring.terms
        if term.reads != wiring.x or term.writes != wiring.y
    ]
    assert len(shuffled) == 32
    assert {value.shape[1] for value in shuffled if value.shape is not None} == {64, 128, 256, 512}  # not 256 to 2048


def test_the_optimum_moves_less_than_turns_through_all_layers_do() -> None:
    (convs, _, blocks), (others, _, layers) = (
        laid_out("resnet50", "affine:16_4?rotate=1", turns) for turns in ("blocks", "layers")
    )
    assert moved(convs, blocks) < moved(others, layers) / 2


@pytest.mark.parametrize("graph", ["affine:4_2?rotate=1", "affine:9_3?rotate=1"])
def test_no_other_orders_of_a_small_network_move_less(graph: str) -> None:
    """Against every combination of orders that any convolution asks for."""
    convs, spaces, layout = laid_out("small_resnet", graph, "layers", in_channels=3, width=18)
    assert layout.least
    asked: dict[int, set[tuple[int, ...]]] = {space: {order} for space, order in layout.orders.items()}
    choices = {conv.name: (possible(conv)[0] or [Choice.dense(conv)])[0] for conv in convs}
    for conv in convs:
        choice = choices[conv.name]
        for term in choice.terms:
            for value, groups in ((conv.x, choice.ins(term)), (conv.y, choice.outs(term))):
                if groups and spaces.of(value) not in spaces.fixed_ones():
                    asked[spaces.of(value)].add(tuple(channel for group in groups for channel in group))
    rng = np.random.default_rng(0)
    every = (
        [dict(zip(asked, orders, strict=True)) for orders in product(*asked.values())]
        if len(asked) < 8
        else [{space: sorted(orders)[rng.integers(len(orders))] for space, orders in asked.items()} for _ in range(500)]
    )
    least = moved(convs, layout)
    for orders in every:
        around = {conv.name: (orders[spaces.of(conv.x)], orders[spaces.of(conv.y)]) for conv in convs}
        wirings = {conv.name: wire(conv, choices[conv.name], *around[conv.name]) for conv in convs}
        assert moved(convs, Layout(orders, wirings)) >= least


class Graphs:
    """Random small networks of operators around block-sparse convolutions, written as ONNX directly."""

    def __init__(self, rng: np.random.Generator, channels: int) -> None:
        self.rng, self.nodes, self.count, self.channels = rng, list[ir.Node](), 0, channels
        self.x = ir.Value(name="x", shape=ir.Shape(["batch", 3, 6, 6]), type=ir.TensorType(ir.DataType.FLOAT))
        self.alive = [self.conv(self.x, channels, sparse=False)]

    def op(self, kind: str, inputs: list[ir.Value], shape: list[int], **attributes: object) -> ir.Value:
        self.count += 1
        node = ir.node(kind, inputs, attributes=attributes, name=f"n{self.count}")  # type: ignore[arg-type]
        output = node.outputs[0]
        output.name, output.shape, output.type = f"v{self.count}", ir.Shape(["batch", *shape]), self.x.type
        self.nodes.append(node)
        return output

    def constant(self, array: NDArray[np.generic]) -> ir.Value:
        self.count += 1
        return initializer(f"c{self.count}.weight", array)

    def numbers(self, *shape: int) -> ir.Value:
        return self.constant(self.rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def conv(self, x: ir.Value, outs: int, *, sparse: bool = True, groups: int = 1) -> ir.Value:
        _, ins, *space = map(int_or_zero, x.shape or ())
        weight = self.rng.standard_normal((outs, ins // groups, 3, 3)).astype(np.float32)
        if sparse:
            rows, columns = self.rng.permutation(outs) % 2, self.rng.permutation(ins) % 2
            weight *= (rows[:, None] == columns)[:, :, None, None]
        return self.op(
            "Conv", [x, self.constant(weight), self.numbers(outs)], [outs, *space], group=groups, pads=[1] * 4
        )

    def step(self, kind: str) -> None:
        x = self.alive[self.rng.integers(len(self.alive))]
        shape = [int_or_zero(side) for side in list(x.shape or ())[1:]]
        channels = shape[0]
        if kind == "conv":
            y = self.conv(x, self.channels)
        elif kind == "depthwise":
            y = self.conv(x, channels, sparse=False, groups=channels)
        elif kind == "add":
            other = next((v for v in reversed(self.alive) if list(v.shape or ())[1:] == shape), x)
            y = self.op("Add", [x, other], shape)
        elif kind == "scale":
            y = self.op("Mul", [x, self.numbers(channels, 1, 1)], shape)
        elif kind == "norm":
            y = self.op("BatchNormalization", [x, *(self.numbers(channels) for _ in range(4))], shape)
        elif kind == "prelu":
            y = self.op("PRelu", [x, self.numbers(channels, 1, 1)], shape)
        elif kind == "pool":
            y = self.op("MaxPool", [x], shape, kernel_shape=[3, 3], pads=[1] * 4)
        elif kind == "gate":
            gate = self.op("Sigmoid", [self.op("GlobalAveragePool", [x], [channels, 1, 1])], [channels, 1, 1])
            y = self.op("Mul", [x, gate], shape)
        else:
            other = self.alive[self.rng.integers(len(self.alive))]
            y = self.op("Concat", [x, other], [channels + int_or_zero(list(other.shape or ())[1]), *shape[1:]], axis=1)
        self.alive.append(y)

    def model(self, head: str) -> ir.Model:
        x = self.alive[-1]
        channels = int_or_zero(list(x.shape or ())[1])
        if head == "pooled":
            x = self.op("Flatten", [self.op("GlobalAveragePool", [x], [channels, 1, 1])], [channels])
        elif head == "flat":
            channels *= 36
            x = self.op("Flatten", [x], [channels])
        if head != "bare":
            x = self.op("Relu", [x], [channels])
            x = self.op("Gemm", [x, self.constant(self.rng.standard_normal((channels, 5)).astype(np.float32))], [5])
        x.name = "y"
        graph = ir.Graph([self.x], [x], nodes=self.nodes, opset_imports={"": OPSET}, name="random")
        register_constants(graph)
        return ir.Model(graph, ir_version=10)


def int_or_zero(side: object) -> int:
    return side if isinstance(side, int) else 0


KINDS = ("conv", "depthwise", "add", "scale", "norm", "prelu", "pool", "gate", "concat")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=9),
    head=st.sampled_from(["pooled", "flat", "bare"]),
    lowering=st.sampled_from(["grouped", "sliced"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_small_network_of_operators_keeps_its_function(
    kinds: list[str], head: str, lowering: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    network = Graphs(rng, 8)
    for kind in [*kinds, "conv"]:
        network.step(kind)
    model = network.model(head)
    x = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    before = session(serialize(model), threads=1).run(None, {"x": x})[0]
    convs, spaces = [conv for conv in find(model) if conv.groups == 1], find_spaces(model)
    choices = {}
    for conv in convs:
        ways = [choice for choice in possible(conv)[0] if choice.lowering == lowering]
        choices[conv.name] = ways[0] if ways else Choice.dense(conv)
    assert any(choice.lowering == lowering for choice in choices.values())
    layout = lay_out(convs, choices, spaces)
    rewrite(model, convs, choices, spaces, layout)
    after = session(serialize(model), threads=1).run(["y"], {"x": x})[0]
    assert np.abs(before - after).max() <= 1e-4 * max(1.0, np.abs(before).max())


def test_a_permutation_passes_the_operators_between_two_convolutions() -> None:
    """Both convolutions ask for the same halves, so nothing is shuffled, whatever stands between them."""
    for kind in ("depthwise", "add", "scale", "norm", "prelu", "pool", "gate"):
        network = Graphs(np.random.default_rng(3), 8)
        for step in ("conv", kind):
            network.step(step)
        network.alive = network.alive[-1:]
        network.step("conv")
        model = network.model("pooled")
        convs, spaces = [conv for conv in find(model) if conv.groups == 1], find_spaces(model)
        assert spaces.of(convs[1].y) == spaces.of(convs[-1].x), kind
        assert spaces.of(convs[1].y) not in spaces.fixed_ones(), kind
