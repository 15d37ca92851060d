"""What a network costs under a graph, told from shapes alone: no weights are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from rgp.cost import Cost, cost
from rgp.graph import Graph
from rgp.models.registry import build
from rgp.prune import LayerDecision, prune


@dataclass(frozen=True)
class Price:
    """The cost for one image, and what the graph does to each convolution; no decisions without a graph."""

    cost: Cost
    decisions: tuple[LayerDecision, ...] = ()

    @property
    def masked(self) -> int:
        """How many convolutions the graph masks."""
        return sum(decision.graph is not None for decision in self.decisions)


def price(
    architecture: str,
    options: Mapping[str, int],
    graphs: Graph | Sequence[Graph],
    input_shape: tuple[int, int, int],
    **pruning: Any,
) -> Price:
    """Price of ``build(architecture, **options)`` under ``graphs``, none or several, for images (C, H, W).

    ``pruning``: first_dense, last_dense, skip, narrow and turns of ``prune``. Raises as build, prune and cost do.
    """
    with torch.device("meta"):
        model = build(architecture, **options)
    dense = cost(model, input_shape)
    if not graphs:
        return Price(dense)
    weights = {name: module.weight.numel() for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    decisions = tuple(prune(model, graphs, **pruning))
    kept = {decision.name: decision.kept for decision in decisions}
    layers = tuple(replace(layer, macs=round(layer.dense_macs * kept.get(layer.name, 1))) for layer in dense.layers)
    pruned = sum(round(weights[name] * (1 - share)) for name, share in kept.items())
    return Price(replace(dense, parameters=dense.parameters - pruned, layers=layers), decisions)
