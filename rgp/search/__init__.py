"""Search for the regular graph with the shortest average path, and among such the largest spectral gap."""

from __future__ import annotations

import time
from collections.abc import Callable

from rgp.errors import GraphError
from rgp.search.hunt import Found, Hunt

MAX_SEARCH_NODES = 1024
_PIECE = 0.1  # seconds between two looks at the clock, the keyboard and the progress bar


def search(
    nodes: int,
    degree: int,
    *,
    seed: int = 0,
    iterations: int | None = None,
    seconds: float | None = None,
    progress: Callable[[Hunt], None] = lambda hunt: None,
) -> Found:
    """Search for ``iterations`` steps or ``seconds``, whichever ends first; Ctrl-C ends it too.

    It ends by itself where the shortest paths possible are reached and the spectral gap has stopped growing.
    The graph depends on nodes, degree, seed and the number of iterations alone. Raises GraphError for a graph
    that cannot exist, or has more than 1,024 nodes.
    """
    if nodes > MAX_SEARCH_NODES:
        raise GraphError(f"search {nodes}_{degree}: {nodes} nodes, give at most {MAX_SEARCH_NODES}")
    hunt = Hunt(nodes, degree, seed)
    if iterations != 0:
        hunt.advance(1)  # compiles, which is not the search's time
    end = None if seconds is None else time.monotonic() + seconds
    piece = 1
    try:
        while not hunt.settled and (iterations is None or hunt.iterations < iterations):
            began = time.monotonic()
            if end is not None and began >= end:
                break
            hunt.advance(piece if iterations is None else min(piece, iterations - hunt.iterations))
            took = time.monotonic() - began
            piece = max(1, min(2 * piece, round(piece * _PIECE / max(took, 1e-6))))
            progress(hunt)
    except KeyboardInterrupt:
        return hunt.end(interrupted=True)
    return hunt.end()
