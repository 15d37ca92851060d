"""Full blocks of one size in a biadjacency, and parallel classes of them that have every edge.

A block is a rows x b columns, all connected; a parallel class is P/a = Q/b blocks that partition the P rows and the Q
columns. In an affine graph the blocks are its lines: rows and columns may be in any order, each in its own. Three
steps: list the blocks of a size, choose some that cover every edge, sort these into parallel classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.bool_]
Blocks = tuple[Matrix, Matrix]
"""(n, P): the rows of each block; (n, Q): its columns."""
_SEARCHES = 50_000_000
"""Choices of equally many rows that are followed at once, times the edges each looks at; beyond, a list of blocks
stays incomplete."""
_MOST = 4096
"""How many blocks of one size are looked at. Where there are more, a part of them is no hint of structure."""
_ENTRIES = 20_000_000
"""How many pairs of a block and an edge the search for a choice of the blocks may look at."""
_CHOICES = 100
"""How many choices of the blocks are tried."""
_SORTS = 2000
"""How many steps may sort one choice into classes."""
_WORK = 4_000_000_000
"""Multiplications in one round of ``_settled``: more and the dearer of its rules is left out."""


def biclique_cover(matrix: Matrix, deadline: float) -> list[Blocks] | None:
    """Parallel classes of full blocks that cover ``matrix`` (P, Q), fewer than each has blocks; None if none is found.

    Every row and column must have an edge. The largest blocks come first. Blocks of 2 x 2 and less are not looked
    for: nearly every regular graph is a union of those. Deterministic; TimeoutError where ``time.monotonic()`` passes
    ``deadline``.
    """
    outs, ins = matrix.sum(axis=1), matrix.sum(axis=0)
    shared = math.gcd(*matrix.shape)
    for count in (g for g in range(2, shared + 1) if shared % g == 0):
        a, b = matrix.shape[0] // count, matrix.shape[1] // count
        if min(a, b) < 2 or a * b < 6:
            return None
        if outs.min() < b or ins.min() < a or outs.max() > b * (count - 1) or ins.max() > a * (count - 1):
            continue
        lines = _lines(outs, b) if _lines(outs, b) == _lines(ins, a) else 0
        for blocks in _blocks(matrix, a, b, deadline):
            for chosen in _covers(matrix, blocks, lines, deadline):
                if chosen[0][:, 0].sum() < count and (classes := _parallel(chosen, deadline)):
                    return classes
    return None


def _lines(degrees: NDArray[np.int64], side: int) -> int:
    """k, if every degree is k(side - 1) + 1: there blocks may meet in one edge, as k lines do in a point; or 0."""
    count, rest = divmod(int(degrees[0]) - 1, side - 1)
    return count if not rest and (degrees == degrees[0]).all() else 0


def _blocks(matrix: Matrix, a: int, b: int, deadline: float) -> Iterator[Blocks]:
    """Full blocks of a x b that cover every edge: as few as come first, then all; nothing if there are too many."""
    done = np.zeros(len(matrix), bool)  # rows all of whose blocks are found
    missing = matrix.copy()
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for every in (False, True):
        for row in range(len(matrix)):
            if done[row] or not (every or missing[row].any()):
                continue
            done[row] = True
            columns = np.flatnonzero(matrix[row])
            shared = matrix[:, columns].sum(axis=1)
            others = np.flatnonzero((shared >= b) & ~done)
            for rows, taken in _through(matrix[np.ix_(others, columns)].astype(np.float32), a - 1, b, deadline):
                found.append((np.append(others[list(rows)], row), columns[list(taken)]))
                missing[np.ix_(*found[-1])] = False
                if len(found) > _MOST:
                    return
            if missing[row].any():
                return
        blocks = np.zeros((len(found), len(matrix)), bool), np.zeros((len(found), matrix.shape[1]), bool)
        for index, block in enumerate(found):
            for side, members in zip(blocks, block, strict=True):
                side[index, members] = True
        yield blocks


def _through(
    matrix: NDArray[np.float32], need: int, b: int, deadline: float
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every full block of ``need`` rows and ``b`` columns; all searches that have chosen equally many rows at once."""
    chosen, open_rows = np.zeros((1, len(matrix)), bool), np.ones((1, len(matrix)), bool)
    common = np.ones((1, matrix.shape[1]), bool)
    while len(chosen):
        while True:  # take away what can be in no block any more
            if time.monotonic() > deadline:
                raise TimeoutError
            size = open_rows.sum() + common.sum() + len(chosen)
            open_rows &= common @ matrix.T >= b
            common &= open_rows @ matrix >= need
            alive = (open_rows.sum(axis=1) >= need) & (common.sum(axis=1) >= b)
            chosen, open_rows, common = chosen[alive], open_rows[alive], common[alive]
            if open_rows.sum() + common.sum() + len(chosen) == size:
                break
        full = (common.sum(axis=1) == b) | (open_rows.sum(axis=1) == need)
        for index in np.flatnonzero(full):
            fixed = tuple(np.flatnonzero(chosen[index]).tolist())
            for rows in combinations(np.flatnonzero(open_rows[index]).tolist(), need):
                for columns in combinations(np.flatnonzero(common[index]).tolist(), b):
                    yield fixed + rows, columns
        chosen, open_rows, common = chosen[~full], open_rows[~full], common[~full]
        search, row = np.nonzero(open_rows)
        if len(search) * matrix.size > _SEARCHES:
            return
        here = np.arange(len(row)), row
        chosen, open_rows = chosen[search], open_rows[search] & (np.arange(len(matrix)) > row[:, None])
        chosen[here] = True
        common = common[search] & (matrix[row] > 0)
        need -= 1
        open_rows &= need > 0


