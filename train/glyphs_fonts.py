"""Fonts for ``rgp.train.glyphs_make``: found, rendered, judged, and put into families that may not be parted.

A font file is read by FreeType, as Pillow has it, and is not trusted: its size is bounded, and so is what its glyphs
may cover before one is drawn. What cannot be used is left out with a reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CHARACTERS = digits + ascii_uppercase + ascii_lowercase
ENDINGS = (".otf", ".ttf")
MAX_BYTES = 32 << 20
REFERENCE = 100
"""The size in pixels at which a font is measured; a glyph of more than ten times that is refused undrawn."""

LEAST = 31
"""Characters that a font must have: half of them. One of capitals and digits alone has 36."""

MISSING = "\uffff"  # no character, so no font has it: what is drawn for it stands for all that are not there
DISTINCT = "abdeghnqrt"  # lower-case letters that are no smaller copies of their capitals
ALIKE = 0.35
"""Two pictures are alike if their squared difference is below this share of the product of their lengths."""

SAME = 0.05
"""The same for all pictures of two fonts: renamed and lightly changed ones (Droid Sans, Noto Sans) lie below.

At 0.08 most text faces would be one family.
"""

RECOGNISED = 0.4
"""Share of a font's characters that must be nearest to the mean of their own class, over all fonts, case aside."""

ROWS = 512  # fonts compared with all others at once

Pictures = NDArray[np.uint8]
"""(62, side, side): white on black, all black where the font has no use for a character."""


@dataclass
class Face:
    """A font that can be used. ``file`` is relative to the folder it was found in; ``dropped`` are characters."""

    file: str
    sha256: str
    name: str
    pictures: Pictures
    dropped: str
    family: str = ""

    @property
    def kept(self) -> NDArray[np.intp]:
        """Indices into CHARACTERS of those it has."""
        return np.flatnonzero(self.pictures.any(axis=(1, 2)))


