"""From a decoded image to the network's input. It travels with the model, from training to the service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rgp.errors import RgpError


@dataclass(frozen=True)
class Preprocess:
    """Resize the short side to ``resize`` pixels, crop ``size`` x ``size`` from the middle, keep uint8.

    ``mean`` and ``std`` are part of the network's graph: (pixel / 255 - mean) / std.
    """

    channels: int
    """1 (grey) or 3 (RGB)."""
    size: int
    """Side of the network's input, in pixels."""
    resize: int
    """The short side of the image before it is cropped, in pixels."""
    mean: tuple[float, ...]
    """One a channel, on the scale 0 to 1."""
    std: tuple[float, ...]
    """One a channel, on the scale 0 to 1."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise RgpError(f"preprocess: channels is {self.channels}, give 1 (grey) or 3 (RGB)")
        if not 1 <= self.size <= self.resize <= 4096:
            raise RgpError(f"preprocess: give 1 <= size <= resize <= 4096, not {self.size} and {self.resize}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels or not all(map(math.isfinite, values)):
                raise RgpError(f"preprocess: {name} is {values}, give {self.channels} finite numbers")
        if min(self.std) <= 0:
            raise RgpError(f"preprocess: std is {self.std}, give positive numbers")

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """(size, size, channels) uint8."""
        image = in_channels(image, self.channels)
        scale = self.resize / min(image.size)
        width, height = (max(self.size, round(side * scale)) for side in image.size)
        # resize only the part that the crop keeps: the sides of a panorama cost nothing
        left, top = (width - self.size) // 2, (height - self.size) // 2
        across, down = image.width / width, image.height / height
        box = (left * across, top * down, (left + self.size) * across, (top + self.size) * down)
        cropped = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        return np.asarray(cropped, np.uint8).reshape(self.size, self.size, self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a manifest or checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Read ``to_dict``'s form back; raises RgpError for anything else."""
        try:
            return cls(
                channels=int(values["channels"]),
                size=int(values["size"]),
                resize=int(values["resize"]),
                mean=tuple(float(value) for value in values["mean"]),
                std=tuple(float(value) for value in values["std"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RgpError(f"preprocess: {type(error).__name__}: {error} in {dict(values)!r:.200}") from error


def in_channels(image: Image.Image, channels: int) -> Image.Image:
    """The image in grey (1) or RGB (3), 16-bit grey scaled rather than clipped."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if isinstance(image.info.get("transparency"), bytes):  # a palette with alpha: Pillow warns without this step
        image = image.convert("RGBA")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # which would copy every pixel
