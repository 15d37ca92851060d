"""How channels are shared out to nodes: the published rule (RGP section III, and its code).

With C divisible by N each node has C/N consecutive channels. Otherwise the first C % N nodes get one more,
and the sizes are then permuted by numpy's legacy generator with seed 1, the same in every layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def block_sizes(channels: int, nodes: int) -> NDArray[np.int64]:
    """(N,): how many channels each node has. Needs 1 <= N <= C.

    >>> block_sizes(8, 4).tolist()
    [2, 2, 2, 2]
    >>> sorted(block_sizes(10, 4).tolist())
    [2, 2, 3, 3]
    """
    assert 1 <= nodes <= channels, (nodes, channels)
    small, larger = divmod(channels, nodes)
    sizes = np.full(nodes, small, np.int64)
    sizes[:larger] += 1
    if larger:
        sizes = np.random.RandomState(1).permutation(sizes)
    return sizes


def node_of_channel(channels: int, nodes: int) -> NDArray[np.int64]:
    """(C,): the node that owns each channel."""
    return np.repeat(np.arange(nodes), block_sizes(channels, nodes))
