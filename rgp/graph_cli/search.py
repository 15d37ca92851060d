"""``rgp-graph search``: find a regular graph with the shortest average path."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rgp.errors import UsageError
from rgp.families.sizes import neighbours
from rgp.graph import Graph, aspl_bound
from rgp.graph_cli.numbers import seconds, whole
from rgp.graph_cli.output import add_output, check_output

if TYPE_CHECKING:
    from rgp.search.hunt import Hunt

HELP = "search a graph with the shortest average path (ASPL)"
EPILOG = """\
Symmetric graphs are searched first: a group acts on the nodes, so that a few edges decide all others and one
breadth-first search an orbit measures the graph. Then single edges are swapped. Where the ASPL reaches its
lower bound, the spectral gap is enlarged, and the search ends by itself when that has stopped growing.

The same seed and number of iterations give the same graph on every machine; what a time limit gives depends on
the machine, and the last line says how to have it again. Ctrl-C ends the search and keeps the best graph.

examples:
  rgp-graph search 64_8 --time 60 -o g.npy
  rgp-graph search 256_16 --seed 1 --iterations 1000000 -o g.npy
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("size", metavar="N_d", help="nodes and degree: 64_8; up to 1,024 nodes")
    parser.add_argument("--seed", type=whole, default=0, help="another seed, another search (default 0)")
    parser.add_argument("--time", type=seconds, metavar="SECONDS", help="end after so long (default 60)")
    parser.add_argument("--iterations", type=whole, metavar="COUNT", help="end after so many steps instead")
    add_output(parser, [".npy"], required=False)


def run(options: argparse.Namespace) -> int:
    """Search, write the graph and say what it is."""
    match = re.fullmatch(r"([0-9]{1,9})_([0-9]{1,9})", options.size)
    if not match:
        raise UsageError(f"'{options.size:.80}': write N_d, nodes and degree, such as 64_8")
    nodes, degree = int(match[1]), int(match[2])
    neighbours("search", nodes, degree, 0)
    if options.output:
        check_output(options.output, [".npy"], force=options.force)
    limit = 60.0 if options.time is None and options.iterations is None else options.time

    from rgp.search import search  # compiles with numba, which no other command needs

    began = time.monotonic()
    with _Shown(nodes, degree) as progress:
        found = search(
            nodes, degree, seed=options.seed, iterations=options.iterations, seconds=limit, progress=progress
        )
    took = time.monotonic() - began
    again = f"{nodes}_{degree} --seed {options.seed} --iterations {found.iterations}"
    print(f"{f'{options.output}: ' if options.output else ''}{nodes}_{degree}, {_quality(found.graph)}")
    how = "interrupted, the best" if found.interrupted else "found"
    print(f"{how} in {took:.1f} s, symmetry: {found.symmetry}; again: rgp-graph search {again}")
    if options.output:
        found.graph.save(options.output)
    return 0


class _Shown:
    """Shows the search on a terminal as a moving line; in a log, as a line for each shorter ASPL, one a second."""

    def __init__(self, nodes: int, degree: int) -> None:
        self._bound = aspl_bound(nodes, degree)
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task(f"{nodes}_{degree}: compiling")
        self._shown, self._next = float("inf"), 0.0

    def __enter__(self) -> Callable[[Hunt], None]:
        if self._progress.console.is_terminal:  # in a log it would leave empty lines
            self._progress.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def _show(self, hunt: Hunt) -> None:
        gap = 100 * (hunt.aspl / self._bound - 1)
        text = f"ASPL {hunt.aspl:.4f}, bound {self._bound:.4f}, gap {gap:.2f}%, {hunt.iterations:,} iterations"
        self._progress.update(self._task, description=text)
        if not self._progress.console.is_terminal and hunt.aspl < self._shown and time.monotonic() > self._next:
            self._shown, self._next = hunt.aspl, time.monotonic() + 1
            print(text, file=sys.stderr)


def _quality(graph: Graph) -> str:
    return (
        f"ASPL {graph.aspl:.4f}, lower bound {graph.aspl_bound:.4f}, gap {graph.gap_percent:.2f}%, "
        f"diameter {graph.diameter:.0f}, spectral gap {graph.spectral_gap:.4f}"
    )
