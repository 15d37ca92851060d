"""ImageNet in its usual folders, with the names of its classes."""

from pathlib import Path

import pytest

from rgp.errors import DataError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.imagenet import class_names
from tests.train.painted import paint


def tree(folder: Path, *wnids: str) -> Path:
    for part, count in (("train", 2), ("val", 1)):
        for wnid in wnids:
            for number in range(count):
                paint(folder / part / wnid / f"{wnid}_{number}.JPEG", (200, 0, number))
    return folder


def test_the_thousand_classes_have_a_thousand_names_in_the_order_of_their_wnids() -> None:
    names = class_names()
    assert len(names) == len(set(names.values())) == 1000
    assert list(names) == sorted(names)
    assert next(iter(names.items())) == ("n01440764", "tench")
    assert list(names.items())[-1] == ("n15075141", "toilet tissue")
    assert [name for name in names.values() if name.startswith(("crane", "maillot"))] == [
        "crane (bird)",
        "crane (machine)",
        "maillot (tights)",
        "maillot (swimsuit)",
    ]


def test_some_of_the_classes_are_enough_and_keep_their_order(tmp_path: Path) -> None:
    data = load_data(TrainConfig(data=f"imagenet:{tree(tmp_path, 'n03126707', 'n01443537', 'n02012849')}"))
    assert data.labels == ("goldfish", "crane (bird)", "crane (machine)")
    assert [data.train[index][1] for index in range(6)] == [0, 0, 1, 1, 2, 2]
    assert (data.preprocess.size, data.preprocess.resize) == (224, 256)


def test_a_folder_imagenet_within_is_taken_as_the_published_code_does(tmp_path: Path) -> None:
    tree(tmp_path / "imagenet", "n01440764", "n01443537")
    data = load_data(TrainConfig(data=f"imagenet:{tmp_path}", image_size=8))
    assert data.labels == ("tench", "goldfish")


def test_another_folder_of_images_says_what_to_write(tmp_path: Path) -> None:
    tree(tmp_path, "n01440764", "cats")
    with pytest.raises(DataError) as caught:
        load_data(TrainConfig(data=f"imagenet:{tmp_path}"))
    assert str(caught.value) == (
        f"{tmp_path}/train/cats: not one of ImageNet's thousand wnids, such as n01440764: for other images write "
        f"imagefolder:{tmp_path}"
    )


def test_a_missing_folder_is_named_with_the_expected_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/train: no such folder: expected .*/\{train,val\}/<class>/"):
        load_data(TrainConfig(data=f"imagenet:{tmp_path}"))
