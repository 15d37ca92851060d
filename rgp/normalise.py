"""From a batch of bytes to the network's floats: one arithmetic for training, evaluation and the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rgp.preprocess import Preprocess


class Normalise(nn.Module):
    """(B, H, W, C) uint8 to (B, C, H, W) float32: (pixel / 255 - mean) / std, as one product and one sum."""

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to (B, C, H, W) float32."""
        scale, shift = (self.get_buffer(name)[:, None, None] for name in ("scale", "shift"))
        # cast first: TensorRT takes bytes into nothing else; then planes, which engines multiply by a number far faster
        # than they multiply pixels by three
        return images.to(torch.float32).permute(0, 3, 1, 2) * scale + shift
