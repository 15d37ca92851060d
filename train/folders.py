"""Any folder of images, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image
from torchvision.datasets import DatasetFolder
from torchvision.transforms import v2

from rgp.errors import DataError, ImageError
from rgp.images import decode
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData, Images

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
LAYOUT = "{train,val}/<class>/*.{jpg,jpeg,png,webp}"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageFiles(Sequence[tuple[Image, int]]):
    """Image files, each with its class, decoded as the service does: one decoder everywhere.

    Kept as two arrays: of a list with a million paths each worker process would come to hold a copy.
    """

    def __init__(self, samples: Iterable[tuple[str | Path, int]]) -> None:
        paths, classes = zip(*samples, strict=True)
        self._paths, self._classes = np.array([os.fsencode(path) for path in paths]), np.array(classes, np.int64)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Image, int]:  # type: ignore[override]  # no slices
        path, label = self.file(index)
        try:
            return decode(path.read_bytes()), label
        except ImageError as error:
            raise type(error)(f"{path}: {error}") from error
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error

    def file(self, index: int) -> tuple[Path, int]:
        """Where the image lies, and its class."""
        return Path(os.fsdecode(self._paths[index])), int(self._classes[index])


def image_folder(path: Path, size: int) -> ImageData:
    """``path``/train/<class>/* and ``path``/val/<class>/*, the same classes in both.

    DataError names the folder and the expected layout.
    """
    (classes, train), (theirs, val) = (listed(path / part, f"{path}/{LAYOUT}") for part in ("train", "val"))
    if classes != theirs:
        only = sorted(set(classes) ^ set(theirs))
        raise DataError(f"{path}: its parts train and val differ in their classes: only one has {', '.join(only[:5])}")
    return photographs(train, val, classes, size)


def photographs(train: Images, val: Images, labels: Sequence[str], size: int) -> ImageData:
    """Images of any size and shape, seen as is the custom for ImageNet.

    Evaluation sees the middle ``size`` squared of the image at 8/7 of that (224 of 256); training a random part of
    it, and its mirror image.
    """
    return ImageData(
        train=train,
        val=val,
        labels=tuple(labels),
        preprocess=Preprocess(3, size, resize=round(size * 8 / 7), mean=IMAGENET_MEAN, std=IMAGENET_STD),
        augment=v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]),
    )


def listed(folder: Path, expected: str) -> tuple[tuple[str, ...], ImageFiles]:
    """The classes, which are folders in ``folder``, sorted, and the images in them at any depth."""
    try:
        images = DatasetFolder(folder, loader=Path, extensions=ENDINGS)
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = "no class has a folder in it" if folder.is_dir() else "no such folder"
        if folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir()):
            reason = str(error).rstrip(". ")  # torchvision names the classes without images
        raise DataError(f"{folder}: {reason}: expected {expected}") from error
    if len(images.classes) < 2:
        raise DataError(f"{folder}: only one class, '{images.classes[0]}': give a folder to each of two or more")
    return tuple(images.classes), ImageFiles(images.samples)
