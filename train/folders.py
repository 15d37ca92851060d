"""Any folder of images, one folder a class; ImageNet in the usual layout is the same."""

from __future__ import annotations

from pathlib import Path

from PIL.Image import Image
from torchvision.datasets import DatasetFolder
from torchvision.transforms import v2

from rgp.errors import DataError, ImageError
from rgp.images import decode
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
LAYOUT = "{train,val}/<class>/*.{jpg,jpeg,png,webp}"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def image_folder(path: Path, size: int) -> ImageData:
    """``path``/train/<class>/* and ``path``/val/<class>/*, the same classes in both.

    Evaluation sees the middle ``size`` squared of the image at 8/7 of that (224 of 256, ImageNet's custom);
    training a random part of it, and its mirror image. DataError names the folder and the expected layout.
    """
    train, val = (_part(path, part) for part in ("train", "val"))
    if train.classes != val.classes:
        only = sorted(set(train.classes) ^ set(val.classes))
        raise DataError(f"{path}: its parts train and val differ in their classes: only one has {', '.join(only[:5])}")
    return ImageData(
        train=train,
        val=val,
        labels=tuple(train.classes),
        preprocess=Preprocess(3, size, resize=round(size * 8 / 7), mean=IMAGENET_MEAN, std=IMAGENET_STD),
        augment=v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]),
    )


def read_image(path: str) -> Image:
    """Decode as the service does: one decoder everywhere."""
    try:
        return decode(Path(path).read_bytes())
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def _part(path: Path, part: str) -> DatasetFolder:
    folder = path / part
    try:
        images = DatasetFolder(folder, loader=read_image, extensions=ENDINGS)
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = "no class has a folder in it" if folder.is_dir() else "no such folder"
        if folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir()):
            reason = str(error).rstrip(". ")  # torchvision names the classes without images
        raise DataError(f"{folder}: {reason}: expected {path}/{LAYOUT}") from error
    if len(images.classes) < 2:
        raise DataError(f"{folder}: only one class, '{images.classes[0]}': give a folder to each of two or more")
    return images
