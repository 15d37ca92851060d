"""How the weights begin and move: first weights, SGD with momentum, the learning rate, a moving average.

The paper's recipe (RGP, section IV-A) is the default in each of them; what improves on it names its own source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rgp.conv import GraphConv2d
from rgp.train.config import TrainConfig


def optimiser(network: nn.Module, config: TrainConfig) -> torch.optim.SGD:
    """SGD, Nesterov off, on all parameters, BatchNorm's and biases included, as the paper has it.

    Without ``norm_decay`` the penalty leaves out what has one dimension: biases, and the scales of normalisation
    (He et al., *Bag of Tricks*, arXiv 1812.01187, section 3.1).
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if not config.norm_decay:
        groups = [
            {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
            {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def rate_of(step: int, config: TrainConfig, length: int) -> float:
    """The learning rate of a step, counted from 0 over all epochs; ``length``: the steps in an epoch."""
    each = 1 if config.rate_per == "epoch" else length  # moves in an epoch
    return learning_rate(
        step * each // length,
        steps=config.epochs * each,
        warmup=config.warmup_epochs * each,
        peak=config.lr,
        drops=[milestone * each for milestone in config.milestones],
    )


def learning_rate(step: int, *, steps: int, warmup: int, peak: float, drops: Sequence[int] = ()) -> float:
    """The rate of ``step`` (from 0) of ``steps``: up in a line over ``warmup`` steps, then down a cosine to 0.

    With ``drops`` it stays, but for a tenth from each of these steps on.

    >>> [round(learning_rate(step, steps=6, warmup=2, peak=1.0), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    >>> [learning_rate(step, steps=4, warmup=0, peak=1.0, drops=[1, 3]) for step in range(4)]
    [1.0, 0.1, 0.1, 0.01]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if drops:
        return peak / float(10 ** sum(step >= drop for drop in drops))
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


@torch.no_grad()
def scale_to_density_(network: nn.Module) -> None:
    """Enlarge fresh masked weights so that each output varies as if it read every input.

    A weight drawn for I inputs of which a graph leaves k gives an output of k/I of the variance; times the root of
    I/k it is whole again. Source: graph2nn (arXiv 2007.06559), which scales by the density.
    """
    for module in network.modules():
        if isinstance(module, GraphConv2d):
            kept = module.mask.sum(1)
            module.weight.mul_((module.in_channels / kept).sqrt()[:, None, None, None])


def average(network: nn.Module, decay: float) -> AveragedModel:
    """A moving average of the weights and of BatchNorm's statistics, to be fed after each step.

    Young averages forget faster, as 1 - 9/(n + 10) after n steps, so that the first weights do not linger
    (TensorFlow's ExponentialMovingAverage). Source: Polyak & Juditsky (1992).
    """
    return AveragedModel(network, multi_avg_fn=_moving(decay), use_buffers=True)


def _moving(decay: float) -> Callable[..., None]:
    @torch.no_grad()
    def move(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        if not averaged[0].is_floating_point():  # masks, and the number of batches seen: tensors come by type
            torch._foreach_copy_(averaged, current)
            return
        kept = ((1 + count) / (10 + count)).clamp(max=decay)  # a tensor: a number would make a GPU wait
        for mean, now in zip(averaged, current, strict=True):
            mean.lerp_(now, (1 - kept).to(mean.dtype))

    return move
