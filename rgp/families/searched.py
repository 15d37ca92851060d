"""The best regular graphs known: those that ship with rgp, or a search from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rgp import library
from rgp.errors import GraphError
from rgp.families.sizes import looped, neighbours
from rgp.families.spelling import MAX_DIGITS, Spelling
from rgp.graph import Graph

TURNS = 64
MAX_SEARCH_NODES = 1024
ITERATIONS = 1_000_000


def searched(
    nodes: int,
    degree: int,
    seed: int | None = None,
    iterations: int | None = None,
    relabel: int = 0,
    loops: int = 0,
) -> Graph:
    """The graph of this size with the shortest average path that ships with rgp.

    ``seed`` or ``iterations`` make it anew instead: the best that ``rgp.search`` finds with that seed (0) in
    that many iterations (a million), the same on every machine. ``relabel`` above 0 gives the nodes other
    numbers: the same graph to the eye, another one to a layer. Raises GraphError for a size that does not
    exist, or does not ship.
    """
    others = neighbours("searched", nodes, degree, loops)
    if seed is None and iterations is None:
        matrix = _shipped(nodes, others, degree, loops)
    else:
        seed, iterations = seed or 0, ITERATIONS if iterations is None else iterations
        matrix = _found(nodes, others, seed, iterations)
    if relabel:
        order = np.random.Generator(np.random.PCG64(relabel)).permutation(nodes)
        matrix = matrix[order][:, order]
    options = {"seed": seed, "iterations": iterations, "relabel": relabel or None, "loops": loops or None}
    return Graph.of(looped(matrix, loops), str(Spelling("searched", nodes, degree).having(**options)))


def searched_turns(
    nodes: int,
    degree: int,
    seed: int | None = None,
    iterations: int | None = None,
    relabel: int = 0,
    loops: int = 0,
) -> Iterator[Graph]:
    """The same graph, its nodes numbered otherwise in each layer: ``relabel``, ``relabel`` + 1, ... in turn."""
    for turn in range(relabel, relabel + TURNS):
        yield searched(nodes, degree, seed, iterations, turn % 10**MAX_DIGITS, loops)


def _shipped(nodes: int, others: int, degree: int, loops: int) -> NDArray[np.bool_]:
    graph = library.load(nodes, others)
    if graph is not None:
        return graph.adjacency
    degrees = sorted({d + loops for n, d in library.SIZES if n == nodes}, key=lambda d: (abs(d - degree), d))
    sizes = ", ".join(f"{nodes}_{d}" for d in sorted(degrees[:4]))
    every = ", ".join(map(str, sorted({n for n, _ in library.SIZES})))
    shipped = f"the nearest that do are {sizes}" if degrees else f"graphs of {every} nodes do"
    looping = "?loops=1" if loops else ""
    search = f", or search one with rgp-graph search {nodes}_{others} -o FILE.npy" if nodes <= MAX_SEARCH_NODES else ""
    raise GraphError(
        f"{nodes}_{degree}{looping}: no such graph ships with rgp ({shipped}): take random:{nodes}_{degree}{looping}"
        + search
    )


@lru_cache(maxsize=4)
def _found(nodes: int, degree: int, seed: int, iterations: int) -> NDArray[np.bool_]:
    try:
        from rgp.search import search
    except ModuleNotFoundError as error:  # numba, which nothing else here needs
        raise GraphError(
            f"{nodes}_{degree}?seed={seed}&iterations={iterations}: searching needs {error.name}, which is not "
            "installed: pip install 'rgp[graph]'"
        ) from error

    found = search(nodes, degree, seed=seed, iterations=iterations)
    if found.interrupted:  # another graph than the spelling's
        raise KeyboardInterrupt
    return found.graph.adjacency
