"""From untrusted bytes to pixels: the format by list, the size from the header, then the decoder."""

from __future__ import annotations

import io
import re

from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401  # FORMATS, no others

from rgp.errors import ImageError, ImageTooLargeError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 25_000_000
"""A 230 KiB PNG can decode to 634 MiB: images above this are refused before they are decoded."""

MAX_SCANS = 100
"""A progressive JPEG has about 10; each further one costs 42 bytes and, at MAX_PIXELS, 30 ms: hours in 16 MiB."""

MAX_SEGMENTS = 2000

LEAST_SIDE = 512
"""A JPEG's short side is never decoded to fewer pixels than this, however few the network needs."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # those that are followed by a length, and the end

Image.MAX_IMAGE_PIXELS = None  # the check here is earlier and stricter


def decode(data: bytes, short_side: int | None = None) -> Image.Image:
    """Decode a JPEG, PNG or WebP, turned upright by its EXIF tag.

    ``short_side``: what it will be resized to, ``Preprocess.resize``: large JPEGs are then decoded at 1/2, 1/4 or
    1/8 of their size (see ``_scale``), which their DCT gives for a fraction of the work. None decodes every pixel.

    Raises ImageError for anything else or a broken image, ImageTooLargeError above MAX_PIXELS.
    """
    if not data:
        raise ImageError("the image is empty: send the bytes of a JPEG, PNG or WebP file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        raise ImageError("not a JPEG, PNG or WebP image") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageTooLargeError(
            f"the image has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million: send a smaller one"
        )
    if image.format in ("JPEG", "MPO") and _scans(data) > MAX_SCANS:
        raise ImageError(f"the JPEG has more than {MAX_SCANS} scans or {MAX_SEGMENTS} segments: save it again")
    try:
        if short_side is not None and (scale := _scale(width, height, short_side)) > 1:
            image.draft(None, (width // scale, height // scale))  # does nothing but for JPEG
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except Exception as error:
        raise ImageError(f"the {image.format} image is truncated or broken: {error}") from error


def _scale(width: int, height: int, short_side: int) -> int:
    """The part of its size, one in 1, 2, 4 or 8, at which a JPEG still gives the network the same view.

    Twice ``short_side`` is left, so that resizing still averages over pixels. And both sides are multiples of it, as
    cameras make them: part of a pixel at the edge would move the crop.
    """
    useful = max(LEAST_SIDE, 2 * short_side)
    fits = (
        scale for scale in (8, 4, 2) if min(width, height) >= scale * useful and width % scale == height % scale == 0
    )
    return next(fits, 1)


def _scans(jpeg: bytes) -> int:
    """How often the decoder would pass over the image: its start-of-scan markers (ITU T.81, B.1.1).

    MAX_SCANS + 1 stands for more, and for more than MAX_SEGMENTS segments.
    """
    scans, at = 0, 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(jpeg, at)
        if not found or found[1] == b"\xd9":
            return scans
        scans += found[1] == b"\xda"
        at = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2])
        if scans > MAX_SCANS:
            break
    return MAX_SCANS + 1
