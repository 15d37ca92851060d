"""Parquet files with a column of image files' bytes, plain or as Hugging Face's ``{bytes, path}``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rgp.errors import DataError
from rgp.serve.offline.source import MAX_BYTES, Item, clean, reason, too_large

ROWS = 16
"""Read at once: a row may be large."""


@dataclass(frozen=True)
class RowGroup:
    """Row group ``group`` of the Parquet file at ``name``; it begins at row ``first`` of the file."""

    name: str
    size: int
    changed_ns: int
    column: str
    group: int
    first: int

    @property
    def identity(self) -> str:
        """Its name, size and time."""
        return repr(self)

    def read(self, skip: int) -> Iterator[Item]:
        """One item for each row; its key is the struct's path, or else the number of the row in the file, from 0."""
        index = 0
        try:
            with _opened(self.name) as file:
                for batch in file.iter_batches(ROWS, row_groups=[self.group], columns=[self.column]):
                    for value in batch.column(0):
                        if index >= skip:
                            yield _item(value.as_py(), str(self.first + index))
                        index += 1
        except Exception as error:  # pyarrow raises several kinds on broken files
            if index >= skip:
                yield Item(None, error=f"not a Parquet file, or not all of it: {reason(error)}")


@dataclass(frozen=True)
class Broken:
    """A file that cannot be opened: one item says so."""

    name: str
    size: int
    changed_ns: int
    error: str

    @property
    def identity(self) -> str:
        """Its name, size and time."""
        return repr(self)

    def read(self, skip: int) -> Iterator[Item]:
        """The error."""
        if not skip:
            yield Item(None, error=self.error)


def row_groups(name: str, size: int, changed_ns: int, column: str | None) -> Iterator[RowGroup | Broken]:
    """The file's row groups; DataError if it has no ``column`` of images (None: the only one that could be)."""
    try:
        with _opened(name) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        yield Broken(name, size, changed_ns, f"not a Parquet file, or not all of it: {reason(error)}")
        return
    chosen = _column(schema, column, name)
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        yield RowGroup(name, size // metadata.num_row_groups, changed_ns, chosen, group, first)
        first += rows.num_rows


def _opened(name: str) -> pq.ParquetFile:
    return pq.ParquetFile(name, pre_buffer=False, buffer_size=1 << 20)  # else whole row groups are read at once


def _column(schema: pa.Schema, wanted: str | None, name: str) -> str:
    fitting = [field.name for field in schema if _holds_images(field.type)]
    if wanted is not None and wanted in fitting:
        return wanted
    if wanted is None and len(fitting) == 1:
        return str(fitting[0])
    if not fitting:
        raise DataError(
            f"{name}: no column holds bytes, or structs with 'bytes'; its columns: {', '.join(schema.names) or 'none'}"
        )
    asked = "several columns hold bytes" if wanted is None else f"no column '{wanted}' that holds bytes"
    raise DataError(f"{name}: {asked}: give --column one of: {', '.join(fitting)}")


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind.fields)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _item(value: Any, row: str) -> Item:
    key, data = row, value
    if isinstance(value, dict):
        data = value["bytes"]
        key = clean(str(value.get("path") or row))
    if data is None:
        return Item(key, error="no bytes: the value is null")
    return Item(key, data) if len(data) <= MAX_BYTES else Item(key, error=too_large(len(data)))
