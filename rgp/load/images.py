"""What a load test sends: the images of a folder, or pictures that cost a decoder what photographs cost."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgp.errors import UsageError

KINDS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
MOST = 1000
"""Of a larger folder so many are drawn: they are all held in memory."""

SIZE = (500, 375)
"""Width and height of the typical ImageNet photograph."""

Body = tuple[bytes, str]  # an image's bytes and its media type


def from_folder(folder: Path, seed: int) -> list[Body]:
    """The folder's JPEG, PNG and WebP files, those of its subfolders too; raises UsageError if there are none."""
    if not folder.is_dir():
        raise UsageError(f"--images {folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS and path.is_file())
    if not files:
        raise UsageError(f"--images {folder}: no image in it: put {', '.join(KINDS)} files there")
    drawn = np.random.default_rng(seed).permutation(len(files))[:MOST]
    return [(files[index].read_bytes(), KINDS[files[index].suffix.lower()]) for index in drawn.tolist()]


def photographs(seed: int, count: int = 16) -> list[Body]:
    """JPEGs of SIZE, the same for the same seed, of 30 to 60 kB."""
    rng = np.random.default_rng(seed)
    return [(_photograph(rng), "image/jpeg") for _ in range(count)]


def _photograph(rng: np.random.Generator) -> bytes:
    """Areas with sharp edges, and in them detail whose amplitude falls as 1/f, as in natural images (Field 1987).

    The colours vary less than the brightness, so they cost the JPEG little, as in a photograph.
    """
    from PIL import Image

    areas = (_noise(rng, slope=2.0) > 0) * 1.5 + (_noise(rng, slope=2.0) > 0.8) * 1.0
    brightness = 118 + 30 * (areas - areas.mean()) + 22 * _noise(rng, slope=1.15)
    colours = [brightness + 14 * _noise(rng, slope=2.0) for _ in range(3)]
    pixels = np.stack(colours, axis=-1).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


def _noise(rng: np.random.Generator, slope: float) -> NDArray[np.float64]:
    """(H, W) of mean 0 and deviation 1, whose amplitudes fall as 1 / frequency ** slope."""
    width, height = SIZE
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**slope
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return np.asarray(noise / noise.std())
