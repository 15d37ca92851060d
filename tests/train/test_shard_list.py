"""dataset.json: braces, places, and what is said when it is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from rgp.errors import DataError
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.shard_list import webdataset
from rgp.train.shards import Shards

GOOD: dict[str, Any] = {"labels": ["cat", "dog"], "train": {"t.tar": 3}, "val": {"v.tar": 2}}


def write(folder: Path, **changes: Any) -> str:
    (folder / "dataset.json").write_text(json.dumps(GOOD | changes))
    return str(folder)


def test_braces_stand_for_several_shards_of_so_many_images_each(tmp_path: Path) -> None:
    data = webdataset(write(tmp_path, train={"t-{08..11}.tar": 100, "rest/t-{a,b}.tar": 7}), size=224)
    assert isinstance(data.train, Shards)
    assert data.train.names == tuple(
        f"{tmp_path}/{name}.tar" for name in ("t-08", "t-09", "t-10", "t-11", "rest/t-a", "rest/t-b")
    )
    assert data.train.counts == (100, 100, 100, 100, 7, 7)
    assert (len(data.train), len(data.val), data.labels) == (414, 2, ("cat", "dog"))
    assert (data.preprocess.size, data.preprocess.resize) == (224, 256)


def test_it_is_a_data_set_like_any_other(tmp_path: Path) -> None:
    data = load_data(TrainConfig(data=f"webdataset:{write(tmp_path)}", image_size=32))
    assert data.preprocess.size == 32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": None}, "'labels' is None: expected a list of two names or more"),
        ({"labels": ["cat"]}, "'labels' is ['cat']: expected a list of two names or more"),
        ({"labels": ["cat", 1]}, "'labels' is ['cat', 1]"),
        ({"labels": ["cat", "cat"]}, "'labels' has 'cat' twice"),
        ({"train": {}}, "'train' is {}: expected shards with their numbers of images"),
        ({"train": ["t.tar"]}, "'train' is ['t.tar']: expected shards"),
        ({"val": None}, "'val' is None"),
        ({"train": {"t.tar": 0}}, "'t.tar' has 0 images: expected a number from 1"),
        ({"train": {"t.tar": True}}, "'t.tar' has True images"),
        ({"train": {"t.tar": "3"}}, "'t.tar' has '3' images"),
        ({"train": {"t-{0..3.tar": 3}}, "'t-{0..3.tar': a brace has no partner"),
        ({"train": {"pipe:cat x.tar": 3}}, "pipe:cat x.tar: 'pipe:' is not read: give a path, or an http or https"),
    ],
)
def test_a_wrong_list_is_named_with_what_is_wrong(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        webdataset(write(tmp_path, **changes), size=8)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a JSON file: Expecting"),
        ("[]", "expected an object with labels, train and val"),
        ("\xff", "not a JSON"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"/dataset.json: {said}"):
        webdataset(str(tmp_path), size=8)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"/dataset.json: No such file or directory: shards need this list, docs/data.md"
    ):
        webdataset(str(tmp_path), size=8)


def test_no_command_is_run_to_find_a_list() -> None:
    with pytest.raises(DataError, match=r"^pipe:touch x/dataset.json: 'pipe:' is not read"):
        webdataset("pipe:touch x", size=8)
