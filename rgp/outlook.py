"""What a compiler can make of a graph: which lowerings apply, and how large the dense blocks are.

It says what is possible, and nothing about speed: only a measurement does (rgp-compile).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rgp.blocks import block_sizes
from rgp.graph import Graph

MAX_NEIGHBOURHOODS = 8
"""The ``sliced`` lowering (rgp.compile.lowerings.sliced) takes 2 to this many distinct neighbourhoods."""


@dataclass(frozen=True)
class Block:
    """One dense block of a masked convolution: from ``least`` to ``most`` channels on each side."""

    least: int
    most: int

    def __str__(self) -> str:
        side = str(self.least) if self.least == self.most else f"{self.least}..{self.most}"
        return f"{side} x {side}"


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the adjacency of a graph offers to a compiler, where N divides the numbers of channels.

    ``twin_of`` (N,): each node's twin class; twins read the same nodes, and since the adjacency is symmetric the
    same nodes read them. ``parts``: for each connected part of the biadjacency (outputs on one side, inputs on
    the other), how many output and input nodes it has. A bipartite graph without self-loops has two parts.
    """

    twin_of: NDArray[np.int64]
    parts: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, graph: Graph) -> Outlook:
        """Look at ``graph``."""
        rows = [row.tobytes() for row in np.packbits(graph.adjacency, axis=1)]
        number = {row: index for index, row in enumerate(dict.fromkeys(rows))}
        return cls(np.array([number[row] for row in rows]), _parts(graph.adjacency))

    @cached_property
    def twin_classes(self) -> tuple[int, ...]:
        """The sizes of the twin classes, the largest first. Their number is that of distinct neighbourhoods."""
        return tuple(sorted(Counter(self.twin_of.tolist()).values(), reverse=True))

    @property
    def groups(self) -> int | None:
        """The groups of the grouped convolution that this is on permuted channels; None if it is none."""
        return len(self.parts) if len(self.parts) > 1 and len(set(self.parts)) == 1 else None

    @property
    def slices(self) -> int | None:
        """How many dense convolutions over some of the inputs this is, at most MAX_NEIGHBOURHOODS; or None."""
        return len(self.twin_classes) if 2 <= len(self.twin_classes) <= MAX_NEIGHBOURHOODS else None

    def block(self, channels: int) -> Block | None:
        """One dense block, twins merged, with ``channels`` in and out; None if they are fewer than the nodes."""
        if channels < len(self.twin_of):
            return None
        sides = np.bincount(self.twin_of, weights=block_sizes(channels, len(self.twin_of)))
        return Block(int(sides.min()), int(sides.max()))


def _parts(adjacency: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """(outputs, inputs) of each connected part of the biadjacency, which is ``adjacency``."""
    sizes = []
    unseen = np.ones(len(adjacency), bool)  # inputs of no part yet
    while unseen.any():
        new = np.array([unseen.argmax()])
        outs = np.zeros(len(adjacency), bool)
        ins = np.zeros(len(adjacency), bool)
        while len(new):  # there and back along the edges of what is new
            ins[new] = True
            new_outs = np.flatnonzero(adjacency[new].any(axis=0) & ~outs)
            outs[new_outs] = True
            new = np.flatnonzero(adjacency[new_outs].any(axis=0) & ~ins)
        sizes.append((int(outs.sum()), int(ins.sum())))
        unseen &= ~ins
    return tuple(sizes)
