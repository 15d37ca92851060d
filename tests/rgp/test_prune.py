"""prune: which layers get which graph, why, and that a refusal changes nothing."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rgp.conv import GraphConv2d
from rgp.errors import PruneError, UsageError
from rgp.families import parse, ring
from rgp.graph import Graph
from rgp.models.registry import build
from rgp.prune import LayerDecision, prune, summary


def tower(*widths: int, head: bool = True, kernel: int = 3) -> nn.Sequential:
    """Convolutions named 0, 1, 2, ... between ``widths`` channels, and a linear head named ``head``."""
    torch.manual_seed(0)
    network = nn.Sequential()
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        network.add_module(str(i), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
    if head:
        network.add_module("pool", nn.AdaptiveAvgPool2d(1))
        network.add_module("flat", nn.Flatten())
        network.add_module("head", nn.Linear(widths[-1], 5))
    return network


def masks(decisions: list[LayerDecision]) -> dict[str, str]:
    return {d.name: d.graph.spelling if d.graph else d.why for d in decisions}


def same_state(one: nn.Module, other: dict[str, Tensor]) -> bool:
    state = one.state_dict()
    return state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)


def test_all_layers_but_the_first_are_masked_and_named_in_order() -> None:
    network = tower(3, 8, 16, 8)
    decisions = prune(network, ring(8, 4))
    assert masks(decisions) == {"0": "first layer", "1": "ring:8_4", "2": "ring:8_4"}
    assert [type(network[i]) for i in range(3)] == [nn.Conv2d, GraphConv2d, GraphConv2d]
    assert str(decisions[0]) == "0: 3 -> 8 3x3: dense (first layer)"
    assert str(decisions[1]) == "1: 8 -> 16 3x3: ring:8_4 (masked)"


def test_weights_are_kept_where_the_graph_has_an_edge_and_zero_elsewhere() -> None:
    network = tower(3, 8, 16)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prune(network, ring(8, 4))
    conv = network[1]
    assert isinstance(conv, GraphConv2d)
    assert torch.equal(conv.weight, before["1.weight"] * conv.mask[:, :, None, None])
    assert conv.mask.float().mean() == 0.5
    for name in ("0.weight", "0.bias", "1.bias", "head.weight", "head.bias"):
        assert torch.equal(network.state_dict()[name], before[name])
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 5)


def test_an_optimiser_made_before_pruning_still_trains_the_network() -> None:
    network = tower(3, 8, 16)
    steps = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    prune(network, ring(8, 4))
    for _ in range(3):
        steps.zero_grad()
        network(torch.randn(2, 3, 8, 8)).square().sum().backward()
        steps.step()
    conv = network[1]
    assert isinstance(conv, GraphConv2d)
    assert (conv.weight[~conv.mask] == 0).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"0": "first layer", "1": "ring:4_2", "2": "ring:4_2"}),
        ({"first_dense": False}, {"0": "ring:4_2", "1": "ring:4_2", "2": "ring:4_2"}),
        ({"skip": ["1"]}, {"0": "first layer", "1": "skipped by name", "2": "ring:4_2"}),
        ({"skip": ["[02]"]}, {"0": "first layer", "1": "ring:4_2", "2": "skipped by name"}),
        ({"skip": ["0", "1"], "first_dense": False}, {"0": "skipped by name", "1": "skipped by name", "2": "ring:4_2"}),
    ],
)
def test_layers_are_left_dense_by_position_or_name(options: dict[str, Any], expected: dict[str, str]) -> None:
    assert masks(prune(tower(4, 8, 8, 8), ring(4, 2), **options)) == expected


@pytest.mark.parametrize(("last_dense", "last"), [(True, "last layer"), (False, "ring:8_4")])
def test_a_convolution_that_classifies_is_the_last_layer(last_dense: bool, last: str) -> None:
    network = tower(3, 8, 16, 10, head=False)
    assert masks(prune(network, ring(8, 4), last_dense=last_dense)) == {"0": "first layer", "1": "ring:8_4", "2": last}


def test_several_graphs_are_taken_in_turn_by_the_layers_that_are_masked() -> None:
    graphs = parse("affine:4_2?rotate=1")
    network = tower(3, 8, 8, 3, 8, 8, 8)
    chosen = [d.graph for d in prune(network, graphs, narrow="dense")]
    assert chosen == [None, graphs[0], None, None, graphs[1], graphs[2]]
    conv = network[5]
    assert isinstance(conv, GraphConv2d)
    assert conv.adjacency.numpy().tobytes() == graphs[2].adjacency.tobytes()


def test_a_mask_does_not_share_memory_with_the_graph() -> None:
    graph = ring(8, 4)
    network = tower(3, 8, 8)
    prune(network, graph)
    network.get_buffer("1.adjacency").zero_()
    assert graph.adjacency.any()


def test_narrow_layers_are_refused_by_default_and_nothing_is_changed() -> None:
    network = tower(3, 8, 16, 4, 8)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(PruneError, match=r"^2 has 16 -> 4 channels, fewer than the 8 nodes of ring:8_4"):
        prune(network, ring(8, 4))
    assert same_state(network, before)
    assert not any(isinstance(module, GraphConv2d) for module in network.modules())


def test_narrow_layers_are_left_dense_on_request() -> None:
    assert masks(prune(tower(3, 8, 16, 4, 8), ring(8, 4), narrow="dense")) == {
        "0": "first layer",
        "1": "ring:8_4",
        "2": "fewer channels than 8 nodes",
        "3": "fewer channels than 8 nodes",
    }


def test_narrow_layers_take_fewer_nodes_on_request() -> None:
    network = tower(3, 64, 48, 16, 64)
    decisions = prune(network, ring(64, 16), narrow="fewer")
    assert masks(decisions) == {"0": "first layer", "1": "ring:32_8", "2": "ring:16_4", "3": "ring:16_4"}
    assert decisions[1].why == "fewer channels than 64 nodes"
    for i in (1, 2, 3):
        conv = network[i]
        assert isinstance(conv, GraphConv2d)
        expected = ring(int(conv.nodes), int(conv.nodes) // 4).adjacency
        assert conv.adjacency.numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (ring(64, 4), "1: no graph with at most 8 nodes: ring:64_4: has no form with 8 nodes"),  # half a neighbour
        (parse("affine:64_15")[0], "1: no graph with at most 8 nodes: affine:64_15.classes=2: has no form with 8 node"),
    ],
)
def test_fewer_nodes_are_refused_where_the_family_has_none(graph: Graph, message: str) -> None:
    network = tower(64, 64, 8, 64)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(PruneError, match=message):
        prune(network, graph, narrow="fewer")
    assert same_state(network, before)


def test_grouped_convolutions_stay_as_they_are() -> None:
    grouped = (nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=2))
    network = nn.Sequential(nn.Conv2d(3, 8, 1), *grouped, nn.Conv2d(8, 8, 1), nn.Flatten())
    decisions = prune(network, ring(8, 4), last_dense=False)
    assert masks(decisions) == {"0": "first layer", "1": "depthwise", "2": "has groups already", "3": "ring:8_4"}
    assert (network[1], network[2]) == grouped


class Shared(nn.Module):
    """One convolution under two names, applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.one = nn.Conv2d(8, 8, 1)
        self.two = self.one
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = self.two(self.one(self.stem(images)).relu())
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def test_a_convolution_that_stands_in_two_places_is_masked_in_both() -> None:
    network = Shared()
    assert masks(prune(network, ring(8, 4))) == {"stem": "first layer", "one": "ring:8_4"}
    assert network.one is network.two
    conv = network.one
    assert isinstance(conv, GraphConv2d)
    network(torch.randn(2, 3, 4, 4)).sum().backward()
    assert conv.weight.grad is not None
    assert (conv.weight.grad[~conv.mask] == 0).all()


