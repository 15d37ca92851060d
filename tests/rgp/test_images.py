"""Untrusted bytes: formats by list, sizes from the header, EXIF applied."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rgp import images
from rgp.errors import ImageError, ImageTooLargeError
from rgp.images import decode
from rgp.preprocess import Preprocess
from tests.serve.tiny import encoded, picture

FORMATS = ("JPEG", "PNG", "WEBP")
FORMATS_AND_MODES = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "I;16"), ("WEBP", "RGBA")]


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares its size and ends there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_listed_formats_decode_to_their_pixels(format: str, mode: str) -> None:
    data = encoded(picture(mode), format)
    image = decode(data)
    assert image.size == (37, 29)
    with Image.open(io.BytesIO(data)) as expected:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "PPM", "ICO", "PDF"])
def test_other_formats_are_refused(format: str) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP image"):
        decode(encoded(picture(), format))


@pytest.mark.parametrize("data", [b"x", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"<svg/>"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP image"):
        decode(data)


def test_nothing_is_refused() -> None:
    with pytest.raises(ImageError, match="empty: send the bytes"):
        decode(b"")


@pytest.mark.parametrize("format", FORMATS)
def test_a_truncated_image_is_refused(format: str) -> None:
    data = encoded(picture(size=(200, 150)), format)
    for kept in (len(data) // 4, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(ImageError):
            decode(data[:kept])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(format: str, orientation: int) -> None:
    stored = picture(size=(64, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    upright = decode(encoded(stored, format, exif=exif, **options))
    assert upright.size == ((64, 32) if orientation <= 4 else (32, 64))
    # what each value means, EXIF 2.32 section 4.6.4: where row 0 and column 0 of the stored pixels belong
    pixels = np.asarray(decode(encoded(stored, format, **options)))
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    assert np.array_equal(np.asarray(upright), turned)


class TestTheLimitOnPixels:
    @pytest.mark.parametrize("format", FORMATS)
    def test_admits_as_many_and_refuses_one_row_more(self, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(images, "MAX_PIXELS", 30 * 20)
        assert decode(encoded(picture(size=(30, 20)), format)).size == (30, 20)
        for size in ((30, 21), (31, 20)):
            with pytest.raises(ImageTooLargeError, match=f"{size[0]} x {size[1]} pixels"):
                decode(encoded(picture(size=size), format))

    @pytest.mark.parametrize("size", [(5001, 5000), (25_000_001, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)])
    def test_is_judged_from_the_header_alone(self, size: tuple[int, int]) -> None:
        with pytest.raises(ImageTooLargeError, match="more than 25 million"):
            decode(png_header(*size))

    def test_goes_before_what_else_is_wrong(self) -> None:
        with pytest.raises(ImageError, match="truncated or broken") as error:
            decode(png_header(5000, 5000))
        assert not isinstance(error.value, ImageTooLargeError)


class TestWhatTheNetworkNeeds:
    @settings(max_examples=200)
    @given(
        st.sampled_from([("JPEG", "L"), *FORMATS_AND_MODES]),
        st.integers(1, 25),
        st.integers(1, 25),
        st.sampled_from([1, 2, 4, 8]),
        st.integers(1, 20),
        st.integers(1, 8),
        st.booleans(),
    )
    def test_small_images_keep_every_pixel_and_large_jpegs_twice_what_it_takes(
        self, kind: tuple[str, str], across: int, down: int, by: int, short_side: int, turn: int, progressive: bool
    ) -> None:
        format, mode = kind
        exif = Image.Exif()
        exif[0x0112] = turn
        options = {"progressive": progressive} if format == "JPEG" else {}
        data = encoded(picture(mode, (across * by, down * by)), format, exif=exif, **options)
        with mock.patch.object(images, "LEAST_SIDE", 16):
            whole, image = decode(data), decode(data, short_side)
        scale = whole.width // image.width
        assert image.mode == whole.mode
        assert (image.width * scale, image.height * scale) == whole.size  # no part of a pixel at the edge
        assert scale in ((1, 2, 4, 8) if format == "JPEG" else (1,))
        if scale == 1:
            assert np.array_equal(np.asarray(image), np.asarray(whole))
        else:
            assert min(image.size) >= max(16, 2 * short_side)

    @pytest.mark.parametrize(
        ("size", "short_side", "decoded"),
        [
            ((1024, 1024), 256, (512, 512)),
            ((1022, 1022), 256, (1022, 1022)),  # 511 would be left
            ((1024, 1024), 8, (512, 512)),  # 512 are left, however small the network's images
            ((1024, 1025), 256, (1024, 1025)),  # half a pixel would be left over
            ((2050, 2048), 256, (1025, 1024)),
            ((4032, 3024), 256, (1008, 756)),
            ((4104, 4096), 256, (513, 512)),
            ((2396, 2400), 600, (2396, 2400)),
            ((2400, 2400), 600, (1200, 1200)),
        ],
    )
    @pytest.mark.parametrize("turned", [False, True])
    def test_decides_at_which_part_of_its_size_a_jpeg_is_decoded(
        self, size: tuple[int, int], short_side: int, decoded: tuple[int, int], turned: bool
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6 if turned else 1
        data = encoded(Image.new("L", size[::-1] if turned else size), "JPEG", exif=exif)
        assert decode(data, short_side).size == decoded
        assert decode(data).size == size

    @pytest.mark.parametrize(("format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("MPO", "RGB")])
    @pytest.mark.parametrize("turn", [1, 3, 6])
    def test_a_jpeg_decoded_at_part_of_its_size_looks_the_same_to_the_network(
        self, format: str, mode: str, turn: int
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = turn
        large = picture(mode, (1400, 1032))
        options = {"save_all": True, "append_images": [large]} if format == "MPO" else {}
        data = encoded(large, format, exif=exif, **options)
        preprocess = Preprocess(channels=3, size=224, resize=256, mean=(0.5,) * 3, std=(0.5,) * 3)
        whole, image = decode(data), decode(data, 256)
        assert image.size == (whole.width // 2, whole.height // 2)
        difference = np.abs(preprocess(image).astype(int) - preprocess(whole))
        assert difference.mean() < 0.25
        assert (difference <= 2).mean() > 0.99  # the rest is where edges are clipped to black or white

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_truncated_jpeg_is_refused_at_every_scale(self, progressive: bool) -> None:
        data = encoded(picture(size=(2048, 1024)), "JPEG", progressive=progressive)
        assert decode(data, 1).size == (1024, 512)
        for kept in (len(data) // 4, len(data) // 2, len(data) * 9 // 10):
            with pytest.raises(ImageError, match="truncated or broken"):
                decode(data[:kept], 1)

    def test_the_limit_on_pixels_is_judged_before_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(images, "MAX_PIXELS", 1024 * 1024)
        assert decode(encoded(Image.new("L", (1024, 1024)), "JPEG"), 1).size == (512, 512)
        with pytest.raises(ImageTooLargeError, match="1024 x 1026 pixels"):
            decode(encoded(Image.new("L", (1024, 1026)), "JPEG"), 1)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([encoded(picture(mode, (16, 12)), format) for format, mode in FORMATS_AND_MODES]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
    st.none() | st.integers(1, 3),
)
def test_mutated_images_become_pixels_or_an_image_error(
    original: bytes, changes: list[tuple[float, int]], kept: float, short_side: int | None
) -> None:
    data = bytearray(original[: int(len(original) * kept)])
    for place, value in changes:
        if data:
            data[int(place * (len(data) - 1))] = value
    preprocess = Preprocess(channels=3, size=8, resize=9, mean=(0.5,) * 3, std=(0.5,) * 3)
    with contextlib.suppress(ImageError), mock.patch.object(images, "LEAST_SIDE", 1):  # 12 pixels are large then
        assert preprocess(decode(bytes(data), short_side)).shape == (8, 8, 3)


def test_a_jpeg_with_more_scans_than_anyone_needs_is_refused() -> None:
    jpeg = encoded(picture(), "JPEG", progressive=True)
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    scans = jpeg.count(b"\xff\xda")
    most = jpeg[:-2] + last * (images.MAX_SCANS - scans)
    assert decode(most + b"\xff\xd9").size == (37, 29)
    for hidden in (b"", b"\xff\x01", b"\xff\xd0", b"\xff\xff"):  # what the decoder skips hides no scan
        with pytest.raises(ImageError, match="more than 100 scans"):
            decode(most + hidden + last + b"\xff\xd9")


def test_scans_in_a_thumbnail_or_after_the_end_do_not_count() -> None:
    jpeg = encoded(picture(), "JPEG")
    comment = b"\xff\xfe" + (2 + 600).to_bytes(2) + b"\xff\xda" * 300
    assert decode(jpeg[:2] + comment + jpeg[2:] + b"\xff\xda" * 300).size == (37, 29)


def test_a_jpeg_of_thousands_of_segments_is_refused() -> None:
    jpeg = encoded(picture(), "JPEG")
    comment = b"\xff\xfe\0\2"
    assert decode(jpeg[:2] + comment * 1900 + jpeg[2:]).size == (37, 29)
    with pytest.raises(ImageError, match="2000 segments"):
        decode(jpeg[:2] + comment * 2000 + jpeg[2:])
