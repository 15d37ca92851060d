"""Networks for small images cost what the papers say, and have the layers that their names promise."""

import pytest
import torch
from torch import nn

from rgp.cost import cost
from rgp.families import parse
from rgp.models.cifar import PaddedBlock
from rgp.models.registry import build
from rgp.prune import prune


@pytest.mark.parametrize(
    ("name", "mega_macs", "mega_parameters"),
    [("cifar_resnet56", 125.49, 0.85), ("cifar_vgg16_bn", 313.7, 15.25), ("cifar_resnet18", 555.4, 11.17)],
)
def test_networks_for_cifar_cost_what_the_papers_say(name: str, mega_macs: float, mega_parameters: float) -> None:
    with torch.device("meta"):
        model = build(name, num_classes=10)
    assert cost(model, (3, 32, 32)).dense_macs / 1e6 == pytest.approx(mega_macs, abs=0.2)
    assert sum(value.numel() for value in model.parameters()) / 1e6 == pytest.approx(mega_parameters, abs=0.01)


@pytest.mark.parametrize(("name", "layers"), [("cifar_resnet56", 56), ("cifar_vgg16_bn", 16), ("cifar_vgg19_bn", 19)])
def test_a_network_has_the_layers_of_its_name(name: str, layers: int) -> None:
    with torch.device("meta"):
        model = build(name, num_classes=10)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()) == layers


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 8, 2), (3, 8, 2), (4, 4, 1), (4, 4, 2), (2, 5, 1)])
def test_a_shortcut_takes_every_second_pixel_and_pads_both_sides(inputs: int, outputs: int, stride: int) -> None:
    block = PaddedBlock(inputs, outputs, stride).eval()
    nn.init.zeros_(block.conv2.weight)
    images = torch.rand(2, inputs, 6, 6)
    result = block(images)
    before = (outputs - inputs) // 2
    assert torch.equal(result[:, before : before + inputs], images[:, :, ::stride, ::stride])
    assert not result[:, :before].any()
    assert not result[:, before + inputs :].any()


def test_a_graph_goes_on_all_but_the_depthwise_convolutions_of_mobilenet() -> None:
    model = build("cifar_mobilenet_v2", num_classes=10)
    decisions = prune(model, parse("ring:16_4"))
    dense = [decision.name for decision in decisions if not decision.graph]
    assert dense == ["conv1", *(f"layers.{number}.conv2" for number in range(17))]
    model.train()(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(value.grad is not None for value in model.parameters())


@pytest.mark.parametrize("name", ["cifar_vgg11_bn", "resnet18", "densenet121", "small_resnet"])
def test_a_classifier_that_is_a_convolution_computes_the_same(name: str) -> None:
    linear = build(name, num_classes=7, in_channels=3).eval()
    conv = build(name, num_classes=7, in_channels=3, conv_head=1).eval()
    with torch.no_grad():
        for ours, theirs in zip(conv.state_dict().values(), linear.state_dict().values(), strict=True):
            ours.copy_(theirs.reshape(ours.shape))
        images = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(conv(images), linear(images))
    assert prune(conv, parse("ring:7_2"), last_dense=False, narrow="dense")[-1].graph


def test_normalisation_loses_its_scale_and_shift_when_asked() -> None:
    model = build("cifar_resnet56", num_classes=10, affine=0)
    assert [name for name, _ in model.named_parameters() if "bn" in name] == []
    assert "layer1.0.bn1.running_var" in model.state_dict()
