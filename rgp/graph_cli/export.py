"""``rgp-graph export``: ladders of graphs in the layout of the published matrices."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from rgp import library
from rgp.errors import UsageError
from rgp.families import parse
from rgp.files import written_whole
from rgp.graph import Graph
from rgp.graph_cli.numbers import rungs, whole
from rgp.ladder import ladder

HELP = "write ladders of graphs, from the best to the ring, in the layout of the published matrices"
EPILOG = """\
The layout `seed` is that of the published code: DIR/Adjacency/<N>/<d>/M<i>.npy, where M0 has the smallest ASPL and
the last one is the ring, and DIR/Adjacency/<N>_<d>_information.csv with its columns (Path is the ASPL).
Where the ring is as good as any graph there is one rung.

examples:
  rgp-graph export --layout seed graphs/
  rgp-graph export --layout seed graphs/ --sizes 64_4,64_16 --rungs 50
"""
COLUMNS = ("Date Finished", "Nodes", "Degree", "Dir", "Path", "Cluster", "Tranvity")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the folder Adjacency is made")
    parser.add_argument("--layout", choices=["seed"], required=True, help="that of the published matrices")
    parser.add_argument("--sizes", metavar="N_d,N_d,...", help="some of the graphs that ship (default: all)")
    parser.add_argument("--rungs", type=rungs, default=30, help="at most so many graphs of a size (default 30)")
    parser.add_argument("--seed", type=whole, default=0, help="of the swaps (default 0)")
    parser.add_argument("--force", action="store_true", help="replace ladders that exist")


def run(options: argparse.Namespace) -> int:
    """Write a ladder for each size."""
    known = list(library.entries())
    sizes = known if options.sizes is None else list(dict.fromkeys(options.sizes.split(",")))
    for size in sizes:
        if size not in known:
            raise UsageError(f"'{size:.40}' does not ship with rgp: choose from {', '.join(known)}")
    root = options.folder / "Adjacency"
    for size in sizes:
        place = root.joinpath(*size.split("_"))
        if place.exists() and not options.force:
            raise UsageError(f"{place}: exists: choose another folder, or add --force to replace its ladder")
    console = Console(stderr=True)
    written = 0
    for size in track(sizes, "writing ladders", console=console, transient=True, disable=not console.is_terminal):
        (best,) = parse(size)
        graphs = ladder(best, options.rungs, options.seed)
        _write(root, size, graphs)
        written += len(graphs)
    print(f"{root}: {written} graphs of {len(sizes)} sizes")
    return 0


def _write(root: Path, size: str, graphs: list[Graph]) -> None:
    """The matrices first, beside their place; then the table."""
    nodes, degree = size.split("_")
    place = root / nodes / degree
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{degree}.", dir=place.parent))
    try:
        now = f"{datetime.now():%m-%d-%y_%H:%M:%S}"
        lines = [", ".join(COLUMNS)]
        for index, graph in enumerate(graphs):
            np.save(beside / f"M{index}.npy", graph.adjacency.astype(np.int64))
            name = f"Adjacency/{nodes}/{degree}/M{index}.npy"
            lines.append(f"{now}, {nodes}, {degree}, {name}, {graph.aspl}, {graph.clustering}, {graph.transitivity}")
        beside.chmod(0o755)
        if place.exists():
            shutil.rmtree(place)
        beside.rename(place)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(beside, ignore_errors=True)
        raise
    with written_whole(root / f"{size}_information.csv") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
