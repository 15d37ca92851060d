"""``rgp-graph compare``: graphs side by side, the best of each measure marked, and a picture."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from rgp.errors import UsageError
from rgp.families import parse
from rgp.graph_cli.measures import add_channels, measures
from rgp.graph_cli.output import add_output, check_output
from rgp.graph_cli.plot import PICTURES
from rgp.graph_cli.spellings import SPELLINGS
from rgp.graph_cli.tables import print_tables

HELP = "put graphs side by side, mark the best of each measure, and draw them"
EPILOG = f"""\
{SPELLINGS}
A graph of higher degree connects better and costs more: what mixes best at equal cost has the smallest gap.

examples:
  rgp-graph compare ring:64_16 random:64_16 64_16
  rgp-graph compare random:64_15 affine:64_15 -o compared.png
"""

BETTER: dict[str, Callable[[Sequence[float]], float]] = {
    "aspl": min,
    "gap_percent": min,
    "diameter": min,
    "spectral_gap": max,
    "mixing_depth": min,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("graphs", nargs="+", metavar="GRAPH", help="a spelling or a .npy file; two or more")
    parser.add_argument("--json", action="store_true", help="as info --json, with the names of what each is best in")
    add_channels(parser)
    add_output(parser, PICTURES, required=False)


def run(options: argparse.Namespace) -> int:
    """Print the table or the JSON, and draw the picture if one was asked for."""
    if len(options.graphs) < 2:
        raise UsageError(f"compare needs two graphs or more, this is one: rgp-graph info {options.graphs[0]}")
    if options.output:
        check_output(options.output, PICTURES, force=options.force)
        from rgp.graph_plot import MAX_COMPARED, comparison, save  # matplotlib: a table does without

        if len(options.graphs) > MAX_COMPARED:
            raise UsageError(f"-o draws at most {MAX_COMPARED} graphs, these are {len(options.graphs)}: leave some out")
    graphs = [parse(spelling, connected=False) for spelling in options.graphs]
    rows = [measures(name, turns, options.channels) for name, turns in zip(options.graphs, graphs, strict=True)]
    best = best_in(rows)
    if options.output:
        save(comparison([(row["spelling"], turns) for row, turns in zip(rows, graphs, strict=True)]), options.output)
    if options.json:
        print(json.dumps([row | {"best": names} for row, names in zip(rows, best, strict=True)], indent=1))
    else:
        print_tables(rows, best)
        print("* best of these")
        if len({(row["nodes"], row["degree"]) for row in rows}) > 1:
            print("nodes or degrees differ: only the gap, and the mixing depth beside its bound, allow for that")
    return 0


def best_in(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """For each graph, the measures in which none of the others is better and some are worse."""
    best: list[list[str]] = [[] for _ in rows]
    for name, better in BETTER.items():
        values = [_judged(row[name], better) for row in rows]
        top = better(values)
        ties = [math.isclose(value, top, abs_tol=1e-9) for value in values]
        for names, tie in zip(best, ties, strict=True):
            if tie and not all(ties):
                names.append(name)
    return best


def _judged(value: Any, better: Callable[[Sequence[float]], float]) -> float:
    """A number; turns that differ are judged by their worst."""
    if isinstance(value, dict):
        value = value["max" if better is min else "min"]
    return math.inf if value is None else float(value)
