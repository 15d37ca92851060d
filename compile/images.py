"""Real images to verify and calibrate with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgp.errors import DataError, RgpError, UsageError
from rgp.images import decode
from rgp.preprocess import Preprocess

MAX_IMAGES = 512


def read_images(folder: Path, preprocess: Preprocess | None) -> list[NDArray[np.uint8]]:
    """The first MAX_IMAGES images below ``folder`` by name, (H, W, C); what is no image is passed over.

    Raises DataError if there is none, UsageError for a network that takes no images.
    """
    if preprocess is None:
        raise UsageError(f"--images {folder}: this network takes numbers, not images: give --preprocess and --labels")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give one that has images")
    found: list[NDArray[np.uint8]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append(preprocess(decode(file.read_bytes())))
        except RgpError:
            continue
        if len(found) == MAX_IMAGES:
            break
    if not found:
        raise DataError(f"{folder}: no JPEG, PNG or WebP image in this folder: give one that has some")
    return found
