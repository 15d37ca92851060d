"""Data sets by name; docs/data.md describes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rgp.errors import UsageError, unknown
from rgp.train.augment import with_randaugment
from rgp.train.cifar import cifar
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData
from rgp.train.digits import digits_at
from rgp.train.folders import image_folder
from rgp.train.glyphs import glyphs
from rgp.train.imagenet import imagenet
from rgp.train.shard_list import webdataset
from rgp.train.svhn import svhn
from rgp.train.synthetic import synthetic
from rgp.train.tiny_imagenet import tiny_imagenet

# name -> builder(what stands after the colon, configuration)
DATASETS: dict[str, Callable[[str, TrainConfig], ImageData]] = {
    "imagenet": lambda path, config: imagenet(_local(path), config.image_size),
    "imagefolder": lambda path, config: image_folder(_local(path), config.image_size),
    "webdataset": lambda where, config: webdataset(where, config.image_size),
    "cifar10": lambda path, config: cifar("cifar10", _local(path), config.download),
    "cifar100": lambda path, config: cifar("cifar100", _local(path), config.download),
    "svhn": lambda path, config: svhn(_local(path), config.download),
    "tinyimagenet": lambda path, config: tiny_imagenet(_local(path)),
    "digits": lambda size, config: digits_at(size),
    "glyphs": lambda path, config: glyphs(_local(path)),
    "glyphs-test": lambda path, config: glyphs(_local(path), "test"),
    "synthetic": lambda amount, config: synthetic(amount, config.image_size),
}
EXAMPLES = {"synthetic": "synthetic:10x512", "digits": "digits:64", "webdataset": "webdataset:data/shards"}


def load_data(config: TrainConfig) -> ImageData:
    """The data set that ``config.data`` names, with the augmentation that ``config`` asks for.

    UsageError if there is none of that name, DataError if it is not there.
    """
    name, colon, rest = config.data.partition(":")
    if name not in DATASETS:
        raise UsageError(unknown("data set", name, DATASETS))
    if not rest and (colon or name != "digits"):
        example = EXAMPLES.get(name, f"{name}:data/{name}")
        raise UsageError(f"data is '{config.data}': say where it lies or how much of it, as in '{example}'")
    data = DATASETS[name](rest, config)
    return with_randaugment(data, config.randaugment) if config.randaugment else data


def _local(path: str) -> Path:
    return Path(path).expanduser()
