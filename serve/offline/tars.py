"""Tar shards (WebDataset's form, or any other): each image in them is an item. Nothing is ever written or unpickled."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from rgp.serve.offline.source import IMAGES, MAX_BYTES, Item, clean, is_image, reason, too_large

ENDINGS = (".tar", ".tar.gz", ".tgz")
MAX_HEADER_BYTES = 1 << 20
"""Of a long name or a list of attributes; tarfile would read any size into memory."""


@dataclass(frozen=True)
class Tar:
    """The tar file at ``name``, plain or compressed by gzip."""

    name: str
    size: int
    changed_ns: int

    @property
    def identity(self) -> str:
        """Its name, size and time."""
        return repr(self)

    def read(self, skip: int) -> Iterator[Item]:
        """One item for each image; where the file breaks off or lies, a last one says so."""
        index = 0
        try:
            mode: Literal["r:gz", "r:"] = "r:gz" if self.name.lower().endswith("gz") else "r:"
            with tarfile.open(self.name, mode, tarinfo=_Entry) as tar:
                for entry in _entries(tar):
                    if is_image(entry.name) and not entry.isdir():
                        if index >= skip:
                            yield _item(tar, entry)
                        index += 1
            if index == 0 and skip == 0:
                yield Item(None, error=f"holds no image: expected {', '.join(IMAGES)}")
        except Exception as error:  # tarfile raises whatever it likes on hostile bytes
            if index >= skip:
                yield Item(None, error=f"not a tar file, or not all of it: {reason(error)}")


def _item(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Item:
    key = clean(entry.name)
    if not entry.isreg() or entry.issparse():
        return Item(key, error="a link or another special file in a tar file: not read")
    if entry.size > MAX_BYTES:
        return Item(key, error=too_large(entry.size))
    file = tar.extractfile(entry)
    assert file is not None  # it is a regular file
    return Item(key, file.read())


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    last = -1
    while (entry := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # else it remembers each file of the shard
        if entry.size < 0 or entry.offset <= last:  # an attribute "size" below 0 leads back: a loop without end
            raise tarfile.ReadError("an entry has a negative size")
        last = entry.offset
        yield entry


class _Entry(tarfile.TarInfo):
    """A header that must be whole: where one is not, tarfile takes that for the end, and the rest would be lost."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            entry = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the mark that ends a tar file
                raise
            raise tarfile.ReadError(f"{error}, where an entry or the end should be") from error
        if entry.size < 0 or (entry.size > MAX_HEADER_BYTES and not entry.isreg()):
            raise tarfile.ReadError(f"a header of {entry.size} bytes")
        return entry
