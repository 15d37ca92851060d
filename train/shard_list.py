"""A data set of shards: `dataset.json` says which they are, how many images each holds, and what the classes are.

::

    {
      "labels": ["cat", "dog"],
      "train": {"train-{000..145}.tar": 1000, "train-146.tar": 317},
      "val": {"val-{0..4}.tar": 1000}
    }

A class is an index into ``labels``. Braces stand for several shards, each with that many images. Names are relative
to the file's own place, a path or a URL, or are URLs themselves. ``rgp-train shards`` writes such a data set.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from braceexpand import braceexpand

from rgp.errors import DataError
from rgp.train.dataset import ImageData
from rgp.train.folders import photographs
from rgp.train.shards import Shards, is_url, open_source, reason

FILE = "dataset.json"
MAX_BYTES = 16 << 20
MAX_SHARDS = 1_000_000


def webdataset(where: str, size: int) -> ImageData:
    """The shards that ``where``/dataset.json lists, ``where`` a folder or a URL; seen as an image folder's images are.

    DataError says what is wrong with the list. The shards themselves are opened when they are read.
    """
    source = where if where.endswith(".json") else f"{where.rstrip('/')}/{FILE}"
    listed = _load(source)
    labels = listed.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels) or len(labels) < 2:
        raise DataError(f"{source}: 'labels' is {labels!r:.60}: expected a list of two names or more")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(f"{source}: 'labels' has '{twice}' twice: give each class a name of its own")
    train, val = (_part(source, listed, part, len(labels)) for part in ("train", "val"))
    return photographs(train, val, labels, size)


def _load(source: str) -> dict[str, Any]:
    try:
        with open_source(source) as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise DataError(f"{source}: larger than {MAX_BYTES >> 20} MiB: no list of shards is")
        listed = json.loads(text)
    except (OSError, HTTPException) as error:
        raise DataError(f"{source}: {reason(error)}: shards need this list, docs/data.md shows one") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: not a JSON file: {error}") from error
    if not isinstance(listed, dict):
        raise DataError(f"{source}: expected an object with labels, train and val")
    return listed


def _part(source: str, listed: dict[str, Any], part: str, classes: int) -> Shards:
    entries = listed.get(part)
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{source}: '{part}' is {entries!r:.60}: expected shards with their numbers of images")
    names: list[str] = []
    counts: list[int] = []
    for pattern, count in entries.items():
        if type(count) is not int or count < 1:
            raise DataError(f"{source}: '{pattern}' has {count!r:.60} images: expected a number from 1")
        try:
            shards = [_beside(source, name) for name in islice(braceexpand(pattern), MAX_SHARDS + 1)]
        except ValueError as error:
            raise DataError(f"{source}: '{pattern}': a brace has no partner") from error
        names += shards
        if len(names) > MAX_SHARDS:
            raise DataError(f"{source}: '{part}' has more than {MAX_SHARDS} shards: make larger ones")
        counts += [count] * len(shards)
    return Shards(names, counts, classes)


def _beside(source: str, name: str) -> str:
    """Where a shard lies that ``source`` names; DataError for anything but a path or an http(s) address."""
    try:
        if is_url(name):
            return name
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    return urljoin(source, name) if is_url(source) else str(Path(source).parent / name)
