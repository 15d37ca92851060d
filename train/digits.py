"""scikit-learn's digits: 1,797 real scans of 8x8 pixels with 17 greys, inside the package, so always at hand.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.transforms import v2

from rgp.errors import UsageError
from rgp.preprocess import Preprocess
from rgp.train.dataset import GreyImages, ImageData

LABELS = tuple("0123456789")
SIZE = 16
"""The 8x8 scans are doubled unless asked otherwise: three stages of a small network then end at 4x4."""

HELD_OUT_EVERY = 5


def digits_at(size: str) -> ImageData:
    """``digits`` for what stands after "digits:", nothing or a side in pixels; UsageError for anything else."""
    if size and not (size.isdecimal() and 8 <= int(size) <= 3584):
        raise UsageError(f"data is 'digits:{size}': give a side in pixels from 8 to 3584, as in digits:32")
    return digits(int(size or SIZE))


def digits(size: int = SIZE) -> ImageData:
    """The scans at ``size`` squared: every fifth of each class is held out, whatever the seed (364 of 1,797)."""
    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
    classes = data.target.astype(np.int64)
    held_out = np.zeros(len(classes), bool)
    for digit in range(len(LABELS)):
        held_out[np.flatnonzero(classes == digit)[::HELD_OUT_EVERY]] = True
    return ImageData(
        train=GreyImages(pixels[~held_out], classes[~held_out]),
        val=GreyImages(pixels[held_out], classes[held_out]),
        labels=LABELS,
        preprocess=Preprocess(channels=1, size=size, resize=size, mean=(0.31,), std=(0.32,)),
        augment=v2.Compose(  # no flips: they would make other digits
            [
                v2.Resize((size, size)),
                v2.RandomAffine(
                    10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR
                ),
            ]
        ),
    )


def held_out_images(count: int) -> list[tuple[Image.Image, str]]:
    """The first ``count`` held-out scans, 8x8 grey, each with its label: something real to send to a service."""
    val = digits().val
    return [(image, LABELS[label]) for image, label in (val[index] for index in range(min(count, len(val))))]
