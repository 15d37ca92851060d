"""Image files of a folder, in the order of their names, folder by folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rgp.serve.offline.source import MAX_BYTES, Item, clean, reason, too_large

FILES = 256
"""Image files in one source: what is described at once, and what one task of a cluster gets."""


@dataclass(frozen=True)
class File:
    """A file that was found: its name below the folder that was given, its size and time of change."""

    name: str
    size: int
    changed_ns: int


@dataclass(frozen=True)
class ImageFiles:
    """Some image files of the folder ``name``."""

    name: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(file.size for file in self.files)

    @property
    def identity(self) -> str:
        """Their names, sizes and times."""
        return repr((self.name, self.files))

    def read(self, skip: int) -> Iterator[Item]:
        """One item for each file; its key is the file's name below the folder."""
        for file in self.files[skip:]:
            yield _read(Path(self.name, file.name), clean(file.name))


def _read(path: Path, key: str) -> Item:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return Item(key, error=reason(error))
    return Item(key, data) if len(data) <= MAX_BYTES else Item(key, error=too_large(path.stat().st_size))


def walk(folder: Path, below: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[File]:
    """Every file under ``folder``, links followed unless they lead back to a folder that they lie in.

    Folders are sorted one by one: memory holds the names of those that are open, not of all.
    """
    here = folder.stat()
    if (place := (here.st_dev, here.st_ino)) in above:
        return
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            yield from walk(Path(entry.path), f"{below}{entry.name}/", above | {place})
        elif entry.is_file():
            stat = entry.stat()
            yield File(below + entry.name, stat.st_size, stat.st_mtime_ns)


def grouped(name: str, files: Iterator[File]) -> Iterator[ImageFiles]:
    """Sources of FILES files each."""
    while some := tuple(islice(files, FILES)):
        yield ImageFiles(name, some)
