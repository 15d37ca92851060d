"""One annealing run: a group, a start, a cooling schedule; it can be taken in pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgp.graph import aspl_bound
from rgp.search.compiled import NEVER, anneal, distances, fill, follow, join, spread
from rgp.search.groups import Group
from rgp.search.lift import Lift, empty, matrix

COLD = 3 << 14  # the temperature at last: 3/4 of a step of distance, in the annealing's fixed point
_SPREAD = 8  # swaps change the spread by so much larger numbers


@dataclass(frozen=True)
class Recipe:
    """What decides a run, but its seed: symmetry, temperature at first, a given start instead of a random one."""

    group: Group
    hot: int
    start: NDArray[np.bool_] | None = None


class Run:
    """First shorter paths; where these reach the lower bound, as many steps again for the spectral gap."""

    def __init__(self, nodes: int, degree: int, recipe: Recipe, seed: int, length: int) -> None:
        self.recipe = recipe
        self._rng = np.array([seed], np.uint64)
        self._lift = empty(nodes, degree, recipe.group.table())
        orbits = nodes // recipe.group.order
        self._bound = round(aspl_bound(nodes, degree) * (nodes - 1)) * orbits
        self._length = length
        self.possible = self._begin()
        self.at_bound = False
        if self.possible:
            self._cool(distances(self._lift, NEVER), 1)

    @property
    def left(self) -> int:
        """Steps until the run ends."""
        return int(self._length - self._state[2]) if self.possible else 0

    @property
    def rank(self) -> tuple[int, int]:
        """The lowest sum of all distances so far, and the lowest spread where that is at the bound."""
        order, lowest = self.recipe.group.order, int(self._state[1])
        return (order * self._bound, order * lowest) if self.at_bound else (order * lowest, 0)

    def advance(self, steps: int) -> int:
        """Take at most ``steps`` steps; returns how many were taken."""
        taken = anneal(
            self._lift, self._best, self._state, self._rng, self._schedule,
            self._bound, self.at_bound, min(steps, self.left),
        )  # fmt: skip
        if not self.at_bound and self._state[1] <= self._bound:
            self.at_bound = True
            self._restore()
            self._cool(spread(self._lift, NEVER), _SPREAD)
        return taken

    def result(self) -> NDArray[np.bool_]:
        """The best adjacency (N, N) so far."""
        copy = empty(len(self._lift.rows), self._lift.degree, self._lift.times)
        _take(copy, self._best)
        return matrix(copy)

    def _begin(self) -> bool:
        if self.recipe.start is None:
            return fill(self._lift, self._rng)
        words = self._lift.rows.shape[1] * 8
        packed = np.packbits(self.recipe.start, axis=1, bitorder="little")
        padded = np.pad(packed, ((0, 0), (0, words - packed.shape[1])))
        follow(self._lift, padded.view("<u8").astype(np.uint64))
        return True

    def _cool(self, loss: int, scale: int) -> None:
        """Start the schedule from its hot end, with the present graph as the best."""
        self._schedule = np.array([self.recipe.hot * scale, COLD * scale, self._length])
        self._state = np.array([loss, loss, 0])
        self._best = np.stack([self._lift.mate, self._lift.voltage])

    def _restore(self) -> None:
        self._lift.rows[:] = 0
        _take(self._lift, self._best)


def _take(lift: Lift, best: NDArray[np.int64]) -> None:
    """Put the mates and voltages of ``best`` (2, darts) into a lift without edges."""
    for x, (y, h) in enumerate(best.T.tolist()):
        if x <= y:
            join(lift, x, y, h)
