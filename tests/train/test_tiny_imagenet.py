"""Tiny ImageNet as it comes out of its zip file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rgp.errors import DataError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.dataset import ImageData
from tests.train.painted import paint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "tiny-imagenet-200"
    for wnid, red in (("n02", 20), ("n01", 10), ("n03", 30)):
        for number in range(2):
            paint(base / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", (red, 0, 0), (64, 64))
        (base / "train" / wnid / f"{wnid}_boxes.txt").write_text("0\t0\t1\t1\n")
    for number in range(3):
        paint(base / "val" / "images" / f"val_{number}.JPEG", (0, 0, 50 * number), (64, 64))
    (base / "wnids.txt").write_text("n02\nn01\nn03\n")
    (base / "words.txt").write_text("n01\tcrane, bird\nn02\tcrane\nn03\tgoldfish, Carassius auratus\nn04\tcat\n")
    (base / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn03\t0\t32\t44\t62\nval_1.JPEG\tn01\t0\t1\t2\t3\nval_2.JPEG\tn03\t0\t1\t2\t3\n"
    )
    return base


def load(path: Path) -> ImageData:
    return load_data(TrainConfig(data=f"tinyimagenet:{path}"))


@pytest.mark.parametrize("where", [lambda folder: folder, lambda folder: folder.parent])
def test_both_parts_have_the_classes_of_wnids_txt_in_order(folder: Path, where: Callable[[Path], Path]) -> None:
    data = load(where(folder))
    assert data.labels == ("crane (n01)", "crane (n02)", "goldfish")
    assert [data.train[index][1] for index in range(len(data.train))] == [0, 0, 1, 1, 2, 2]
    assert [data.val[index][1] for index in range(len(data.val))] == [2, 0, 2]
    assert data.preprocess(data.val[2][0])[0, 0, 2] == pytest.approx(100, abs=3)
    assert data.augment(data.train[0][0]).size == (64, 64)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("wnids.txt", None, "wnids.txt: no such file: expected tiny-imagenet-200: wnids.txt, words.txt, train"),
        ("wnids.txt", "n01\nn02\n", "/train: its folders are not the classes of wnids.txt: see n03"),
        ("words.txt", None, "words.txt: no such file"),
        ("words.txt", "n01 crane\n", "words.txt: expected lines of 2 columns or more"),
        ("val/val_annotations.txt", None, "val_annotations.txt: no such file"),
        ("val/val_annotations.txt", "", "val_annotations.txt: expected lines of 2 columns or more"),
        ("val/val_annotations.txt", "val_9.JPEG\tn01", "val_annotations.txt: names val_9.JPEG, which is not in"),
        ("val/val_annotations.txt", "val_0.JPEG\tn99", "gives val_0.JPEG the class 'n99', which wnids.txt does not"),
    ],
)
def test_a_file_that_is_missing_or_wrong_is_named(folder: Path, file: str, text: str | None, said: str) -> None:
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    with pytest.raises(DataError) as caught:
        load(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wnids.txt: no such file"):
        load(tmp_path / "absent")
