"""The forward passes of the published code of RGP in plain functions, which invent weights as they go.

They share nothing with ``rgp``: what they compute is what an imported network must compute.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.int64]


class Plain:
    """Layers in float64 over float32 weights; ``state`` collects what the published code would save."""

    def __init__(self, matrix: Matrix | None, *, affine: bool, graph_head: bool, soft: bool, classes: int) -> None:
        self.matrix, self.affine, self.graph_head, self.soft, self.classes = matrix, affine, graph_head, soft, classes
        self.state: dict[str, Tensor] = {}
        self.masked: list[str] = []
        self.random = torch.Generator().manual_seed(0)

    def new(self, key: str, *shape: int, scale: float = 1.0, centre: float = 0.0) -> Tensor:
        self.state[key] = centre + scale * torch.randn(shape, generator=self.random)
        return self.state[key].double()

    def conv(self, name: str, x: Tensor, out: int, kernel: int = 1, stride: int = 1, *, dense: bool = False) -> Tensor:
        channels = x.shape[1]
        weight = self.new(f"{name}.weight", out, channels, kernel, kernel, scale=(2 / channels / kernel**2) ** 0.5)
        if self.matrix is not None and not dense:
            scores = self.spread(out, channels)
            if self.soft:
                scores = scores + 0.1 * torch.randn(scores.shape, generator=self.random)
            self.state[f"{name}.scores"] = scores
            self.masked.append(name)
            weight = weight * scores.double()
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2)

    def spread(self, out: int, channels: int) -> Tensor:
        assert self.matrix is not None
        nodes = len(self.matrix)

        def sizes(count: int) -> NDArray[np.int64]:
            each = np.full(nodes, count // nodes)
            each[: count % nodes] += 1
            return np.random.RandomState(1).permutation(each)

        rows = np.repeat(np.repeat(self.matrix, sizes(channels), axis=1), sizes(out), axis=0)
        return torch.from_numpy(rows[:, :, None, None]).float()

    def depthwise(self, name: str, x: Tensor, stride: int) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.new(f"{name}.weight", channels, 1, 3, 3, scale=0.5), None, stride, 1, 1, channels)

    def norm(self, name: str, x: Tensor) -> Tensor:
        size = x.shape[1]
        weight = bias = None
        if self.affine:
            weight, bias = self.new(f"{name}.weight", size, scale=0.1, centre=1), self.new(f"{name}.bias", size)
        mean = self.new(f"{name}.running_mean", size, scale=0.2)
        self.state[f"{name}.running_var"] = torch.rand(size, generator=self.random) + 0.5
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)
        return F.batch_norm(x, mean, self.state[f"{name}.running_var"].double(), weight, bias, False, 0.1, 1e-5)

    def head(self, name: str, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        logits = self.conv(name, pooled, self.classes, dense=not self.graph_head)
        if not self.graph_head:
            logits = logits + self.new(f"{name}.bias", self.classes).view(-1, 1, 1)
        return logits.flatten(1)


def resnet(p: Plain, x: Tensor, blocks: tuple[int, ...], *, bottleneck: bool, cifar: bool) -> Tensor:
    if cifar:
        x = F.relu(p.norm("bn1", p.conv("conv1", x, 64, 3, dense=True)))
    else:
        x = F.max_pool2d(F.relu(p.norm("bn1", p.conv("conv1", x, 64, 7, 2, dense=True))), 3, 2, 1)
    for stage, count in enumerate(blocks):
        planes = 64 << stage
        out = 4 * planes if bottleneck else planes
        for block in range(count):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = x
            convs = [(planes, 1, 1), (planes, 3, stride), (out, 1, 1)]
            if not bottleneck:
                convs = [(planes, 3, stride), (out, 3, 1)]
            for place, (width, kernel, step) in enumerate(convs, 1):
                y = p.norm(f"{name}.bn{place}", p.conv(f"{name}.conv{place}", y, width, kernel, step))
                y = F.relu(y) if place < len(convs) else y
            if stride != 1 or x.shape[1] != out:
                side = f"{name}.{'shortcut' if cifar else 'downsample'}"
                x = p.norm(f"{side}.1", p.conv(f"{side}.0", x, out, 1, stride))
            x = F.relu(x + y)
    return p.head("fc", x)


def resnet56(p: Plain, x: Tensor) -> Tensor:
    x = F.relu(p.norm("bn1", p.conv("conv1", x, 16, 3, dense=True)))
    for stage in range(3):
        for block in range(9):
            name, stride, planes = f"layer{stage + 1}.{block}", 2 if stage and not block else 1, 16 << stage
            y = F.relu(p.norm(f"{name}.bn1", p.conv(f"{name}.conv1", x, planes, 3, stride)))
            y = p.norm(f"{name}.bn2", p.conv(f"{name}.conv2", y, planes, 3))
            if stride == 2:
                nothing = torch.zeros_like(x[:, : planes // 4, ::2, ::2])
                x = torch.cat([nothing, x[:, :, ::2, ::2], nothing], 1)
            x = F.relu(x + y)
    pooled = x.mean((2, 3))
    return pooled @ p.new("fc.weight", p.classes, 64).T + p.new("fc.bias", p.classes)


def vgg16_bn(p: Plain, x: Tensor) -> Tensor:
    place = 0
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if not width:
            x, place = F.max_pool2d(x, 2), place + 1
            continue
        x = F.relu(p.norm(f"features.{place + 1}", p.conv(f"features.{place}", x, width, 3, dense=place == 0)))
        place += 3
    for hidden in (1, 4):
        x = F.relu(p.conv(f"classifier.{hidden}", x, 512))
    return p.head("classifier.classifier", x)


def mobilenet_v2(p: Plain, x: Tensor) -> Tensor:
    x = F.relu(p.norm("bn1", p.conv("conv1", x, 32, 3, dense=True)))
    number = 0
    for expansion, width, count, first in (
        *((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for block in range(count):
            name, stride = f"layers.{number}", first if block == 0 else 1
            y = F.relu(p.norm(f"{name}.bn1", p.conv(f"{name}.conv1", x, expansion * x.shape[1])))
            y = F.relu(p.norm(f"{name}.bn2", p.depthwise(f"{name}.conv2", y, stride)))
            y = p.norm(f"{name}.bn3", p.conv(f"{name}.conv3", y, width))
            if stride == 1 and x.shape[1] != width:
                x = p.norm(f"{name}.shortcut.1", p.conv(f"{name}.shortcut.0", x, width))
            x = x + y if stride == 1 else y
            number += 1
    x = F.relu(p.norm("bn2", p.conv("conv2", x, 1280)))
    return p.head("classifier", x)


def densenet121(p: Plain, x: Tensor) -> Tensor:
    x = F.relu(p.norm("features.norm0", p.conv("features.conv0", x, 64, 7, 2, dense=True)))
    x = F.max_pool2d(x, 3, 2, 1)
    for block, count in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = p.conv(f"{name}.conv1", F.relu(p.norm(f"{name}.norm1", x)), 128)
            y = p.conv(f"{name}.conv2", F.relu(p.norm(f"{name}.norm2", y)), 32, 3)
            x = torch.cat([x, y], 1)
        if block < 4:
            name = f"features.transition{block}"
            x = p.conv(f"{name}.conv", F.relu(p.norm(f"{name}.norm", x)), x.shape[1] // 2)
            x = F.avg_pool2d(x, 2)
    return p.head("classifier", F.relu(p.norm("features.norm5", x)))


Network = Callable[[Plain, Tensor], Tensor]
NETWORKS: dict[str, Network] = {
    "ResNet18": lambda p, x: resnet(p, x, (2, 2, 2, 2), bottleneck=False, cifar=False),
    "ResNet50": lambda p, x: resnet(p, x, (3, 4, 6, 3), bottleneck=True, cifar=False),
    "ResNet101": lambda p, x: resnet(p, x, (3, 4, 23, 3), bottleneck=True, cifar=False),
    "cResNet18": lambda p, x: resnet(p, x, (2, 2, 2, 2), bottleneck=False, cifar=True),
    "cResNet50": lambda p, x: resnet(p, x, (3, 4, 6, 3), bottleneck=True, cifar=True),
    "resnet56": resnet56,
    "vgg16_bn": vgg16_bn,
    "MobileNetV2": mobilenet_v2,
    "DenseNet121": densenet121,
}


def save(path: Path, state: dict[str, Tensor]) -> None:
    """As the published code saves it, numpy scalars in the optimiser included; its ``arch`` is left out."""
    torch.save(
        {
            "epoch": 3,
            "state_dict": {f"module.{key}": value for key, value in state.items()},
            "best_acc1": 1.0,
            "optimizer": {"state": {}, "param_groups": [{"lr": np.float64(0.1), "params": [0]}]},
            "curr_acc1": "Not evaluated",
        },
        path,
    )
