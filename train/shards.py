"""Shards: tar files of images and their classes, on a disk or a web server, read from front to back.

The form is WebDataset's: files that follow each other and have the same name but for the ending are one sample.
Of a sample two are read: the image (.jpg, .jpeg, .png, .webp), and the index of its class, as text (.cls) or as
"label" in an object (.json). Nothing is ever unpickled, and no command is run to open a shard.
"""

from __future__ import annotations

import errno
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from itertools import islice
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from PIL.Image import Image
from webdataset.tariterators import base_plus_ext, group_by_keys

from rgp.errors import DataError, ImageError
from rgp.images import decode

IMAGES = ("jpg", "jpeg", "png", "webp")
LABELS = ("cls", "json")
ATTEMPTS = 4
PAUSE = 1.0
"""Seconds before a web server is asked again; twice as long each time."""

MAX_BYTES = 64 << 20
"""Of a file in a shard: the largest image that is decoded is smaller."""

TIMEOUT = 60.0
"""Seconds without a byte from a web server."""


@dataclass(frozen=True)
class Sample:
    """An image as it lies in the shard, the index of its class, and where it lies: "train-0.tar/00000012.jpg"."""

    name: str
    image: bytes
    label: int


class Shards:
    """The images of one part, in the order of the shards; ``read`` is how to go through many.

    ``names``: paths or URLs. ``counts``: images in each. ``classes``: how many there are.
    """

    def __init__(self, names: Sequence[str], counts: Sequence[int], classes: int) -> None:
        self.names, self.counts, self.classes = tuple(names), tuple(counts), classes

    def __len__(self) -> int:
        return sum(self.counts)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        """One image; its shard is read up to it."""
        sample = next(self.read(index, index + 1))
        return decoded(sample), sample.label

    def read(self, first: int, last: int, order: Sequence[int] | None = None) -> Iterator[Sample]:
        """Samples ``first`` up to ``last`` of the shards in ``order``, as if they were one file."""
        at = 0
        for shard in range(len(self.names)) if order is None else order:
            count = self.counts[shard]
            begin, end = max(first - at, 0), min(last - at, count)
            if begin < end:
                yield from self._read_shard(self.names[shard], count, begin, end)
            at += count

    def _read_shard(self, name: str, count: int, begin: int, end: int) -> Iterator[Sample]:
        """Samples ``begin`` up to ``end`` of one shard; a connection that breaks is made again."""
        for attempt in range(ATTEMPTS):
            try:
                with open_source(name) as stream:
                    samples = islice(_grouped(stream, name), begin, None)
                    while begin < end:
                        sample = next(samples, None)
                        if sample is None:
                            raise DataError(f"{name}: holds {begin} images, not the {count} that are stated")
                        yield self._checked(sample)
                        begin += 1
                    if end == count and next(samples, None) is not None:
                        raise DataError(f"{name}: holds more than the {count} images that are stated")
                return
            except (OSError, HTTPException, tarfile.TarError) as error:
                gone = isinstance(error, HTTPError) and error.code < 500
                if gone or attempt == ATTEMPTS - 1 or not is_url(name):
                    raise DataError(f"{name}: {reason(error)}") from error
                time.sleep(PAUSE * 2**attempt)

    def _checked(self, sample: dict[str, Any]) -> Sample:
        where = f"{sample['__url__']}/{sample['__key__']}"
        kind = next((ending for ending in IMAGES if ending in sample), None)
        if kind is None:
            raise DataError(f"{where}: holds no image: expected .{', .'.join(IMAGES)}")
        label = _label(sample, where)
        if not 0 <= label < self.classes:
            raise DataError(
                f"{where}: its class is {label}, but the {self.classes} classes are 0 to {self.classes - 1}"
            )
        return Sample(f"{where}.{kind}", sample[kind], label)


def decoded(sample: Sample) -> Image:
    """Decode as the service does; ImageError names the shard and the file in it."""
    try:
        return decode(sample.image)
    except ImageError as error:
        raise type(error)(f"{sample.name}: {error}") from error


class _Whole(io.RawIOBase):
    """A response that must not end before its stated length: http.client takes that for the end, and so would tar."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._response.readinto(buffer)
        if size == 0 and self._response.length:
            raise ConnectionResetError(errno.ECONNRESET, "the connection broke off")
        return size

    def close(self) -> None:
        self._response.close()
        super().close()


def is_url(name: str) -> bool:
    """Whether ``name`` is on a web server; DataError for any scheme but http and https: nothing is run to read."""
    scheme = re.match(r"([A-Za-z][\w+.-]*):", name)
    if scheme and scheme[1] not in ("http", "https"):
        raise DataError(f"{name}: '{scheme[1]}:' is not read: give a path, or an http or https address")
    return scheme is not None


def open_source(name: str) -> io.BufferedReader:
    """Open a path or a URL for reading."""
    if is_url(name):
        return io.BufferedReader(_Whole(urlopen(name, timeout=TIMEOUT)))  # noqa: S310  # is_url lets only http and https pass
    return Path(name).open("rb")


def reason(error: Exception) -> str:
    """Why a source cannot be read, in a few words."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, tarfile.TarError):
        return "not a tar file, or not all of it"
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error.args[0])


def _grouped(stream: IO[bytes], name: str) -> Iterator[dict[str, Any]]:
    """The samples of an open shard: ending -> bytes, with "__key__" and "__url__"."""
    try:
        yield from group_by_keys(_files(stream, name))
    except ValueError as error:  # two files of one name
        raise DataError(f"{name}: {error.args[0]}") from error


def _files(stream: IO[bytes], name: str) -> Iterator[dict[str, Any]]:
    """The files of an open shard that are read, in the form that webdataset groups."""
    with tarfile.open(fileobj=stream, mode="r|*") as tar:
        for entry in tar:
            tar.members = []  # type: ignore[attr-defined]  # else it remembers each file of the shard
            if not entry.isreg() or not _is_read(entry.name):
                continue
            if entry.size > MAX_BYTES or entry.issparse():
                raise DataError(f"{name}: {entry.name} has {entry.size} bytes: more than {MAX_BYTES} is no image")
            file = tar.extractfile(entry)
            assert file is not None  # it is a regular file
            yield {"fname": entry.name, "data": file.read(), "__url__": name}


def _is_read(file: str) -> bool:
    return str(base_plus_ext(file)[1]).lower() in (*IMAGES, *LABELS)


def _label(sample: dict[str, Any], where: str) -> int:
    try:
        label = int(sample["cls"]) if "cls" in sample else json.loads(sample["json"])["label"]
        if type(label) is int:
            return label
    except KeyError as error:
        raise DataError(f"{where}: has no class: expected .cls, or .json with a label") from error
    except (ValueError, TypeError, RecursionError):
        label = sample.get("cls", sample.get("json"))
    raise DataError(f"{where}: its class is {label!r:.60}: expected a whole number")
