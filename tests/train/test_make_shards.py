"""`rgp-train shards`: what is read from the shards is what was in the folder, byte for byte."""

import json
from pathlib import Path

import pytest

from rgp.errors import UsageError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.folders import ImageFiles
from rgp.train.make_shards import run
from rgp.train.shards import Shards
from tests.train.painted import paint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 7), ("val", 2)):
        for number in range(count):
            paint(tmp_path / "images" / part / "red" / f"{number}.png", (200 + number, 0, 0), size=(9, 8))
            paint(tmp_path / "images" / part / "blue" / f"{number}.v2.JPEG", (0, 0, 150 + 10 * number))
    return tmp_path / "images"


def test_shards_hold_the_files_of_the_folder_with_their_classes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shards"
    run([f"imagefolder:{folder}", str(out), "--shard-size", "5"])
    assert capsys.readouterr().out == f"{out}: 14 + 4 images in 4 shards\n"
    listed = json.loads((out / "dataset.json").read_text())
    assert listed["train"] == {"train-000000.tar": 5, "train-000001.tar": 5, "train-000002.tar": 4}
    files = load_data(TrainConfig(data=f"imagefolder:{folder}", image_size=8))
    shards = load_data(TrainConfig(data=f"webdataset:{out}", image_size=8))
    assert shards.labels == files.labels == ("blue", "red")
    assert shards.preprocess == files.preprocess
    for mine, theirs in ((files.train, shards.train), (files.val, shards.val)):
        assert isinstance(mine, ImageFiles)
        assert isinstance(theirs, Shards)
        read = [(sample.image, sample.label) for sample in theirs.read(0, len(theirs))]
        originals = [(path.read_bytes(), label) for path, label in map(mine.file, range(len(mine)))]
        assert sorted(read) == sorted(originals)
        assert read != originals  # the classes are mixed


def test_the_same_folder_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run([f"imagefolder:{folder}", str(tmp_path / name)])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_only_files_become_shards(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data is 'digits': shards are made of files: give an imagenet:"):
        run(["digits", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        run([f"imagefolder:{folder}", str(folder)])


def test_a_shard_holds_at_least_an_image(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shard-size is 0: give a number from 1"):
        run([f"imagefolder:{folder}", str(tmp_path / "out"), "--shard-size", "0"])
