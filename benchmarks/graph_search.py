"""How short the searched graphs' paths are, beside the published ones, the bound and the best known.

``make bench-graphs`` searches each size for a minute on one core and writes ``benchmarks/results/graph_search.json``.
Published: M0 of the paper's matrices. Best known: the order/degree catalogue (Graph Golf), where it has the size.
Annealing: the best of 20 runs over single edge swaps, without symmetry, of as many steps together.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rgp.environment import environment
from rgp.files import written_whole
from rgp.graph import Graph, aspl_bound
from rgp.search import search
from rgp.search.groups import Group
from rgp.search.hunt import Hunt
from rgp.search.run import COLD, Recipe, Run

RESULTS = Path(__file__).parent / "results" / "graph_search.json"
# size: (ASPL of the published M0, best known, the ASPL to reach; "bound": the lower bound, "annealing": its best)
SIZES: dict[str, tuple[float | None, float | None, float | str]] = {
    "64_4": (3.0456, None, 2.88),
    "64_6": (2.4087, None, 2.336),
    "64_8": (2.1285, 1.927, 1.95),
    "64_10": (1.9499, None, 1.862),
    "64_12": (1.8477, None, "bound"),
    "64_14": (1.7842, None, "bound"),
    "64_16": (1.7460, 1.746, "bound"),
    "64_24": (1.6190, None, "bound"),
    "64_30": (1.5238, None, "bound"),
    "64_36": (1.4286, None, "bound"),
    "16_4": (1.75, None, 1.75),
    "32_4": (None, None, "annealing"),
    "32_6": (None, None, "annealing"),
    "256_16": (None, None, 1.02 * aspl_bound(256, 16)),
}
RESTARTS = 20


def main() -> None:
    """Search each size, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES), metavar="N_d")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        rows.append(_measure(size, options.seed, options.seconds))
        print(f"{size}: ASPL {rows[-1]['aspl']:.4f} after {rows[-1]['seconds_to_best']:.1f} s", flush=True)
    results = {
        "environment": environment(),
        "threads": 1,
        "seed": options.seed,
        "seconds": options.seconds,
        "sizes": rows,
    }
    with written_whole(options.output) as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())
    Console(width=max(120, Console().width)).print(_table(rows))


def _measure(size: str, seed: int, seconds: float) -> dict[str, Any]:
    nodes, degree = map(int, size.split("_"))
    published, best_known, target = SIZES[size]
    shortest: list[tuple[float, float]] = [(float("inf"), 0.0)]
    began = time.monotonic()

    def watch(hunt: Hunt) -> None:
        if hunt.aspl < shortest[-1][0] - 1e-12:
            shortest.append((hunt.aspl, time.monotonic() - began))

    found = search(nodes, degree, seed=seed, seconds=seconds, progress=watch)
    annealed = _annealing(nodes, degree, seed, found.iterations) if target == "annealing" else None
    goals = {"bound": found.graph.aspl_bound, "annealing": annealed}
    goal = goals[target] if isinstance(target, str) else target
    assert goal is not None
    return {
        "graph": size,
        "aspl": found.graph.aspl,
        "aspl_bound": found.graph.aspl_bound,
        "published": published,
        "best_known": best_known,
        "annealing": annealed,
        "target": goal,
        "reached": found.graph.aspl <= goal + 1e-9,
        "spectral_gap": found.graph.spectral_gap,
        "symmetry": found.symmetry,
        "iterations": found.iterations,
        "seconds_to_best": shortest[-1][1],
    }


def _annealing(nodes: int, degree: int, seed: int, iterations: int) -> float:
    best = float("inf")
    for restart in range(RESTARTS):
        run = Run(nodes, degree, Recipe(Group(1), 4 * COLD), seed * RESTARTS + restart, iterations // RESTARTS)
        while run.left and not run.at_bound:
            run.advance(run.left)
        best = min(best, Graph.of(run.result()).aspl)
    return best


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="average shortest path length")
    names = ("graph", "found", "lower bound", "published M0", "best known", "to reach", "", "gap", "after", "symmetry")
    for name in names:
        table.add_column(name, justify="left" if name in ("graph", "symmetry") else "right")
    for row in rows:
        known = (f"{row[key]:.4f}" if row[key] is not None else "" for key in ("published", "best_known"))
        table.add_row(
            row["graph"], f"{row['aspl']:.4f}", f"{row['aspl_bound']:.4f}", *known, f"{row['target']:.4f}",
            "yes" if row["reached"] else "no", f"{100 * (row['aspl'] / row['aspl_bound'] - 1):.2f}%",
            f"{row['seconds_to_best']:.1f} s", row["symmetry"],
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