def found(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """The font files in ``folders`` at any depth and their names relative to them, in order; links are left out."""
    files = (
        (path, path.relative_to(folder).as_posix())
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.is_symlink()
    )
    return sorted(files, key=lambda each: each[1])


def face(path: Path, file: str, side: int) -> Face | str:
    """Render every character in ``side`` squared, or say in a few words why the font cannot be used."""
    if path.stat().st_size > MAX_BYTES:
        return "larger than 32 MiB"
    try:
        pictures = _rendered(path, side)
        family, style = ImageFont.truetype(path, REFERENCE).getname()
    except (OSError, ValueError, MemoryError, SystemError) as error:  # what Pillow makes of FreeType's errors
        return f"unreadable ({' '.join(str(error).split()) or type(error).__name__:.60})"
    if isinstance(pictures, str):
        return pictures
    dropped = _drop(pictures)
    if len(CHARACTERS) - len(dropped) < LEAST:
        return f"fewer than {LEAST} characters"
    name = f"{family or Path(file).stem} {style or ''}".strip()
    return Face(file, hashlib.sha256(path.read_bytes()).hexdigest(), name, pictures, dropped)


def _rendered(path: Path, side: int) -> Pictures | str:
    """All characters of a font at one scale, on one baseline, so that o and O differ in size; each in the middle."""
    measured = ImageFont.truetype(path, REFERENCE, layout_engine=ImageFont.Layout.BASIC)
    boxes = np.array([measured.getbbox(character, anchor="ls") for character in CHARACTERS])
    left, top, right, bottom = boxes.T
    if np.abs(boxes).max() > 10 * REFERENCE:
        return "glyphs far larger than its size"
    height, width = bottom.max() - top.min(), (right - left).max()
    if min(height, width) <= 0:
        return "no outlines"
    inside = side - 2  # a pixel of margin
    scale = min(inside / height, inside / width)
    font = ImageFont.truetype(path, REFERENCE * scale, layout_engine=ImageFont.Layout.BASIC)
    baseline = side / 2 - scale * (bottom.max() + top.min()) / 2
    pictures = []
    for character, middle in zip(CHARACTERS + MISSING, [*((left + right) / 2), None], strict=True):
        if middle is None:
            box = measured.getbbox(MISSING, anchor="ls")
            if max(map(abs, box)) > 10 * REFERENCE:
                return "glyphs far larger than its size"
            middle = (box[0] + box[2]) / 2
        picture = Image.new("L", (side, side))
        ImageDraw.Draw(picture).text((side / 2 - scale * middle, baseline), character, 255, font, anchor="ls")
        pictures.append(np.asarray(picture))
    *real, missing = pictures
    absent = [bool(missing.any()) and np.array_equal(picture, missing) for picture in real]
    return np.stack([np.zeros_like(picture) if gone else picture for picture, gone in zip(real, absent, strict=True)])


def _drop(pictures: Pictures) -> str:
    """Blacken, in place, what would be a wrong or a second label for a picture; the characters that are not there.

    An equal picture of an earlier character, as of a capital in a font that has no others, takes the later one away.
    Where most letters of DISTINCT are small capitals, all lower-case letters go.
    """
    seen: set[bytes] = set()
    for picture in pictures:
        if picture.tobytes() in seen:
            picture[:] = 0
        elif picture.any():
            seen.add(picture.tobytes())
    shapes = shaped(pictures)
    pairs = [(CHARACTERS.index(letter), CHARACTERS.index(letter.upper())) for letter in DISTINCT]
    alike = [apart(shapes[small], shapes[large]) < ALIKE for small, large in pairs if pictures[small].any()]
    if alike and np.mean(alike) > 0.5:
        pictures[CHARACTERS.index("a") :] = 0
    return "".join(character for character, picture in zip(CHARACTERS, pictures, strict=True) if not picture.any())


def shaped(pictures: Pictures, side: int = 12) -> NDArray[np.float32]:
    """(n, side, side), 0 to 1: what is drawn in each picture, cut out and stretched to a square."""
    shapes = np.zeros((len(pictures), side, side), np.float32)
    for shape, picture in zip(shapes, pictures, strict=True):
        if (box := Image.fromarray(picture).getbbox()) is not None:
            cut = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX, box)
            shape[:] = np.asarray(cut, np.float32) / 255
    return shapes


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The squared difference over the product of the lengths: 0 for equal ones, 2 where nothing overlaps."""
    lengths = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(((one - other) ** 2).sum()) / lengths if lengths else 2.0


def recognised(faces: Sequence[Face]) -> NDArray[np.float64]:
    """For each font the share of its characters whose shape is nearest to the mean shape of their class, case aside.

    Pictures of hands and flowers, and letters of other scripts, are no nearer to their "class" than to any other;
    of ordinary text faces most are, and even of wild display faces more than RECOGNISED.
    """
    shapes = np.stack([shaped(each.pictures).reshape(len(CHARACTERS), -1) for each in faces])
    there = shapes.max(axis=2) > 0
    means = shapes.sum(axis=0)
    means /= np.maximum(1e-9, np.linalg.norm(means, axis=1, keepdims=True))  # else thin faces are nearest to thin means
    kinds = np.array([ord(character.lower()) for character in CHARACTERS])
    shares = []
    for shape, has in zip(shapes, there, strict=True):
        nearest = (shape[has] @ means.T).argmax(axis=1)
        shares.append(float((kinds[nearest] == kinds[has]).mean()))
    return np.array(shares)


def families(faces: Sequence[Face]) -> list[str]:
    """The family of each font. What may be related is one family: too large a one does no harm to a split.

    Fonts are related if their names begin with the same word, digits aside; if one's word, of three letters or more,
    begins the other's (drm, drmdoz); or if they look the same under two names.
    """
    words = [_word(each.name) for each in faces]
    parent = {word: word for word in words}

    def root(word: str) -> str:
        while parent[word] != word:
            word = parent[word]
        return word

    def join(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parent[second] = first

    stem = ""
    for before, word in pairwise(["", *sorted(parent)]):
        stem = stem if stem and word.startswith(stem) else before
        if len(stem) >= 3 and word.startswith(stem):
            join(stem, word)
        else:
            stem = ""
    for one, other in _look_the_same(faces):
        join(words[one], words[other])
    return [root(word) for word in words]


def _word(name: str) -> str:
    """The first word of a font's name: 'drmdoz10 Regular' and 'drmdoz12 Regular' have one."""
    return re.sub(r"\d+$", "", re.split(r"[\s_-]", name.casefold())[0]) or name.casefold()


def _look_the_same(faces: Sequence[Face]) -> Iterator[tuple[int, int]]:
    """Pairs of fonts whose pictures are alike, as ``SAME`` says."""
    marks = np.stack([_halved(each.pictures).reshape(-1) for each in faces])
    marks /= np.linalg.norm(marks, axis=1, keepdims=True)
    for begin in range(0, len(marks), ROWS):  # of unit length: the squared difference is 2 - 2 cos
        for row, other in np.argwhere(2 - 2 * (marks[begin : begin + ROWS] @ marks.T) < SAME).tolist():
            if begin + row < other:
                yield begin + row, other


def _halved(pictures: Pictures) -> NDArray[np.float32]:
    """(62, 16, 16): thin lines that lie a pixel apart still meet."""
    small = [Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX) for picture in pictures]
    return np.stack([np.asarray(each, np.float32) for each in small])
