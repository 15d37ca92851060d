"""Affine spaces: the parallel classes of their lines, or of larger flats, as cliques of nodes.

The N = p^n nodes are the elements of GF(N), which is also the affine space AG(n/s, c) over its subfield of
c = p^s elements. Direction 0 is that subfield, direction i is a^i times it for a primitive element a; the cosets
of a direction, its parallel lines, are N/c cliques of c nodes: parallel class i. Multiplication by a is a Singer
cycle: any n/s consecutive directions are independent, so layers that take consecutive classes in turn, one each,
with self-loops, mix as fast as any can. Where s does not divide n, t-dimensional flats over a smaller field
GF(q), q^t = c, take the place of the lines: direction i is a^(t i) times the span of 1, a, ..., a^(t-1). Sources:
Lidl & Niederreiter, *Finite Fields*; Hirschfeld, *Projective Geometries over Finite Fields*, section 4.2, for the
Singer cycle.

>>> cliques(4, 2, 0).tolist(), cliques(4, 2, 1).tolist(), cliques(4, 2, 2).tolist()
([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rgp.families.climb import best_subset
from rgp.families.field import plus, powers, prime_power

_TRIES = 5000
_WORK = 50_000_000
"""About how many edges the tries of one choice of directions may look at."""
_FAR = 1 << 62
"""A sum of path lengths that no connected graph has."""


def field_and_dimension(nodes: int, clique: int) -> tuple[int, int]:
    """q and t: a clique is a t-dimensional flat over the largest field GF(q) for which N is a power of q."""
    (prime, size), (_, s) = prime_power(nodes), prime_power(clique)
    common = math.gcd(size, s)
    return prime**common, s // common


def class_count(nodes: int, clique: int) -> int:
    """How many parallel classes of cliques of ``clique`` = p^s there are in N = p^n nodes, in one Singer cycle."""
    small, dimension = field_and_dimension(nodes, clique)
    points = (nodes - 1) // (small - 1)
    return points // math.gcd(points, dimension)


def flat(nodes: int, clique: int, direction: int) -> NDArray[np.int16]:
    """(c,): the clique of class i that holds node 0, which is last: a^(t i) times the span of 1, ..., a^(t-1)."""
    small, dimension = field_and_dimension(nodes, clique)
    element = powers(nodes)
    span = np.zeros(1, dtype=np.int16)
    for i in range(direction * dimension, (direction + 1) * dimension):
        line = element[(i + np.arange(small - 1) * ((nodes - 1) // (small - 1))) % (nodes - 1)]
        span = plus(nodes, span[:, None], np.append(line, np.int16(0))).ravel()
    return span


def cliques(nodes: int, clique: int, direction: int) -> NDArray[np.int64]:
    """(N,): the number of the clique of this class in which each node lies."""
    least = plus(nodes, np.arange(nodes, dtype=np.int16)[:, None], flat(nodes, clique, direction)).min(1)
    return np.unique(least, return_inverse=True)[1]


@lru_cache(maxsize=64)
def directions(nodes: int, clique: int, count: int) -> tuple[int, ...]:
    """Which ``count`` directions to take, 0 among them, by hill climbing if choices differ.

    They are alike in a plane, and as long as the directions are independent. Distances and hyperplanes do not
    change when multiplied with an element of the subfield, so one element of each direction, a point of the
    projective space, stands for them all.
    """
    points = class_count(nodes, clique)
    if count == points or clique**2 == nodes or clique**count <= nodes:
        return tuple(range(count))
    element = powers(nodes)
    point_of = np.full(nodes, points, dtype=np.int16)  # the last one is no point: node 0
    point_of[element] = np.arange(nodes - 1) % points
    flats = np.stack([flat(nodes, clique, i)[:-1] for i in range(points)])
    # row i: the points that an edge of direction i joins to each point, (c - 1, points)
    beside = point_of[plus(nodes, flats[:, :, None], element[:points])]
    hyperplane = np.isin(np.arange(points), point_of[flat(nodes, nodes // clique, 0)])
    # row i: in which hyperplanes direction i lies
    inside = hyperplane[(np.arange(points)[:, None] - np.arange(points)) % points]

    def cost(chosen: Sequence[int]) -> tuple[int, int]:
        """The sum of the path lengths from one node to the points, and the most directions in one hyperplane.

        The second largest eigenvalue of the graph grows with the latter.
        """
        taken = [0, *(i + 1 for i in chosen)]
        ends = beside[taken].reshape(-1, points)
        reached = np.arange(points + 1) == points
        paths = 0
        while left := points + 1 - int(np.count_nonzero(reached)):
            grown = reached[ends].any(0) | reached[:-1]
            if points - np.count_nonzero(grown) == left:
                return _FAR, 0
            paths += left  # once for each step that they are away
            reached[:-1] = grown
        return paths, int(inside[taken].sum(0).max())

    tries = min(_TRIES, _WORK // (nodes * count * (clique - 1)))
    best = best_subset(points - 1, count - 1, cost, tries=tries)
    return (0, *(i + 1 for i in best))
