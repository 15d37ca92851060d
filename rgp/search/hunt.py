"""Which runs the search makes: many short ones over many symmetries, more where they did well.

The records of the order/degree problem (Graph Golf) are graphs with a symmetry; which one, nobody can tell
before trying. So half of the runs explore: any order of group is as likely as any other, then any group of
that order. Half go on with the groups that have led so far, and one in sixteen lets go of the symmetry: it
starts from the best graph of all and swaps single edges, cold. Runs grow longer during the first few hundred.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rgp.families.ring import ring
from rgp.graph import Graph
from rgp.search.groups import Group, groups
from rgp.search.polarity import polarity
from rgp.search.run import COLD, Recipe, Run

ORBITS = 16  # more than so many orbits of nodes are left to small graphs and to single edges
LEADERS = 6
PATIENCE = 128  # runs without a larger spectral gap, once the paths cannot get shorter
_STAYING = (1, 1, 1, 1, 4, 4, 4, 16)
_HEATS = (COLD, 3 * COLD // 2, 2 * COLD, 3 * COLD, 4 * COLD)


@dataclass(frozen=True)
class Found:
    """The best graph so far, what it took, under which symmetry it was found; and whether Ctrl-C ended it."""

    graph: Graph
    iterations: int
    symmetry: str
    interrupted: bool


class Hunt:
    """The search, to be advanced in pieces: their sizes do not change what it does."""

    def __init__(self, nodes: int, degree: int, seed: int) -> None:
        self._size = nodes, degree
        self.iterations = 0
        self.runs = 0
        self._best, self._symmetry, self._improved = ring(nodes, degree), str(Group(nodes)), 0
        self._plan = self._planned(np.random.Generator(np.random.PCG64(seed)))
        self._run = next(self._plan)

    @property
    def settled(self) -> bool:
        """Whether no path can get shorter, and no larger spectral gap has turned up for long."""
        return self._best.aspl <= self._best.aspl_bound and self.runs > self._improved + PATIENCE

    @property
    def aspl(self) -> float:
        """The lowest so far, the present run's included."""
        nodes = self._best.nodes
        return min(self._best.aspl, self._run.rank[0] / (nodes * (nodes - 1)))

    def advance(self, steps: int) -> None:
        """Take at most ``steps`` steps."""
        self.iterations += self._run.advance(steps)
        if not self._run.left:
            self._note()
            self._run = next(self._plan)
            self.runs += 1

    def end(self, *, interrupted: bool = False) -> Found:
        """The best graph, that of the unfinished run included: the hunt is over."""
        self._note()
        return Found(self._best, self.iterations, self._symmetry, interrupted)

    def _note(self) -> None:
        """Keep the present run's best graph if it is the best of all."""
        if self._run.rank[0] <= _paths(self._best):
            graph = Graph.of(self._run.result(), "search")
            if _key(graph) < _key(self._best):
                self._best, self._symmetry, self._improved = graph, str(self._run.recipe.group), self.runs

    def _planned(self, rng: np.random.Generator) -> Iterator[Run]:
        """Yield one run after the other; each is advanced to its end before the next is asked for."""
        nodes, degree = self._size
        start = polarity(nodes, degree)
        if start is not None:
            yield Run(*self._size, Recipe(Group(1), COLD, start), 0, nodes)
        rivals = [
            groups(order)
            for order in range(1, nodes + 1)
            if nodes % order == 0 and nodes <= max(ORBITS * order, 2 * ORBITS)
        ]
        ranks: dict[Group, tuple[int, int]] = {}
        for turn in itertools.count():
            kind, seed, heat = int(rng.integers(16)), int(rng.integers(1 << 62)), int(rng.choice(_HEATS))
            effort = min(256, 4 << turn // 32) * int(rng.choice(_STAYING))
            if kind == 0:
                recipe = Recipe(Group(1), COLD, self._best.adjacency)
            elif kind < 8 and len(ranks) > LEADERS:
                leaders = sorted(ranks, key=ranks.__getitem__)[:LEADERS]
                recipe = Recipe(leaders[int(rng.integers(LEADERS))], heat)
            else:
                order = rivals[int(rng.integers(len(rivals)))]
                recipe = Recipe(order[int(rng.integers(len(order)))], heat)
            orbits = nodes // recipe.group.order
            run = Run(*self._size, recipe, seed, effort * degree * round((orbits * nodes) ** 0.5))
            if run.possible:
                yield run
                ranks[recipe.group] = min(run.rank, ranks.get(recipe.group, run.rank))


def _paths(graph: Graph) -> int:
    """The sum of the distances over ordered pairs."""
    return int(graph.distances.sum(dtype=np.int64))


def _key(graph: Graph) -> tuple[int, float]:
    """The sum of distances, then the spectral gap, rounded so that machines agree; less is better."""
    return _paths(graph), -round(graph.spectral_gap, 6)
