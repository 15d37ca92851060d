"""``rgp-train networks``: the networks there are, what they cost, and what graphs leave of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rgp.cli import Parser
from rgp.cost import Cost
from rgp.errors import PruneError
from rgp.families import parse
from rgp.graph import Graph
from rgp.models.price import Price, price
from rgp.models.registry import NETWORKS
from rgp.prune import Narrow, summary

WIDTH = 1000  # of the table at most: figures stay whole on a narrower terminal
SMALL = ("cifar_", "small_")  # networks for images of 32 x 32 and 10 classes
EPILOG = """\
A graph leaves so much of the MACs and of the parameters, in percent; in brackets how many convolutions it masks,
of how many. The first convolution and the classifier stay dense, as in the paper.

examples:
  rgp-train networks
  rgp-train networks resnet50 timm:resnet10t --graphs 64_36 64_16
  rgp-train networks mobilenet_v2 --graphs 16_4 --narrow dense --json
"""


@dataclass(frozen=True)
class Row:
    """A network's cost as it is, and by spelling its price under each graph, or why it has none."""

    network: str
    side: int
    dense: Cost
    under: dict[str, Price | str]


def run(argv: Sequence[str]) -> None:
    """Print the table that ``argv`` asks for; UsageError or GraphError if it asks for what there is not."""
    options = _parser().parse_args(argv)
    graphs = {spelling: parse(spelling) for spelling in options.graphs}
    console = Console(stderr=True)
    names = options.names or list(NETWORKS)
    steps = track(names, "pricing", console=console, transient=True, disable=not console.is_terminal)
    rows = [_priced(name, graphs, options) for name in steps]
    if options.json:
        print(json.dumps([_as_json(row) for row in rows], indent=1))
    elif options.markdown:
        print("\n".join(_as_markdown(rows, list(graphs))))
    else:
        Console(width=WIDTH).print(_as_table(rows, list(graphs)), highlight=False)
        for name, reason in _refusals(rows):
            print(f"{name}: {reason}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="rgp-train networks",
        description="List networks, what they cost, and what graphs leave of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="as listed, or timm:NAME (default: all listed)")
    parser.add_argument("--graphs", nargs="+", default=[], metavar="GRAPH", help="spellings or .npy files")
    parser.add_argument("--size", type=_count, help="side of the images (default 224; 32 for the CIFAR forms)")
    parser.add_argument(
        "--classes", type=_count, help="how many the networks tell apart (default 1000; 10 for the CIFAR forms)"
    )
    parser.add_argument(
        "--narrow", choices=get_args(Narrow), default="refuse", help="layers with fewer channels than nodes"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="exact numbers, and what becomes of which layers")
    form.add_argument("--markdown", action="store_true", help="the table of docs/networks.md")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"'{text:.40}' is not a whole number from 1 to 1000000")
    return int(text)


def _priced(name: str, graphs: dict[str, tuple[Graph, ...]], options: argparse.Namespace) -> Row:
    small = name.startswith(SMALL)
    side = options.size or (32 if small else 224)
    built = {"num_classes": options.classes or (10 if small else 1000), "in_channels": 3}
    shape = (3, side, side)
    under: dict[str, Price | str] = {}
    for spelling, turns in graphs.items():
        try:
            under[spelling] = price(name, built, turns, shape, narrow=options.narrow)
        except PruneError as error:
            under[spelling] = str(error)
    priced = next((found for found in under.values() if isinstance(found, Price)), None)
    return Row(name, side, (priced or price(name, built, (), shape)).cost, under)


def _left(found: Price) -> tuple[float, float]:
    """Percent of the MACs and of the parameters."""
    cost = found.cost
    return 100 * cost.macs / cost.dense_macs, 100 * cost.parameters / cost.dense_parameters


def _cell(found: Price | str) -> str:
    if isinstance(found, str):
        return "refused"
    macs, parameters = _left(found)
    return f"{macs:.1f} / {parameters:.1f} ({found.masked}/{len(found.decisions)})"


def _cells(row: Row) -> list[str]:
    size = [f"{row.dense.dense_macs / 1e6:,.1f}", f"{row.dense.dense_parameters / 1e6:,.2f}"]
    return [row.network, f"{row.side}", *size, *map(_cell, row.under.values())]


HEADERS = ("network", "side", "MMACs", "M parameters")


def _as_table(rows: Sequence[Row], graphs: Sequence[str]) -> Table:
    table = Table(caption="under a graph: % of MACs / % of parameters (convolutions masked)" if graphs else None)
    for place, header in enumerate((*HEADERS, *graphs)):
        table.add_column(header, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _as_markdown(rows: Sequence[Row], graphs: Sequence[str]) -> Iterator[str]:
    headers = [*HEADERS, *(f"`{spelling}`" for spelling in graphs)]
    yield f"| {' | '.join(headers)} |"
    yield "| --- |" + " ---: |" * (len(headers) - 1)
    for row in rows:
        name, *numbers = _cells(row)
        yield f"| `{name}` | {' | '.join(numbers)} |"


def _refusals(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        reasons = [found for found in row.under.values() if isinstance(found, str)]
        if reasons:
            yield row.network, reasons[0]


def _as_json(row: Row) -> dict[str, Any]:
    def as_json(found: Price | str) -> dict[str, Any]:
        if isinstance(found, str):
            return {"refused": found}
        macs, parameters = _left(found)
        return {
            "macs": found.cost.macs,
            "parameters": found.cost.parameters,
            "macs_percent": macs,
            "parameters_percent": parameters,
            "masked": found.masked,
            "convolutions": len(found.decisions),
            "summary": summary(found.decisions),
        }

    return {
        "network": row.network,
        "side": row.side,
        "macs": row.dense.dense_macs,
        "parameters": row.dense.dense_parameters,
        "under": {spelling: as_json(found) for spelling, found in row.under.items()},
    }
