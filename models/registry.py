"""Networks by name, and from checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import nn

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.errors import CheckpointError, RgpError, UsageError, unknown
from rgp.models.cifar import VGG_STAGES, CifarMobileNetV2, CifarResNet, CifarVGG
from rgp.models.small import SmallResNet


def _torchvision(name: str) -> Callable[..., nn.Module]:
    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        if in_channels != 3:
            stem, conv = next((name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d))
            model.set_submodule(stem, nn.Conv2d(in_channels, conv.out_channels, 7, stride=2, padding=3, bias=False))
        return model

    return build


def _cifar_resnet(name: str) -> Callable[..., nn.Module]:
    """With a 3x3 stem of stride 1 and no first pooling: 555.4 MMAC at 32x32 for ResNet-18 (paper, section IV-A)."""

    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        model.set_submodule("conv1", nn.Conv2d(in_channels, 64, 3, padding=1, bias=False))
        model.set_submodule("maxpool", nn.Identity())
        return model

    return build


def _cifar_resnet56(num_classes: int, in_channels: int = 3) -> nn.Module:
    return CifarResNet(num_classes, in_channels, blocks=9)


def _cifar_vgg(depth: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, in_channels: int = 3) -> nn.Module:
        return CifarVGG(num_classes, in_channels, VGG_STAGES[depth])

    return build


def _cifar_mobilenet(num_classes: int, in_channels: int = 3) -> nn.Module:
    return CifarMobileNetV2(num_classes, in_channels)


def _small_resnet(num_classes: int, in_channels: int = 1, width: int = 32, blocks: int = 1) -> nn.Module:
    return SmallResNet(num_classes, in_channels, width, blocks)


_TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
)
# name -> builder(num_classes, in_channels, further whole-number options)
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    **{name: _torchvision(name) for name in _TORCHVISION},
    **{f"cifar_{name}": _cifar_resnet(name) for name in ("resnet18", "resnet34", "resnet50", "resnet101")},
    "cifar_resnet56": _cifar_resnet56,
    **{f"cifar_vgg{depth}_bn": _cifar_vgg(depth) for depth in VGG_STAGES},
    "cifar_mobilenet_v2": _cifar_mobilenet,
    "small_resnet": _small_resnet,
}


def build(architecture: str, **options: int) -> nn.Module:
    """Build a network with fresh weights: kaiming normal over the dense fan-in (the paper's initialisation).

    ``options``: num_classes, in_channels, and what else the builder takes; for every network, conv_head=1 makes
    the classifier a 1x1 convolution, so that it can be masked, and affine=0 takes scale and shift from the
    BatchNorms. UsageError if an option is not known.
    """
    if architecture not in NETWORKS:
        raise UsageError(unknown("architecture", architecture, NETWORKS))
    conv_head, affine = options.pop("conv_head", 0), options.pop("affine", 1)
    try:
        model = NETWORKS[architecture](**options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"architecture {architecture} with options {options}: {error}") from error
    if conv_head:
        _replace_head(model)
    if not affine:
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                model.set_submodule(name, nn.BatchNorm2d(module.num_features, affine=False))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    return model


def head_of(model: nn.Module) -> str:
    """The name of the classifier: the last linear layer."""
    linear: list[str] = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1]


def _replace_head(model: nn.Module) -> None:
    head = head_of(model)
    linear = model.get_submodule(head)
    assert isinstance(linear, nn.Linear)
    conv = nn.Conv2d(linear.in_features, linear.out_features, 1)
    model.set_submodule(head, nn.Sequential(nn.Unflatten(1, (linear.in_features, 1, 1)), conv, nn.Flatten()))


def restore(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Rebuild a checkpoint's network, masks included, in evaluation mode and ``dtype``; every key must fit."""
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
    return model.to(dtype).eval()
