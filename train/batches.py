"""Batches of bytes for the network, in an order and with an augmentation that depend on seed and epoch alone.

Each image's augmentation has a seed of its own, drawn with the order of the epoch. So the same batches come
whatever the number of worker processes, and a run that is resumed needs no more than its epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rgp.errors import RgpError
from rgp.preprocess import Preprocess
from rgp.train.dataset import ImageData, Images


class TrainingBatches:
    """The training images, augmented: ``for images, classes in batches.epoch(3)``.

    ``images`` (B, H, W, C) uint8, ``classes`` (B,) int64. What is left over after whole batches is left out: a
    batch of one image would break BatchNorm.
    """

    def __init__(self, data: ImageData, batch_size: int, seed: int, workers: int, pin: bool) -> None:
        self._order = _Order(len(data.train), seed)
        self._batch_size = min(batch_size, len(data.train))
        self._loader = DataLoader(
            _Augmented(data),
            batch_size=self._batch_size,
            sampler=self._order,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            generator=torch.Generator(),  # else each epoch would draw a number from the global one
        )

    def __len__(self) -> int:
        return self._order.size // self._batch_size

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch but the first ``skip``; the same epoch gives the same batches."""
        self._order.epoch, self._order.skip = epoch, skip * self._batch_size
        return _with_short_errors(self._loader)


class EvaluationBatches:
    """Each image once, in order, preprocessed as in the service: (B, H, W, C) uint8, and classes (B,) int64."""

    def __init__(self, images: Images, preprocess: Preprocess, batch_size: int, workers: int, pin: bool) -> None:
        self._loader = DataLoader(
            _Preprocessed(images, preprocess),
            batch_size=batch_size,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _with_short_errors(self._loader)


class _Order(Sampler[tuple[int, int]]):
    """The images in the order of ``epoch``, but the first ``skip``: (index, seed of its augmentation)."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch, self.skip = size, seed, 0, 0

    def __len__(self) -> int:
        return self.size - self.skip

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        indices, seeds = random.permutation(self.size), random.integers(2**63, size=self.size)
        return iter(zip(indices[self.skip :].tolist(), seeds[self.skip :].tolist(), strict=True))


class _Augmented(Dataset[tuple[Tensor, int]]):
    def __init__(self, data: ImageData) -> None:
        self.images, self.augment = data.train, data.augment
        self.mode = "L" if data.preprocess.channels == 1 else "RGB"

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        index, seed = key
        image, label = self.images[index]
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            augmented = self.augment(image.convert(self.mode))
        return torch.tensor(np.atleast_3d(np.asarray(augmented))), label


class _Preprocessed(Dataset[tuple[Tensor, int]]):
    def __init__(self, images: Images, preprocess: Preprocess) -> None:
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index]
        return torch.tensor(self.preprocess(image)), label


def _with_short_errors(loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """An error in a worker process comes with that process's traceback as its text: keep our own line."""
    try:
        yield from loader
    except RgpError as error:
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from error
