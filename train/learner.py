"""A network and all that moves its weights: the parts that the loop turns over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from rgp.checkpoint import Checkpoint
from rgp.cost import cost
from rgp.decomposed import decompose_
from rgp.errors import UsageError
from rgp.normalise import Normalise
from rgp.train.batches import EvaluationBatches, Part, TrainingBatches
from rgp.train.config import TrainConfig
from rgp.train.dataset import ImageData
from rgp.train.device import autocast
from rgp.train.distributed import Processes
from rgp.train.evaluation import Metrics, evaluate
from rgp.train.network import build_network, builder_options
from rgp.train.objective import Objective
from rgp.train.randomness import seed_process
from rgp.train.recipe import average, optimiser, rate_of


@dataclass(frozen=True)
class Step:
    """One step, taken. ``number`` counts from 0 over all epochs; ``loss`` (a scalar) is still on the device.

    ``images`` are those of all processes, ``loss`` is the mean over this one's.
    """

    number: int
    rate: float
    loss: Tensor
    images: int


class Learner:
    """Built from a configuration and its data, the weights fresh (``rgp.train.randomness`` seeds them)."""

    def __init__(self, config: TrainConfig, data: ImageData, processes: Processes) -> None:
        self.config, self.data, self.processes = config, data, processes
        share = processes.count * config.accumulate
        if config.batch_size % share:
            raise UsageError(
                f"batch_size is {config.batch_size}: {processes.count} processes times accumulate {config.accumulate} "
                f"must divide it: give {max(1, round(config.batch_size / share)) * share}"
            )
        self.device = self.processes.device
        self.precision = autocast(config, self.device)
        self.layout = torch.channels_last if config.channels_last else torch.preserve_format
        self.options = builder_options(config, data)
        self.network, self.decisions = build_network(config, data, self.options)
        preprocess = data.preprocess
        self.cost = cost(self.network, (preprocess.channels, preprocess.size, preprocess.size))
        self.undecomposed = decompose_(self.network) if config.form == "decomposed" else []
        self.network.to(self.device).to(memory_format=self.layout)
        self.average = average(self.network, config.ema) if config.ema else None
        joined = self.processes.joined(self.network, config.sync_norm)
        self.trained = cast(nn.Module, torch.compile(joined)) if config.compile else joined
        self.optimiser = optimiser(self.network, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "fp16")
        self.objective = Objective(config, data, self.device)
        self.normalise = Normalise(preprocess).to(self.device)
        pin, part = self.device.type == "cuda", Part(self.processes.index, self.processes.count)
        self.batches = TrainingBatches(data, config.batch_size, config.seed, config.workers, pin, part)
        self.held_out = EvaluationBatches(data.val, preprocess, config.batch_size // share, config.workers, pin, part)
        seed_process(config.seed, self.processes.index)

    def steps(self, epoch: int, skip: int = 0) -> Iterator[Step]:
        """Take the steps of ``epoch`` (from 0), but the first ``skip``, and tell of each."""
        length = len(self.batches)
        self.trained.train()
        for number, (images, classes) in enumerate(self.batches.epoch(epoch, skip), start=epoch * length + skip):
            rate = self.rate(number)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            images, classes = (part.to(self.device, non_blocking=True) for part in (images, classes))
            images, targets = self.objective.mixed(self.normalise(images), classes)
            loss = self._backward(images.to(memory_format=self.layout), targets)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            if self.average:
                self.average.update_parameters(self.network)
            yield Step(number, rate, loss, len(images) * self.processes.count)

    def rate(self, number: int) -> float:
        """The learning rate of a step, counted from 0 over all epochs."""
        return rate_of(max(0, number), self.config, len(self.batches))

    def _backward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Gather the gradient of the batch's mean loss in ``accumulate`` passes; the loss."""
        self.optimiser.zero_grad()
        loss = torch.zeros((), device=self.device)
        shares = list(zip(images.chunk(self.config.accumulate), targets.chunk(self.config.accumulate), strict=True))
        for place, (part, wanted) in enumerate(shares, start=1):
            last = place == len(shares)
            with nullcontext() if last else self.processes.apart(self.trained):
                with self.precision:
                    value = self.objective(self.trained(part), part, wanted) * (len(part) / len(images))
                self.scaler.scale(value).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            loss += value.detach()
        return loss

    def evaluate(self) -> Metrics:
        """How good the network that ``checkpoint`` keeps is on the held-out images.

        Where that is the average, ``raw_top1`` is what the network itself reaches.
        """
        metrics = self._evaluated(self.kept)
        if self.average:
            metrics["raw_top1"] = self._evaluated(self.network)["top1"]
        return metrics

    def _evaluated(self, network: nn.Module) -> Metrics:
        self.processes.share_buffers(network)
        return evaluate(network, self.held_out, self.normalise, self.precision, self.processes)

    @property
    def kept(self) -> nn.Module:
        """What a checkpoint keeps and what is evaluated: the average, if there is one."""
        return self.average.module if self.average else self.network

    def checkpoint(self, metrics: Metrics, training: dict[str, Any]) -> Checkpoint:
        """The network as it is now, or its average."""
        return Checkpoint(
            architecture=self.config.architecture,
            options=self.options,
            labels=self.data.labels,
            preprocess=self.data.preprocess,
            graph=self.config.graph,
            state={key: value.cpu() for key, value in self.kept.state_dict().items()},
            metrics=metrics,
            training=training,
        )
