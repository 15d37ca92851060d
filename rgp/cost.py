"""True cost of a network: multiply-accumulates and parameters, dense and remaining.

Convolutions and linear layers count (stem and classifier too), one MAC a multiplication; the published code
multiplies every convolution and BatchNorm by d/N instead, which is why it claims 25.00% for ResNet-50 at
64_16 where 27.2% of the MACs and 31.2% of the parameters remain.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rgp.conv import GraphConv2d
from rgp.errors import PruneError


@dataclass(frozen=True)
class LayerCost:
    """One convolution or linear layer, for one image."""

    name: str
    dense_macs: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """A network's cost for one image; the sums are over ``layers``, parameters over the whole network."""

    dense_parameters: int
    parameters: int
    layers: tuple[LayerCost, ...]

    @property
    def dense_macs(self) -> int:
        """MACs without the masks."""
        return sum(layer.dense_macs for layer in self.layers)

    @property
    def macs(self) -> int:
        """MACs that the graph leaves."""
        return sum(layer.macs for layer in self.layers)


def cost(model: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """Count for one image of ``input_shape`` (C, H, W). Nothing is computed: shapes flow on torch's meta device."""
    shadow = deepcopy(model).to("meta").eval()
    layers: dict[str, LayerCost] = {}

    def counter(name: str, kept: float) -> Any:  # torch types hooks as Any
        def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
            weight = module.get_parameter("weight")
            positions = output[0].numel() // weight.shape[0]
            macs = weight.numel() * positions
            before = layers.get(name, LayerCost(name, 0, 0))  # a layer may be applied more than once
            layers[name] = LayerCost(name, before.dense_macs + macs, before.macs + round(macs * kept))

        return count

    pruned = 0
    for (name, module), original in zip(shadow.named_modules(), model.modules(), strict=True):
        if isinstance(original, nn.Conv2d | nn.Linear):
            kept = 1.0
            if isinstance(original, GraphConv2d):
                kept = int(original.mask.sum()) / original.mask.numel()
                pruned += round(original.weight.numel() * (1 - kept))
            module.register_forward_hook(counter(name, kept))
    try:
        with torch.no_grad():
            shadow(torch.empty(1, *input_shape, device="meta"))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # what torch raises on shapes and arguments
        raise PruneError(
            f"an input of shape {input_shape} does not pass through {type(model).__name__}: {error}"
        ) from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, parameters - pruned, tuple(layers.values()))
