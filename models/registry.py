"""Networks by name, and from checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import nn

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.errors import CheckpointError, RgpError, UsageError, unknown
from rgp.models.small import SmallResNet


def _torchvision_resnet(name: str) -> Callable[..., nn.Module]:
    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        if in_channels != 3:
            model.set_submodule("conv1", nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False))
        return model

    return build


def _cifar_resnet18(num_classes: int, in_channels: int = 3) -> nn.Module:
    """ResNet-18 with a 3x3 stem of stride 1 and no first pooling: 555.4 MMAC at 32x32 (paper, section IV-A)."""
    model: nn.Module = torchvision.models.resnet18(num_classes=num_classes)
    model.set_submodule("conv1", nn.Conv2d(in_channels, 64, 3, padding=1, bias=False))
    model.set_submodule("maxpool", nn.Identity())
    return model


def _small_resnet(num_classes: int, in_channels: int = 1, width: int = 32, blocks: int = 1) -> nn.Module:
    return SmallResNet(num_classes, in_channels, width, blocks)


# name -> builder(num_classes, in_channels, further whole-number options)
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet18": _torchvision_resnet("resnet18"),
    "resnet34": _torchvision_resnet("resnet34"),
    "resnet50": _torchvision_resnet("resnet50"),
    "resnet101": _torchvision_resnet("resnet101"),
    "resnet152": _torchvision_resnet("resnet152"),
    "cifar_resnet18": _cifar_resnet18,
    "small_resnet": _small_resnet,
}


def build(architecture: str, **options: int) -> nn.Module:
    """Build a network with fresh weights: kaiming normal over the dense fan-in (the paper's initialisation).

    ``options``: num_classes, in_channels, and what else the builder takes. UsageError if it does not know one.
    """
    if architecture not in NETWORKS:
        raise UsageError(unknown("architecture", architecture, NETWORKS))
    try:
        model = NETWORKS[architecture](**options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"architecture {architecture} with options {options}: {error}") from error
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    return model


def restore(checkpoint: Checkpoint) -> nn.Module:
    """Rebuild a checkpoint's network, masks included, in evaluation mode; every key must fit."""
    weights = {key: value.clone() for key, value in checkpoint.state.items() if not key.endswith(".adjacency")}
    try:
        if (classes := checkpoint.options.get("num_classes")) != len(checkpoint.labels):
            raise CheckpointError(f"it has {classes} classes and {len(checkpoint.labels)} labels")
        with torch.device("meta"):  # no memory for weights that will be replaced, nor for a hostile width
            model = build(checkpoint.architecture, **checkpoint.options)
        model.load_state_dict(weights, assign=True)
        for layer, adjacency in checkpoint.masks.items():
            conv = model.get_submodule(layer)
            if not isinstance(conv, nn.Conv2d):
                raise CheckpointError(f"'{layer}' has a mask but is {type(conv).__name__}, not a convolution")
            model.set_submodule(layer, GraphConv2d.of(conv, adjacency))
    except (RuntimeError, AttributeError, TypeError, RgpError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the checkpoint does not fit its own architecture: {reason:.300}") from error
    return model.float().eval()
