"""Torchvision's networks, as they are and in their form for small images."""

from __future__ import annotations

from collections.abc import Callable

import torchvision
from torch import nn

TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    "mobilenet_v2",
    *(f"efficientnet_b{size}" for size in range(5)),
)


def torchvision_network(name: str) -> Callable[..., nn.Module]:
    """A builder(num_classes, in_channels); the stem is torchvision's but for its input channels."""

    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        if in_channels != 3:
            stem, conv = next((name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d))
            own = {key: getattr(conv, key) for key in ("kernel_size", "stride", "padding")}
            other = nn.Conv2d(in_channels, conv.out_channels, **own, bias=conv.bias is not None)
            model.set_submodule(stem, other)
        return model

    return build


def cifar_resnet(name: str) -> Callable[..., nn.Module]:
    """With a 3x3 stem of stride 1 and no first pooling: 555.4 MMAC at 32x32 for ResNet-18 (paper, section IV-A)."""

    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        model.set_submodule("conv1", nn.Conv2d(in_channels, 64, 3, padding=1, bias=False))
        model.set_submodule("maxpool", nn.Identity())
        return model

    return build
