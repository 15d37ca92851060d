"""A network and all that moves its weights: the parts that the loop turns over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from rgp.checkpoint import Checkpoint
from rgp.normalise import Normalise
from rgp.train.batches import EvaluationBatches, TrainingBatches
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData
from rgp.train.device import autocast, choose_device
from rgp.train.evaluation import Metrics, evaluate
from rgp.train.network import build_network, builder_options
from rgp.train.recipe import average, optimiser, rate_of


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
        self.average = average(self.network, config.ema) if config.ema else None
        self.normalise = Normalise(data.preprocess).to(self.device)
        self.precision = autocast(config, self.device)
        pin = self.device.type == "cuda"
        self.batches = TrainingBatches(data, config.batch_size, config.seed, config.workers, pin)
        self.held_out = EvaluationBatches(data.val, data.preprocess, config.batch_size, config.workers, pin)

    def steps(self, epoch: int, skip: int = 0) -> Iterator[Step]:
        """Take the steps of ``epoch`` (from 0), but the first ``skip``, and tell of each."""
        config, length = self.config, len(self.batches)
        self.network.train()
        for number, (images, classes) in enumerate(self.batches.epoch(epoch, skip), start=epoch * length + skip):
            rate = rate_of(number, config, length)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            images, classes = (part.to(self.device, non_blocking=True) for part in (images, classes))
            with self.precision:
                logits = self.network(self.normalise(images))
                loss = F.cross_entropy(logits, classes, label_smoothing=config.label_smoothing)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.optimiser.step()
            if self.average:
                self.average.update_parameters(self.network)
            yield Step(number, rate, loss.detach(), len(images))

    def evaluate(self) -> Metrics:
        """How good the network that ``checkpoint`` keeps is on the held-out images.

        Where that is the average, ``raw_top1`` is what the network itself reaches.
        """
        metrics = evaluate(self.kept, self.held_out, self.normalise, self.precision)
        if self.average:
            metrics["raw_top1"] = evaluate(self.network, self.held_out, self.normalise, self.precision)["top1"]
        return metrics

    @property
    def kept(self) -> nn.Module:
        """What a checkpoint keeps and what is evaluated: the average, if there is one."""
        return self.average.module if self.average else self.network

    def checkpoint(self, metrics: Metrics, training: dict[str, Any]) -> Checkpoint:
        """The network as it is now, or its average."""
        return Checkpoint(
            architecture=self.config.architecture,
            options=builder_options(self.config, self.data),
            labels=self.data.labels,
            preprocess=self.data.preprocess,
            graph=self.config.graph,
            state={key: value.cpu() for key, value in self.kept.state_dict().items()},
            metrics=metrics,
            training=training,
        )
