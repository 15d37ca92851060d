"""``rgp-train glyphs``: the fonts of this machine, rendered into a data set whose parts share no font family.

The same fonts, Pillow and FreeType give the same bytes. Everything is written beside and then renamed, the list last.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, __version__, features
from rich.console import Console
from rich.progress import track

from rgp.bundle import refuse_used
from rgp.cli import Parser, guarded
from rgp.environment import available_cores
from rgp.errors import DataError, UsageError
from rgp.files import written_whole
from rgp.train.glyphs import FILE, FORM, PARTS
from rgp.train.glyphs_fonts import CHARACTERS, RECOGNISED, Face, face, families, found, recognised

DESCRIPTION = """Render digits and letters from the fonts of this machine into a data set of 62 classes, whose training,
validation and test parts share no font family. Train on it with --data glyphs:OUT. docs/data.md names the fonts."""
FOLDERS = tuple(map(Path, ("/usr/share/fonts", "/usr/share/texlive/texmf-dist/fonts", "/usr/share/texmf/fonts")))
HELD_OUT = 0.15
"""Share of the families in each of val and test."""

SHEET = "contact.png"
SHEET_FONTS = 36
"""Fonts of each part on the contact sheet."""


def run(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write; UsageError if it is wrong, DataError if there are too few fonts."""
    parser = Parser(prog="rgp-train glyphs", description=DESCRIPTION)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--side", type=int, default=32, help="pixels, 16 to 256 (default: 32)")
    parser.add_argument("--fonts", type=Path, nargs="+", default=FOLDERS, help="folders of fonts (default: Debian's)")
    parser.add_argument("--per-family", type=int, default=4, help="fonts of one family at most (default: 4)")
    parser.add_argument("--jobs", type=int, default=available_cores(), help="processes (default: one a core)")
    arguments = parser.parse_args(argv)
    for name, least, most in (("side", 16, 256), ("per_family", 1, 1000), ("jobs", 1, 256)):
        if not least <= (value := getattr(arguments, name)) <= most:
            raise UsageError(f"{name.replace('_', '-')} is {value}: give a number from {least} to {most}")
    refuse_used(arguments.out)
    make(arguments.out, arguments.fonts, arguments.side, arguments.per_family, arguments.jobs)


