"""``rgp-graph make``: write one graph as a matrix."""

from __future__ import annotations

import argparse

from rgp.errors import UsageError
from rgp.families import parse
from rgp.graph_cli.measures import aspl_line
from rgp.graph_cli.output import add_output, check_output
from rgp.graph_cli.spellings import SPELLINGS

HELP = "write a graph as a .npy matrix"
EPILOG = f"""\
{SPELLINGS}
examples:
  rgp-graph make random:64_16?seed=3 -o graph.npy
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("graph", metavar="GRAPH", help="a spelling or a .npy file")
    add_output(parser, [".npy"])


def run(options: argparse.Namespace) -> int:
    """Write it, and say what was written."""
    check_output(options.output, [".npy"], force=options.force)
    graph, *others = parse(options.graph)
    if others:
        turns = f"{options.graph}: makes {1 + len(others)} graphs that layers take in turn, a file holds one"
        if graph.parts > 1:  # one alone would be no use
            raise UsageError(f"{turns}, and these mix only together: give the spelling where a graph is wanted")
        raise UsageError(f"{turns}: make one of them, such as {graph.spelling}")
    graph.save(options.output)
    print(f"{options.output}: {graph.spelling}, {aspl_line(graph)}")
    return 0
