"""What is classified: sources, each read from front to back, each giving the same items every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
MAX_BYTES = 64 << 20
"""Of one image file; the largest that is decoded is smaller."""

CHUNK = 16
CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class Item:
    """An image file's bytes, or why there are none; ``key`` is None where the source itself cannot be read on."""

    key: str | None
    data: bytes = b""
    error: str | None = None


class Source(Protocol):
    """A tar file, a row group of a Parquet file, some files of a folder: a picklable description, not an open file."""

    @property
    def name(self) -> str:
        """The file or folder, as it was given or found."""
        ...

    @property
    def size(self) -> int:
        """Bytes, about."""
        ...

    @property
    def identity(self) -> str:
        """Changes when the contents do: names, sizes and times of change."""
        ...

    def read(self, skip: int) -> Iterator[Item]:
        """Its items from number ``skip``, one that it has, on. What cannot be read is an item with an error."""
        ...


def chunks(items: Iterable[Item], batch: int) -> Iterator[list[Item]]:
    """Runs of items that are classified together; where they end depends on the source alone, never on the time.

    So a run that goes on at such an end forms the batches (of ``batch``) that an uninterrupted one would.
    """
    most = batch * max(1, CHUNK // batch)
    chunk: list[Item] = []
    held = 0
    for item in items:
        chunk.append(item)
        held += len(item.data)
        if len(chunk) == most or held >= CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def is_image(name: str) -> bool:
    """Whether a file is read, by its name."""
    return PurePath(name).suffix.lower() in IMAGES


def too_large(size: int) -> str:
    """The error of a file above MAX_BYTES."""
    return f"{size} bytes: more than {MAX_BYTES} is no image"


def clean(name: str) -> str:
    """A name as text: its bytes that are none become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def reason(error: Exception) -> str:
    """One line that says why something could not be read."""
    said = str(getattr(error, "strerror", None) or error)
    return " ".join(said.split()) or type(error).__name__
