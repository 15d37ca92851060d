"""A network and all that moves its weights: the parts that the loop turns over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from rgp.checkpoint import Checkpoint
from rgp.normalise import Normalise
from rgp.train.batches import EvaluationBatches, TrainingBatches
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData
from rgp.train.device import autocast, choose_device
from rgp.train.evaluation import Metrics, evaluate
from rgp.train.network import build_network, builder_options
from rgp.train.recipe import learning_rate, optimiser


@dataclass(frozen=True)
class Step:
    """One step, taken. ``number`` counts from 0 over all epochs; ``loss`` (a scalar) is still on the device."""

    number: int
    rate: float
    loss: Tensor
    images: int


class Learner:
    """Built from a configuration and its data, the weights fresh (``rgp.train.randomness`` seeds them)."""

    def __init__(self, config: TrainConfig, data: ImageData) -> None:
        self.config, self.data = config, data
        self.device = choose_device(config)
        self.network, self.decisions = build_network(config, data)
        self.network.to(self.device)
        self.optimiser = optimiser(self.network, config)
        self.normalise = Normalise(data.preprocess).to(self.device)
        self.precision = autocast(config, self.device)
        pin = self.device.type == "cuda"
        self.batches = TrainingBatches(data, config.batch_size, config.seed, config.workers, pin)
        self.held_out = EvaluationBatches(data.val, data.preprocess, config.batch_size, config.workers, pin)

    def steps(self, epoch: int) -> Iterator[Step]:
        """Take the steps of ``epoch`` (from 0) and tell of each."""
        config, length = self.config, len(self.batches)
        total, warmup = config.epochs * length, config.warmup_epochs * length
        self.network.train()
        for number, (images, classes) in enumerate(self.batches.epoch(epoch), start=epoch * length):
            rate = learning_rate(number, steps=total, warmup=warmup, peak=config.lr)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            images, classes = (part.to(self.device, non_blocking=True) for part in (images, classes))
            with self.precision:
                logits = self.network(self.normalise(images))
                loss = F.cross_entropy(logits, classes, label_smoothing=config.label_smoothing)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.optimiser.step()
            yield Step(number, rate, loss.detach(), len(images))

    def evaluate(self) -> Metrics:
        """How good the network is on the held-out images."""
        return evaluate(self.network, self.held_out, self.normalise, self.precision)

    def checkpoint(self, metrics: Metrics, training: dict[str, Any]) -> Checkpoint:
        """The network as it is now."""
        return Checkpoint(
            architecture=self.config.architecture,
            options=builder_options(self.config, self.data),
            labels=self.data.labels,
            preprocess=self.data.preprocess,
            graph=self.config.graph,
            state={key: value.cpu() for key, value in self.network.state_dict().items()},
            metrics=metrics,
            training=training,
        )
