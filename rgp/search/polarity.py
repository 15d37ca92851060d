"""A start for the search where N = q * q and d = q, q a power of two: the polarity graph of the affine plane.

Points (x, y) and (u, v) over GF(q) are joined if y + v = x u. Two points with different x have exactly one
common neighbour, so almost all pairs are within two steps. The q points (0, y), which would be joined to
themselves, are joined in pairs. Source: Erdos & Renyi (1962) and Brown (1966), affine part.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rgp.families.field import powers

_ORDERS = (4, 8, 16, 32)


def polarity(nodes: int, degree: int) -> NDArray[np.bool_] | None:
    """The adjacency (N, N), or None where there is no such graph."""
    q = math.isqrt(nodes)
    if q * q != nodes or q != degree or q not in _ORDERS:
        return None
    elements, log = powers(q), np.arange(q - 1)
    times = np.zeros((q, q), np.int64)
    times[np.ix_(elements, elements)] = elements[(log[:, None] + log) % (q - 1)]
    x, y = np.divmod(np.arange(nodes), q)
    joined: NDArray[np.bool_] = (y[:, None] ^ y) == times[x[:, None], x]
    np.fill_diagonal(joined, False)
    joined |= (x[:, None] == 0) & (x == 0) & (y[:, None] ^ y == 1)
    return joined
