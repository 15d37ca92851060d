"""What the zeros of a convolution's weight say: twin classes, biadjacency, separate parts.

It needs no metadata: two output channels are twins if they read the same input channels, two input channels
if the same outputs read them. A network masked by a graph of N nodes has at most N classes on each side,
whatever order its channels come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Channels = tuple[int, ...]
_ROWS = 16
"""Output channels looked at together: what they are compared to stays in the cache."""


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
    def of(cls, weight: NDArray[Any], threshold: float = 0.0) -> Structure:
        """Find the structure of a weight (O, I, *kernel), or (O, I) of a linear layer.

        A pair of channels is connected if any of its weights is larger than ``threshold`` in magnitude, or NaN.
        """
        support = _support(weight.reshape(*weight.shape[:2], -1), threshold)
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

    @property
    def degrees(self) -> NDArray[np.int64]:
        """(P,): how many input classes each output class reads."""
        return np.asarray(self.biadjacency.sum(axis=1))

    @property
    def regular(self) -> bool:
        """Whether every output class reads equally many input classes."""
        return len(set(self.degrees.tolist())) == 1

    def describe(self) -> str:
        """One sentence: how many classes, how many each reads, and what share of the channel pairs that is."""
        if self.biadjacency.all():
            return "every output channel reads every input channel"
        if not self.biadjacency.any():
            return "no output channel reads any input channel"
        outs, ins = self.biadjacency.shape
        least, most = int(self.degrees.min()), int(self.degrees.max())
        reads = f"every output class reads {most}" if self.regular else f"output classes read {least} to {most}"
        return f"{outs} x {ins} classes, {reads}: {100 * self.density:.3g}% of the channel pairs"

    def part(self, outs: NDArray[np.bool_], ins: NDArray[np.bool_]) -> Part:
        """The channels of some output classes, (P,) bool, and of some input classes, (Q,) bool."""
        return Part(_where(outs[self.out_class]), _where(ins[self.in_class]))

    @cached_property
    def neighbourhoods(self) -> tuple[Part, ...]:
        """One part for each class of output twins: its outputs, and all inputs that they read."""
        alone = np.eye(len(self.biadjacency), dtype=bool)
        return tuple(self.part(alone[p], reads) for p, reads in enumerate(self.biadjacency))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The connected parts, ordered by first input: channels of different parts never meet.

        Inputs that nobody reads, and outputs that read nothing, belong to no part.
        """
        readers = np.ascontiguousarray(self.biadjacency.T)
        unseen = np.asarray(readers.any(axis=1))
        parts = []
        for seed in np.flatnonzero(unseen):  # classes are numbered by first channel
            if not unseen[seed]:
                continue
            outs, ins = np.zeros(readers.shape[1], bool), np.zeros(len(readers), bool)
            new = np.array([seed])
            while len(new):  # there and back along the edges of what is new
                ins[new] = True
                new_outs = np.flatnonzero(readers[new].any(axis=0) & ~outs)
                outs[new_outs] = True
                new = np.flatnonzero(self.biadjacency[new_outs].any(axis=0) & ~ins)
            unseen &= ~ins
            parts.append(self.part(outs, ins))
        return tuple(parts)


def _support(weight: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """(O, I) from (O, I, taps), some rows at a time and tap by tap: numpy is slow where the last axis is short."""
    support = np.zeros(weight.shape[:2], bool)
    for first in range(0, len(weight), _ROWS):
        counts = ~(np.abs(weight[first : first + _ROWS]) <= threshold)  # so that NaN counts
        for tap in range(weight.shape[2]):
            support[first : first + _ROWS] |= counts[:, :, tap]
    return support


def _classes(support: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class of each row (equal rows share one) numbered by first appearance, and each class's first row."""
    rows = [row.tobytes() for row in np.packbits(support, axis=1)]
    number = {row: index for index, row in enumerate(dict.fromkeys(rows))}
    classes = np.array([number[row] for row in rows])
    return classes, np.unique(classes, return_index=True)[1]


def _where(mask: NDArray[np.bool_]) -> Channels:
    return tuple(np.flatnonzero(mask).tolist())
