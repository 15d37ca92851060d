"""Search for the regular graph with the shortest average path, and among such the largest spectral gap."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rgp.errors import GraphError
from rgp.families.searched import MAX_SEARCH_NODES
from rgp.search.hunt import Found, Hunt

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
    with _interrupts() as interrupts:
        hunt = Hunt(nodes, degree, seed)
        if iterations != 0:
            hunt.advance(1)  # compiles, which is not the search's time
        end = None if seconds is None else time.monotonic() + seconds
        piece = 1
        while not (interrupts or hunt.settled or (iterations is not None and hunt.iterations >= iterations)):
            began = time.monotonic()
            if end is not None and began >= end:
                break
            hunt.advance(piece if iterations is None else min(piece, iterations - hunt.iterations))
            took = time.monotonic() - began
            piece = max(1, min(2 * piece, round(piece * _PIECE / max(took, 1e-6))))
            progress(hunt)
        return hunt.end(interrupted=bool(interrupts))


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Gather SIGINT in a list: in the middle of a piece, its steps would be in the graph and not in the count."""
    gathered: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield gathered
        return
    before = signal.signal(signal.SIGINT, lambda number, _: gathered.append(number))
    try:
        yield gathered
    finally:
        signal.signal(signal.SIGINT, before)
