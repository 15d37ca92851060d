"""SVHN: house numbers, 73,257 + 26,032 digits of 32x32, from a local copy or downloaded.

Source: Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011. Not augmented,
as in the RGP paper, section IV; the extra part is not used.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import SVHN
from torchvision.transforms import v2

from rgp.errors import DataError
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData

SIZE = 32


def svhn(path: Path, download: bool) -> ImageData:
    """train_32x32.mat and test_32x32.mat in ``path``; DataError if they are not there, or damaged."""
    try:
        train, val = (SVHN(path, split=part, download=download) for part in ("train", "test"))
    except RuntimeError as error:  # torchvision's word for missing and for damaged
        raise DataError(
            f"{path}: train_32x32.mat or test_32x32.mat is not there, or damaged: give their folder, or set download "
            "to true"
        ) from error
    return ImageData(
        train=train,
        val=val,
        labels=tuple("0123456789"),
        preprocess=Preprocess(3, SIZE, resize=SIZE, mean=(0.4377, 0.4438, 0.4728), std=(0.1980, 0.2010, 0.1970)),
        augment=v2.Identity(),
    )
