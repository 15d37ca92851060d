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

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # those that are followed by a length, and the end

Image.MAX_IMAGE_PIXELS = None  # the check here is earlier and stricter


def decode(data: bytes) -> Image.Image:
    """Decode a JPEG, PNG or WebP, turned upright by its EXIF tag.

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
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except Exception as error:
        raise ImageError(f"the {image.format} image is truncated or broken: {error}") from error


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
