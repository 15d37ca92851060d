"""Whole networks keep their function: spaces, layout and rewriting together."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rgp.compile.choice import Choice
from rgp.compile.convs import Conv, find
from rgp.compile.export import export, serialize
from rgp.compile.layout import Layout, TermWiring, Wiring, lay_out
from rgp.compile.lowerings import LOWERINGS
from rgp.compile.rewrite import rewrite
from rgp.compile.spaces import Spaces, find_spaces
from rgp.engines.ort import OrtEngine
from rgp.families import affine, parse
from rgp.models.registry import build
from rgp.preprocess import Preprocess
from rgp.prune import prune
from tests.compile.conftest import GREY, randomised

COLOUR = Preprocess(channels=3, size=32, resize=32, mean=(0.5,) * 3, std=(0.25,) * 3)


def lowerable(model: ir.Model) -> list[Conv]:
    return [conv for conv in find(model) if conv.groups == 1]


def first_that_applies(conv: Conv, names: tuple[str, ...]) -> Choice:
    for name in names:
        choices = LOWERINGS[name].choices(conv)
        if not isinstance(choices, str):
            return choices[-1]
    return Choice.dense(conv)


def compiled(model: ir.Model, names: tuple[str, ...]) -> tuple[bytes, Layout, Mapping[str, Choice]]:
    """Lower every convolution by the first of ``names`` that applies."""
    convs, spaces = lowerable(model), find_spaces(model)
    choices = {conv.name: first_that_applies(conv, names) for conv in convs}
    layout = lay_out(convs, choices, spaces)
    rewrite(model, convs, choices, spaces, layout)
    return serialize(model), layout, choices


def shuffled(model: ir.Model, seed: int) -> None:
    """Give every free space a random order, in place: the same function, its structure hidden."""
    rng = np.random.default_rng(seed)
    convs, spaces = lowerable(model), find_spaces(model)
    fixed = spaces.fixed_ones()
    orders = {
        space: tuple((np.arange if space in fixed else rng.permutation)(spaces.channels[space]).tolist())
        for space in spaces.all()
    }
    choices = {conv.name: Choice.dense(conv) for conv in convs}
    for space, parts in spaces.pieces.items():
        starts = np.cumsum([0, *(spaces.channels[part] for part in parts)]).tolist()
        orders[space] = tuple(start + c for start, part in zip(starts, parts, strict=False) for c in orders[part])
    wirings = {}
    for conv in convs:
        x, y = orders[spaces.of(conv.x)], orders[spaces.of(conv.y)]
        wirings[conv.name] = Wiring(x, y, (TermWiring(x, y),))
    rewrite(model, convs, choices, spaces, Layout(orders, wirings))


def outputs(onnx: bytes, images: np.ndarray) -> np.ndarray:
    return OrtEngine(onnx, threads=1).run(images)


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    assert np.abs(a - b).max() <= 1e-4 * np.abs(a).max()


def images(preprocess: Preprocess, batch: int = 2) -> np.ndarray:
    shape = (batch, preprocess.size, preprocess.size, preprocess.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    "graph", ["affine:16_4?rotate=1", "affine:9_3?rotate=1", "affine:4_2?rotate=1", "ring:4_2", "16_4"]
)
@pytest.mark.parametrize("names", [("grouped", "sliced"), ("sliced",)])
def test_a_rotating_network_keeps_its_function_through_shuffles(graph: str, names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=5, in_channels=1, width=16)
    prune(model, parse(graph))
    working = export(randomised(model), GREY)
    before = outputs(serialize(working), images(GREY))
    after, _, _ = compiled(working, names)
    assert_same(before, outputs(after, images(GREY)))


def test_one_clique_union_everywhere_leaves_no_shuffle_however_the_channels_lie() -> None:
    torch.manual_seed(0)
    model = build("cifar_resnet18", num_classes=10)
    prune(model, affine(16, 4))
    working = export(randomised(model), COLOUR)
    before = outputs(serialize(working), images(COLOUR))
    shuffled(working, seed=3)
    assert_same(before, outputs(serialize(working), images(COLOUR)))
    after, layout, choices = compiled(working, ("grouped",))
    assert [choice.lowering for choice in choices.values()] == ["dense"] + ["grouped"] * 19
    assert sum(wiring.shuffles for wiring in layout.wirings.values()) == 0
    assert_same(before, outputs(after, images(COLOUR)))


def test_a_shuffle_that_two_convolutions_read_is_made_once() -> None:
    torch.manual_seed(0)
    model = build("small_resnet", num_classes=5, in_channels=1, width=16)
    classes = parse("affine:16_4?rotate=1")
    # stage 2 begins with two convolutions of one class on a stream of another
    prune(model, [classes[0], classes[0], classes[1], classes[1], classes[1], classes[1], classes[1], classes[1]])
    working = export(randomised(model), GREY)
    before = outputs(serialize(working), images(GREY))
    after, layout, _ = compiled(working, ("grouped",))
    gathers = [node for node in working.graph if node.op_type == "Gather"]
    assert len(gathers) == 1
    assert sum(wiring.shuffles for wiring in layout.wirings.values()) == 2
    assert_same(before, outputs(after, images(GREY)))


class Mixed(nn.Module):
    """A little of everything that a channel order passes through, stops at, or is absorbed by."""

    def __init__(self, width: int, *, depthwise: bool, concat: bool, scaled: bool, affine_channels: bool) -> None:
        super().__init__()
        self.depthwise, self.concat, self.scaled = depthwise, concat, scaled
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.a = nn.Conv2d(width, width, 3, padding=1)
        self.b = nn.Conv2d(width, width, 1, stride=1, bias=False)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.c = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.gain = nn.Parameter(torch.randn(width, 1, 1)) if affine_channels else None
        self.fc = nn.Linear(4 * width if concat else 2 * width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = x + torch.sigmoid(self.a(x))
        if self.depthwise:
            x = torch.nn.functional.hardswish(self.deep(x))
        x = torch.max_pool2d(torch.clamp(self.b(x), -1, 1), 2) if self.scaled else self.b(x) * 0.5
        if self.gain is not None:
            x = x * self.gain
        x = torch.relu(self.c(x))
        if self.concat:
            x = torch.cat([x, -x], 1)
        x = torch.nn.functional.adaptive_avg_pool2d(x, 1)
        logits: Tensor = self.fc(torch.flatten(x, 1))
        return logits


@settings(max_examples=16, suppress_health_check=[HealthCheck.too_slow])
@given(
    depthwise=st.booleans(),
    concat=st.booleans(),
    scaled=st.booleans(),
    affine_channels=st.booleans(),
    first=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    names=st.sampled_from([("grouped",), ("sliced",), ("grouped", "sliced")]),
    seed=st.integers(0, 1000),
)
def test_any_mixture_of_operators_keeps_its_function(
    depthwise: bool,
    concat: bool,
    scaled: bool,
    affine_channels: bool,
    first: list[int],
    names: tuple[str, ...],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model = Mixed(16, depthwise=depthwise, concat=concat, scaled=scaled, affine_channels=affine_channels).eval()
    prune(model, [affine(16, 4, first=turn) for turn in first])
    working = export(model, GREY)
    before = outputs(serialize(working), images(GREY))
    shuffled(working, seed)
    after, _, choices = compiled(working, names)
    assert {choice.lowering for choice in choices.values()} == {"dense", names[0]}
    assert_same(before, outputs(after, images(GREY)))


def spaces_of(model: nn.Module) -> tuple[ir.Model, Spaces, dict[str, Conv]]:
    working = export(model.eval(), GREY)
    return working, find_spaces(working), {conv.name: conv for conv in find(working)}


def test_a_residual_addition_ties_its_two_sides() -> None:
    _, spaces, convs = spaces_of(Mixed(4, depthwise=True, concat=False, scaled=True, affine_channels=False))
    assert spaces.of(convs["stem"].y) == spaces.of(convs["a"].y) == spaces.of(convs["a"].x)
    assert spaces.of(convs["deep"].y) == spaces.of(convs["a"].y)
    assert spaces.of(convs["b"].y) == spaces.of(convs["c"].x) != spaces.of(convs["a"].y)
    assert spaces.of(convs["c"].y) not in spaces.fixed_ones()


def test_inputs_and_outputs_keep_their_order_and_constants_follow() -> None:
    working, spaces, convs = spaces_of(Mixed(4, depthwise=False, concat=True, scaled=False, affine_channels=True))
    fixed = spaces.fixed_ones()
    assert spaces.of(convs["stem"].x) in fixed  # the network's input
    assert spaces.of(convs["b"].y) not in fixed  # the constant that it is multiplied by is permuted with it
    assert spaces.of(convs["c"].y) not in fixed  # the linear layer follows the concatenation
    assert spaces.of(working.graph.outputs[0]) in fixed
    assert spaces.of(convs["a"].y) not in fixed


def test_one_weight_used_by_two_convolutions_is_lowered_for_each() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 16, 1)
            self.conv = nn.Conv2d(16, 16, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(torch.relu(self.conv(torch.relu(self.stem(x)))))
            return torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1)

    model = Twice().eval()
    prune(model, affine(16, 4), last_dense=False)
    working = export(model, GREY)
    before = outputs(serialize(working), images(GREY))
    after, _, choices = compiled(working, ("grouped",))
    assert [choice.lowering for choice in choices.values()] == ["dense", "grouped", "grouped"]
    assert_same(before, outputs(after, images(GREY)))


def test_a_gemm_keeps_the_order_of_what_it_adds() -> None:
    class AddsFeatures(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(1, 16, 1), nn.Conv2d(16, 16, 3, padding=1)
            self.weight = nn.Parameter(torch.randn(16, 16))

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.stem(x))
            pooled = [torch.nn.functional.adaptive_avg_pool2d(each, 1).flatten(1) for each in (h, self.conv(h))]
            return torch.addmm(pooled[0], pooled[1], self.weight)

    torch.manual_seed(0)
    model = AddsFeatures().eval()
    prune(model, affine(16, 4, first=1), last_dense=False)
    working = export(model, GREY)
    before = outputs(serialize(working), images(GREY))
    after, _, choices = compiled(working, ("grouped",))
    assert [choice.lowering for choice in choices.values()] == ["dense", "grouped"]
    assert_same(before, outputs(after, images(GREY)))


def test_a_convolution_registered_twice_is_exported_as_masked_in_both_places() -> None:
    model = nn.Sequential(nn.Conv2d(1, 16, 1), nn.Conv2d(16, 16, 1))
    prune(model, affine(16, 4), last_dense=False)
    model.append(model[1])
    model.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    working = export(model.eval(), GREY)
    assert [conv.name for conv in find(working)] == ["0", "2", "2#2"]  # one weight, under the last of its names
