"""The settings of the graph reach the network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from torch import Tensor, nn

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.models import registry
from rgp.prune import LayerDecision
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.evaluation import evaluate_checkpoint
from rgp.train.loop import train
from rgp.train.network import build_network, builder_options

Configured = Callable[..., TrainConfig]


class AllConvolutions(nn.Module):
    """A convolution is its classifier too."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem, self.middle, self.head = (
            nn.Conv2d(in_channels, 8, 3),
            nn.Conv2d(8, 8, 3),
            nn.Conv2d(8, num_classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.middle(self.stem(images))).mean((2, 3))
        return logits


def built(config: TrainConfig) -> tuple[nn.Module, list[LayerDecision]]:
    data = load_data(config)
    return build_network(config, data, builder_options(config, data))


def masked(config: TrainConfig) -> list[str]:
    network, decisions = built(config)
    names = [name for name, module in network.named_modules() if isinstance(module, GraphConv2d)]
    assert names == [decision.name for decision in decisions if decision.graph]
    return names


def test_a_dense_network_has_no_mask_and_no_decisions(configured: Configured) -> None:
    config = configured(graph="dense")
    network, decisions = built(config)
    assert not decisions
    assert not any(isinstance(module, GraphConv2d) for module in network.modules())


def test_first_and_last_convolutions_are_masked_when_asked(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.NETWORKS, "convolutions", AllConvolutions)
    config = configured(architecture="convolutions", width=None, graph="ring:3_2")
    assert masked(config) == ["middle"]
    assert masked(replace(config, last_dense=False)) == ["middle", "head"]
    first = replace(config, first_dense=False, narrow="dense")
    assert built(first)[1][0].why == "fewer channels than 3 nodes"


def test_skipped_layers_stay_dense(configured: Configured) -> None:
    every = masked(configured())
    assert masked(configured(skip=("blocks.0.*", "*downsample*"))) == [
        name for name in every if not name.startswith("blocks.0.") and "downsample" not in name
    ]


def test_narrow_layers_take_what_the_setting_says(configured: Configured) -> None:
    assert masked(configured(graph="ring:16_4", narrow="dense"))[0] == "blocks.1.conv2"
    config = configured(graph="ring:16_4", narrow="fewer")
    graphs = [decision.graph for decision in built(config)[1]]
    assert [graph.nodes if graph else 0 for graph in graphs][:4] == [0, 8, 8, 8]


def test_each_layer_takes_its_turn_of_a_rotated_graph(configured: Configured) -> None:
    config = configured(graph="affine:4_2?rotate=1")
    network, _ = built(config)
    masks = [module.adjacency for module in network.modules() if isinstance(module, GraphConv2d)]
    assert len({mask.numpy().tobytes() for mask in masks[:3]}) == 3
    assert (masks[3] == masks[0]).all()


def test_options_that_are_not_set_are_left_to_the_builder(configured: Configured) -> None:
    config = configured(width=None, blocks=2)
    assert builder_options(config, load_data(config)) == {"num_classes": 3, "in_channels": 1, "blocks": 2}


def test_a_network_is_widened_until_its_macs_match(configured: Configured) -> None:
    config = configured(match_macs="dense", graph="ring:8_2")
    result = train(config)
    dense = train(configured(graph="dense", epochs=1))
    assert 0.8 * dense.cost.macs < result.cost.macs <= dense.cost.macs
    checkpoint = Checkpoint.load(result.folder.last)
    assert checkpoint.options["width_percent"] > 100
    assert evaluate_checkpoint(config, result.folder.last) == pytest.approx(result.last, abs=1e-4)
