"""What the zeros of a convolution's weight say: twin classes, biadjacency, separate parts.

It needs no metadata: two output channels are twins if they read the same input channels, two input channels
if the same outputs read them. A network masked by a graph of N nodes has at most N classes on each side,
whatever order its channels come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Channels = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Some output channels and the input channels that they read."""

    outs: Channels
    ins: Channels


@dataclass(frozen=True, eq=False)
class Structure:
    """Twin classes on both sides, and who reads whom.

    ``out_class`` (O,) and ``in_class`` (I,): each channel's twin class, numbered by first appearance;
    ``biadjacency`` (P, Q) bool: which input classes each output class reads.
    """

    out_class: NDArray[np.int64]
    in_class: NDArray[np.int64]
    biadjacency: NDArray[np.bool_]

    @classmethod
    def of(cls, weight: NDArray[np.float32]) -> Structure:
        """Find the structure of a weight (O, I, kh, kw); exact zeros are what counts."""
        support = np.asarray((weight != 0).reshape(*weight.shape[:2], -1).any(axis=2))
        out_class, out_first = _classes(support)
        in_class, in_first = _classes(support.T)
        return cls(out_class, in_class, support[np.ix_(out_first, in_first)])

    @property
    def nodes(self) -> int:
        """The number of twin classes on the larger side."""
        return int(max(self.biadjacency.shape))

    @property
    def density(self) -> float:
        """Share of (output, input) channel pairs that are connected."""
        outs, ins = np.bincount(self.out_class), np.bincount(self.in_class)
        return float(outs @ self.biadjacency @ ins / (len(self.out_class) * len(self.in_class)))

    @cached_property
    def neighbourhoods(self) -> tuple[Part, ...]:
        """One part for each class of output twins: its outputs, and all inputs that they read."""
        return tuple(
            Part(_where(self.out_class == p), _where(self.biadjacency[p][self.in_class]))
            for p in range(len(self.biadjacency))
        )

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The connected parts, ordered by first input: channels of different parts never meet.

        Inputs that nobody reads, and outputs that read nothing, belong to no part.
        """
        out_part = np.full(len(self.biadjacency), -1)
        in_part = np.full(self.biadjacency.shape[1], -1)
        count = 0
        for seed in range(len(in_part)):
            if in_part[seed] >= 0 or not self.biadjacency[:, seed].any():
                continue
            ins = np.zeros(len(in_part), bool)
            ins[seed] = True
            while True:  # grow along edges, there and back, until nothing is new
                outs = self.biadjacency[:, ins].any(axis=1)
                grown = np.asarray(self.biadjacency[outs].any(axis=0))
                if (grown == ins).all():
                    break
                ins = grown
            out_part[outs], in_part[ins] = count, count
            count += 1
        return tuple(
            Part(_where(out_part[self.out_class] == part), _where(in_part[self.in_class] == part))
            for part in range(count)
        )


def _classes(support: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class of each row (equal rows share one) numbered by first appearance, and each class's first row."""
    _, first, inverse = np.unique(np.packbits(support, axis=1), axis=0, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    return rank[inverse.reshape(-1)], first[by_appearance]


def _where(mask: NDArray[np.bool_]) -> Channels:
    return tuple(np.flatnonzero(mask).tolist())
