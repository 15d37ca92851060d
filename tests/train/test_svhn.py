"""SVHN in its MATLAB files."""

from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import SVHN

from rgp.errors import DataError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data

PIXELS = np.arange(32 * 32 * 3 * 4).reshape(32, 32, 3, 4).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both files with four images; torchvision's checksums are those of these files."""
    splits = {}
    for part in ("train", "test"):
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": PIXELS, "y": np.array([[1], [10], [9], [2]], np.uint8)})
        splits[part] = ["", path.name, md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", splits)
    return tmp_path


def test_a_local_copy_is_read_and_its_zero_is_class_0(folder: Path) -> None:
    data = load_data(TrainConfig(data=f"svhn:{folder}"))
    assert [data.train[index][1] for index in range(4)] == [1, 0, 9, 2]
    assert data.labels[0] == "0"
    np.testing.assert_array_equal(data.preprocess(data.val[3][0]), PIXELS[..., 3])


def test_nothing_is_augmented(folder: Path) -> None:
    data = load_data(TrainConfig(data=f"svhn:{folder}"))
    np.testing.assert_array_equal(np.asarray(data.augment(data.train[2][0])), PIXELS[..., 2])


def test_a_missing_copy_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"train_32x32\.mat or test_32x32\.mat is not there, or damaged: give their folder"
    ):
        load_data(TrainConfig(data=f"svhn:{tmp_path}"))


def test_a_damaged_copy_is_refused(folder: Path) -> None:
    (folder / "test_32x32.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataError, match="is not there, or damaged"):
        load_data(TrainConfig(data=f"svhn:{folder}"))
