"""How the weights move: SGD with momentum, a linear warm-up, then half a cosine. RGP, section IV-A."""

from __future__ import annotations

import math

import torch
from torch import nn

from rgp.train.config import TrainConfig


def optimiser(network: nn.Module, config: TrainConfig) -> torch.optim.SGD:
    """SGD on all parameters, BatchNorm's and biases included, as the paper does; Nesterov off."""
    return torch.optim.SGD(
        network.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )


def learning_rate(step: int, *, steps: int, warmup: int, peak: float) -> float:
    """The rate of ``step`` (from 0) of ``steps``: up in a line over ``warmup`` steps, then down a cosine to 0.

    >>> [round(learning_rate(step, steps=6, warmup=2, peak=1.0), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
