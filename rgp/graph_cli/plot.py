"""``rgp-graph plot``: draw a graph, or graphs that layers take in turn."""

from __future__ import annotations

import argparse

from rgp.families import parse
from rgp.graph_cli.measures import aspl_line
from rgp.graph_cli.output import add_output, check_output
from rgp.graph_cli.spellings import SPELLINGS

HELP = "draw a graph: adjacency, a drawing, distances"
EPILOG = f"""\
{SPELLINGS}
Several graphs in turn are drawn layer by layer, with what each node depends on after them.

examples:
  rgp-graph plot 64_16 -o graph.png
  rgp-graph plot 'affine:64_8?rotate=1' -o turns.svg
"""
PICTURES = (".png", ".svg")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("graph", metavar="GRAPH", help="a spelling or a .npy file")
    add_output(parser, PICTURES)


def run(options: argparse.Namespace) -> int:
    """Draw it, and say what was drawn."""
    check_output(options.output, PICTURES, force=options.force)
    from rgp.graph_plot import picture, save, turns_picture  # matplotlib: the other subcommands do without

    graphs = parse(options.graph, connected=False)
    if len(graphs) == 1:
        save(picture(graphs[0]), options.output)
        print(f"{options.output}: {graphs[0].spelling}, {aspl_line(graphs[0])}")
    else:
        save(turns_picture(options.graph, graphs), options.output)
        print(f"{options.output}: {options.graph}, {len(graphs)} graphs in turn")
    return 0
