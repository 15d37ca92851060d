"""Inputs of each form, made of the same images, some of them bad."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rgp.serve.offline.__main__ import main
from tests.serve.tiny import encoded, picture

HUGE = encoded(Image.new("1", (6000, 6000)), "PNG")
"""36 million pixels in a few bytes."""


def images(count: int) -> dict[str, bytes]:
    """Name -> file; each ninth is bad in one way or another."""
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    found: dict[str, bytes] = {}
    for number in range(count):
        suffix = list(kinds)[number % 3]
        data = encoded(picture(seed=number, size=(30 + number % 7, 20 + number % 5)), kinds[suffix])
        bad = (b"", b"no image", data[: len(data) // 2], HUGE)[number // 9 % 4]
        found[f"{'abc'[number * 3 // count]}/{number:04}.{suffix}"] = bad if number % 9 == 4 else data
    return found


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w", labels: bool = True) -> Path:
    """Each image, and beside it its class, as WebDataset has it."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # modes are literals
        for name, data in files.items():
            for entry, content in ((name, data), (name.rsplit(".", 1)[0] + ".cls", b"7"))[: 1 + labels]:
                info = tarfile.TarInfo(entry)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def write_parquet(path: Path, files: Mapping[str, bytes], *, rows: int = 7, structs: bool = False) -> Path:
    """The images in row groups of ``rows``, plain or as {bytes, path}."""
    column: list[Any] = (
        [{"bytes": data, "path": name} for name, data in files.items()] if structs else [*files.values()]
    )
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if structs else pa.binary()
    table = pa.table({"image": pa.array(column, kind), "label": list(range(len(column)))})
    pq.write_table(table, path, row_group_size=rows)
    return path


def classify(*arguments: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run ``rgp-classify`` in this process; its summary."""
    assert main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def refused(*arguments: object, capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """What it says when it refuses, in one line."""
    assert main([*map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rgp-classify: error: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("rgp-classify: error: ").strip()


def rows(path: Path, *names: str) -> list[Any]:
    """The rows of a Parquet file; with one name, the values of that column."""
    found = pq.read_table(path, columns=list(names) or None).to_pylist()
    return [row[names[0]] for row in found] if len(names) == 1 else found
