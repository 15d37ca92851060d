"""Tiny ImageNet: 200 of ImageNet's classes, 100,000 + 10,000 images of 64x64.

Source: Stanford CS231n, tiny-imagenet-200.zip. Augmentation as in the RGP paper, section IV: padding by 4, a random
crop, a random mirror image. The pixels are normalised as ImageNet's, whose images they are.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from torchvision.transforms import v2

from rgp.errors import DataError
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData
from rgp.train.folders import IMAGENET_MEAN, IMAGENET_STD, ImageFiles, listed

SIZE = 64
LAYOUT = "tiny-imagenet-200: wnids.txt, words.txt, train/<wnid>/images/*.JPEG, val/val_annotations.txt, val/images/*"


def tiny_imagenet(path: Path) -> ImageData:
    """The unpacked zip file, or the folder it was unpacked in; DataError names what is missing."""
    if (path / "tiny-imagenet-200").is_dir():
        path = path / "tiny-imagenet-200"
    wnids = sorted(line[0] for line in _table(path / "wnids.txt"))
    classes, train = listed(path / "train", LAYOUT)
    if list(classes) != wnids:
        only = sorted(set(wnids) ^ set(classes))
        raise DataError(f"{path / 'train'}: its folders are not the classes of wnids.txt: see {', '.join(only[:5])}")
    return ImageData(
        train=train,
        val=_val(path / "val", wnids),
        labels=_names(path / "words.txt", wnids),
        preprocess=Preprocess(3, SIZE, resize=SIZE, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        augment=v2.Compose([v2.RandomCrop(SIZE, padding=4), v2.RandomHorizontalFlip()]),
    )


def _val(folder: Path, wnids: list[str]) -> ImageFiles:
    """The held-out images, whose classes stand in a table beside them."""
    annotations = folder / "val_annotations.txt"
    images = {entry.name: entry for entry in (folder / "images").iterdir()} if (folder / "images").is_dir() else {}
    index = {wnid: number for number, wnid in enumerate(wnids)}
    samples: list[tuple[str | Path, int]] = []
    for file, wnid, *_ in _table(annotations, columns=2):
        if file not in images:
            raise DataError(f"{annotations}: names {file}, which is not in {folder / 'images'}: expected {LAYOUT}")
        if wnid not in index:
            raise DataError(f"{annotations}: gives {file} the class '{wnid}', which wnids.txt does not have")
        samples.append((images[file], index[wnid]))
    return ImageFiles(samples)


def _names(words: Path, wnids: list[str]) -> tuple[str, ...]:
    """The first synonym of each; with its wnid where two classes share it, the wnid alone where there is none."""
    synonyms = {wnid: text.partition(",")[0].strip() for wnid, text, *_ in _table(words, columns=2)}
    names = [synonyms.get(wnid, wnid) for wnid in wnids]
    shared = Counter(names)
    return tuple(name if shared[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(names, wnids, strict=True))


def _table(path: Path, columns: int = 1) -> list[list[str]]:
    """The lines of a file, cut at tabs, at least ``columns`` each; DataError if it is not there or has none."""
    try:
        lines = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        said = "no such file" if isinstance(error, FileNotFoundError) else "cannot be read as text"
        raise DataError(f"{path}: {said}: expected {LAYOUT}") from error
    if not lines or any(len(line) < columns for line in lines):
        raise DataError(f"{path}: expected lines of {columns} columns or more between tabs, at least one")
    return lines
