"""The images that a bundle ships with: spread evenly, named plainly, no more than asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from rgp.compile.images import MAX_SAMPLE_BYTES, samples
from rgp.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(10):
        path = tmp_path / f"{number % 2}" / f"a cat (no. {number}).png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "0" / "huge.png").write_bytes(bytes(MAX_SAMPLE_BYTES + 1))
    Image.new("RGB", (8, 8)).save(tmp_path / "wrong.png", "JPEG")
    return tmp_path


def test_samples_are_spread_and_their_names_fit_a_bundle(folder: Path) -> None:
    found = samples(folder, 3)
    assert list(found) == ["sample-1-a-cat-no-0.png", "sample-2-a-cat-no-1.png", "sample-3-wrong.jpg"]
    assert all(re.fullmatch(r"\w[\w.-]*", name, re.ASCII) for name in found)
    assert found["sample-1-a-cat-no-0.png"] == (folder / "0" / "a cat (no. 0).png").read_bytes()
    assert samples(folder, 0) == {}
    assert len(samples(folder, 11)) == 11


def test_more_than_there_are_is_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match=r"--samples 12: .* has 11 images of at most 1 MiB: ask for fewer"):
        samples(folder, 12)
