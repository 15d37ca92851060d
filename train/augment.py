"""What becomes of an image in training: the data set's augmentation, decided by a seed of the image's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import v2

from rgp.preprocess import in_channels
from rgp.train.dataset import ImageData


class Augmenter:
    """``augmenter(image, seed)``: (H, W, C) uint8; the same seed gives the same pixels, in any process."""

    def __init__(self, data: ImageData) -> None:
        self.augment = data.augment
        self.channels = data.preprocess.channels

    def __call__(self, image: Image, seed: int) -> Tensor:
        """Augment ``image``, of any mode."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            augmented = self.augment(in_channels(image, self.channels))
        return torch.tensor(np.atleast_3d(np.asarray(augmented)))


def with_randaugment(data: ImageData, magnitude: int) -> ImageData:
    """``data`` with two random operations of ``magnitude`` (1 to 30) after its own augmentation.

    Source: E. Cubuk et al., RandAugment, arXiv 1909.13719; place and interpolation as in torchvision's recipe.
    """
    operations = v2.RandAugment(num_ops=2, magnitude=magnitude, interpolation=v2.InterpolationMode.BILINEAR)
    return replace(data, augment=v2.Compose([data.augment, operations]))
