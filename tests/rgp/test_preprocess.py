"""From an image of any size and mode to (size, size, channels) uint8."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rgp.errors import RgpError
from rgp.images import decode
from rgp.preprocess import Preprocess, in_channels
from tests.serve.tiny import encoded, picture


def preprocess(channels: int = 3, size: int = 24, resize: int = 24) -> Preprocess:
    return Preprocess(channels=channels, size=size, resize=resize, mean=(0.5,) * channels, std=(0.25,) * channels)


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(256, size=(height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels)


def plain(image: Image.Image, size: int, resize: int) -> NDArray[np.uint8]:
    """What the fast form must equal: resize the whole image, then crop its middle."""
    scale = resize / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_size_stays_as_it_is(channels: int) -> None:
    image = noise(24, 24, channels)
    pixels = preprocess(channels)(image)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels.reshape(np.asarray(image).shape), np.asarray(image))


@pytest.mark.parametrize(
    ("width", "height"), [(24, 24), (25, 24), (23, 24), (48, 24), (500, 375), (31, 97), (24, 400), (1, 24), (7, 5)]
)
@pytest.mark.parametrize(("size", "resize"), [(24, 24), (24, 25), (24, 28), (23, 28)])
def test_it_equals_resizing_the_whole_image_and_cropping_its_middle(
    width: int, height: int, size: int, resize: int
) -> None:
    image = noise(width, height)
    fast = preprocess(3, size, resize)(image).astype(int)
    difference = np.abs(fast - plain(image, size, resize))
    assert difference.max() <= 2  # Pillow rounds to whole grey levels twice, across and down
    assert (difference <= 1).mean() > 0.99


def test_the_crop_is_the_middle() -> None:
    pixels = np.zeros((30, 90), np.uint8)
    pixels[:, 30:60] = 255
    assert (preprocess(1, 30, 30)(Image.fromarray(pixels)) == 255).all()


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    channels=st.sampled_from([1, 3]),
    size=st.integers(1, 64),
    margin=st.integers(0, 40),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]),
)
def test_the_shape_is_always_right_and_a_flat_image_stays_flat(
    width: int, height: int, channels: int, size: int, margin: int, mode: str
) -> None:
    image = Image.new("RGB", (width, height), (255, 255, 255)).convert(mode)
    pixels = preprocess(channels, size, size + margin)(image)
    assert pixels.shape == (size, size, channels)
    assert pixels.dtype == np.uint8
    assert (pixels == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (1, 16_777_217), (25_000_000, 1)])
def test_the_narrowest_images_are_accepted(size: tuple[int, int]) -> None:
    pixels = preprocess(1, 8, 9)(Image.new("1", size, 1))
    assert pixels.shape == (8, 8, 1)
    assert (pixels == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_grey_is_scaled_to_eight_bits_not_clipped(channels: int) -> None:
    ramp = np.linspace(0, 65535, 24 * 24).astype(np.uint16).reshape(24, 24)
    image = decode(encoded(Image.fromarray(ramp), "PNG"))
    assert image.mode == "I;16"
    pixels = preprocess(channels)(image)
    assert np.array_equal(pixels[:, :, 0], ramp >> 8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_gives_the_colours_that_it_shows(mode: str) -> None:
    image = picture(mode, (24, 24))
    assert np.array_equal(preprocess(3)(image), np.asarray(image.convert("RGB")))
    assert np.array_equal(preprocess(1)(image)[:, :, 0], np.asarray(image.convert("L")))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_channels_is_neither_copied_nor_changed(channels: int) -> None:
    image = noise(40, 30, channels)
    before = np.array(image)
    assert in_channels(image, channels) is image
    preprocess(channels)(image)
    assert np.array_equal(np.asarray(image), before)


@pytest.mark.parametrize("palette_transparency", [0, b"\x00\x80\xff", b""], ids=["one colour", "a value each", "none"])
def test_transparency_in_a_palette_changes_no_colour(palette_transparency: int | bytes) -> None:
    image = picture("P", (24, 24))
    decoded = decode(encoded(image, "PNG", transparency=palette_transparency))
    assert np.array_equal(preprocess(3)(decoded), np.asarray(image.convert("RGB")))


def test_it_survives_a_manifest() -> None:
    original = Preprocess(channels=3, size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert Preprocess.from_dict(json.loads(json.dumps(original.to_dict()))) == original


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 2}, "channels is 2, give 1 (grey) or 3 (RGB)"),
        ({"size": 0}, "1 <= size <= resize <= 4096, not 0 and 24"),
        ({"size": 25}, "not 25 and 24"),
        ({"resize": 4097}, "not 24 and 4097"),
        ({"mean": (0.5,)}, "mean is (0.5,), give 3 finite numbers"),
        ({"std": (1.0, 1.0, float("nan"))}, "std is (1.0, 1.0, nan), give 3 finite numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "std is (1.0, 0.0, 1.0), give positive numbers"),
        ({"mean": 3}, "TypeError"),
        ({"mean": "abc"}, "ValueError"),
        ({"size": None}, "TypeError"),
        ({"size": float("inf")}, "OverflowError"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RgpError) as error:
        Preprocess.from_dict(preprocess().to_dict() | change)
    assert message in str(error.value)


@pytest.mark.parametrize("key", ["channels", "size", "resize", "mean", "std"])
def test_what_is_missing_is_named(key: str) -> None:
    values = preprocess().to_dict()
    del values[key]
    with pytest.raises(RgpError, match=f"KeyError: '{key}'"):
        Preprocess.from_dict(values)
