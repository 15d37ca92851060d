"""What was measured, in words: for each cell a row for each peer and precision, at the setting that was fastest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.peers.ways import REFERENCE
from rgp.measure import median_ci95


@dataclass(frozen=True)
class Row:
    """A peer in one precision, at its best setting. ``ratio``: how much faster than REFERENCE, medians of rounds."""

    row: str
    settings: str
    ms: float
    ratio: float
    ratio_ci95: tuple[float, float]
    answers: str


def rows(cell: dict[str, Any]) -> list[Row]:
    """Fastest first."""
    measured = {name: way for name, way in cell["ways"].items() if "ms" in way and "absent" not in way}
    best: dict[str, dict[str, Any]] = {}
    for way in sorted(measured.values(), key=lambda way: float(np.median(way["ms"]))):
        best.setdefault(way["row"], way)
    if REFERENCE not in best:
        return []
    reference = np.array(best[REFERENCE]["ms"])
    build = np.array(cell["build"])
    found = []
    for name, way in best.items():
        ratio = reference / np.array(way["ms"])
        found.append(
            Row(
                name, way["settings"], float(np.median(way["ms"])), float(np.median(ratio)),
                median_ci95(ratio, build), answers(way),
            )
        )  # fmt: skip
    return found


def absent(cell: dict[str, Any]) -> dict[str, str]:
    """The ways that could not be run, and why."""
    return {name: way["absent"] for name, way in cell["ways"].items() if "absent" in way}


def answers(way: dict[str, Any]) -> str:
    """How near they are to the masked network's."""
    if way["equal"]:
        return f"equal, {way['max_abs_diff'] / way['max_abs_logit']:.0e}"
    if way["precision"] == "fp32":
        return "another network"
    return f"{way['top1_agreement']:.0%} same class"


def titles(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each cell with a line that says what it is."""
    for key, cell in results["cells"].items():
        share = cell["macs"] / cell["dense_macs"]
        cores = ",".join(map(str, cell["cores"]))
        yield f"{key}, {share:.1%} of the MACs, cores {cores}, {sum(cell['steal']):.1f} s stolen", cell


def show(results: dict[str, Any]) -> None:
    """Print all cells."""
    console = Console(width=130)
    for title, cell in titles(results):
        table = Table("peer", "settings", "ms", "beside dense", "95%", "answers", title=title, title_justify="left")
        for row in rows(cell):
            low, high = row.ratio_ci95
            table.add_row(
                row.row, row.settings, f"{row.ms:.2f}", f"{row.ratio:.2f}x", f"{low:.2f} to {high:.2f}", row.answers
            )
        console.print(table)
        for name, reason in absent(cell).items():
            console.print(f"not run: {name}: {reason}", highlight=False, markup=False)
    for name, reason in results["absent"].items():
        console.print(f"not run: {name}: {reason}", highlight=False, markup=False)
