"""`rgp-train shards`: a folder of images, rewritten as shards. The files are copied byte for byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from webdataset import TarWriter

from rgp.bundle import refuse_used
from rgp.cli import Parser
from rgp.errors import UsageError
from rgp.files import written_whole
from rgp.train.config import TrainConfig
from rgp.train.data import load_data
from rgp.train.folders import ImageFiles
from rgp.train.shard_list import FILE

DESCRIPTION = """Write the images of a data set that is made of files (imagenet, imagefolder, tinyimagenet) as
shards, in random order, and dataset.json beside them. Train on them with --data webdataset:OUT."""


def run(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write; UsageError if it is wrong or the folder is in use."""
    parser = Parser(prog="rgp-train shards", description=DESCRIPTION)
    parser.add_argument("data", help="as in imagenet:data/imagenet")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--shard-size", type=int, default=1000, help="images in a shard (default: 1000)")
    arguments = parser.parse_args(argv)
    if arguments.shard_size < 1:
        raise UsageError(f"shard-size is {arguments.shard_size}: give a number from 1")
    refuse_used(arguments.out)
    make_shards(arguments.data, arguments.out, arguments.shard_size)


def make_shards(source: str, out: Path, shard_size: int) -> None:
    """Write the data set ``source`` as shards of ``shard_size`` images into ``out``; the list of them comes last."""
    data = load_data(TrainConfig(data=source))
    if not isinstance(data.train, ImageFiles) or not isinstance(data.val, ImageFiles):
        raise UsageError(
            f"data is '{source}': shards are made of files: give an imagenet:, imagefolder: or tinyimagenet:"
        )
    parts = {"train": data.train, "val": data.val}
    written: dict[str, dict[str, int]] = {part: {} for part in parts}
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for part, images in parts.items():
            order = np.random.default_rng(0).permutation(len(images)).tolist()
            task = progress.add_task(part, total=len(order))
            for number, begin in enumerate(range(0, len(order), shard_size)):
                name, indices = f"{part}-{number:06}.tar", order[begin : begin + shard_size]
                _write(out / name, images, indices, begin)
                written[part][name] = len(indices)
                progress.advance(task, len(indices))
    with written_whole(out / FILE) as file:
        file.write(json.dumps({"labels": data.labels, **written}, indent=1).encode())
    print(f"{out}: {len(data.train)} + {len(data.val)} images in {sum(map(len, written.values()))} shards")


def _write(path: Path, images: ImageFiles, indices: Sequence[int], first: int) -> None:
    with written_whole(path) as file, TarWriter(file, encoder=False, mtime=0) as tar:
        for number, index in enumerate(indices, start=first):
            image, label = images.file(index)
            ending = image.suffix.lower().removeprefix(".")
            tar.write({"__key__": f"{number:08}", ending: image.read_bytes(), "cls": str(label).encode()})
