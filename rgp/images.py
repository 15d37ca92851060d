"""From untrusted bytes to pixels: the format by list, the size from the header, then the decoder."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from rgp.errors import ImageError, ImageTooLargeError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 25_000_000
"""A 230 KiB PNG can decode to 634 MiB: images above this are refused before they are decoded."""

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
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:
        raise ImageError(f"the {image.format} image is truncated or broken: {error}") from error
