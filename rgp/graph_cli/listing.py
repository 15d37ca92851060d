"""``rgp-graph list``: the graphs that ship."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from rgp import library
from rgp.families import parse

HELP = "list the graphs that ship with rgp, and how each was found"
EPILOG = """\
They need no search: 64_16 wherever a graph is wanted takes the one in the list. The commands in --json find each
again.

examples:
  rgp-graph list
  rgp-graph list --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")


def run(options: argparse.Namespace) -> int:
    """Measure each and print."""
    rows = [
        {
            "spelling": size,
            "aspl": graph.aspl,
            "aspl_bound": graph.aspl_bound,
            "gap_percent": graph.gap_percent,
            "diameter": int(graph.diameter),
            "spectral_gap": graph.spectral_gap,
            **{key: value for key, value in asdict(entry).items() if key in ("symmetry", "command", "graph6")},
        }
        for size, entry in library.entries().items()
        for graph in parse(size)
    ]
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    table = Table()
    for name in ("graph", "ASPL", "lower\nbound", "gap, %", "dia-\nmeter", "spectral\ngap", "symmetry"):
        table.add_column(name, justify="left" if name in ("graph", "symmetry") else "right")
    for row in rows:
        numbers = [f"{row[key]:.4f}" for key in ("aspl", "aspl_bound")]
        table.add_row(
            str(row["spelling"]), *numbers, f"{row['gap_percent']:.2f}", str(row["diameter"]),
            f"{row['spectral_gap']:.4f}", str(row["symmetry"]),
        )  # fmt: skip
    Console().print(table, highlight=False)
    return 0
