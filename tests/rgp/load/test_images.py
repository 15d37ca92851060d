"""What a load test sends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from rgp.errors import UsageError
from rgp.load.images import SIZE, from_folder, photographs


def test_the_made_images_are_jpegs_of_imagenets_size_that_compress_like_photographs() -> None:
    made = photographs(seed=0, count=3)
    assert len({body for body, _ in made}) == 3
    for body, kind in made:
        image = Image.open(io.BytesIO(body))
        assert (image.format, image.size, kind) == ("JPEG", SIZE, "image/jpeg")
        assert 30_000 <= len(body) <= 60_000
    assert photographs(seed=0, count=3) == made
    assert photographs(seed=1, count=1) != made[:1]


def test_a_folders_images_are_found_below_it_and_other_files_left(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.JPG", "below/b.png", "c.webp", "d.jpeg", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert sorted(from_folder(tmp_path, seed=0)) == [
        (b"a.JPG", "image/jpeg"),
        (b"below/b.png", "image/png"),
        (b"c.webp", "image/webp"),
        (b"d.jpeg", "image/jpeg"),
    ]
    with pytest.raises(UsageError, match="no such folder"):
        from_folder(tmp_path / "none", seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no image in it"):
        from_folder(tmp_path / "empty", seed=0)
