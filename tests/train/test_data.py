"""Data sets: the fixed split of the digits, folders of images, and what is said when one is not there."""

import pickle
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import datasets

from rgp.errors import DataError, ImageError, UsageError
from rgp.train.batches import TrainingBatches
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.dataset import ImageData
from rgp.train.digits import digits, held_out_images
from tests.train.painted import paint, write_shards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for number in range(3):
            paint(tmp_path / part / "red" / f"{number}.png", (250, 10 * number, 0))
            paint(tmp_path / part / "blue" / f"{number}.JPEG", (0, 10 * number, 250))
    return tmp_path


def open_folder(path: Path, size: int = 24) -> ImageData:
    return load_data(TrainConfig(data=f"imagefolder:{path}", image_size=size))


class TestDigits:
    def test_the_two_parts_are_disjoint_and_together_all_scans(self) -> None:
        data = digits()
        assert (len(data.train), len(data.val)) == (1433, 364)
        pixels = np.round(load_digits().images * 255 / 16).astype(np.uint8)
        parts = [np.asarray(part[index][0]) for part in (data.train, data.val) for index in range(len(part))]
        assert sorted(part.tobytes() for part in parts) == sorted(scan.tobytes() for scan in pixels)

    def test_every_fifth_scan_of_each_class_is_held_out(self) -> None:
        data, whole = digits(), load_digits()
        threes = whole.images[whole.target == 3]
        held_out = [np.asarray(data.val[i][0]) for i in range(len(data.val)) if data.val[i][1] == 3]
        assert len(held_out) == -(-len(threes) // 5)
        for scan, original in zip(held_out, threes[::5], strict=True):
            np.testing.assert_array_equal(scan, np.round(original * 255 / 16))

    def test_the_split_knows_no_seed(self) -> None:
        one, two = (load_data(TrainConfig(seed=seed)) for seed in (0, 1))
        assert [one.val[i][0].tobytes() for i in range(9)] == [two.val[i][0].tobytes() for i in range(9)]

    def test_the_network_sees_bytes_at_twice_the_size(self) -> None:
        data = digits()
        pixels = data.preprocess(data.val[0][0])
        assert (pixels.shape, str(pixels.dtype)) == ((16, 16, 1), "uint8")
        assert data.augment(data.train[0][0]).size == (16, 16)

    @pytest.mark.parametrize("size", [8, 33, 224])
    def test_the_network_sees_the_size_that_is_asked_for(self, size: int) -> None:
        data = load_data(TrainConfig(data=f"digits:{size}"))
        assert data.preprocess(data.val[0][0]).shape == (size, size, 1)
        assert data.augment(data.train[0][0]).size == (size, size)

    def test_held_out_images_are_small_grey_scans_with_their_labels(self) -> None:
        images = held_out_images(15)
        assert len(images) == 15
        assert {(image.mode, image.size) for image, _ in images} == {("L", (8, 8))}
        assert [label for _, label in images] == [digits().labels[digits().val[index][1]] for index in range(15)]
        assert len(held_out_images(10_000)) == 364


class TestFolders:
    def test_classes_are_folders_in_order_of_their_names(self, folder: Path) -> None:
        data = open_folder(folder)
        assert data.labels == ("blue", "red")
        assert (len(data.train), len(data.val)) == (6, 6)
        image, label = data.val[0]
        assert (label, image.mode, image.size) == (0, "RGB", (40, 30))

    def test_evaluation_crops_the_middle_of_the_image_and_training_a_part_of_it(self, folder: Path) -> None:
        data = open_folder(folder, size=224)
        assert (data.preprocess.size, data.preprocess.resize) == (224, 256)
        assert data.preprocess(data.val[0][0]).shape == (224, 224, 3)
        assert data.augment(data.train[0][0]).size == (224, 224)

    def test_an_image_is_turned_upright_as_the_service_does(self, folder: Path) -> None:
        image = Image.new("RGB", (40, 30))
        exif = image.getexif()
        exif[0x0112] = 6  # turned by a quarter
        image.save(folder / "val" / "blue" / "0.JPEG", exif=exif)
        assert open_folder(folder).val[0][0].size == (30, 40)

    def test_a_broken_image_is_named(self, folder: Path) -> None:
        broken = folder / "val" / "blue" / "1.JPEG"
        broken.write_bytes(broken.read_bytes()[:200])
        with pytest.raises(ImageError, match=r"blue/1\.JPEG: "):
            open_folder(folder).val[1]

    def test_a_missing_folder_is_named_with_the_expected_layout(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            open_folder(tmp_path / "absent")
        assert str(caught.value) == (
            f"{tmp_path}/absent/train: no such folder: expected {tmp_path}/absent/"
            "{train,val}/<class>/*.{jpg,jpeg,png,webp}"
        )

    def test_a_folder_without_classes_is_refused(self, tmp_path: Path) -> None:
        paint(tmp_path / "train" / "loose.png", (1, 2, 3))
        with pytest.raises(DataError, match=r"/train: no class has a folder in it: expected .*<class>"):
            open_folder(tmp_path)

    def test_a_class_without_images_is_named(self, folder: Path) -> None:
        (folder / "val" / "green").mkdir()
        (folder / "val" / "green" / "notes.txt").write_text("none")
        with pytest.raises(DataError, match="/val: Found no valid file for the classes green"):
            open_folder(folder)

    def test_a_single_class_is_nothing_to_learn(self, tmp_path: Path) -> None:
        paint(tmp_path / "train" / "red" / "0.png", (1, 2, 3))
        with pytest.raises(DataError, match="only one class, 'red'"):
            open_folder(tmp_path)

    def test_both_parts_must_have_the_same_classes(self, folder: Path) -> None:
        paint(folder / "train" / "green" / "0.png", (0, 200, 0))
        with pytest.raises(DataError, match="differ in their classes: only one has green"):
            open_folder(folder)


class TestCifar:
    @pytest.fixture
    def copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """CIFAR-10's python form with 3 images a batch; torchvision's checksums are those of these files."""
        base = tmp_path / "cifar-10-batches-py"
        base.mkdir()

        def write(name: str, values: dict[str, object]) -> list[str]:
            (base / name).write_bytes(pickle.dumps(values))
            return [name, md5((base / name).read_bytes()).hexdigest()]

        pixels = np.arange(3 * 3072, dtype=np.int64).reshape(3, 3072).astype(np.uint8)
        batch = {"data": pixels, "labels": [0, 1, 9]}
        names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        monkeypatch.setattr(datasets.CIFAR10, "train_list", [write("data_batch_1", batch)])
        monkeypatch.setattr(datasets.CIFAR10, "test_list", [write("test_batch", batch)])
        meta = write("batches.meta", {"label_names": names})
        meta_entry = {"filename": meta[0], "key": "label_names", "md5": meta[1]}
        monkeypatch.setattr(datasets.CIFAR10, "meta", meta_entry)
        return tmp_path

    def test_a_local_copy_is_read(self, copy: Path) -> None:
        data = load_data(TrainConfig(data=f"cifar10:{copy}"))
        assert (len(data.train), len(data.val), data.labels[9]) == (3, 3, "truck")
        image, label = data.val[2]
        assert label == 9
        np.testing.assert_array_equal(data.preprocess(image), np.asarray(image))  # nothing is resized
        assert data.augment(image).size == (32, 32)

    @pytest.mark.parametrize("name", ["cifar10", "cifar100"])
    def test_a_missing_copy_says_what_to_do(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=f"{name} is not there, or damaged: give its folder, or set download"):
            load_data(TrainConfig(data=f"{name}:{tmp_path}"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("digit", "unknown data set 'digit': did you mean 'digits'?"),
        ("cifar:x", "unknown data set 'cifar': did you mean 'cifar10'?"),
        ("imagefolder", "data is 'imagefolder': say where it lies or how much of it, as in 'imagefolder:data/imagef"),
        ("cifar10:", "data is 'cifar10:': say where it lies"),
        ("webdataset", "data is 'webdataset': say where it lies or how much of it, as in 'webdataset:data/shards'"),
        ("synthetic", "data is 'synthetic': say where it lies or how much of it, as in 'synthetic:10x512'"),
        ("digits:", "data is 'digits:': say where it lies or how much of it, as in 'digits:64'"),
        ("digits:here", "data is 'digits:here': give a side in pixels from 8 to 3584, as in digits:32"),
        ("digits:7", "data is 'digits:7': give a side in pixels from 8 to 3584"),
        ("digits:3585", "data is 'digits:3585': give a side in pixels from 8 to 3584"),
    ],
)
def test_a_wrong_data_set_says_what_to_write(data: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_data(TrainConfig(data=data))
    assert str(caught.value).startswith(said)


@pytest.fixture
def every_data_set(configured: Callable[..., TrainConfig], folder: Path) -> list[ImageData]:
    write_shards(folder / "shards", [8, 9], [3])
    named = ["digits:24", "synthetic:3x17", f"imagefolder:{folder}", f"webdataset:{folder / 'shards'}"]
    return [load_data(configured()), *(load_data(TrainConfig(data=name, image_size=16)) for name in named)]


def test_every_data_set_gives_what_the_network_expects(every_data_set: list[ImageData]) -> None:
    for data in every_data_set:
        preprocess = data.preprocess
        image, label = data.train[0]
        augmented = data.augment(image.convert("L" if preprocess.channels == 1 else "RGB"))
        assert augmented.size == (preprocess.size, preprocess.size)
        assert 0 <= label < len(data.labels)


def test_every_data_set_gives_the_same_epochs_with_workers(every_data_set: list[ImageData]) -> None:
    for data in every_data_set:
        alone, helped = (TrainingBatches(data, 64, 0, workers, pin=False) for workers in (0, 2))
        for epoch in (0, 1):
            for (images, classes), (theirs, others) in zip(alone.epoch(epoch), helped.epoch(epoch), strict=True):
                assert torch.equal(images, theirs)
                assert torch.equal(classes, others)
