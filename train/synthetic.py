"""Images out of nothing: each is decided by its index, and a network can learn them. For tests and throughput.

A class is 4x4 random colours, the same from left and right; an image is its class at half strength, and noise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torchvision.transforms import v2

from rgp.errors import UsageError
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData

CELLS = 4
HELD_OUT_SHARE = 5
"""One image is held out beside this many to train on."""


class Patterns(Sequence[tuple[Image.Image, int]]):
    """The images ``first`` to ``first + count - 1`` of ``classes`` in turn, RGB, ``size`` squared."""

    def __init__(self, classes: int, first: int, count: int, size: int) -> None:
        self.first, self.images, self.size = first, count, size
        half = np.random.default_rng(0).integers(128, size=(classes, CELLS, CELLS // 2, 3), dtype=np.uint8)
        self.colours = np.concatenate([half, half[:, :, ::-1]], axis=2)

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:  # type: ignore[override]  # no slices
        if not 0 <= index < self.images:
            raise IndexError(index)
        label = (self.first + index) % len(self.colours)
        cell = np.arange(self.size) * CELLS // self.size
        noise = np.random.default_rng(self.first + index).integers(128, size=(self.size, self.size, 3), dtype=np.uint8)
        return Image.fromarray(self.colours[label][cell][:, cell] + noise), label


def synthetic(amount: str, size: int) -> ImageData:
    """``amount``: "10x512" for 10 classes and 512 images to train on; UsageError for anything else."""
    numbers = re.fullmatch(r"(\d+)x(\d+)", amount)
    classes, images = (int(number) for number in numbers.groups()) if numbers else (0, 0)
    if not 2 <= classes <= images:
        raise UsageError(
            f"data is 'synthetic:{amount}': give CLASSESxIMAGES, 2 classes or more and an image for each, as in "
            "synthetic:10x512"
        )
    return ImageData(
        train=Patterns(classes, 0, images, size),
        val=Patterns(classes, images, max(1, images // HELD_OUT_SHARE), size),
        labels=tuple(f"pattern {number}" for number in range(classes)),
        preprocess=Preprocess(3, size, resize=size, mean=(0.5,) * 3, std=(0.2,) * 3),
        augment=v2.Compose([v2.RandomCrop(size, padding=size // 8), v2.RandomHorizontalFlip()]),
    )
