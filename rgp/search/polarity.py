"""A start for the search where N = q * q and d = q, q a power of two: the polarity graph of the affine plane.

Points (x, y) and (u, v) over GF(q) are joined if y + v = x u. Two points with different x have exactly one
common neighbour, so almost all pairs are within two steps. The q points (0, y), which would be joined to
themselves, are joined in pairs. Source: Erdos & Renyi (1962) and Brown (1966), affine part.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# a primitive polynomial over GF(2) for each field, its bits from x^m down
_POLYNOMIALS = {4: 0b111, 8: 0b1011, 16: 0b10011, 32: 0b100101}


def polarity(nodes: int, degree: int) -> NDArray[np.bool_] | None:
    """The adjacency (N, N), or None where there is no such graph."""
    q = math.isqrt(nodes)
    if q * q != nodes or q != degree or q not in _POLYNOMIALS:
        return None
    powers = [1]
    while len(powers) < q - 1:
        doubled = powers[-1] << 1
        powers.append(doubled ^ _POLYNOMIALS[q] if doubled & q else doubled)
    times = np.zeros((q, q), np.int64)
    for i, a in enumerate(powers):
        for j, b in enumerate(powers):
            times[a, b] = powers[(i + j) % (q - 1)]
    x, y = np.divmod(np.arange(nodes), q)
    joined: NDArray[np.bool_] = (y[:, None] ^ y) == times[x[:, None], x]
    np.fill_diagonal(joined, False)
    joined |= (x[:, None] == 0) & (x == 0) & (y[:, None] ^ y == 1)
    return joined
