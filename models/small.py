"""A small residual network for small or grey images: what the demo trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1


class SmallResNet(nn.Module):
    """A 3x3 stem, then three stages of residual blocks at width, 2 * width and 4 * width channels.

    The blocks are torchvision's ``BasicBlock``; stages two and three halve the image's side.
    """

    def __init__(self, num_classes: int, in_channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = []
        channels = width
        for stage in range(3):
            for block in range(blocks):
                stride, out = (2 if stage and not block else 1), width << stage
                shortcut = None
                if stride != 1 or out != channels:
                    shortcut = nn.Sequential(conv1x1(channels, out, stride), nn.BatchNorm2d(out))
                layers.append(BasicBlock(channels, out, stride, shortcut))
                channels = out
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) to logits (B, num_classes)."""
        features = self.pool(self.blocks(self.stem(images)))
        logits: Tensor = self.fc(torch.flatten(features, 1))
        return logits