def make(out: Path, folders: Sequence[Path], side: int = 32, per_family: int = 4, jobs: int = 1) -> dict[str, Any]:
    """Write the data set into ``out``; what ``glyphs.json`` then holds."""
    left_out: dict[str, list[str]] = {}
    faces = _faces(folders, side, jobs, left_out)
    faces = _at_most(faces, per_family, left_out)
    names = _split({each.family for each in faces})
    numbered = {part: [(n, each) for n, each in enumerate(faces) if each.family in names[part]] for part in PARTS}
    about: dict[str, Any] = {
        "form": FORM,
        "side": side,
        "characters": CHARACTERS,
        "pillow": __version__,
        "freetype": features.version("freetype2"),
        "parts": {part: _written(out, part, numbered[part]) for part in PARTS},
    }
    train = np.load(out / "train-pixels.npy", allow_pickle=False)
    about |= {"mean": float(train.mean()), "deviation": float(train.std())}
    with written_whole(out / SHEET) as file:
        _sheet([_evenly(numbered[part]) for part in PARTS], side).save(file, "PNG")
    part_of = {family: part for part in PARTS for family in names[part]}
    about["fonts"] = [
        {"file": each.file, "sha256": each.sha256, "name": each.name, "family": each.family}
        | {"part": part_of[each.family], "without": each.dropped}
        for each in faces
    ]
    about["left_out"] = {reason: sorted(files) for reason, files in sorted(left_out.items())}
    with written_whole(out / FILE) as file:
        file.write((json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    _report(out, about)
    return about


def _faces(folders: Sequence[Path], side: int, jobs: int, left_out: dict[str, list[str]]) -> list[Face]:
    """The fonts that can be used, each with its family; those that cannot go to ``left_out`` by reason."""
    fonts = found(folders)
    if not fonts:
        raise DataError(f"{', '.join(map(str, folders))}: no .otf or .ttf file there: install fonts, or give --fonts")
    usable: dict[bytes, Face] = {}
    console = Console(stderr=True)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        rendered = pool.map(face, *zip(*fonts, strict=True), [side] * len(fonts), chunksize=16)
        bar = track(rendered, "rendering", len(fonts), console=console, disable=not console.is_terminal)
        for (_, file), made in zip(fonts, bar, strict=True):
            if isinstance(made, str):
                left_out.setdefault(made, []).append(file)
            elif (pixels := made.pictures.tobytes()) in usable:
                left_out.setdefault("the same pictures as another font", []).append(file)
            else:
                usable[pixels] = made
    faces = list(usable.values())
    good = (recognised(faces) >= RECOGNISED).tolist() if faces else []
    left_out["not recognised as letters: symbols, other scripts, wild shapes"] = [
        each.file for each, is_good in zip(faces, good, strict=True) if not is_good
    ]
    faces = [each for each, is_good in zip(faces, good, strict=True) if is_good]
    for each, family in zip(faces, families(faces) if faces else [], strict=True):
        each.family = family
    return faces


def _at_most(faces: Sequence[Face], per_family: int, left_out: dict[str, list[str]]) -> list[Face]:
    """Of each family so many fonts, chosen by their checksums, in order of family and file."""
    kept: Counter[str] = Counter()
    chosen = []
    for each in sorted(faces, key=lambda each: each.sha256):
        kept[each.family] += 1
        if kept[each.family] <= per_family:
            chosen.append(each)
        else:
            left_out.setdefault(f"more than {per_family} of its family", []).append(each.file)
    return sorted(chosen, key=lambda each: (each.family, each.file))


def _split(names: set[str]) -> dict[str, set[str]]:
    """The families of each part, in an order that is that of their names' checksums."""
    if len(names) < 3:
        raise DataError(f"{len(names)} font families can be used: a data set needs 3, install more fonts")
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    count = max(1, round(HELD_OUT * len(order)))
    return {"test": set(order[:count]), "val": set(order[count : 2 * count]), "train": set(order[2 * count :])}


def _written(out: Path, part: str, faces: Sequence[tuple[int, Face]]) -> dict[str, Any]:
    """Write the arrays of one part; what the list says of it."""
    pixels = np.concatenate([each.pictures[each.kept] for _, each in faces])
    labels = np.array([(label, number) for number, each in faces for label in each.kept], np.uint16)
    sums = {"pixels": _saved(out / f"{part}-pixels.npy", pixels), "labels": _saved(out / f"{part}-labels.npy", labels)}
    return {
        "images": len(pixels),
        "fonts": len(faces),
        "families": len({each.family for _, each in faces}),
        "sha256": sums,
    }


def _saved(path: Path, array: NDArray[Any]) -> str:
    with written_whole(path) as file:
        np.save(file, array, allow_pickle=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _evenly(faces: Sequence[tuple[int, Face]]) -> list[Face]:
    """Some of the fonts, from the first to the last."""
    places = np.unique(np.linspace(0, len(faces) - 1, SHEET_FONTS).round().astype(int))
    return [faces[place][1] for place in places]


def _sheet(parts: Sequence[Sequence[Face]], side: int) -> Image.Image:
    """A row a font, a column a character; a grey line between the parts."""
    line = np.full((4, side * len(CHARACTERS)), 128, np.uint8)
    rows = [np.concatenate([np.concatenate(list(each.pictures), axis=1) for each in part]) for part in parts]
    return Image.fromarray(np.concatenate([rows[0], line, rows[1], line, rows[2]]))


def _report(out: Path, about: dict[str, Any]) -> None:
    for reason, files in about["left_out"].items():
        if files:
            print(f"left out: {len(files)} fonts: {reason}")
    without = Counter(character for font in about["fonts"] for character in font["without"])
    print(f"missing in most fonts: {', '.join(f'{c} in {n}' for c, n in without.most_common(5)) or 'none'}")
    for part, said in about["parts"].items():
        print(f"{part}: {said['images']} images, {said['fonts']} fonts, {said['families']} families")
    print(f"{out / SHEET}: look at it; train with --data glyphs:{out}")


if __name__ == "__main__":
    sys.exit(guarded(run, None, "rgp-train glyphs"))
