"""Networks by name, and from checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from rgp.checkpoint import Checkpoint
from rgp.conv import GraphConv2d
from rgp.errors import CheckpointError, RgpError, UsageError, unknown
from rgp.models.cifar import VGG_STAGES, CifarMobileNetV2, CifarResNet, CifarVGG
from rgp.models.small import SmallResNet
from rgp.models.timm_nets import PREFIX, timm_network
from rgp.models.torchvision_nets import TORCHVISION, cifar_resnet, torchvision_network
from rgp.models.widen import widen_


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


# name -> builder(num_classes, in_channels, further whole-number options)
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    **{name: torchvision_network(name) for name in TORCHVISION},
    **{f"cifar_{name}": cifar_resnet(name) for name in ("resnet18", "resnet34", "resnet50", "resnet101")},
    "cifar_resnet56": _cifar_resnet56,
    **{f"cifar_vgg{depth}_bn": _cifar_vgg(depth) for depth in VGG_STAGES},
    "cifar_mobilenet_v2": _cifar_mobilenet,
    "small_resnet": _small_resnet,
}


def build(architecture: str, **options: int) -> nn.Module:
    """Build a network of NETWORKS, or ``timm:NAME``, with fresh weights.

    Every convolution starts kaiming normal over its dense fan-in (the paper's initialisation), timm's and the
    depthwise ones too; all else starts as the network has it.

    ``options``: num_classes, in_channels, and what else the builder takes. For every network: conv_head=1 makes
    the classifier a 1x1 convolution, so that it can be masked; affine=0 takes scale and shift from the
    BatchNorms; width_percent and width_multiple are those of ``rgp.models.widen``. UsageError if an option is not
    known, or not possible for this network.
    """
    make = _builder(architecture)
    conv_head, affine = options.pop("conv_head", 0), options.pop("affine", 1)
    percent, multiple = options.pop("width_percent", 100), options.pop("width_multiple", 1)
    try:
        model = make(**options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"architecture {architecture} with options {options}: {error}") from error
    try:
        if (percent, multiple) != (100, 1):
            widen_(model, partial(make, **options), percent, multiple)
        if conv_head:
            _replace_head(model, options["num_classes"])
        if not affine:
            _remove_affine(model)
    except UsageError as error:
        raise UsageError(f"architecture {architecture}: {error}") from error
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    return model


def _builder(architecture: str) -> Callable[..., nn.Module]:
    if architecture.startswith(PREFIX):
        return timm_network(architecture)
    if architecture not in NETWORKS:
        raise UsageError(unknown("architecture", architecture, NETWORKS))
    return NETWORKS[architecture]


def head_of(model: nn.Module) -> str:
    """The name of the classifier: the last linear layer; UsageError if there is none."""
    linear: list[str] = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UsageError("it has no linear layer that classifies")
    return linear[-1]


def _replace_head(model: nn.Module, classes: int) -> None:
    head = head_of(model)
    linear = model.get_submodule(head)
    assert isinstance(linear, nn.Linear)
    if linear.out_features != classes:
        raise UsageError(f"conv_head: its last linear layer, {head}, does not classify")
    conv = nn.Conv2d(linear.in_features, linear.out_features, 1)
    model.set_submodule(head, nn.Sequential(nn.Unflatten(1, (linear.in_features, 1, 1)), conv, nn.Flatten()))


def _remove_affine(model: nn.Module) -> None:
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        raise UsageError("affine: it has no BatchNorm")
    for norm in norms:  # in place: a norm of timm may have its activation inside
        norm.affine = False
        norm.register_parameter("weight", None)
        norm.register_parameter("bias", None)


def restore(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Rebuild a checkpoint's network, masks included, in evaluation mode and ``dtype``; every key must fit."""
    try:
        for key, value in checkpoint.state.items():
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():  # a few numbers, repeated
                raise CheckpointError(f"'{key:.80}' has shape {tuple(value.shape)}, but fewer numbers are stored")
        weights = {key: value.clone() for key, value in checkpoint.state.items() if not key.endswith(".adjacency")}
        if (classes := checkpoint.options.get("num_classes")) != len(checkpoint.labels):
            raise CheckpointError(f"it has {classes} classes and {len(checkpoint.labels)} labels")
        with torch.device("meta"):  # no memory for weights that will be replaced, nor for a hostile width
            model = build(checkpoint.architecture, **checkpoint.options)
        model.load_state_dict(weights, assign=True)
        _complete(model, checkpoint)
        for layer, adjacency in checkpoint.masks.items():
            conv = model.get_submodule(layer)
            if not isinstance(conv, nn.Conv2d):
                raise CheckpointError(f"'{layer}' has a mask but is {type(conv).__name__}, not a convolution")
            model.set_submodule(layer, GraphConv2d.of(conv, adjacency))
    except (RuntimeError, AttributeError, TypeError, RgpError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the checkpoint does not fit its own architecture: {reason:.300}") from error
    return model.to(dtype).eval()


def _complete(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Give ``model`` the buffers that no checkpoint keeps, such as the indices of timm's relative positions."""
    if absent := [name for name, buffer in model.named_buffers() if buffer.is_meta]:
        with torch.random.fork_rng(devices=[]):  # restoring draws nothing from the caller's random numbers
            built = build(checkpoint.architecture, **checkpoint.options)  # all weights fitted: it is no larger
        for name in absent:
            owner, _, buffer_name = name.rpartition(".")
            model.get_submodule(owner).register_buffer(buffer_name, built.get_buffer(name), persistent=False)
