"""Streams of shards: one order for any number of readers, each image once, and a quick way into the middle."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.Image import Image

from rgp.errors import DataError
from rgp.train.augment import with_randaugment
from rgp.train.batches import WHOLE, EvaluationBatches, Part, TrainingBatches
from rgp.train.dataset import ImageData
from rgp.train.shard_list import webdataset
from rgp.train.shards import Sample, Shards
from rgp.train.streams import lanes_of
from tests.train.painted import write_shards

Batches = list[tuple[list[int], list[int]]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    """150 + 37 images, not augmented: each shows its number."""
    folder = write_shards(tmp_path_factory.mktemp("shards"), [20, 1, 35, 19, 45, 30], [20, 2, 15])
    return plain(webdataset(str(folder), size=8))


def plain(data: ImageData) -> ImageData:
    return ImageData(data.train, data.val, data.labels, data.preprocess, augment=lambda image: image)


def shown(images: torch.Tensor) -> list[int]:
    return [int(image[0, 0, 0]) + 256 * int(image[0, 0, 1]) for image in images]


def epoch(
    data: ImageData,
    number: int = 0,
    *,
    batch: int = 32,
    seed: int = 0,
    workers: int = 0,
    part: Part = WHOLE,
    skip: int = 0,
) -> Batches:
    batches = TrainingBatches(data, batch, seed, workers, pin=False, part=part)
    return [(shown(images), classes.tolist()) for images, classes in batches.epoch(number, skip)]


def test_an_epoch_takes_each_image_once_but_what_whole_batches_leave_over(data: ImageData) -> None:
    batches = epoch(data)
    numbers = [number for images, _ in batches for number in images]
    assert [len(images) for images, _ in batches] == [32] * 4  # of 144: 150 less what 8 lanes leave over
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) <= set(range(150))
    assert all(classes == [number % 3 for number in images] for images, classes in batches)


def test_epochs_and_seeds_have_other_orders_and_leave_other_images_over(data: ImageData) -> None:
    orders = [epoch(data), epoch(data, 1), epoch(data, seed=1)]
    numbers = [[number for images, _ in order for number in images] for order in orders]
    assert numbers[0] != numbers[1] != numbers[2] != numbers[0]
    assert len({frozenset(some) for some in numbers}) == 3


def test_the_order_within_a_lane_is_random_too(data: ImageData) -> None:
    numbers = [number for images, _ in epoch(data) for number in images]
    steps = [after - before for before, after in zip(numbers[::8], numbers[8::8], strict=False)]
    assert steps.count(1) < len(steps) / 4


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
def test_an_epoch_is_the_same_with_workers(data: ImageData, workers: int) -> None:
    augmented = with_randaugment(data, 9)
    for number in (0, 1):
        assert epoch(augmented, number, workers=workers) == epoch(augmented, number)


def test_a_batch_smaller_than_the_workers_comes_all_the_same(data: ImageData) -> None:
    assert epoch(data, batch=1, workers=2) == epoch(data, batch=1)


@settings(max_examples=10, deadline=None)
@given(share=st.integers(1, 20), count=st.sampled_from([1, 2, 4, 8]), drawn=st.data())
def test_processes_divide_each_batch_of_one_process_among_them(
    data: ImageData, share: int, count: int, drawn: st.DataObject
) -> None:
    whole = epoch(data, 2, batch=share * count)
    skip = drawn.draw(st.integers(0, len(whole)))
    parts = [epoch(data, 2, batch=share * count, part=Part(i, count), skip=skip) for i in range(count)]
    for shares, (images, classes) in zip(zip(*parts, strict=True), whole[skip:], strict=True):
        for index, mine in enumerate(shares):
            assert mine == (images[index::count], classes[index::count])


def test_a_number_of_processes_that_divides_no_lanes_has_an_order_of_its_own_and_says_so(data: ImageData) -> None:
    parts = [TrainingBatches(data, 33, 0, 0, pin=False, part=Part(i, 3)) for i in range(3)]
    assert [part.order for part in parts] == [{"images": 150, "batch": 33, "lanes": 9}] * 3
    numbers = [number for part in parts for images, _ in part.epoch(0) for number in shown(images)]
    assert len(numbers) == len(set(numbers)) == 33 * 4


def test_fewer_images_than_a_batch_are_one_batch(data: ImageData) -> None:
    assert [len(images) for images, _ in epoch(data, batch=1000)] == [144]


def test_fewer_images_than_lanes_are_refused(tmp_path: Path) -> None:
    few = webdataset(str(write_shards(tmp_path, [5], [2])), size=8)
    with pytest.raises(DataError, match="the training part has 5 images: give at least 8"):
        TrainingBatches(few, 4, 0, 0, pin=False)


def test_skipping_reads_only_what_is_still_to_come(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = Shards._checked

    def noted(self: Shards, sample: dict[str, Any]) -> Sample:
        read.append(sample)
        return original(self, sample)

    monkeypatch.setattr(Shards, "_checked", noted)
    epoch(data)
    all_of_them = len(read)
    read.clear()
    monkeypatch.setattr("rgp.train.streams.WINDOW", 8)  # else all of them are within it
    whole = epoch(data, batch=8)
    read.clear()
    assert epoch(data, batch=8, skip=16) == whole[16:]
    assert len(read) < all_of_them / 5


def test_an_augmentation_has_a_seed_of_its_own_for_each_image_and_epoch(data: ImageData) -> None:
    def drawn(image: Image) -> Image:
        image.paste((0, 0, int(torch.randint(256, ()))), (0, 0, 8, 8))
        return image

    random = ImageData(data.train, data.val, data.labels, data.preprocess, augment=drawn)
    first, again, other = (
        [int(image[0, 0, 2]) for images, _ in TrainingBatches(random, 32, 0, 0, pin=False).epoch(n) for image in images]
        for n in (0, 0, 1)
    )
    assert first == again != other
    assert len(set(first)) > 64


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_in_evaluation_each_image_is_seen_once(data: ImageData, workers: int, count: int) -> None:
    parts = [EvaluationBatches(data.val, data.preprocess, 4, workers, False, Part(i, count)) for i in range(count)]
    for _ in range(2):  # as often as it is asked
        seen = [(shown(images), classes.tolist()) for part in parts for images, classes in part]
        assert sorted(number for images, _ in seen for number in images) == list(range(37))
        assert all(classes == [number % 3 for number in images] for images, classes in seen)


@pytest.mark.parametrize(
    ("shards", "count", "lanes"),
    [(1, 1, 8), (63, 1, 8), (64, 1, 16), (147, 1, 32), (5000, 1, 64), (5000, 48, 96), (1, 3, 9)],
)
def test_lanes_grow_with_the_shards_and_are_a_multiple_of_the_processes(shards: int, count: int, lanes: int) -> None:
    assert lanes_of(Shards(["x"] * shards, [1] * shards, 2), count) == lanes
