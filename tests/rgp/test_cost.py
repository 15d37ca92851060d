"""cost: the published table to the printed digit, and networks small enough to count by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rgp.conv import GraphConv2d
from rgp.cost import LayerCost, cost
from rgp.errors import PruneError
from rgp.families import ring
from rgp.graph import Graph
from rgp.models.registry import build
from rgp.prune import prune

RESNET50 = {36: (57.5, 59.9), 30: (48.4, 51.3), 24: (39.3, 42.7), 16: (27.2, 31.2), 8: (15.1, 19.7), 4: (9.0, 14.0)}


@pytest.fixture(scope="module")
def resnet50() -> nn.Module:
    return build("resnet50", num_classes=1000)


@pytest.mark.parametrize("degree", RESNET50)
def test_resnet50_costs_what_the_facts_say_to_the_printed_digit(resnet50: nn.Module, degree: int) -> None:
    network = copy.deepcopy(resnet50)
    prune(network, ring(64, degree))
    spent = cost(network, (3, 224, 224))
    assert round(spent.dense_macs / 1e9, 3) == 4.089
    assert round(spent.dense_parameters / 1e6, 2) == 25.56
    shares = (100 * spent.macs / spent.dense_macs, 100 * spent.parameters / spent.dense_parameters)
    assert tuple(round(share, 1) for share in shares) == RESNET50[degree]


def test_the_cifar_form_of_resnet18_costs_what_the_facts_say() -> None:
    network = build("cifar_resnet18", num_classes=10)
    spent = cost(network, (3, 32, 32))
    assert round(spent.dense_macs / 1e6, 1) == 555.4
    assert spent.macs == spent.dense_macs
    assert spent.parameters == spent.dense_parameters == sum(p.numel() for p in network.parameters())


def test_a_small_network_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),  # 8x8 positions x 3 x 4 x 9
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False),  # 4x4 positions x 4 x 8 x 9
        nn.Conv2d(8, 8, 3, groups=4, padding=1),  # 4x4 positions x 2 x 8 x 9
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    prune(network, ring(4, 2))
    spent = cost(network, (3, 8, 8))
    assert spent.layers == (
        LayerCost("0", 64 * 108, 64 * 108),
        LayerCost("2", 16 * 288, 16 * 144),
        LayerCost("3", 16 * 144, 16 * 144),
        LayerCost("6", 80, 80),
    )
    assert spent.dense_parameters == (108 + 4) + (4 + 4) + 288 + (144 + 8) + (80 + 10)
    assert spent.parameters == spent.dense_parameters - 144
    assert (spent.dense_macs, spent.macs) == (6912 + 4608 + 2304 + 80, 6912 + 2304 + 2304 + 80)


@pytest.mark.parametrize("channels", [(10, 10), (10, 12), (7, 9)])
def test_blocks_of_unequal_size_are_counted_weight_by_weight(channels: tuple[int, int]) -> None:
    network = nn.Sequential(nn.Conv2d(*channels, 3, bias=False))
    prune(network, ring(4, 2), first_dense=False, last_dense=False)
    spent = cost(network, (channels[0], 5, 5))
    kept = int(network.get_parameter("0.weight").count_nonzero())
    assert spent.parameters == kept
    assert spent.macs == 9 * kept
    assert spent.dense_macs == 9 * channels[0] * channels[1] * 9


class Twice(nn.Module):
    """A layer applied twice, at two resolutions, and one that is never applied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1, bias=False)
        self.idle = nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(nn.functional.avg_pool2d(self.conv(images), 2))
        return result


def test_a_layer_applied_twice_counts_twice_in_macs_and_once_in_parameters() -> None:
    network = Twice()
    prune(network, ring(4, 2), first_dense=False, last_dense=False)
    spent = cost(network, (4, 8, 8))
    assert spent.layers == (LayerCost("conv", 16 * (64 + 16), 8 * (64 + 16)),)
    assert (spent.dense_parameters, spent.parameters) == (32, 16)


def test_counting_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cost(network, (3, 4, 4))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network[0]._forward_hooks


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 2, 2), (3, 0, 8), (3, -1, 8)])
def test_an_input_that_does_not_pass_is_named(shape: tuple[int, int, int]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    with pytest.raises(PruneError) as caught:
        cost(network, shape)
    assert f"an input of shape {shape} does not pass through Sequential" in str(caught.value)


@pytest.mark.parametrize("sample", ["a_resnet56_16_8", "e2_resnet56_12_4_nondiv"])
def test_layers_cost_what_the_published_code_counted(shared_data: Path, sample: str) -> None:
    folder = shared_data / "official" / sample
    layers = json.loads((folder / "info.json").read_text())["layers"]
    graph = Graph.load(folder / "matrix.npy")
    compared = 0
    for layer in layers:
        out_channels, in_channels, *kernel = layer["weight_shape"]
        if not layer["masked"]:
            continue
        conv = nn.Conv2d(in_channels, out_channels, kernel[0], padding=kernel[0] // 2, bias=False)
        masked = GraphConv2d.of(conv, torch.from_numpy(graph.adjacency.copy()))
        (spent,) = cost(nn.Sequential(masked), (in_channels, *layer["out_hw"])).layers
        assert (spent.dense_macs, spent.macs) == (layer["macs_dense"], layer["macs"]), layer["name"]
        compared += 1
    assert compared == 54
    assert np.isclose(graph.density, {"a_resnet56_16_8": 1 / 2, "e2_resnet56_12_4_nondiv": 1 / 3}[sample])
