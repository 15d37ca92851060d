"""``rgp-graph``: measure graphs, and write one to a file."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rgp.cli import guarded
from rgp.errors import UsageError
from rgp.families import parse
from rgp.graph import Graph

SPELLINGS = """\
A graph is spelled family:N_d?option=value, with N nodes that each read d of the N (64_16 keeps 25%):

  ring:64_16              each node joined to its nearest on a circle: the worst mixing at its degree
  64_16, random:64_16     the ring after random swaps of edges
  random:64_16?seed=3     another one; the same seed gives the same graph on every machine
  affine:64_15            points on common lines of the affine plane (N = q*q, d = k(q-1) + 1): sums of
                          grouped convolutions that mix as well as any graph can
  affine:64_15?first=2    from the third parallel class on
  affine:64_8?rotate=1    one graph a layer, in turn: each convolution one grouped convolution
  path/to/M0.npy          a square matrix of 0 and 1
"""

EXAMPLES = """
examples:
  rgp-graph info ring:64_16 64_16 affine:64_15
  rgp-graph info path/to/M0.npy --json
  rgp-graph make 64_16?seed=3 -o graph.npy
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``rgp-graph``; returns the exit code."""
    return guarded(_run, argv, "rgp-graph")


def _run(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="rgp-graph",
        description="Measure regular graphs, and write one to a file.\n\n" + SPELLINGS,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser(
        "info",
        help="print what there is to know of graphs",
        description=SPELLINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    info.add_argument("graphs", nargs="+", metavar="GRAPH", help="a spelling or a .npy file")
    info.add_argument("--json", action="store_true", help="a list of objects instead of a table; infinite is null")
    make = commands.add_parser(
        "make",
        help="write a graph as a .npy matrix",
        description=SPELLINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    make.add_argument("graph", metavar="GRAPH", help="a spelling or a .npy file")
    make.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.npy", help="the file to write")
    make.add_argument("--force", action="store_true", help="replace the file if it exists")
    options = parser.parse_args(argv)
    if options.command == "info":
        _info(options.graphs, as_json=options.json)
    else:
        _make(options.graph, options.output, force=options.force)


def _info(spellings: Sequence[str], *, as_json: bool) -> None:
    rows = [measures(graph) for spelling in spellings for graph in parse(spelling)]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table()
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_column(Text(str(row["spelling"])), justify="right", overflow="fold", min_width=8)
    for name in rows[0]:
        if name != "spelling":
            table.add_row(name.replace("_", " "), *(_shown(row[name]) for row in rows))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a file or a pipe has no edge to fold at
    console.print(table)


def _make(spelling: str, path: Path, *, force: bool) -> None:
    if path.suffix != ".npy":
        raise UsageError(f"{path}: a graph is spelled by a name that ends in .npy: give -o {path}.npy")
    if path.exists() and not force:
        raise UsageError(f"{path}: exists: choose another name with -o, or add --force to replace it")
    graph, *others = parse(spelling)
    if graph.parts > 1:
        raise UsageError(f"{spelling}: makes graphs that mix only in turn, a file holds one: give the spelling itself")
    if others:
        raise UsageError(
            f"{spelling}: makes {1 + len(others)} graphs, a file holds one: "
            f"choose one with first=0 to first={len(others)} instead of rotate=1"
        )
    graph.save(path)
    print(f"{path}: {graph.spelling}, ASPL {graph.aspl:.4f} (no graph can have less than {graph.aspl_bound:.4f})")


def measures(graph: Graph) -> dict[str, str | int | float | bool | None]:
    """What there is to know of a graph, by name, as JSON holds it: infinite is None."""
    aspl, bound, diameter = (
        value if math.isfinite(value) else None for value in (graph.aspl, graph.aspl_bound, graph.diameter)
    )
    return {
        "spelling": graph.spelling,
        "nodes": graph.nodes,
        "degree": graph.degree,
        "density": graph.density,
        "self_loops": graph.self_loops,
        "parts": graph.parts,
        "aspl": aspl,
        "aspl_bound": bound,
        "gap_percent": 100 * (aspl / bound - 1) if aspl is not None and bound is not None else None,
        "diameter": None if diameter is None else int(diameter),
        "clustering": graph.clustering,
        "transitivity": graph.transitivity,
        "spectral_gap": graph.spectral_gap,
    }


def _shown(value: str | float | None) -> str:
    if value is None:
        return "inf"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
