"""From a published mask to the graph behind it: RGP's code stores the mask, spread over the channels, alone.

``scores`` (O, I, 1, 1) repeats each entry of the adjacency over the channels of its two nodes, by the rule in
``rgp.blocks``; neither the adjacency nor N is stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgp.blocks import node_of_channel
from rgp.errors import CheckpointError


def is_mask(scores: Tensor) -> bool:
    """Whether all scores are 0 or 1. Others were trained, and the layer that they scale is dense."""
    return bool(((scores == 0) | (scores == 1)).all())


def adjacencies(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Adjacency (N, N) bool by layer, rows are outputs; ``scores`` (O, I, 1, 1) of 0 and 1 by layer.

    N is the smallest that explains every layer. CheckpointError if none does.

    >>> lattice = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    >>> spread = lattice.repeat_interleave(4, 0).repeat_interleave(2, 1)[:, :, None, None]
    >>> adjacencies({"conv": spread})["conv"].equal(lattice.bool())
    True
    """
    masks = {layer: each.flatten(1).bool().numpy() for layer, each in scores.items()}
    narrow_first = sorted(masks, key=lambda layer: masks[layer].size)
    furthest = 0
    for nodes in range(1, min((min(mask.shape) for mask in masks.values()), default=0) + 1):
        found: dict[str, Tensor] = {}
        for place, layer in enumerate(narrow_first):
            adjacency = _adjacency(masks[layer], nodes)
            if adjacency is None:
                furthest = max(furthest, place)
                break
            found[layer] = torch.from_numpy(adjacency)
        else:
            return found
    if masks:
        raise CheckpointError(f"no number of nodes explains '{narrow_first[furthest]}.scores' and all narrower masks")
    return {}


def _adjacency(mask: NDArray[np.bool_], nodes: int) -> NDArray[np.bool_] | None:
    """The (N, N) matrix that ``mask`` (O, I) repeats over the channels of N nodes; None if it is no such mask."""
    out, into = (node_of_channel(channels, nodes) for channels in mask.shape)
    first_out, first_into = (np.searchsorted(owner, np.arange(nodes)) for owner in (out, into))
    adjacency = mask[np.ix_(first_out, first_into)]
    return adjacency if np.array_equal(adjacency[np.ix_(out, into)], mask) else None


def spelled(masks: Mapping[str, Tensor]) -> str:
    """The graph in words: "matrix:16_8" for 16 nodes of degree 8, "matrix:16_3..9", "dense" without masks."""
    if not masks:
        return "dense"
    degrees = torch.cat([adjacency.sum(1) for adjacency in masks.values()])
    nodes = len(next(iter(masks.values())))
    low, high = int(degrees.min()), int(degrees.max())
    return f"matrix:{nodes}_{low}" + (f"..{high}" if high > low else "")
