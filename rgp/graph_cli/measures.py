"""Everything that the commands say about a graph, or about graphs that layers take in turn, by name, as JSON has it.

Infinite is None. A measure of single graphs that differs over the turns is {"min": ..., "max": ...}.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from typing import Any

from rgp.families.spelling import Spelling
from rgp.graph import Graph
from rgp.mixing import mixing_bound, mixing_depth
from rgp.outlook import Outlook

CHANNELS = (64, 128, 256, 512, 1024, 2048)


def add_channels(parser: argparse.ArgumentParser) -> None:
    """Add ``--channels 64,256``."""
    parser.add_argument(
        "--channels",
        type=_channels,
        default=CHANNELS,
        metavar="C,C,...",
        help=f"convolutions, C channels in and out, to say the blocks of (default: {','.join(map(str, CHANNELS))})",
    )


def measures(spelling: str, graphs: Sequence[Graph], channels: Sequence[int] = CHANNELS) -> dict[str, Any]:
    """Measure the ``graphs`` that ``spelling`` means, connected or not."""
    outlooks = [Outlook.of(graph) for graph in graphs]
    one = graphs[0]
    return {
        "spelling": one.spelling if len(graphs) == 1 else str(Spelling.parse(spelling)),
        "family": Spelling.parse(spelling).family,
        "graphs": [graph.spelling for graph in graphs],
        "nodes": one.nodes,
        "degree": one.degree,
        "density": one.density,
        "self_loops": one.self_loops,
        "parts": _spread(graph.parts for graph in graphs),
        "aspl": _spread(graph.aspl for graph in graphs),
        "aspl_bound": _spread(graph.aspl_bound for graph in graphs),
        "gap_percent": _spread(graph.gap_percent for graph in graphs),
        "diameter": _spread(graph.diameter if math.isinf(graph.diameter) else int(graph.diameter) for graph in graphs),
        "clustering": _spread(graph.clustering for graph in graphs),
        "transitivity": _spread(graph.transitivity for graph in graphs),
        "spectral_gap": _spread(graph.spectral_gap for graph in graphs),
        "mixing_depth": mixing_depth(graphs),
        "mixing_bound": mixing_bound(graphs),
        "twin_classes": _spread(len(outlook.twin_classes) for outlook in outlooks),
        "twins": _spread(size for outlook in outlooks for size in outlook.twin_classes),
        "lowerings": _lowerings(outlooks),
        "blocks": [{"channels": count, "side": _block(outlooks, count)} for count in channels],
    }


def aspl_line(graph: Graph) -> str:
    """The ASPL beside what is possible."""
    if graph.parts > 1:
        return f"{graph.parts} separate parts"
    return f"ASPL {graph.aspl:.4f} (no graph can have less than {graph.aspl_bound:.4f})"


def _lowerings(outlooks: Sequence[Outlook]) -> list[dict[str, Any]]:
    """The lowerings that apply to every turn, with their numbers of pieces."""
    found: list[dict[str, Any]] = [{"name": "dense"}]
    for name, number, pieces in (
        ("grouped", "groups", [outlook.groups for outlook in outlooks]),
        ("sliced", "slices", [outlook.slices for outlook in outlooks]),
    ):
        counts = [count for count in pieces if count]
        if len(counts) == len(pieces):
            found.append({"name": name, number: _spread(counts)})
    return found


def _block(outlooks: Sequence[Outlook], channels: int) -> Any:
    """The side of a dense block; None where a node would have no channel."""
    blocks = [outlook.block(channels) for outlook in outlooks]
    sides = [side for block in blocks if block for side in (block.least, block.most)]
    return _spread(sides) if sides else None


def _spread(values: Iterable[float]) -> Any:
    """The value if there is but one, else the least and the greatest."""
    listed = list(values)
    low, high = min(listed), max(listed)
    if low == high or high - low < 1e-9:  # eigenvalues of one graph, relabelled, differ in the last digits
        return _finite(low)
    return {"min": _finite(low), "max": _finite(high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _channels(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and 1 <= int(part) <= 10**6 for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of channel counts such as 64,256")
    return tuple(map(int, parts))
