"""Epochs over shards, read from front to back by several readers at once, in an order that none of them changes.

The images of an epoch, shard after shard in a random order of the shards, are cut into K *lanes* of one length:

    lane 0: images 0 to q-1        lane 1: images q to 2q-1        ...        lane K-1

Image i of the epoch is the next one of lane i mod K. A lane is read by one worker process alone, front to back,
and K is a multiple of the number of training processes: process p takes the lanes p, p + count, ... and with them
exactly its share of every batch. So K, not who reads, decides the order. Within a lane an image moves by a random
part of a window; to skip is to begin reading later. Fewer than K images are left over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from rgp.preprocess import Preprocess
from rgp.train.augment import Augmenter
from rgp.train.dataset import ImageData
from rgp.train.shards import Sample, Shards, decoded
from rgp.train.workers import outlive_signals

WINDOW = 4096
"""Images, over all lanes, within which the order is random beyond that of the shards; half are held in memory."""


def lanes_of(shards: Shards, count: int) -> int:
    """How many lanes: 8 to 64, a power of two, with four shards or more to a lane; then a multiple of ``count``.

    Where a lane begins within a shard, what comes before is read in vain: half a shard a lane.
    """
    lanes = 8
    while lanes < 64 and 8 * lanes <= len(shards.names):
        lanes *= 2
    return -(-lanes // count) * count


class StreamedEpochs:
    """Epochs of ``length`` batches of ``share`` images each.

    ``lanes``: this process's, range(p, K, count).
    """

    def __init__(
        self,
        data: ImageData,
        shards: Shards,
        seed: int,
        lanes: range,
        share: int,
        length: int,
        workers: int,
        pin: bool,
    ) -> None:
        self.shards, self.augmenter, self.seed = shards, Augmenter(data), seed
        self.lanes, self.share, self.length = lanes, share, length
        self.readers, self.pin = min(workers, len(lanes)), pin

    def epoch(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of ``epoch`` but the first ``skip``, put together from what the readers have of each."""
        loader: DataLoader[Any] = DataLoader(
            _Pieces(self, epoch, skip),
            batch_size=None,
            num_workers=self.readers,
            worker_init_fn=outlive_signals,
            generator=torch.Generator(),  # else each epoch would draw a number from the global one
        )
        pieces = iter(loader)  # from the readers in turn
        for _ in range(skip, self.length):
            yield self._batch([next(pieces) for _ in range(max(1, self.readers))])

    def _batch(self, pieces: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        filled = [piece for piece in pieces if len(piece[0])]
        images = torch.empty((self.share, *filled[0][1].shape[1:]), dtype=torch.uint8, pin_memory=self.pin)
        classes = torch.empty(self.share, dtype=torch.int64, pin_memory=self.pin)
        for places, some, theirs in filled:
            images[places], classes[places] = some, theirs
        return images, classes


class _Pieces(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """For each batch what this worker's lanes give: places in the batch, images, classes."""

    def __init__(self, of: StreamedEpochs, epoch: int, skip: int) -> None:
        self.of, self.epoch, self.skip = of, epoch, skip

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        info = get_worker_info()
        reader, readers = (info.id, info.num_workers) if info else (0, 1)
        share, lanes = self.of.share, self.of.lanes
        done = self.skip * share
        mine = {
            number: self._lane(lanes[number], skip=len(range(number, done, len(lanes))))
            for number in range(reader, len(lanes), readers)
        }
        for begin in range(done, self.of.length * share, share):
            numbers = [(place, (begin + place) % len(lanes)) for place in range(share)]
            places = [place for place, number in numbers if number in mine]
            images, classes = torch.empty(0), torch.empty(0)
            if places:
                augmented = [self._augmented(*next(mine[number])) for _, number in numbers if number in mine]
                images = torch.stack([image for image, _ in augmented])
                classes = torch.tensor([label for _, label in augmented])
            yield torch.tensor(places, dtype=torch.int64), images, classes

    def _augmented(self, sample: Sample, seed: int) -> tuple[Tensor, int]:
        return self.of.augmenter(decoded(sample), seed), sample.label

    def _lane(self, lane: int, skip: int) -> Iterator[tuple[Sample, int]]:
        """The samples of a lane but the first ``skip``, each with the seed of its augmentation."""
        shards, total = self.of.shards, self.of.lanes.stop
        length = len(shards) // total
        shard_order = np.random.default_rng([self.of.seed, self.epoch]).permutation(len(shards.names))
        random = np.random.default_rng([self.of.seed, self.epoch, lane])
        moved = np.arange(length) + random.random(length) * (WINDOW / total)
        order, seeds = np.argsort(moved, kind="stable"), random.integers(2**63, size=length)
        wanted = order[skip:].tolist()
        if not wanted:
            return
        at = min(wanted)
        samples = shards.read(lane * length + at, (lane + 1) * length, shard_order.tolist())
        needed, held = set(wanted), {}
        for index, seed in zip(wanted, seeds[skip:].tolist(), strict=True):
            while index not in held:
                sample = next(samples)
                if at in needed:
                    held[at] = sample
                at += 1
            yield held.pop(index), seed


class EvaluationStream(IterableDataset[tuple[Tensor, int]]):
    """Every image once: reader r of R takes those from r/R to (r+1)/R of all; ``readers`` are this process's."""

    def __init__(self, shards: Shards, preprocess: Preprocess, readers: range) -> None:
        self.shards, self.preprocess, self.readers = shards, preprocess, readers

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        info = get_worker_info()
        reader, size = self.readers[info.id if info else 0], len(self.shards)
        first, last = (number * size // self.readers.stop for number in (reader, reader + 1))
        for sample in self.shards.read(first, last):
            yield torch.tensor(self.preprocess(decoded(sample))), sample.label
