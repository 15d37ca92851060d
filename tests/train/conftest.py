"""A data set that trains in a second: bars in one of three directions, with noise."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from rgp.preprocess import Preprocess
from rgp.train.config import TrainConfig
from rgp.train.data import DATASETS
from rgp.train.dataset import GreyImages, ImageData
from rgp.train.loop import RunResult, train

SIDE = 8


def bars(count: int, seed: int) -> GreyImages:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 60, size=(count, SIDE, SIDE), dtype=np.uint8)
    classes = np.arange(count) % 3
    for image, direction, place in zip(pixels, classes, random.integers(1, SIDE - 1, size=count), strict=True):
        row, column = np.indices((SIDE, SIDE))
        along = (row, column, (row + column) // 2)[direction]
        image[along == place] += 190
    return GreyImages(pixels, classes.astype(np.int64))


def bars_data() -> ImageData:
    return ImageData(
        train=bars(50, seed=0),
        val=bars(21, seed=1),
        labels=("rows", "columns", "diagonals"),
        preprocess=Preprocess(1, SIDE, SIDE, mean=(0.2,), std=(0.3,)),
        augment=v2.Compose([v2.RandomCrop(SIDE, padding=1), v2.RandomAffine(5)]),
    )


def tiny(runs: Path, **changes: Any) -> TrainConfig:
    """A tiny masked network on bars; its runs go to ``runs``."""
    basis: dict[str, Any] = {
        "data": "bars:here",
        "width": 8,
        "graph": "ring:8_2",
        "epochs": 4,
        "batch_size": 16,
        "lr": 0.1,
        "device": "cpu",
        "runs": str(runs),
    }
    return TrainConfig(**basis | changes)


@pytest.fixture(scope="session", autouse=True)
def bars_are_a_data_set() -> Iterator[None]:
    torch.set_num_threads(1)  # threads cost tiny networks more than they bring
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "bars", lambda path, config: bars_data())
        yield


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., TrainConfig]:
    """Make configurations of a tiny network on bars, with changes; runs go to the test's own folder."""
    return partial(tiny, tmp_path / "runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, RunResult]:
    """One finished run, to be looked at, not touched."""
    config = tiny(tmp_path_factory.mktemp("finished"), epochs=12, experiment="bars", warmup_epochs=1)
    return config, train(config)
