"""The glyphs data set: made from matplotlib's fonts, which are always there, and read again."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from rgp.errors import DataError, UsageError
from rgp.train import glyphs_make
from rgp.train.augment import Augmenter
from rgp.train.dataset import GreyImages
from rgp.train.glyphs import FILE, PARTS, glyphs
from rgp.train.glyphs_fonts import (
    ALIKE,
    CHARACTERS,
    RECOGNISED,
    Face,
    _drop,
    apart,
    face,
    families,
    found,
    recognised,
    shaped,
)

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("glyphs") / "set"
    glyphs_make.make(out, [FONTS], side=16, per_family=2)
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def rendered(name: str, side: int = 32) -> Face:
    made = face(FONTS / name, name, side)
    assert isinstance(made, Face), made
    return made


def about(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((path / FILE).read_text())
    return said


def test_it_is_a_data_set_of_62_classes_with_grey_images(made: Path) -> None:
    data = glyphs(made)
    assert data.labels == tuple(CHARACTERS)
    assert len(data.labels) == 62
    image, label = data.train[len(data.train) - 1]
    assert (image.mode, image.size) == ("L", (16, 16))
    assert 0 <= label < 62
    assert data.preprocess(image).shape == (16, 16, 1)


def test_the_test_families_are_held_out_apart(made: Path) -> None:
    said = about(made)
    assert len(glyphs(made).val) == said["parts"]["val"]["images"]
    assert len(glyphs(made, "test").val) == said["parts"]["test"]["images"]


def test_no_font_family_and_no_picture_is_in_two_parts(made: Path) -> None:
    by_family: dict[str, set[str]] = {}
    for font in about(made)["fonts"]:
        by_family.setdefault(font["family"], set()).add(font["part"])
    assert all(len(parts) == 1 for parts in by_family.values())
    assert set.union(*by_family.values()) == set(PARTS)
    pictures = [
        {picture.tobytes() for picture in part.pixels}
        for part in (glyphs(made).train, glyphs(made).val, glyphs(made, "test").val)
        if isinstance(part, GreyImages)
    ]
    assert len(pictures) == 3
    assert not pictures[0] & pictures[1]
    assert not pictures[0] & pictures[2]


def test_making_it_again_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    glyphs_make.make(tmp_path / "again", [FONTS], side=16, per_family=2)
    files = sorted(path.name for path in made.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in files:
        assert (made / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_the_list_has_checksums_of_fonts_and_arrays(made: Path) -> None:
    said = about(made)
    font = said["fonts"][0]
    assert font["sha256"] == hashlib.sha256((FONTS / font["file"]).read_bytes()).hexdigest()
    pixels = (made / "train-pixels.npy").read_bytes()
    assert said["parts"]["train"]["sha256"]["pixels"] == hashlib.sha256(pixels).hexdigest()
    with Image.open(made / "contact.png") as sheet:
        assert sheet.size[0] == 62 * 16


def test_symbol_fonts_are_left_out(made: Path) -> None:
    kept = {font["file"] for font in about(made)["fonts"]}
    reasons = {file for files in about(made)["left_out"].values() for file in files}
    assert {"cmex10.ttf", "cmsy10.ttf"} <= reasons
    assert not kept & reasons


def test_a_text_face_keeps_all_characters_and_o_differs_from_capital_o_in_size() -> None:
    faces = rendered("DejaVuSans.ttf")
    assert faces.dropped == ""
    small, large = (faces.pictures[CHARACTERS.index(letter)] for letter in "oO")
    assert small.any(axis=1).sum() < large.any(axis=1).sum()
    assert apart(*shaped(np.stack([small, large]))) < ALIKE


def test_bold_and_italic_are_of_one_family_and_a_renamed_copy_too() -> None:
    faces = [rendered(name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "cmr10.ttf", "DejaVuSerif.ttf")]
    renamed = rendered("cmr10.ttf")
    renamed.name = "Another Name"
    assert len(set(families(faces))) == 2
    same = families([*faces, renamed])
    assert same[2] == same[4]


def test_capitals_drawn_twice_are_dropped_once() -> None:
    faces = rendered("DejaVuSans.ttf")
    pictures = faces.pictures.copy()
    pictures[36:] = pictures[10:36]
    assert _drop(pictures) == CHARACTERS[36:]
    small = np.stack([np.asarray(Image.fromarray(each).resize((24, 24))) for each in pictures[10:36]])
    pictures[36:] = np.pad(small, ((0, 0), (8, 0), (4, 4)))
    assert _drop(pictures) == CHARACTERS[36:]


def test_letters_in_disorder_are_not_recognised() -> None:
    faces = [rendered(name) for name in ("DejaVuSans.ttf", "DejaVuSerif.ttf", "cmr10.ttf", "DejaVuSansMono.ttf")]
    turned = rendered("DejaVuSans-Bold.ttf")
    turned.pictures = np.roll(turned.pictures, 5, axis=0)
    shares = recognised([*faces, turned])
    assert shares[:4].min() > 0.8
    assert shares[4] < RECOGNISED


@pytest.mark.parametrize("length", [0, 3, 12, 1000, 100_000])
def test_a_truncated_font_is_left_out_with_a_reason(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.ttf"
    path.write_bytes((FONTS / "DejaVuSans.ttf").read_bytes()[:length])
    made = face(path, path.name, 16)
    assert isinstance(made, str)
    assert "\n" not in made


def test_a_font_with_scrambled_bytes_never_stops_the_rest(tmp_path: Path) -> None:
    random, whole = np.random.default_rng(0), np.fromfile(FONTS / "cmr10.ttf", np.uint8)
    for number in range(20):
        broken = whole.copy()
        broken[random.integers(len(broken), size=40)] = random.integers(256, size=40)
        broken.tofile(tmp_path / f"{number}.ttf")
        assert isinstance(face(tmp_path / f"{number}.ttf", "x.ttf", 16), str | Face)


def test_a_file_too_large_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "large.ttf").open("wb") as file:
        file.truncate((32 << 20) + 1)
    assert face(tmp_path / "large.ttf", "large.ttf", 16) == "larger than 32 MiB"


def test_links_and_other_files_are_not_fonts(tmp_path: Path) -> None:
    (tmp_path / "link.ttf").symlink_to(FONTS / "cmr10.ttf")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "readme.txt").write_text("no font")
    assert found([tmp_path]) == []


def test_too_few_fonts_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.otf or \.ttf file there"):
        glyphs_make.make(tmp_path / "out", [tmp_path])
    shutil.copy(FONTS / "cmr10.ttf", tmp_path)
    with pytest.raises(DataError, match="1 font families can be used"):
        glyphs_make.make(tmp_path / "out", [tmp_path], side=16)


@pytest.mark.parametrize("words", [["--side", "8"], ["--per-family", "0"], ["--jobs", "0"]])
def test_a_number_out_of_range_is_a_usage_error(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UsageError, match=words[0].removeprefix("--")):
        glyphs_make.run([str(tmp_path / "out"), *words])


def test_a_folder_in_use_is_not_overwritten(copy: Path) -> None:
    with pytest.raises(UsageError, match="not an empty folder"):
        glyphs_make.run([str(copy)])


@pytest.mark.parametrize("name", ["train-pixels.npy", "val-labels.npy"])
def test_an_array_that_was_changed_is_refused_by_name(copy: Path, name: str) -> None:
    whole = bytearray((copy / name).read_bytes())
    whole[-1] ^= 1
    (copy / name).write_bytes(whole)
    with pytest.raises(DataError, match=name):
        glyphs(copy)
    (copy / name).unlink()
    with pytest.raises(DataError, match=name):
        glyphs(copy)


@pytest.mark.parametrize("text", ["", "[]", '{"form": 2}', '{"form": 1}', '{"form": 1, "side": "x", "mean": 0}'])
def test_a_list_of_another_form_is_refused(copy: Path, text: str) -> None:
    (copy / FILE).write_text(text)
    with pytest.raises(DataError, match=FILE):
        glyphs(copy)


def test_a_folder_without_a_list_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rgp-train glyphs"):
        glyphs(tmp_path)


def test_augmentation_is_decided_by_the_seed(made: Path) -> None:
    data = glyphs(made)
    image, _ = data.train[0]
    one, again, other = (Augmenter(data)(image, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()
