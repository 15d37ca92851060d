"""The graphs that ship with rgp: searched once with ``rgp-graph search``, stored as graph6 in ``graphs.json``.

Each entry says what the graph measures and the command that finds it again. graph6 is the text format of
nauty, networkx and Sage (B. McKay, *Description of graph6, sparse6 and digraph6 encodings*).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rgp.graph import Graph

SIZES: tuple[tuple[int, int], ...] = (
    *((16, d) for d in range(4, 13, 2)),
    *((32, d) for d in (4, 8, 16)),
    *((64, d) for d in range(4, 37, 2)),
    *((16, 3), (32, 7), (64, 3), (64, 7), (64, 15), (64, 23), (64, 29), (64, 35)),  # one less: for loops=1
)


@dataclass(frozen=True)
class Entry:
    """One graph that ships. ``command`` finds it again; ``symmetry`` is the group under which it was found."""

    graph6: str
    aspl: float
    spectral_gap: float
    symmetry: str
    command: str


def load(nodes: int, degree: int) -> Graph | None:
    """The graph of this size, or None if none ships."""
    entry = entries().get(f"{nodes}_{degree}")
    return None if entry is None else Graph.of(from_graph6(entry.graph6), f"{nodes}_{degree}")


@cache
def entries() -> dict[str, Entry]:
    """Every graph that ships, by size as ``64_16``."""
    text = files("rgp.library").joinpath("graphs.json").read_text()
    return {size: Entry(**values) for size, values in json.loads(text).items()}


def to_graph6(adjacency: NDArray[np.bool_]) -> str:
    """Write an undirected graph without self-loops, (N, N) bool with N < 258,048, as graph6."""
    nodes = len(adjacency)
    column, row = np.tril_indices(nodes, -1)
    bits = np.pad(adjacency[row, column], (0, -(nodes * (nodes - 1) // 2) % 6))
    six = bits.reshape(-1, 6) @ (32, 16, 8, 4, 2, 1)
    size = [nodes] if nodes < 63 else [63, nodes >> 12, nodes >> 6 & 63, nodes & 63]
    return bytes(int(value) + 63 for value in (*size, *six)).decode("ascii")


def from_graph6(text: str) -> NDArray[np.bool_]:
    """The adjacency (N, N) of a graph that ``to_graph6`` wrote."""
    values = np.frombuffer(text.encode("ascii"), np.uint8) - 63
    nodes, start = int(values[0]), 1
    if nodes == 63:
        nodes, start = int(values[1]) << 12 | int(values[2]) << 6 | int(values[3]), 4
    bits = np.unpackbits(values[start:, None], axis=1)[:, 2:].ravel().astype(bool)
    adjacency = np.zeros((nodes, nodes), bool)
    column, row = np.tril_indices(nodes, -1)
    adjacency[row, column] = bits[: len(row)]
    return adjacency | adjacency.T
