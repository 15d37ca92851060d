"""Batches: the same in every run, whatever the workers and processes; and the arithmetic of the export."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from rgp.compile.export import ImageNetwork
from rgp.errors import DataError, ImageError, RgpError
from rgp.normalise import Normalise
from rgp.preprocess import Preprocess
from rgp.train.batches import EvaluationBatches, Part, TrainingBatches
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.dataset import GreyImages, ImageData

Epochs = list[list[tuple[Tensor, Tensor]]]


@pytest.fixture
def data(configured: Callable[..., TrainConfig]) -> ImageData:
    return load_data(configured())


def numbered(size: int) -> ImageData:
    """Images of one pixel, each with its number in it, not augmented; the number is the class too."""
    scans = GreyImages(np.arange(size, dtype=np.uint8).reshape(-1, 1, 1), np.arange(size))
    return ImageData(scans, scans, ("a", "b"), Preprocess(1, 1, 1, mean=(0.0,), std=(1.0,)), Image.Image.copy)


def epochs(data: ImageData, numbers: list[int], seed: int = 0, workers: int = 0) -> Epochs:
    batches = TrainingBatches(data, 16, seed, workers, pin=False)
    return [list(batches.epoch(number)) for number in numbers]


def same(one: Epochs, two: Epochs) -> bool:
    return all(
        torch.equal(a, b)
        for left, right in zip(one, two, strict=True)
        for mine, yours in zip(left, right, strict=True)
        for a, b in zip(mine, yours, strict=True)
    )


def test_an_epoch_is_the_same_whatever_came_before_it(data: ImageData) -> None:
    assert same(epochs(data, [0, 1, 2])[2:], epochs(data, [2]))


def test_an_epoch_is_the_same_with_workers(data: ImageData) -> None:
    assert same(epochs(data, [0, 1]), epochs(data, [0, 1], workers=2))


def test_epochs_and_seeds_differ_in_order_and_in_augmentation(data: ImageData) -> None:
    assert not same(epochs(data, [0]), epochs(data, [1]))
    assert not same(epochs(data, [0]), epochs(data, [0], seed=1))


def test_the_augmentation_of_an_image_changes_with_the_epoch(data: ImageData) -> None:
    only = replace(data, train=[data.train[0]])
    seen = {batch[0][0].numpy().tobytes() for batch in epochs(only, list(range(10)))}
    assert len(seen) > 3  # of 9 crops


def test_an_epoch_takes_each_image_once_but_what_whole_batches_leave_over(data: ImageData) -> None:
    plain = replace(data, augment=Image.Image.copy)
    (batches,) = epochs(plain, [0])
    assert [tuple(images.shape) for images, _ in batches] == [(16, 8, 8, 1)] * 3
    seen = {image.numpy().tobytes() for images, _ in batches for image in images}
    assert len(seen) == 48
    assert seen <= {np.asarray(data.train[index][0]).tobytes() for index in range(50)}


def test_fewer_images_than_a_batch_are_one_batch(data: ImageData) -> None:
    batches = TrainingBatches(data, 1000, seed=0, workers=0, pin=False)
    ((images, classes),) = batches.epoch(0)
    assert (images.shape, images.dtype) == ((50, 8, 8, 1), torch.uint8)
    assert (classes.shape, classes.dtype) == ((50,), torch.int64)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 200), share=st.integers(1, 20), count=st.integers(1, 5), data=st.data())
def test_processes_divide_each_batch_of_one_process_among_them(
    size: int, share: int, count: int, data: st.DataObject
) -> None:
    images, batch = numbered(size), share * count
    if size < count:
        with pytest.raises(DataError, match=f"has {size} images: give at least {count}"):
            TrainingBatches(images, batch, 0, workers=0, pin=False, part=Part(0, count))
        return
    parts = [TrainingBatches(images, batch, 0, workers=0, pin=False, part=Part(i, count)) for i in range(count)]
    whole = TrainingBatches(images, min(batch, size // count * count), 0, workers=0, pin=False)
    assert {len(part) for part in parts} == {len(whole)}
    assert all(part.order == whole.order for part in parts)
    skip = data.draw(st.integers(0, len(whole)))
    steps = list(zip(*(part.epoch(3, skip) for part in parts), strict=True))
    expected = list(whole.epoch(3))[skip:]
    for shares, (_, classes) in zip(steps, expected, strict=True):
        for index, (pixels, mine) in enumerate(shares):
            assert mine.tolist() == classes[index::count].tolist() == pixels.flatten().tolist()


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 100), batch=st.integers(1, 40), count=st.integers(1, 5))
def test_in_evaluation_each_image_is_in_one_process(size: int, batch: int, count: int) -> None:
    images = numbered(size)
    for index in range(count):
        batches = EvaluationBatches(images.val, images.preprocess, batch, 0, pin=False, part=Part(index, count))
        assert [number for _, classes in batches for number in classes.tolist()] == list(range(size))[index::count]


def test_making_batches_leaves_the_global_generators_alone(data: ImageData) -> None:
    before = torch.get_rng_state()
    epochs(data, [0])
    list(EvaluationBatches(data.val, data.preprocess, 16, workers=0, pin=False))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_sees_each_image_once_as_the_service_would(data: ImageData) -> None:
    for workers in (0, 2):
        batches = EvaluationBatches(data.val, data.preprocess, 4, workers, pin=False)
        for _ in range(2):  # as often as it is asked
            images = torch.cat([images for images, _ in batches])
            expected = [data.preprocess(data.val[index][0]) for index in range(len(data.val))]
            np.testing.assert_array_equal(images.numpy(), np.stack(expected))


def test_normalisation_agrees_with_the_export_bit_for_bit() -> None:
    preprocess = Preprocess(3, 4, 4, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = torch.randint(256, (2, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalised = Normalise(preprocess)(images)
    assert torch.equal(normalised, ImageNetwork(nn.Identity(), preprocess)(images))
    by_hand = (images[1, 2, 3, 0].item() / 255 - 0.485) / 0.229
    assert normalised[1, 0, 2, 3].item() == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_one_line_that_names_it(tmp_path: Path, workers: int) -> None:
    for name in ("a", "b"):
        for part in ("train", "val"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "0.png").write_bytes(b"not a PNG")
    data = load_data(TrainConfig(data=f"imagefolder:{tmp_path}", image_size=8))
    for batches in (
        TrainingBatches(data, 1, seed=0, workers=workers, pin=False).epoch(0),
        iter(EvaluationBatches(data.val, data.preprocess, 1, workers=workers, pin=False)),
    ):
        with pytest.raises(ImageError) as caught:
            next(batches)
        assert str(caught.value).startswith(f"{tmp_path}/")
        assert str(caught.value).endswith("/0.png: not a JPEG, PNG or WebP image")
        assert "\n" not in str(caught.value)


def killed(image: Image.Image) -> Image.Image:
    os.kill(os.getpid(), signal.SIGKILL)
    return image


def slow(image: Image.Image) -> Image.Image:
    time.sleep(0.01)
    return image


def test_a_worker_that_dies_is_one_line(data: ImageData) -> None:
    batches = TrainingBatches(replace(data, augment=killed), 16, seed=0, workers=1, pin=False).epoch(0)
    with pytest.raises(RgpError, match=r"^one of 1 workers died: DataLoader worker .*: if memory ran out, set fewer"):
        next(batches)


def test_a_stop_that_reaches_the_workers_too_does_not_end_the_epoch(data: ImageData) -> None:
    batches = TrainingBatches(replace(data, augment=slow), 4, seed=0, workers=1, pin=False)
    epoch = batches.epoch(0)
    next(epoch)
    workers = multiprocessing.active_children()
    assert workers
    for number in (signal.SIGINT, signal.SIGTERM):
        for worker in workers:
            assert worker.pid
            os.kill(worker.pid, number)
    assert len(list(epoch)) == len(batches) - 1
