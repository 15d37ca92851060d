"""From the command line to sources: folders, tar and Parquet files, in an order that never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from braceexpand import braceexpand

from rgp.errors import DataError, UsageError
from rgp.serve.offline import folders, tars
from rgp.serve.offline.parquets import row_groups
from rgp.serve.offline.source import IMAGES, Source, is_image

MAX_FILES = 1_000_000
EXPECTED = f"images ({', '.join(IMAGES)}), .tar or .parquet files"


@dataclass(frozen=True)
class Survey:
    """What there is to do: ``fingerprint`` changes with any name, size or time of change."""

    fingerprint: str
    size: int
    sources: int


class Inputs:
    """What the command line names; gone through as often as is needed, never held as a whole."""

    def __init__(self, given: Sequence[str], column: str | None = None) -> None:
        """``column``: of the images in Parquet files. UsageError for a name that is nothing to classify."""
        self.paths = [path for text in given for path in _expanded(text)]
        self._column = column

    def sources(self) -> Iterator[Source]:
        """Every source, in the order of the command line and then of names.

        Raises DataError for a folder with files of several kinds, and for Parquet files without a column of images.
        """
        for path in self.paths:
            yield from self._folder(path) if path.is_dir() else self._file(path)

    def survey(self) -> Survey:
        """Go through everything once, by name; DataError if there is nothing."""
        digest, size, count = hashlib.sha256(), 0, 0
        for source in self.sources():
            digest.update(source.identity.encode("utf-8", "surrogateescape") + b"\n")
            size += source.size
            count += 1
        if not count:
            raise DataError(f"{', '.join(map(str, self.paths))}: nothing to classify: expected {EXPECTED}")
        return Survey(digest.hexdigest(), size, count)

    def _folder(self, folder: Path) -> Iterator[Source]:
        files = (file for file in folders.walk(folder) if _kind(file.name))
        first = next(files, None)
        if first is None:
            return
        kind = _kind(first.name)

        def alike() -> Iterator[folders.File]:
            yield first
            for file in files:
                if _kind(file.name) != kind:
                    raise DataError(f"{folder}: holds {kind} ({first.name}) and {_kind(file.name)} ({file.name}): "
                                    "give them one by one")  # fmt: skip
                yield file

        if kind == "images":
            yield from folders.grouped(str(folder), alike())
        else:
            for file in alike():
                yield from self._file(folder / file.name)

    def _file(self, path: Path) -> Iterator[Source]:
        stat = path.stat()
        if _kind(path.name) == "tar files":
            yield tars.Tar(str(path), stat.st_size, stat.st_mtime_ns)
        else:
            yield from row_groups(str(path), stat.st_size, stat.st_mtime_ns, self._column)


def _kind(name: str) -> str | None:
    if is_image(name):
        return "images"
    if name.lower().endswith(tars.ENDINGS):
        return "tar files"
    return "Parquet files" if name.lower().endswith(".parquet") else None


def _expanded(text: str) -> Iterator[Path]:
    """The path, or those that its braces stand for; UsageError unless each is a folder, a tar or a Parquet file."""
    names: Sequence[str] = [text]
    if "{" in text and not Path(text).exists():
        try:
            names = list(islice(braceexpand(text), MAX_FILES + 1))
        except ValueError as error:
            raise UsageError(f"{text}: a brace has no partner") from error
        if len(names) > MAX_FILES:
            raise UsageError(f"{text}: stands for more than {MAX_FILES} files: make larger ones")
    for name in names:
        path = Path(name)
        if not path.exists():
            raise UsageError(f"{name}: no such file or folder")
        if not path.is_dir() and (not path.is_file() or _kind(path.name) in (None, "images")):
            raise UsageError(f"{name}: give a folder, a .tar or a .parquet file")
        yield path
