"""GraphConv2d: the mask rule, the equality with a dense convolution, and weights that stay pruned."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rgp.conv import GraphConv2d
from rgp.errors import PruneError

# Directed: output 0 reads inputs 0 and 1, output 1 reads 1 and 2, output 2 reads 2 and 0. Its transpose differs.
TURN = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=torch.bool)


def masked(
    in_channels: int = 6, out_channels: int = 9, kernel: int = 3, adjacency: Tensor = TURN, **options: Any
) -> GraphConv2d:
    torch.manual_seed(0)
    return GraphConv2d.of(nn.Conv2d(in_channels, out_channels, kernel, **options), adjacency)


def expected_mask(adjacency: Tensor, out_sizes: list[int], in_sizes: list[int]) -> list[list[bool]]:
    """The published rule, written as loops: rows are outputs."""
    rows = []
    for i, out_size in enumerate(out_sizes):
        row = [bool(adjacency[i, j]) for j, in_size in enumerate(in_sizes) for _ in range(in_size)]
        rows += [row] * out_size
    return rows


@pytest.mark.parametrize(
    ("out_channels", "in_channels", "out_sizes", "in_sizes"),
    [
        (3, 3, [1, 1, 1], [1, 1, 1]),
        (9, 6, [3, 3, 3], [2, 2, 2]),
        (3, 6, [1, 1, 1], [2, 2, 2]),
        # RandomState(1).permutation(3) is [0, 2, 1]: of [2, 1, 1] it makes [2, 1, 1], of [2, 2, 1] [2, 1, 2]
        (4, 6, [2, 1, 1], [2, 2, 2]),
        (6, 5, [2, 2, 2], [2, 1, 2]),
        (5, 4, [2, 1, 2], [2, 1, 1]),
        (8, 7, [3, 2, 3], [3, 2, 2]),
    ],
)
def test_the_mask_repeats_the_adjacency_over_blocks_with_outputs_as_rows(
    out_channels: int, in_channels: int, out_sizes: list[int], in_sizes: list[int]
) -> None:
    conv = masked(in_channels, out_channels)
    expected = torch.tensor(expected_mask(TURN, out_sizes, in_sizes))
    assert torch.equal(conv.mask, expected)
    conv.weight.data.fill_(1)
    assert torch.equal(conv.masked_weight(), expected[:, :, None, None].expand(-1, -1, 3, 3).float())


@pytest.mark.parametrize("sizes", [(6, 9), (7, 8)])
def test_an_output_group_depends_on_its_row_of_the_adjacency_and_on_nothing_else(sizes: tuple[int, int]) -> None:
    conv = masked(*sizes, bias=False)
    out_node, in_node = conv._out_node, conv._in_node
    images = torch.randn(1, sizes[0], 5, 5)
    before = conv(images)
    for node in range(3):
        disturbed = images.clone()
        disturbed[:, in_node == node] += 1
        moved = (conv(disturbed) != before).flatten(2).any(2)[0]
        assert torch.equal(moved, TURN[out_node, node])


@settings(max_examples=50)
@given(
    nodes=st.integers(1, 6),
    extra=st.tuples(st.integers(0, 7), st.integers(0, 7)),
    kernel=st.sampled_from([1, 3, (1, 3), (3, 2)]),
    stride=st.sampled_from([1, 2, (2, 1)]),
    dilation=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1, (0, 2), "same", "valid"]),
    padding_mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_equals_a_dense_convolution_whose_weight_is_multiplied_by_the_mask(
    nodes: int,
    extra: tuple[int, int],
    kernel: Any,
    stride: Any,
    dilation: int,
    padding: Any,
    padding_mode: Any,
    bias: bool,
    seed: int,
) -> None:
    if padding == "same":
        stride, kernel = 1, 3  # torch has no other stride, and warns of even kernels
    torch.manual_seed(seed)
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding}
    dense = nn.Conv2d(nodes + extra[0], nodes + extra[1], kernel, **options, bias=bias, padding_mode=padding_mode)
    reference = copy.deepcopy(dense)
    adjacency = torch.rand(nodes, nodes) < 0.5
    conv = GraphConv2d.of(dense, adjacency)
    with torch.no_grad():
        reference.weight *= conv.mask[:, :, None, None]
    images = torch.randn(2, nodes + extra[0], 9, 8)
    assert torch.equal(conv(images), reference(images))


def test_it_takes_over_the_parameters_themselves() -> None:
    dense = nn.Conv2d(6, 9, 3)
    weight, bias = dense.weight, dense.bias
    conv = GraphConv2d.of(dense, TURN)
    assert conv.weight is weight  # an optimiser made before pruning keeps working
    assert conv.bias is bias
    assert (weight[~conv.mask] == 0).all()
    assert (weight[conv.mask] != 0).all()


def test_only_the_node_level_mask_is_stored() -> None:
    conv = masked(64, 64, adjacency=torch.eye(16, dtype=torch.bool))
    state = conv.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "weight": (64, 64, 3, 3),
        "bias": (64,),
        "adjacency": (16, 16),
    }
    assert state["adjacency"].dtype == torch.bool


@pytest.mark.parametrize("sizes", [(6, 9), (7, 8)])
def test_the_gradient_is_exactly_zero_under_the_mask_and_right_elsewhere(sizes: tuple[int, int]) -> None:
    conv = masked(*sizes)
    dense = nn.Conv2d(*sizes, 3)
    dense.load_state_dict({"weight": conv.masked_weight().detach(), "bias": conv.bias})
    images = torch.randn(2, sizes[0], 5, 5)
    for layer in (conv, dense):
        torch.autograd.backward(layer(images).square().sum())
    assert conv.weight.grad is not None
    assert dense.weight.grad is not None
    assert (conv.weight.grad[~conv.mask] == 0).all()
    assert torch.equal(conv.weight.grad[conv.mask], dense.weight.grad[conv.mask])


@pytest.mark.parametrize("sizes", [(6, 9), (7, 8)])
@pytest.mark.parametrize("value", [1.0, -3e38, float("inf"), float("nan")])
def test_what_a_state_dict_holds_under_the_mask_is_gone_once_it_is_loaded(sizes: tuple[int, int], value: float) -> None:
    conv = masked(*sizes)
    expected, state = conv.weight.detach().clone(), conv.state_dict()
    state["weight"] = torch.where(conv.mask[:, :, None, None], expected, value)
    conv.load_state_dict(state)
    assert torch.equal(conv.weight, expected)
    assert torch.equal(conv.masked_weight(), expected)


@pytest.mark.parametrize("sizes", [(6, 9), (7, 8)])
def test_what_is_written_under_the_mask_does_not_count(sizes: tuple[int, int]) -> None:
    conv = masked(*sizes)
    expected = conv.masked_weight().detach()
    conv.weight.data[~conv.mask] = -1e30
    assert torch.equal(conv.masked_weight(), expected)
    conv.weight.data[~conv.mask] = torch.nan
    conv.zero_pruned_()
    assert torch.equal(conv.weight, expected)


OPTIMISERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("sizes", [(6, 9), (7, 8)])
def test_pruned_weights_stay_exactly_zero_in_training(sizes: tuple[int, int], autocast: bool, optimiser: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        masked(*sizes, bias=False), nn.BatchNorm2d(sizes[1]), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )
    network(torch.zeros(2, sizes[0], 5, 5))
    steps = OPTIMISERS[optimiser](network.parameters())
    conv = network[0]
    assert isinstance(conv, GraphConv2d)
    start = conv.weight.detach().clone()
    for _ in range(20):
        steps.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(network(torch.randn(4, sizes[0], 5, 5)), torch.tensor([0, 1, 0, 1]))
        torch.autograd.backward(loss)
        steps.step()
    assert (conv.weight[~conv.mask] == 0).all()
    assert (conv.weight[conv.mask] != start[conv.mask]).all()


@settings(max_examples=40)
@given(
    sizes=st.sampled_from([(6, 9), (7, 8)]),
    events=st.lists(st.sampled_from(["step", "copy", "average", "reload", "dirty"]), min_size=1, max_size=8),
    optimiser=st.sampled_from(sorted(OPTIMISERS)),
    seed=st.integers(0, 1000),
)
def test_the_weight_that_counts_is_zero_under_the_mask_whatever_happens_to_the_layer(
    sizes: tuple[int, int], events: list[str], optimiser: str, seed: int
) -> None:
    torch.manual_seed(seed)
    conv = GraphConv2d.of(nn.Conv2d(*sizes, 3), torch.rand(3, 3) < 0.5)
    steps = OPTIMISERS[optimiser](conv.parameters())
    for event in events:
        if event == "step":
            steps.zero_grad()
            torch.autograd.backward(conv(torch.randn(2, sizes[0], 5, 5)).square().mean())
            steps.step()
            continue
        if event == "copy":
            conv = copy.deepcopy(conv)
        elif event == "average":
            average = AveragedModel(conv)
            average.update_parameters(conv)
            assert isinstance(average.module, GraphConv2d)
            conv = average.module
        else:
            state = copy.deepcopy(conv.state_dict())
            if event == "dirty":
                state["weight"] += torch.randn_like(state["weight"])
            conv.load_state_dict(state)
        steps = OPTIMISERS[optimiser](conv.parameters())
    assert (conv.weight[~conv.mask] == 0).all()
    images = torch.randn(1, sizes[0], 5, 5)
    plain = nn.functional.conv2d(images, conv.weight, conv.bias)
    assert torch.equal(conv(images), plain)


def test_a_state_dict_carries_the_mask_into_another_network() -> None:
    source = masked()
    target = GraphConv2d.of(nn.Conv2d(6, 9, 3), torch.eye(3, dtype=torch.bool))
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    target.load_state_dict(torch.load(file, weights_only=True))
    images = torch.randn(1, 6, 5, 5)
    assert torch.equal(target.mask, source.mask)
    assert torch.equal(target(images), source(images))


def test_a_copy_shares_nothing() -> None:
    conv = masked()
    twin = copy.deepcopy(conv)
    images = torch.randn(1, 6, 5, 5)
    assert torch.equal(twin(images), conv(images))
    with torch.no_grad():
        twin.weight.zero_()
        twin.adjacency.zero_()
    assert conv.weight.any()
    assert torch.equal(conv.adjacency, TURN)


@pytest.mark.parametrize("training", [True, False])
def test_training_mode_and_frozen_parameters_are_kept(training: bool) -> None:
    dense = nn.Conv2d(6, 9, 3).train(training).requires_grad_(False)
    conv = GraphConv2d.of(dense, TURN)
    assert conv.training == training
    assert not conv.weight.requires_grad


def test_dtype_is_kept_and_casting_leaves_the_mask_alone() -> None:
    conv = GraphConv2d.of(nn.Conv2d(6, 9, 3, dtype=torch.float64), TURN)
    assert conv.masked_weight().dtype == torch.float64
    assert conv.to(torch.bfloat16).masked_weight().dtype == torch.bfloat16
    assert conv.adjacency.dtype == torch.bool
    assert torch.equal(conv.adjacency, TURN)


def test_it_works_on_the_meta_device() -> None:
    conv = GraphConv2d.of(nn.Conv2d(6, 9, 3, device="meta"), TURN)
    assert conv(torch.empty(2, 6, 5, 5, device="meta")).shape == (2, 9, 3, 3)
    assert "nodes=3" in repr(conv)


@pytest.mark.parametrize("nodes", [3, 1])
def test_any_memory_layout_of_the_weight_will_do(nodes: int) -> None:
    conv = masked(6, 6, adjacency=TURN[:nodes, :nodes])
    plain = conv.masked_weight()
    assert torch.equal(copy.deepcopy(conv).to(memory_format=torch.channels_last).masked_weight(), plain)
    conv.weight.data = conv.weight.data.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(conv.masked_weight(), plain)


def test_its_text_shows_the_nodes() -> None:
    assert repr(masked(6, 9, stride=2)) == "GraphConv2d(6, 9, kernel_size=(3, 3), stride=(2, 2), nodes=3)"


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        (nn.Conv2d(2, 9, 1), "a graph of 3 nodes needs 3 channels, this convolution has 2 in and 9 out"),
        (nn.Conv2d(9, 2, 1), "a graph of 3 nodes needs 3 channels, this convolution has 9 in and 2 out"),
        (nn.Conv2d(9, 9, 1, groups=3), "the convolution has 3 groups already"),
    ],
)
def test_a_convolution_that_the_graph_does_not_fit_is_refused(conv: nn.Conv2d, message: str) -> None:
    before = conv.weight.detach().clone()
    with pytest.raises(PruneError, match=message):
        GraphConv2d.of(conv, TURN)
    assert torch.equal(conv.weight, before)


def test_a_graph_with_as_many_nodes_as_channels_fits() -> None:
    conv = masked(3, 3, kernel=1, bias=False)
    assert torch.equal(conv.mask, TURN)
    weight = conv.weight.detach()[:, :, 0, 0].numpy()
    assert np.count_nonzero(weight) == 6
