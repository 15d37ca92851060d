"""What a data set is: images with their classes, in two parts, and how an image becomes the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, fromarray

from rgp.preprocess import Preprocess


class Images(Protocol):
    """Decoded images and the index of the class of each; torchvision's data sets are such."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: int, /) -> tuple[Image, int]:
        """The image and its class."""


class GreyImages(Sequence[tuple[Image, int]]):
    """Images in memory: ``pixels`` (n, height, width) uint8, ``classes`` (n,) whole numbers."""

    def __init__(self, pixels: NDArray[np.uint8], classes: NDArray[np.integer[Any]]) -> None:
        self.pixels, self.classes = pixels, classes

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Image, int]:  # type: ignore[override]  # no slices
        return fromarray(self.pixels[index]), int(self.classes[index])


@dataclass(frozen=True)
class ImageData:
    """A data set. ``val`` is held out: no choice is made on it but which epoch is called the best.

    ``preprocess`` makes the network's input in evaluation, as it will in the service. In training ``augment``
    does: an image of ``preprocess.channels`` channels to one of ``preprocess.size`` squared, random by torch's
    generator alone.
    """

    train: Images
    val: Images
    labels: tuple[str, ...]
    preprocess: Preprocess
    augment: Callable[[Image], Image]
