"""How a run went, epoch by epoch: ``history.csv`` in its folder, a row an epoch, for people and programs.

A row reaches the disk before the checkpoint that counts its epoch; a run that continues first drops the rows its
checkpoint does not know. So killed where it may be, a run has one row an epoch in the end, and none in halves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

from rgp.errors import RgpError
from rgp.files import written_whole

MAX_BYTES = 4 << 20
_LARGEST = 1e39  # float32, in which losses are computed, ends before


@dataclass(frozen=True)
class Epoch:
    """One finished epoch. ValueError for a number that none can have."""

    epoch: int
    """From 1."""
    steps: int
    """Steps of the optimiser since the run began."""
    train_loss: float
    """Mean of the steps' losses, as the recipe defines them."""
    lr: float
    """At the last step."""
    images_per_second: float
    """Training images, over the time spent on training steps."""
    seconds: float
    """Since the run began, evaluation included, without the times between a stop and its resuming."""
    top1: float
    """In percent, on the held-out images, as the next two."""
    top5: float | None
    """None with 5 classes or fewer."""
    loss: float
    """Mean cross-entropy."""
    raw_top1: float | None = None
    """``top1`` of the weights themselves, where those that are kept and measured are their moving average."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is not None and not _possible(entry.name, value):
                raise ValueError(f"{entry.name} is {value}")


class History:
    """The file of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Epoch) -> None:
        """Add a row, on the disk when this returns; the header comes first in a new file.

        Where a run continues, ``truncate`` comes before. RgpError if the disk is full.
        """
        try:
            with self.path.open("ab") as file:
                file.write(_row(row) if file.tell() else _HEADER_LINE + _row(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = f"cannot be written: {error.strerror}"
            raise RgpError(f"{self.path}: {reason}: make room, then --resume auto") from error

    def truncate(self, epochs: int) -> None:
        """Drop what comes after the first ``epochs`` epochs, half a row included."""
        if self.path.exists():
            kept = [row for row in self.read() if row.epoch <= epochs]
            with written_whole(self.path) as file:
                file.writelines([_HEADER_LINE, *map(_row, kept)])

    def read(self) -> list[Epoch]:
        """The rows, their epochs rising; without one that was cut off while it was written, none without a file.

        RgpError names the line that is wrong. The file may come from anywhere.
        """
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise RgpError(f"{self.path}: larger than {MAX_BYTES >> 20} MiB: no run writes so much")
        *lines, _cut_off = content.split(b"\n")
        if lines and lines[0] + b"\n" != _HEADER_LINE:
            raise RgpError(f"{self.path}: its columns are not those of this rgp ({', '.join(HEADER)})")
        rows: list[Epoch] = []
        for number, line in enumerate(lines[1:], start=2):
            try:
                rows.append(_parsed(line))
                if len(rows) > 1 and rows[-1].epoch <= rows[-2].epoch:
                    raise ValueError(f"epoch {rows[-1].epoch} comes after epoch {rows[-2].epoch}")
            except ValueError as error:
                raise RgpError(f"{self.path}: line {number}: {error}: remove the line") from error
        return rows


def best(rows: Sequence[Epoch]) -> Epoch:
    """The first epoch with the highest top-1, which is that of ``best.pth``."""
    return max(rows, key=lambda row: row.top1)


def throughput(rows: Sequence[Epoch]) -> float:
    """Images a second: the median over the epochs."""
    return median(row.images_per_second for row in rows)


def shown_speed(images_per_second: float) -> str:
    """Three digits at least."""
    return f"{images_per_second:.0f}" if images_per_second >= 100 else f"{images_per_second:.3g}"


def shown_hours(seconds: float) -> str:
    """Two decimals, or two digits of a short time."""
    hours = seconds / 3600
    return f"{hours:.2f}" if hours >= 1 else f"{hours:.2g}"


HEADER = tuple(entry.name for entry in fields(Epoch))
_HEADER_LINE = (",".join(HEADER) + "\n").encode()
_WHOLE = ("epoch", "steps")
_MAY_LACK = ("top5", "raw_top1")


def _possible(name: str, value: float) -> bool:
    if name.endswith(("top1", "top5")):
        return 0 <= value <= 100
    lowest, highest = {
        "epoch": (1, 1e9),
        "steps": (0, 1e15),
        "images_per_second": (0, 1e12),
        "seconds": (0, 1e12),
    }.get(name, (-_LARGEST, _LARGEST))
    return lowest <= value <= highest


def _row(row: Epoch) -> bytes:
    """A float's repr: read back, it is the same number."""
    return (",".join("" if value is None else repr(value) for value in astuple(row)) + "\n").encode()


def _parsed(line: bytes) -> Epoch:
    """ValueError says what is wrong, whatever the bytes are."""
    texts = line.decode("ascii", "replace").split(",")
    if len(texts) != len(HEADER):
        raise ValueError(f"has {len(texts)} values, not {len(HEADER)}")
    values: list[float | None] = []
    for name, text in zip(HEADER, texts, strict=True):
        if not text and name in _MAY_LACK:
            values.append(None)
            continue
        try:
            values.append((int if name in _WHOLE else float)(text))
        except ValueError:
            raise ValueError(f"{name} is {text[:40]!a}, not a number") from None
    return Epoch(*values)  # type: ignore[arg-type]  # the names decide which are whole
