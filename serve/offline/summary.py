"""What a run did: counted while the result is written, then a table for people or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

KINDS = 100
"""Different errors that are counted one by one; the rest are "other"."""

SHOWN = 5


@dataclass
class Totals:
    """``images``: rows but for those of ``unreadable`` sources; ``errors``: images that have one."""

    images: int = 0
    errors: int = 0
    unreadable: int = 0
    by_error: Counter[str] = field(default_factory=Counter)

    def counting(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches as they are, counted as they pass."""
        for batch in batches:
            unreadable = batch["key"].null_count
            self.images += len(batch) - unreadable
            self.unreadable += unreadable
            self.errors += len(batch) - batch["error"].null_count - unreadable
            for error in pc.drop_null(batch["error"]).to_pylist():
                known = error in self.by_error or len(self.by_error) < KINDS
                self.by_error[error if known else "other"] += 1
            yield batch

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "images": self.images,
            "classified": self.images - self.errors,
            "errors": self.errors,
            "unreadable_sources": self.unreadable,
            "by_error": dict(self.by_error.most_common()),
        }


def table(summary: dict[str, Any]) -> Table:
    """The summary for people."""
    shown = Table(title=summary["output"], show_header=False)
    rate = summary["images_per_second"]
    speed = "" if rate is None else f"{rate:.1f} images/s in {summary['seconds']:.1f} s"
    shown.add_row("images classified", str(summary["classified"]), speed)
    shown.add_row("images with an error", str(summary["errors"]), "see the column 'error'" if summary["errors"] else "")
    shown.add_row("unreadable sources", str(summary["unreadable_sources"]), "rows without a key")
    if summary["resumed_at"]:
        shown.add_row("from an earlier run", f"{summary['resumed_at']}", "rows")
    for error, count in list(summary["by_error"].items())[:SHOWN]:
        shown.add_row("  error", str(count), error if len(error) < 100 else f"{error[:99]}…")
    return shown
