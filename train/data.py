"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rgp.errors import UsageError, unknown
from rgp.train.cifar import cifar
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData
from rgp.train.digits import digits
from rgp.train.folders import image_folder

# name -> builder(the path after the colon, configuration)
DATASETS: dict[str, Callable[[Path, TrainConfig], ImageData]] = {
    "digits": lambda _, config: digits(),
    "imagefolder": lambda path, config: image_folder(path, config.image_size),
    "cifar10": lambda path, config: cifar("cifar10", path, config.download),
    "cifar100": lambda path, config: cifar("cifar100", path, config.download),
}
WITHOUT_PATH = {"digits"}


def load_data(config: TrainConfig) -> ImageData:
    """The data set that ``config.data`` names; UsageError if there is none, DataError if it is not there."""
    name, colon, path = config.data.partition(":")
    if name not in DATASETS:
        raise UsageError(unknown("data set", name, DATASETS))
    if name in WITHOUT_PATH and colon:
        raise UsageError(f"data is '{config.data}': {name} is part of the package, write just '{name}'")
    if name not in WITHOUT_PATH and not path:
        raise UsageError(f"data is '{config.data}': say where it lies, as in '{name}:data/{name}'")
    return DATASETS[name](Path(path).expanduser(), config)
