"""Batches of bytes for the network, in an order and with an augmentation that depend on seed and epoch alone.

Each image's augmentation has a seed of its own, drawn with the order of the epoch. So the same batches come
whatever the number of worker processes, and a run that is resumed needs no more than its epoch. Where several
processes train together, each takes its share of the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rgp.errors import DataError
from rgp.preprocess import Preprocess
from rgp.train.augment import Augmenter
from rgp.train.dataset import ImageData, Images
from rgp.train.shards import Shards
from rgp.train.streams import EvaluationStream, StreamedEpochs, lanes_of
from rgp.train.workers import outlive_signals, with_short_errors


@dataclass(frozen=True)
class Part:
    """The share of process ``index`` of ``count``: of each batch the images index, index + count, ..."""

    index: int = 0
    count: int = 1


WHOLE = Part()


class TrainingBatches:
    """The training images, augmented: ``for images, classes in batches.epoch(3)``.

    ``images`` (B, H, W, C) uint8, ``classes`` (B,) int64; B is this process's share of ``batch_size``, which
    ``part.count`` divides. What is left over after whole batches is left out: a batch of one image would break
    BatchNorm. ``order`` is what an epoch's batches depend on beside seed and epoch: a resumed run needs the same.
    """

    def __init__(
        self, data: ImageData, batch_size: int, seed: int, workers: int, pin: bool, part: Part = WHOLE
    ) -> None:
        size = len(data.train)
        lanes = lanes_of(data.train, part.count) if isinstance(data.train, Shards) else 1
        usable = size - size % lanes
        batch = min(batch_size, usable)
        batch -= batch % part.count
        if batch == 0:
            raise DataError(f"the training part has {size} images: give at least {max(lanes, part.count)}")
        self.order = {"images": size, "batch": batch, "lanes": lanes}
        self._length, self._workers = usable // batch, workers
        self._epochs: StreamedEpochs | _ListedEpochs
        if isinstance(data.train, Shards):
            mine, share = range(part.index, lanes, part.count), batch // part.count
            self._epochs = StreamedEpochs(data, data.train, seed, mine, share, self._length, workers, pin)
        else:
            self._epochs = _ListedEpochs(data, seed, batch, self._length, workers, pin, part)

    def __len__(self) -> int:
        return self._length

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch but the first ``skip``; the same epoch gives the same batches."""
        return with_short_errors(self._epochs.epoch(epoch, skip), self._workers)


class EvaluationBatches:
    """Each image once, preprocessed as in the service: (B, H, W, C) uint8, and classes (B,) int64.

    With several processes, each image in one of them. In order, but for shards: worker processes take turns there.
    """

    def __init__(
        self, images: Images, preprocess: Preprocess, batch_size: int, workers: int, pin: bool, part: Part = WHOLE
    ) -> None:
        self._workers = workers
        source: Dataset[tuple[Tensor, int]]
        if isinstance(images, Shards):
            readers = range(part.index, part.count * max(1, workers), part.count)
            source, order = EvaluationStream(images, preprocess, readers), None
        else:
            source, order = _Preprocessed(images, preprocess), range(part.index, len(images), part.count)
        self._loader = DataLoader(
            source,
            batch_size=batch_size,
            sampler=order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            worker_init_fn=outlive_signals,
            generator=torch.Generator(),  # else each epoch would draw a number from the global one
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return with_short_errors(iter(self._loader), self._workers)


class _ListedEpochs:
    """Epochs over images that can be had by their index."""

    def __init__(
        self, data: ImageData, seed: int, batch: int, length: int, workers: int, pin: bool, part: Part
    ) -> None:
        self._order = _Order(len(data.train), seed, batch, length, part)
        self._loader = DataLoader(
            _Augmented(data),
            batch_size=batch // part.count,
            sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            worker_init_fn=outlive_signals,
            generator=torch.Generator(),
        )

    def epoch(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        self._order.epoch, self._order.skip = epoch, skip
        return iter(self._loader)


class _Order(Sampler[tuple[int, int]]):
    """A part of the ``length`` batches of ``epoch`` but the first ``skip``: (index, seed of its augmentation)."""

    def __init__(self, size: int, seed: int, batch: int, length: int, part: Part) -> None:
        self.size, self.seed, self.batch, self.length, self.part = size, seed, batch, length, part
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return (self.length - self.skip) * self.batch // self.part.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        indices, seeds = random.permutation(self.size), random.integers(2**63, size=self.size)
        # the whole epoch is dealt out at once: each batch begins with process 0, as their number divides it
        mine = slice(self.skip * self.batch + self.part.index, self.length * self.batch, self.part.count)
        return iter(zip(indices[mine].tolist(), seeds[mine].tolist(), strict=True))


class _Augmented(Dataset[tuple[Tensor, int]]):
    def __init__(self, data: ImageData) -> None:
        self.images, self.augmenter = data.train, Augmenter(data)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        index, seed = key
        image, label = self.images[index]
        return self.augmenter(image, seed), label


class _Preprocessed(Dataset[tuple[Tensor, int]]):
    def __init__(self, images: Images, preprocess: Preprocess) -> None:
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index]
        return torch.tensor(self.preprocess(image)), label