def _covers(matrix: Matrix, blocks: Blocks, lines: int, deadline: float) -> Iterator[Blocks]:
    """Choices of the blocks that cover every edge: all of them, or the choices of lines if ``lines`` are in a point.

    Then each row is in so many blocks, and two of them meet in one edge or share no channel.
    """
    rows, columns = (side.astype(np.float32) for side in blocks)
    at = np.nonzero(matrix)
    if not lines or len(rows) * len(at[0]) > _ENTRIES:
        yield blocks
        return
    covers = rows[:, at[0]] * columns[:, at[1]]
    meeting = rows @ rows.T
    agree = (meeting <= 1) & (meeting == columns @ columns.T) | np.eye(len(rows), dtype=bool)
    stack = [np.ones(len(rows), bool)]
    for _ in range(_CHOICES):
        if not stack:
            return
        kept = _settled(stack.pop(), lines, rows, covers, agree, deadline)
        if kept is None:
            continue
        opponents = (~agree[kept][:, kept]).sum(axis=1)
        if not opponents.any():
            yield blocks[0][kept], blocks[1][kept]
            continue
        first = np.flatnonzero(kept)[np.where(opponents > 0, opponents, len(kept)).argmin()]
        stack.append(kept & (np.arange(len(kept)) != first))
        stack.append(kept & agree[first])


def _settled(
    kept: Matrix, lines: int, rows: NDArray[np.float32], covers: NDArray[np.float32], agree: Matrix, deadline: float
) -> Matrix | None:
    """Without the blocks (n,) that no choice can have; None if no choice is left."""
    while True:
        if time.monotonic() > deadline:
            raise TimeoutError
        times, through = kept @ covers, kept @ rows
        if not times.all() or through.min() < lines:
            return None
        needed = kept & (covers[:, times == 1].any(axis=1) | rows[:, through == lines].any(axis=1))
        complete = needed @ rows >= lines
        still = kept & agree[needed].all(axis=0) & (needed | ~rows[:, complete].any(axis=1))
        if covers.shape[1] * int(still.sum()) ** 2 < _WORK:  # beside a block, there must be one left for every edge
            rest = np.flatnonzero(still)
            still[rest] = (agree[np.ix_(rest, rest)].astype(np.float32) @ covers[rest]).all(axis=1)
        if (still == kept).all():
            return kept
        kept = still


def _parallel(blocks: Blocks, deadline: float) -> list[Blocks] | None:
    """The blocks sorted into classes that each partition the rows and the columns; None if they cannot be.

    Like a sudoku: each block lies in one class, each row is once in each class, and blocks that share a row or a
    column lie in different classes. Where that leaves a choice, the class of the most alike is tried first.
    """
    rows, columns = (side.astype(np.float32) for side in blocks)
    count = int(rows[:, 0].sum())
    if not ((rows.sum(axis=0) == count).all() and (columns.sum(axis=0) == count).all()):
        return None
    clash = (rows @ rows.T + columns @ columns.T > 0).astype(np.float32)
    np.fill_diagonal(clash, 0)
    alike = clash @ clash  # parallel lines meet the same lines
    start = np.ones((len(rows), count), bool)  # which classes each block may lie in
    start[np.flatnonzero(rows[:, 0])] = np.eye(count, dtype=bool)  # the classes are numbered by the blocks of row 0
    stack = [start]
    for _ in range(_SORTS):
        if not stack:
            return None
        may = stack.pop()
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError
            sure = may & (may.sum(axis=1, keepdims=True) == 1)
            still = may & ~(clash @ sure > 0)
            choices = rows.T @ still  # (P, k): how many blocks could hold a row in a class
            only = still & (rows @ (choices == 1) > 0)
            still = np.where(only.any(axis=1, keepdims=True), only, still)
            possible = choices.all() and still.any(axis=1).all()
            if not possible or (still == may).all():
                break
            may = still
        if not possible:
            continue
        left = may.sum(axis=1)
        if (left == 1).all():
            return [(blocks[0][may[:, c]], blocks[1][may[:, c]]) for c in range(count)]
        block = np.where(left > 1, left, count + 1).argmin()
        likeness = alike[block] @ (may & (left == 1)[:, None])
        for choice in sorted(np.flatnonzero(may[block]).tolist(), key=likeness.__getitem__):
            stack.append(may.copy())
            stack[-1][block] = np.arange(count) == choice
    return None
