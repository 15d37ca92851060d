"""The groups under which symmetric graphs are searched: cyclic groups, and semidirect products of two.

A group of order s is its multiplication table; element 0 is the identity. Z_a x| Z_b by r is all pairs (i, j)
with (i, j)(k, l) = (i + r^j k mod a, j + l mod b), where r^b = 1 mod a: r = 1 gives the direct product,
r = -1 with b = 2 the dihedral group. Source: any text on groups (metacyclic groups).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Group:
    """Z_a x| Z_b by r."""

    a: int
    b: int = 1
    r: int = 1

    def __str__(self) -> str:
        if self.order == 1:
            return "none"
        if self.b == 1:
            return f"Z{self.a}"
        return f"Z{self.a} x Z{self.b}" if self.r == 1 else f"Z{self.a} : Z{self.b} by {self.r}"

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.a * self.b

    def table(self) -> NDArray[np.int64]:
        """(s, s): the product of each two elements; element (i, j) has the number j a + i."""
        j, i = np.divmod(np.arange(self.order), self.a)
        powers = np.array([pow(self.r, int(k), self.a) for k in range(self.b)])
        table: NDArray[np.int64] = (j[:, None] + j) % self.b * self.a + (i[:, None] + powers[j][:, None] * i) % self.a
        return table


def groups(order: int) -> list[Group]:
    """One of each such group of this order, up to the plainest isomorphisms."""
    found = []
    for a in range(order, 0, -1):
        b, rest = divmod(order, a)
        if rest:
            continue
        for r in range(1, max(a, 2)):
            if math.gcd(r, a) != 1 or pow(r, b, a) != 1 % a:
                continue
            if r == 1 and b > 1 and (b > a or math.gcd(a, b) == 1):
                continue  # the same as Z_b x Z_a, or cyclic
            if r > 1 and r != min(x for x in (pow(r, k, a) for k in range(1, b) if math.gcd(k, b) == 1)):
                continue  # another generator of Z_b gives the same group
            found.append(Group(a, b, r))
    return found
