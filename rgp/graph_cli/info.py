"""``rgp-graph info``: what there is to know of graphs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from rgp.cli import guarded
from rgp.families import parse
from rgp.graph_cli.measures import add_channels, measures
from rgp.graph_cli.spellings import SPELLINGS
from rgp.graph_cli.tables import print_tables

HELP = "print what there is to know of graphs, and what a compiler can make of them"
EPILOG = f"""\
{SPELLINGS}
The lowerings and the blocks say what is possible, not what is faster: rgp-compile measures that. They hold where
the nodes divide the channels; twins are nodes that read the same nodes, and make one block together. Where graphs in
turn differ, the least and the greatest is shown (JSON: {{"min": 1, "max": 2}}); a depth of null never mixes, a block
side of null has fewer channels than nodes.

examples:
  rgp-graph info ring:64_16 64_16 affine:64_15
  rgp-graph info 'affine:64_8?rotate=1' --channels 64,256
  rgp-graph info path/to/M0.npy --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("graphs", nargs="+", metavar="GRAPH", help="a spelling or a .npy file")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table; infinite is null")
    add_channels(parser)


def run(options: argparse.Namespace) -> int:
    """Show the graphs that can be measured, a line of error for each other one; the first error's exit code."""
    rows: list[dict[str, Any]] = []

    def measure(spellings: Sequence[str] | None) -> None:
        for spelling in spellings or ():
            with Console(stderr=True).status(f"measuring {escape(spelling)}"):
                rows.append(measures(spelling, parse(spelling, connected=False), options.channels))

    failure = 0
    for spelling in options.graphs:
        code = guarded(measure, [spelling], "rgp-graph")
        failure = failure or code
        if code == 130:  # Ctrl-C means all of it
            return code
    if rows and options.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        print_tables(rows)
    return failure
