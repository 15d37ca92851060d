"""The parallel classes of the affine plane AG(2, q), over the small finite fields.

A point is a pair (x, y) of field elements; the lines y = m x + b of one slope m, and the vertical ones, are
the q+1 parallel classes: each splits the q² points into q lines of q points, and two points lie on exactly
one common line. Source: any text on finite geometry; Lidl & Niederreiter, *Finite Fields*, for the
polynomials.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

# q = p^m -> (p, the tail of a monic irreducible polynomial of degree m over GF(p), lowest term first)
_FIELDS: dict[int, tuple[int, tuple[int, ...]]] = {
    2: (2, (0,)),
    3: (3, (0,)),
    4: (2, (1, 1)),  # x² + x + 1
    5: (5, (0,)),
    7: (7, (0,)),
    8: (2, (1, 1, 0)),  # x³ + x + 1
    9: (3, (1, 0)),  # x² + 1
}
ORDERS = tuple(_FIELDS)


def parallel_classes(order: int) -> NDArray[np.int64]:
    """(q+1, q²): for each parallel class, the line (0 to q-1) on which each point lies."""
    minus, times = _field(order)
    x, y = np.divmod(np.arange(order**2), order)
    slopes = [minus[y, times[m, x]] for m in range(order)]
    return np.stack([*slopes, x])


def _field(order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The subtraction and multiplication tables of GF(q); element e is the polynomial of its base-p digits."""
    prime, tail = _FIELDS[order]
    size = len(tail)
    elements = [digits[::-1] for digits in product(range(prime), repeat=size)]
    number = {digits: index for index, digits in enumerate(elements)}
    minus = np.empty((order, order), np.int64)
    times = np.empty((order, order), np.int64)
    for i, a in enumerate(elements):
        for j, b in enumerate(elements):
            minus[i, j] = number[tuple((s - t) % prime for s, t in zip(a, b, strict=True))]
            raw = np.convolve(a, b)
            for high in range(len(raw) - 1, size - 1, -1):  # x^m = -(tail)
                raw[high - size : high] -= raw[high] * np.array(tail)
                raw[high] = 0
            times[i, j] = number[tuple(int(value) % prime for value in raw[:size])]
    return minus, times
