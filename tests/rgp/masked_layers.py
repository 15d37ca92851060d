"""Masked convolutions of any affine graph, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rgp.conv import GraphConv2d
from rgp.families import parse


def adjacency_of(spelling: str) -> NDArray[np.bool_]:
    (graph,) = parse(spelling, connected=False)
    return graph.adjacency.copy()


def masked(spelling: str, ins: int = 1, outs: int = 2, kernel: Any = 3, **options: Any) -> GraphConv2d:
    """With ``ins`` and ``outs`` channels to a node, in double precision."""
    adjacency = torch.from_numpy(adjacency_of(spelling))
    nodes = len(adjacency)
    return GraphConv2d.of(nn.Conv2d(ins * nodes, outs * nodes, kernel, dtype=torch.float64, **options), adjacency)