class ScaledConv2d(nn.Conv2d):
    """A convolution that does more than a convolution."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_a_convolution_with_a_forward_pass_of_its_own_stays_dense_and_that_is_said() -> None:
    scaled = ScaledConv2d(8, 8, 1)
    network = nn.Sequential(nn.Conv2d(3, 8, 1), scaled, nn.Conv2d(8, 8, 1), nn.Flatten(), nn.LazyLinear(2))
    decisions = prune(network, ring(8, 4))
    assert masks(decisions) == {"0": "first layer", "1": "ScaledConv2d, not a plain Conv2d", "2": "ring:8_4"}
    assert network[1] is scaled


def test_a_network_of_nothing_but_such_convolutions_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), ScaledConv2d(8, 8, 1), ScaledConv2d(8, 8, 1), nn.Flatten())
    with pytest.raises(PruneError, match=r"masked: 1 dense \(first layer\), 2 dense \(ScaledConv2d, not a plain"):
        prune(network, ring(8, 4), last_dense=False)


def test_a_summary_counts_layers_by_graph_and_reason() -> None:
    network = tower(3, 8, 16, 16, 4, 8)
    network.add_module("deep", nn.Conv2d(8, 8, 3, groups=8))
    network.add_module("end", nn.Linear(8, 5))
    assert summary(prune(network, ring(8, 4), narrow="fewer")) == [
        "2 masked by ring:8_4",
        "2 masked by ring:4_2 (fewer channels than 8 nodes)",
        "1 dense (first layer)",
        "1 dense (depthwise)",
    ]
    turns = prune(tower(3, *[4] * 8), parse("affine:4_2?rotate=1"))
    assert summary(turns) == ["7 masked by 3 graphs 4_2 in turn", "1 dense (first layer)"]


@given(st.integers(4, 40), st.integers(4, 40), st.sampled_from(["ring:4_2", "random:4_2", "ring:3_2"]))
def test_the_share_kept_is_that_of_the_mask(inputs: int, outputs: int, graph: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, inputs, 1), nn.Conv2d(inputs, outputs, 1), nn.Flatten(), nn.LazyLinear(2))
    first, second = prune(network, parse(graph))
    conv = network[1]
    assert isinstance(conv, GraphConv2d)
    assert first.kept == 1
    assert second.kept == pytest.approx(conv.mask.float().mean().item())


@pytest.mark.parametrize(
    ("network", "options", "error", "message"),
    [
        (nn.Linear(3, 3), {}, PruneError, "Linear has no convolution inside to prune"),
        (nn.Conv2d(8, 8, 1), {"first_dense": False}, PruneError, "Conv2d has no convolution inside to prune"),
        (tower(3, 8), {}, PruneError, "no convolution of Sequential was masked: 1 dense .first layer."),
        (tower(3, 8, 8), {"skip": ["*"]}, PruneError, "no convolution of Sequential was masked"),
        (tower(3, 8, 8), {"skip": ["layer1"]}, UsageError, "unknown layer to skip 'layer1'"),
        (tower(3, 8, 8), {"skip": ["1", "hed"]}, UsageError, "unknown layer to skip 'hed': known: 0, 1"),
        (tower(3, 8, 8), {"narrow": "few"}, UsageError, "unknown choice for narrow 'few': did you mean 'fewer'"),
        (tower(3, 8, 8), {"graph": []}, PruneError, "no graph was given"),
    ],
)
def test_what_cannot_be_pruned_says_why_and_is_not_changed(
    network: nn.Module, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(error, match=message):
        prune(network, **({"graph": ring(8, 4)} | options))
    assert same_state(network, before)


def test_pruning_twice_is_refused() -> None:
    network = tower(3, 8, 8, 8)
    prune(network, ring(8, 4))
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(PruneError, match="1 is masked by a graph already"):
        prune(network, ring(8, 2))
    assert same_state(network, before)


@pytest.mark.parametrize(("name", "convolutions"), [("resnet18", 20), ("mobilenet_v2", 52)])
def test_it_works_on_networks_that_know_nothing_of_it(name: str, convolutions: int) -> None:
    network = torchvision.models.get_model(name, weights=None).eval()
    decisions = prune(network, ring(16, 4), narrow="dense")
    assert len(decisions) == convolutions
    layers = {name: module for name, module in network.named_modules() if isinstance(module, GraphConv2d)}
    assert set(layers) == {d.name for d in decisions if d.graph}
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 64)).isfinite().all()


def test_turns_inside_blocks_leave_one_graph_on_the_stream() -> None:
    graphs = parse("affine:16_4?rotate=1")
    names = [graph.spelling for graph in graphs]
    decided = {d.name: d for d in prune(build("resnet50", num_classes=4), graphs, turns="blocks")}
    inner = [d.graph.spelling for d in decided.values() if d.graph and d.name.endswith("conv2")]
    assert inner == [names[1 + turn % 4] for turn in range(16)]
    outer = {d.graph.spelling for d in decided.values() if d.graph and not d.name.endswith("conv2")}
    assert outer == {names[0]}


def test_turns_inside_blocks_that_are_not_there_are_refused() -> None:
    with pytest.raises(PruneError, match="no block to take turns inside"):
        prune(build("mobilenet_v2", num_classes=4), parse("affine:4_2?rotate=1"), turns="blocks")
    with pytest.raises(UsageError, match="unknown choice for turns"):
        prune(tower(3, 4, 4), parse("affine:4_2?rotate=1"), turns="rows")  # type: ignore[arg-type]
