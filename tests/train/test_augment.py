"""Augmentation: its own seed decides it and nothing else does."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from rgp.preprocess import Preprocess
from rgp.train.augment import Augmenter, with_randaugment
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.dataset import ImageData


def data(channels: int) -> ImageData:
    preprocess = Preprocess(channels, 16, 16, mean=(0.5,) * channels, std=(0.2,) * channels)
    augment = v2.Compose([v2.RandomCrop(16, padding=2), v2.RandomHorizontalFlip()])
    return ImageData([], [], ("a", "b"), preprocess, augment)


def picture(channels: int) -> Image.Image:
    values = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
    return Image.fromarray(values).convert("L" if channels == 1 else "RGB")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("magnitude", [1, 9, 30])
def test_randaugment_is_decided_by_the_seed_alone(channels: int, magnitude: int) -> None:
    augmenter, image = Augmenter(with_randaugment(data(channels), magnitude)), picture(channels)
    first = [augmenter(image, seed) for seed in range(60)]
    np.random.seed(1)
    torch.manual_seed(1)
    again = [augmenter(image, seed) for seed in reversed(range(60))][::-1]
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert {(tuple(pixels.shape), pixels.dtype) for pixels in first} == {((16, 16, channels), torch.uint8)}
    assert len({pixels.numpy().tobytes() for pixels in first}) > 50


def test_randaugment_comes_after_crop_and_flip_as_in_torchvision_s_recipe() -> None:
    plain, image = data(3), picture(3)
    operations = v2.RandAugment(num_ops=2, magnitude=9, interpolation=v2.InterpolationMode.BILINEAR)
    for seed in range(5):
        torch.manual_seed(seed)
        expected = operations(plain.augment(image))
        found = Augmenter(with_randaugment(plain, 9))(image, seed)
        np.testing.assert_array_equal(found.numpy(), np.asarray(expected))


def test_the_setting_puts_it_in_and_zero_leaves_it_out() -> None:
    names = [str(load_data(TrainConfig(randaugment=magnitude)).augment) for magnitude in (0, 7)]
    assert "RandAugment" not in names[0]
    assert "magnitude=7" in names[1]


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    Augmenter(with_randaugment(data(3), 9))(picture(3), seed=5)
    assert torch.equal(torch.get_rng_state(), before)
