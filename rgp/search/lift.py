"""Graphs with a symmetry: a group that acts on the nodes, and a few edges that the group repeats.

The N nodes are N/s orbits of s; node ``orbit * s + g`` is (orbit, g). A *dart* leaves an orbit with a *voltage*
h: from each (orbit, g) to (other orbit, g h). Two darts, there and back with voltages h and 1/h, are an edge
that the group repeats s times; a dart whose voltage is its own inverse may go back by itself. So d darts at
each orbit, mated in pairs or alone, are a d-regular graph: what graph theory calls a voltage graph and its
lift (Gross & Tucker, *Topological Graph Theory*, 1987). The group of one element gives all graphs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Ints = NDArray[np.int64]


class Lift(NamedTuple):
    """A graph, as its darts and as bits; dart x leaves orbit x // degree.

    ``rows`` (N, words): each node's neighbours, a bit each. ``mate``, ``voltage``: one for each dart. ``times``
    (s, s), ``inverse`` (s,), ``involutions``: the group.
    """

    rows: Bits
    mate: Ints
    voltage: Ints
    times: Ints
    inverse: Ints
    involutions: Ints
    degree: int


def empty(nodes: int, degree: int, times: Ints) -> Lift:
    """A lift without edges yet; ``times`` (s, s) is the group's table, s a divisor of ``nodes``."""
    order = len(times)
    inverse = np.argmax(times == 0, axis=1).astype(np.int64)
    own_inverse = np.flatnonzero(inverse == np.arange(order))[1:].astype(np.int64)
    darts = nodes // order * degree
    rows = np.zeros((nodes, -(-nodes // 64)), np.uint64)
    return Lift(rows, np.full(darts, -1), np.zeros(darts, np.int64), times, inverse, own_inverse, degree)


def matrix(lift: Lift) -> NDArray[np.bool_]:
    """The adjacency (N, N)."""
    little = lift.rows.astype("<u8").view(np.uint8)
    return np.unpackbits(little, axis=1, bitorder="little", count=len(lift.rows)).astype(bool)
