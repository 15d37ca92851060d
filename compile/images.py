"""Real images to verify and calibrate with, and some to ship with the bundle."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgp.errors import DataError, RgpError, UsageError
from rgp.images import decode
from rgp.preprocess import Preprocess

MAX_IMAGES = 512
MAX_SAMPLE_BYTES = 1 << 20
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


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
            found.append(preprocess(decode(file.read_bytes(), preprocess.resize)))
        except RgpError:
            continue
        if len(found) == MAX_IMAGES:
            break
    if not found:
        raise DataError(f"{folder}: no JPEG, PNG or WebP image in this folder: give one that has some")
    return found


def samples(folder: Path, count: int) -> dict[str, bytes]:
    """``count`` images below ``folder``, evenly spread by name, as files ``sample-NAME`` of a bundle.

    Raises DataError if there are fewer of at most MAX_SAMPLE_BYTES.
    """
    found: list[tuple[str, bytes]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file())[: 8 * MAX_IMAGES]:
        try:
            if file.stat().st_size <= MAX_SAMPLE_BYTES:
                data = file.read_bytes()
                suffix = SUFFIXES[decode(data).format or "JPEG"]
                found.append((re.sub(r"[^A-Za-z0-9]+", "-", file.stem).strip("-") + suffix, data))
        except RgpError:
            continue
    if len(found) < count:
        most = MAX_SAMPLE_BYTES >> 20
        raise DataError(f"--samples {count}: {folder} has {len(found)} images of at most {most} MiB: ask for fewer")
    chosen = np.linspace(0, len(found) - 1, count).round().astype(int).tolist()
    return {f"sample-{number}-{found[index][0]}": found[index][1] for number, index in enumerate(chosen, 1)}
