"""Synthetic images: decided by their index, different from each other, and easily told apart by class."""

import numpy as np
import pytest

from rgp.errors import UsageError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.dataset import ImageData, Images


def load(amount: str, size: int = 16) -> ImageData:
    return load_data(TrainConfig(data=f"synthetic:{amount}", image_size=size))


def pixels(images: Images) -> np.ndarray:
    return np.stack([np.asarray(images[index][0]) for index in range(len(images))])


@pytest.mark.parametrize(("amount", "train", "val"), [("10x512", 512, 102), ("3x4", 4, 1), ("2x2", 2, 1)])
def test_it_has_as_many_images_and_classes_as_asked_and_a_fifth_more_held_out(
    amount: str, train: int, val: int
) -> None:
    data = load(amount)
    assert (len(data.train), len(data.val), len(data.labels)) == (train, val, int(amount.split("x")[0]))
    assert {data.train[index][1] for index in range(train)} == set(range(len(data.labels)))


@pytest.mark.parametrize("size", [8, 15, 224])
def test_images_have_the_size_of_the_network(size: int) -> None:
    data = load("5x10", size)
    assert (data.train[3][0].size, data.train[3][0].mode) == ((size, size), "RGB")
    assert data.augment(data.train[3][0]).size == (size, size)


def test_an_image_is_always_the_same_and_no_two_are() -> None:
    one, two = load("10x50"), load("10x50")
    images = np.concatenate([pixels(one.train), pixels(one.val)])
    np.testing.assert_array_equal(images, np.concatenate([pixels(two.train), pixels(two.val)]))
    assert len({image.tobytes() for image in images}) == 60


def test_the_nearest_mean_of_a_class_finds_the_classes_of_held_out_images() -> None:
    data = load("10x200")
    train, labels = pixels(data.train).astype(float), np.array([data.train[index][1] for index in range(200)])
    means = np.stack([train[labels == label].mean(axis=0) for label in range(10)])
    for index in range(len(data.val)):
        image, label = data.val[index]
        distances = ((np.asarray(image, float) - means) ** 2).sum(axis=(1, 2, 3))
        assert distances.argmin() == label


def test_the_mirror_image_of_a_class_is_that_class() -> None:
    mean = pixels(load("2x400").train)[::2].mean(axis=0)
    assert np.abs(mean - mean[:, ::-1]).max() < 20  # of noise's 128, averaged over 200


@pytest.mark.parametrize("amount", ["10", "x", "1x10", "10x9", "10x", "-2x10", "10x10x10", "2 x 10"])
def test_a_wrong_amount_says_what_to_write(amount: str) -> None:
    with pytest.raises(UsageError, match="give CLASSESxIMAGES, 2 classes or more and an image for each, as in"):
        load(amount)
