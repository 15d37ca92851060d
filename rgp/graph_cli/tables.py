"""Measures as tables: a row a measure, a column a graph, as many columns side by side as fit."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

HEADER_WIDTH = 16  # where longer spellings fold; figures never fold

NUMBERS = {  # key of a measure -> its row
    "nodes": "nodes",
    "degree": "degree",
    "density": "density",
    "self_loops": "self-loops",
    "parts": "separate parts",
    "aspl": "ASPL",
    "aspl_bound": "ASPL, lower bound",
    "gap_percent": "gap, %",
    "diameter": "diameter",
    "clustering": "clustering",
    "transitivity": "transitivity",
    "spectral_gap": "spectral gap",
    "mixing_depth": "mixing depth, layers",
    "mixing_bound": "mixing depth, bound",
}


def print_tables(rows: Sequence[dict[str, Any]], best: Sequence[Collection[str]] = ()) -> None:
    """Print what ``measures`` found of each graph; ``best``: for each, the keys to mark with a star."""
    columns = [dict(_cells(row, best[i] if best else ())) for i, row in enumerate(rows)]
    if all(len(row["graphs"]) == 1 for row in rows):
        for column in columns:
            del column["graphs in turn"]
    labels = list(columns[0])
    headers = [_folded(row["spelling"]) for row in rows]
    widths = [
        max(*map(len, column.values()), *map(cell_len, header.split("\n")))
        for header, column in zip(headers, columns, strict=True)
    ]
    console = Console()
    label_width = max(map(len, labels))
    start = 0
    while start < len(rows):
        stop, used = start, label_width + 4
        while stop < len(rows) and (stop == start or used + widths[stop] + 3 <= console.width):
            used += widths[stop] + 3
            stop += 1
        table = Table(Column(width=label_width))
        for header, width in zip(headers[start:stop], widths[start:stop], strict=True):
            table.add_column(Text(header), justify="right", width=width)
        for label in labels:
            table.add_row(label, *(column[label] for column in columns[start:stop]))
        console.width = max(console.width, used)  # on a narrower terminal the figures stay whole
        console.print(table, highlight=False)
        start = stop


def _folded(spelling: str) -> str:
    """Lines of about HEADER_WIDTH cells, broken after families, before options and folders where possible."""
    lines = [""]
    for piece in re.findall(rf"[?&/]?[^?&/:]{{0,{HEADER_WIDTH - 1}}}:?", spelling):
        if lines[-1] and cell_len(lines[-1] + piece) > HEADER_WIDTH:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _cells(row: dict[str, Any], best: Collection[str]) -> Iterator[tuple[str, str]]:
    yield "family", row["family"]
    yield "graphs in turn", str(len(row["graphs"]))
    for key, label in NUMBERS.items():
        yield label, _shown(row[key], never=key == "mixing_depth") + (" *" if key in best else "")
    yield "twin classes", f"{_shown(row['twin_classes'])} x {_shown(row['twins'])}"
    lowerings = {found["name"]: found for found in row["lowerings"]}
    yield "as grouped", f"groups={_shown(lowerings['grouped']['groups'])}" if "grouped" in lowerings else "no"
    yield "as slices", f"{_shown(lowerings['sliced']['slices'])} slices" if "sliced" in lowerings else "no"
    for block in row["blocks"]:
        side = "too few" if block["side"] is None else _shown(block["side"])
        yield f"block, {block['channels']} channels", side if side == "too few" else f"{side} x {side}"


def _shown(value: Any, *, never: bool = False) -> str:
    if isinstance(value, dict):
        low, high = _shown(value["min"]), _shown(value["max"])
        return low if low == high else f"{low}..{high}"
    if value is None:
        return "never" if never else "inf"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
