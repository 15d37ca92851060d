"""CIFAR-10 and CIFAR-100 from a local copy, or downloaded: 50,000 + 10,000 images of 32x32.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. Augmentation as in the
RGP paper, section IV: padding by 4, a random crop, a random mirror image.
"""

from __future__ import annotations

from pathlib import Path

from torchvision import datasets
from torchvision.transforms import v2

from rgp.errors import DataError
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData

SIZE = 32
# name -> (torchvision's class, mean, std of the training pixels)
CIFARS = {
    "cifar10": (datasets.CIFAR10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": (datasets.CIFAR100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def cifar(name: str, path: Path, download: bool) -> ImageData:
    """The python version of the data set in ``path``; DataError if it is not there, or damaged."""
    kind, mean, std = CIFARS[name]
    try:
        train, val = (kind(path, train=part, download=download) for part in (True, False))
    except RuntimeError as error:  # torchvision's word for missing and for damaged
        raise DataError(f"{path}: {name} is not there, or damaged: give its folder, or set download to true") from error
    return ImageData(
        train=train,
        val=val,
        labels=tuple(train.classes),
        preprocess=Preprocess(3, SIZE, resize=SIZE, mean=mean, std=std),
        augment=v2.Compose([v2.RandomCrop(SIZE, padding=4), v2.RandomHorizontalFlip()]),
    )
