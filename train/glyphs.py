"""Glyphs: digits and letters in some hundred open font families, 62 classes, grey. ``rgp-train glyphs`` makes it.

The parts differ in their font families: what is learnt must hold for fonts that were never seen. ``val`` is the
held-out part in training; the test families stand apart, for the last word (``glyphs-test:PATH``).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torchvision.transforms import v2

from rgp.errors import DataError
from rgp.preprocess import Preprocess
from rgp.train.dataset import GreyImages, ImageData

FILE = "glyphs.json"
FORM = 1
PARTS = ("train", "val", "test")
MAKE = "make it with rgp-train glyphs"


def glyphs(path: Path, held_out: Literal["val", "test"] = "val") -> ImageData:
    """What ``rgp-train glyphs`` wrote into ``path``, ``held_out`` being its part to evaluate on.

    DataError if it is not there, not whole, or not what its checksums say.
    """
    about = manifest(path)
    try:
        side, mean, deviation = int(about["side"]), float(about["mean"]), float(about["deviation"])
        labels = tuple(map(str, about["characters"]))
        train, val = (_part(path, part, about["parts"][part], side, len(labels)) for part in ("train", held_out))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path / FILE}: not such a list as this rgp writes ({error!r:.80}): {MAKE} again") from error
    return ImageData(
        train=train,
        val=val,
        labels=labels,
        preprocess=Preprocess(channels=1, size=side, resize=side, mean=(mean / 255,), std=(deviation / 255,)),
        augment=v2.Compose(  # no flips: they would make other letters
            [
                v2.RandomAffine(
                    8, translate=(0.06, 0.06), scale=(0.9, 1.1), shear=8, interpolation=v2.InterpolationMode.BILINEAR
                ),
                v2.ColorJitter(brightness=(0.5, 1.0), contrast=(0.6, 1.2)),
            ]
        ),
    )


def manifest(path: Path) -> dict[str, Any]:
    """The list beside the arrays: fonts, families, checksums, what was left out."""
    try:
        about = json.loads((path / FILE).read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no {FILE} in it: give the folder of a glyphs data set, or {MAKE}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path / FILE}: cannot be read: {MAKE} again") from error
    if not isinstance(about, dict) or about.get("form") != FORM:
        raise DataError(f"{path / FILE}: not of form {FORM}: {MAKE} again")
    return about


def _part(path: Path, part: str, about: dict[str, Any], side: int, classes: int) -> GreyImages:
    count = int(about["images"])
    pixels = _array(path / f"{part}-pixels.npy", about["sha256"]["pixels"], (count, side, side), np.uint8)
    labels = _array(path / f"{part}-labels.npy", about["sha256"]["labels"], (count, 2), np.uint16)
    if labels[:, 0].max(initial=0) >= classes:
        raise DataError(f"{path / f'{part}-labels.npy'}: has a class beyond the {classes}: {MAKE} again")
    return GreyImages(pixels, labels[:, 0])  # beside it the font


def _array(path: Path, sha256: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            matches = hashlib.file_digest(file, "sha256").hexdigest() == sha256
            file.seek(0)
            array = np.load(file, allow_pickle=False) if matches else None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {MAKE} again") from error
    if array is None or array.shape != shape or array.dtype != dtype:
        raise DataError(f"{path}: is not what {FILE} says, changed or not copied whole: {MAKE} again")
    return np.asarray(array)
