"""The result in one file: Parquet, CSV or JSON lines, written from front to back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from rgp.serve.offline.classifier import SCHEMA

CELLS = 1 << 20
"""Classes in one row group of a Parquet file: it is held in memory."""

Batches = Iterable[pa.RecordBatch]


def to_parquet(file: BinaryIO, batches: Batches, top_k: int, about: dict[str, Any]) -> None:
    """Row groups of the same rows however the batches are cut; ``about`` goes into the file's metadata, ``rgp``."""
    schema = SCHEMA.with_metadata({b"rgp": json.dumps(about).encode()})
    with pq.ParquetWriter(file, schema) as writer:
        for table in _cut(batches, max(1, min(1 << 16, CELLS // top_k))):
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def to_jsonl(file: BinaryIO, batches: Batches, top_k: int, about: dict[str, Any]) -> None:
    """One object in each line, with SCHEMA's names."""
    for batch in batches:
        for row in batch.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def to_csv(file: BinaryIO, batches: Batches, top_k: int, about: dict[str, Any]) -> None:
    """source, key, error, model, and label_1, index_1, probability_1 for the most probable class, and so on."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    ranks = range(1, top_k + 1)
    names = [f"{name}_{rank}" for rank in ranks for name in ("label", "index", "probability")]
    writer.writerow(["source", "key", "error", "model", *names])
    for batch in batches:
        for row in batch.to_pylist():
            classes = zip(*(row[name] or () for name in ("labels", "indices", "probabilities")), strict=True)
            writer.writerow([*(row[name] for name in ("source", "key", "error", "model")), *sum(classes, ())])
    text.detach()


FORMATS: dict[str, Callable[[BinaryIO, Batches, int, dict[str, Any]], None]] = {
    ".parquet": to_parquet,
    ".csv": to_csv,
    ".jsonl": to_jsonl,
}


def _cut(batches: Batches, rows: int) -> Iterator[pa.Table]:
    """Tables of ``rows`` rows, the last one less."""
    held = SCHEMA.empty_table()
    for batch in batches:
        held = pa.concat_tables([held, pa.Table.from_batches([batch])])
        while len(held) >= rows:
            yield held.slice(0, rows).combine_chunks()
            held = held.slice(rows)
    if len(held):
        yield held.combine_chunks()
