"""Networks for small images that torchvision does not have: ResNet of 6n + 2 layers, VGG, MobileNetV2.

Module names are those of the published code of RGP, except that the classifier is a linear layer.
Sources: He et al. 2016, section 4.2 (shortcut A); Simonyan and Zisserman 2015, table 1; Sandler et al. 2018.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


class PaddedBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters: every second pixel, zeros for new channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images)))))
        shortcut = images
        if self.stride > 1:
            shortcut = shortcut[:, :, :: self.stride, :: self.stride]
        if new := residual.shape[1] - shortcut.shape[1]:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, new // 2, new - new // 2))
        return F.relu(residual + shortcut)


class CifarResNet(nn.Module):
    """A 3x3 stem, then three stages of ``blocks`` blocks at 16, 32 and 64 channels: 6 * blocks + 2 layers."""

    def __init__(self, num_classes: int, in_channels: int, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(in_channels, 16, 3), nn.BatchNorm2d(16)

        def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            rest = (PaddedBlock(outputs, outputs, 1) for _ in range(blocks - 1))
            return nn.Sequential(PaddedBlock(inputs, outputs, stride), *rest)

        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) to logits (B, num_classes)."""
        features = F.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(features), 1))
        return logits


# convolutions of each stage, at 64, 128, 256, 512 and 512 channels; a pooling ends each stage
VGG_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class CifarVGG(nn.Module):
    """3x3 convolutions with BatchNorm, then two hidden layers of 512 that are 1x1 convolutions."""

    def __init__(self, num_classes: int, in_channels: int, stages: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for convs, width in zip(stages, (64, 128, 256, 512, 512), strict=True):
            for _ in range(convs):
                layers += [_conv(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        hidden = (
            layer for _ in range(2) for layer in (nn.Dropout(), _conv(channels, channels, 1), nn.ReLU(inplace=True))
        )
        named = OrderedDict((str(place), layer) for place, layer in enumerate(hidden))
        head = {"flatten": nn.Flatten(), "classifier": nn.Linear(channels, num_classes)}
        self.classifier = nn.Sequential(OrderedDict(named | head))

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W), sides of 32 or more, to logits (B, num_classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class InvertedResidual(nn.Module):
    """1x1 convolution to ``expansion`` times the channels, 3x3 on each of them, 1x1 back; a shortcut at stride 1."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * inputs
        self.conv1, self.bn1 = _conv(inputs, wide, 1), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = _conv(wide, wide, 3, stride, groups=wide), nn.BatchNorm2d(wide)
        self.conv3, self.bn3 = _conv(wide, outputs, 1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride == 1 and inputs != outputs:
            self.shortcut = nn.Sequential(_conv(inputs, outputs, 1), nn.BatchNorm2d(outputs))
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        features = F.relu(self.bn1(self.conv1(images)))
        features = F.relu(self.bn2(self.conv2(features)))
        features = self.bn3(self.conv3(features))
        output: Tensor = features + self.shortcut(images) if self.stride == 1 else features
        return output


# expansion, channels, blocks and first stride of each stage; at 32x32 the stem and the second stage keep the side
MOBILENET_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class CifarMobileNetV2(nn.Module):
    """MobileNetV2 with ReLU instead of ReLU6, and a 1x1 convolution in each shortcut that changes channels."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(in_channels, 32, 3), nn.BatchNorm2d(32)
        layers: list[nn.Module] = []
        channels = 32
        for expansion, width, blocks, stride in MOBILENET_STAGES:
            for block in range(blocks):
                layers.append(InvertedResidual(channels, width, expansion, 1 if block else stride))
                channels = width
        self.layers = nn.Sequential(*layers)
        self.conv2, self.bn2 = _conv(channels, 1280, 1), nn.BatchNorm2d(1280)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(1280, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) to logits (B, num_classes)."""
        features = self.layers(F.relu(self.bn1(self.conv1(images))))
        features = F.relu(self.bn2(self.conv2(features)))
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(features), 1))
        return logits
