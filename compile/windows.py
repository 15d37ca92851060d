"""A biadjacency as few block permutations: its channels in an order in which its edges lie together, cut in windows.

Cut the outputs into g equal windows and the inputs too; if a window of outputs reads at most k windows of inputs, and
is read by at most k, then k parallel classes cover all: each pairs every output window with one input window. A ring
lattice has such an order (round the ring), so has a band; and a graph of few edges needs no order at all.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 4
"""More than so many sums would cost more than unstructured windows save."""
Order = NDArray[np.int64]
Pairs = list[tuple[Order, Order]]
"""(outputs, inputs) of each part of a parallel class."""
Angles = NDArray[np.float64]


def window_cover(support: NDArray[np.bool_], order: tuple[Order, Order], deadline: float) -> list[Pairs]:
    """The cover with the least share of MACs that windows of the channels in ``order`` give; [] if none gives any.

    ``support`` (O, I): which channel pairs are connected. At most MAX_CLASSES classes.
    """
    outs, ins = order
    ordered = support[np.ix_(outs, ins)]
    best: tuple[float, int, int, int] | None = None
    for count in (g for g in range(2, min(ordered.shape) + 1) if not (len(outs) % g or len(ins) % g)):
        blocks = ordered.reshape(count, -1, len(ins)).any(axis=1)
        width = len(ins) // count
        for shift in range(width):
            if time.monotonic() > deadline:
                raise TimeoutError
            cells = np.roll(blocks, -shift, axis=1).reshape(count, count, width).any(axis=2)
            classes = int(max(cells.sum(axis=0).max(), cells.sum(axis=1).max()))
            if classes <= min(MAX_CLASSES, count - 1):
                best = min(best or (1.0, 0, 0, 0), (classes / count, classes, count, shift))
    if best is None:
        return []
    _, classes, count, shift = best
    windows = np.roll(ins, -shift).reshape(count, -1)
    cells = np.roll(ordered, -shift, axis=1).reshape(count, len(outs) // count, count, -1).any(axis=(1, 3))
    permutations = _permutations(np.asarray(cells), classes)
    return [list(zip(outs.reshape(count, -1), windows[partner], strict=True)) for partner in permutations]


def around(matrix: NDArray[np.bool_]) -> tuple[Angles, Angles]:
    """An angle for each row and each column of ``matrix`` (P, Q), min(P, Q) >= 3: connected ones have similar angles.

    From the second and third singular vectors of the matrix scaled by its degrees (spectral co-clustering, Dhillon
    2001): their angle runs round a ring, and along a band.
    """
    rows, columns = (1 / np.sqrt(np.maximum(matrix.sum(axis=axis), 1)) for axis in (1, 0))
    left, _, right = np.linalg.svd(rows[:, None] * matrix * columns, full_matrices=False)
    return np.arctan2(left[:, 2] * rows, left[:, 1] * rows), np.arctan2(right[2] * columns, right[1] * columns)


def _permutations(cells: NDArray[np.bool_], count: int) -> list[Order]:
    """``count`` permutations that together have every cell of ``cells`` (g, g), at most ``count`` in a row or column.

    Permutation p pairs row x with column p[x]. König's theorem on edge colourings, and its proof.
    """
    column_of, row_of = (np.full((count, len(cells)), -1) for _ in range(2))
    for x, y in np.argwhere(cells).tolist():
        a, b = int((column_of[:, x] < 0).argmax()), int((row_of[:, y] < 0).argmax())  # one free for x, one for y
        chain, column = [], y  # the cells that change places between a and b, so that a is free for both
        while (row := int(row_of[a, column])) >= 0:
            chain.append((a, row, column))
            column = int(column_of[b, row])
            if column < 0:
                break
            chain.append((b, row, column))
        for p, row, column in chain:
            column_of[p, row] = row_of[p, column] = -1
        for p, row, column in [(b + a - p, row, column) for p, row, column in chain] + [(a, x, y)]:
            column_of[p, row], row_of[p, column] = column, row
    for columns, rows in zip(column_of, row_of, strict=True):  # what is left is filled with pairs that are no cell
        columns[columns < 0] = np.flatnonzero(rows < 0)
    return list(column_of)
